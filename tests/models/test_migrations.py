"""Migrating a database that is in use: its rows stay, and what is append-only stays so."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import Error, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from campaigns.models import Campaign
from campaigns.queries.status_feed import feed_since, whole_feed
from campaigns.rules.periods import TOTAL_START
from campaigns.services import audit, catalog
from tests import factories
from tests.factories import NOW, spend
from tests.services import reading
from tests.services.holding import place

pytestmark = pytest.mark.django_db(transaction=True)

FIRST = "0001_initial"
JOURNALS = ("campaigns_spendlog", "campaigns_statuschange")
TABLES = (
    *("campaigns_brand", "campaigns_campaign", "campaigns_brandcounter", "campaigns_campaigncounter"),
    *("campaigns_rollover", "campaigns_periodicrun"),
    *JOURNALS,
)
FIGURES = ("brand_daily", "brand_monthly", "campaign_daily", "campaign_monthly", "campaign_total")

Migrate = Callable[[str], None]
Row = tuple[Any, ...]


@pytest.fixture
def migrate() -> Iterator[Migrate]:
    """Migrate to a version; the tests after this one find the newest."""

    def to(*version: str) -> None:
        call_command("migrate", "campaigns", *version, verbosity=0, interactive=False)

    yield to
    to()


def newest() -> str:
    ((_, name),) = MigrationExecutor(connection).loader.graph.leaf_nodes("campaigns")
    return str(name)


def columns_of(table: str) -> list[str]:
    with connection.cursor() as cursor:
        return sorted(one.name for one in connection.introspection.get_table_description(cursor, table))


def rows(table: str, columns: list[str]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY id")
        return list(cursor.fetchall())


def everything(columns: dict[str, list[str]]) -> dict[str, list[Row]]:
    return {table: rows(table, names) for table, names in columns.items()}


def triggers() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
            if connection.vendor == "postgresql"
            else "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        )
        return {name for (name,) in cursor.fetchall()}


def assert_append_only(*tables: str, empty: tuple[str, ...] = (), others: frozenset[str] = frozenset()) -> None:
    """Fail unless the database refuses to change or delete a row of these tables, and of no other.

    empty: those that have no row to try it with. others: triggers that are there for something else.
    """
    assert triggers() == others | {f"{t}_no_{verb}" for t in (*tables, *empty) for verb in ("update", "delete")}
    for table in tables:
        before = rows(table, ["id"])
        assert before
        for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}"):
            with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)
        assert rows(table, ["id"]) == before


def use_the_first_version() -> int:
    """Fill the tables by the models of the first version; return the campaign's id."""
    apps = MigrationExecutor(connection).loader.project_state([("campaigns", FIRST)]).apps

    def model(name: str) -> Any:
        return apps.get_model("campaigns", name).objects

    brand = model("Brand").create(name="Old", timezone="UTC", daily_budget=5, created_at=NOW)
    campaign = model("Campaign").create(brand=brand, name="Old", created_at=NOW, is_active=False, reasons=2)
    period = {"brand": brand, "start": NOW.date()}
    for kind, start in ((1, NOW.date()), (2, NOW.date().replace(day=1))):
        model("BrandCounter").create(brand=brand, period=kind, start=start, spent=6)
    for kind, start in ((1, NOW.date()), (2, NOW.date().replace(day=1)), (3, TOTAL_START)):
        model("CampaignCounter").create(brand=brand, campaign=campaign, period=kind, start=start, spent=6)
    for name in ("a", "b", "c"):
        model("SpendLog").create(
            brand=brand, campaign=campaign, event_id=name, amount=2, timestamp=NOW, day=NOW.date(), recorded_at=NOW
        )
    spent = dict.fromkeys([f"{name}_spent" for name in FIGURES], 6)
    model("StatusChange").create(brand=brand, campaign=campaign, at=NOW, to_reasons=2, cause="spend", **spent)
    model("RollOver").create(**period, period=1, at=NOW)
    model("PeriodicRun").create(task="enforce", started_at=NOW)
    return int(campaign.pk)


def test_there_and_back_and_there_again(migrate: Migrate) -> None:
    migrate(FIRST)
    number = use_the_first_version()
    columns = {table: columns_of(table) for table in TABLES}
    before = everything(columns)
    assert all(before.values())
    assert_append_only(*JOURNALS)

    migrate(newest())
    assert everything(columns) == before
    assert rows("campaigns_statuschange", ["transaction_id", "api_key_id"]) == [(0, None)]
    campaign = Campaign.objects.get(pk=number)
    feed = whole_feed(now=NOW, brand_ids=None)
    assert [one.id for one in feed.campaigns] == [number]
    assert feed_since(seen=feed.position, now=NOW, brand_ids=None).campaigns == []
    catalog.update_brand(brand_id=campaign.brand_id, daily_budget=20, now=NOW)
    assert [one.id for one in feed_since(seen=feed.position, now=NOW, brand_ids=None).campaigns] == [number]
    assert_append_only(
        *JOURNALS,
        *("campaigns_catalogchange", "campaigns_edit"),
        empty=("campaigns_archivedspend",),
        others=frozenset({"campaigns_spendlog_closed"}),
    )
    hold = place(campaign, 4)
    spend(campaign, 1, now=NOW + timedelta(seconds=1))
    assert audit.check_ledger() == []
    reading.assert_all_is_sound(NOW)
    in_use = everything(columns)

    migrate(FIRST)
    assert everything(columns) == in_use
    assert {table: columns_of(table) for table in TABLES} == columns
    assert_append_only(*JOURNALS)
    assert not {
        "campaigns_hold",
        "campaigns_catalogchange",
        "campaigns_apikey",
        "campaigns_edit",
        "campaigns_brandlimit",
        "campaigns_archivedspend",
        "campaigns_ledgerarchive",
    } & set(connection.introspection.table_names())

    migrate(newest())
    assert everything(columns) == in_use
    catalog.update_brand(brand_id=campaign.brand_id, daily_budget=30, now=NOW)
    assert_append_only(
        *JOURNALS,
        *("campaigns_catalogchange", "campaigns_edit"),
        empty=("campaigns_archivedspend",),
        others=frozenset({"campaigns_spendlog_closed"}),
    )
    # The holds are gone; what they had in the counters the audit finds and mends.
    assert {one.figure.value for one in audit.check_ledger()} == {"held"}
    audit.repair_ledger(now=NOW)
    assert audit.check_ledger() == []
    assert place(campaign, 4, now=NOW).id <= hold.id
    reading.assert_journal_unbroken(campaign)


def test_an_empty_database_goes_there_and_back(migrate: Migrate) -> None:
    for version in (FIRST, newest(), FIRST, newest()):
        migrate(version)
    factories.campaign()
    assert audit.check_ledger() == []


def test_the_models_are_what_the_migrations_make() -> None:
    call_command("makemigrations", "campaigns", check=True, dry_run=True, verbosity=0)
