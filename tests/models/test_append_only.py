"""Append-only: the database itself refuses to change or delete a row of the ledger or the journal."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, models, transaction

from campaigns.models import SpendLog, StatusChange, append_only
from tests import factories

pytestmark = pytest.mark.django_db

LEDGER, JOURNAL, CATALOG = "campaigns_spendlog", "campaigns_statuschange", "campaigns_catalogchange"
EDITS, ARCHIVED = "campaigns_edit", "campaigns_archivedspend"


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def save(row: models.Model, **changed: Any) -> None:
    for name, value in changed.items():
        setattr(row, name, value)
    row.save()


def upsert(row: models.Model) -> None:
    row.note = "rewritten"  # type: ignore[attr-defined]
    type(row)._default_manager.bulk_create([row], update_conflicts=True, update_fields=["note"], unique_fields=["id"])


def bulk_update(row: models.Model) -> None:
    row.note = "rewritten"  # type: ignore[attr-defined]
    type(row)._default_manager.bulk_update([row], ["note"])


ATTEMPTS: dict[str, Callable[[Any], object]] = {
    "QuerySet.update": lambda row: type(row).objects.update(note="rewritten"),
    "QuerySet.update of one": lambda row: type(row).objects.filter(pk=row.pk).update(note="rewritten"),
    "QuerySet.delete": lambda row: type(row).objects.all().delete(),
    "QuerySet._raw_delete": lambda row: type(row).objects.all()._raw_delete("default"),
    "Model.save": lambda row: save(row, note="rewritten"),
    "Model.save of nothing new": save,
    "Model.delete": lambda row: row.delete(),
    "bulk_update": bulk_update,
    "bulk_create over it": upsert,
    "UPDATE": lambda row: execute(f"UPDATE {row._meta.db_table} SET note = 'rewritten'"),
    "UPDATE to the same": lambda row: execute(f"UPDATE {row._meta.db_table} SET note = note"),
    "DELETE": lambda row: execute(f"DELETE FROM {row._meta.db_table}"),
    "DELETE of one": lambda row: execute(f"DELETE FROM {row._meta.db_table} WHERE id = {row.pk}"),
    "INSERT over it": lambda row: execute(
        f"INSERT INTO {row._meta.db_table} SELECT * FROM {row._meta.db_table} WHERE id = {row.pk} "
        "ON CONFLICT (id) DO UPDATE SET note = 'rewritten'"
    ),
}


@pytest.fixture(params=[SpendLog, StatusChange])
def row(request: pytest.FixtureRequest) -> Any:
    """A row of the ledger, and one of the journal."""
    factories.spend(factories.campaign(daily_budget=10), 10)
    return request.param.objects.get()


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_a_row_is_never_changed_or_deleted(row: Any, attempt: Callable[[Any], object]) -> None:
    before = list(type(row).objects.values())
    with pytest.raises(DatabaseError, match=f"{row._meta.db_table} is append-only"), transaction.atomic():
        attempt(row)
    assert list(type(row).objects.values()) == before


def test_new_rows_are_welcome(row: Any) -> None:
    campaign = factories.campaign(daily_budget=10)
    factories.spend(campaign, 10)
    factories.spend(campaign, -1, note="a correction is a new row")
    assert SpendLog.objects.count() == 3
    assert StatusChange.objects.count() == 3


def test_the_tables_are_the_ledger_and_the_journal() -> None:
    assert set(append_only.TABLES) == {LEDGER, JOURNAL, CATALOG, EDITS, ARCHIVED}
    assert {LEDGER, JOURNAL} == {SpendLog._meta.db_table, StatusChange._meta.db_table}


def test_what_test_suites_lift_is_back_afterwards(row: Any) -> None:
    with append_only.suspended(connection):
        type(row).objects.update(note="rewritten")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        type(row).objects.update(note="again")


@pytest.mark.sqlite
@pytest.mark.parametrize("verb", ["INSERT OR REPLACE", "REPLACE"])
def test_replacing_a_row_is_refused_too(row: Any, verb: str) -> None:
    table, before = row._meta.db_table, list(type(row).objects.values())
    with pytest.raises(DatabaseError, match=f"{table} is append-only"), transaction.atomic():
        execute(f"{verb} INTO {table} SELECT * FROM {table} WHERE id = {row.pk}")
    assert list(type(row).objects.values()) == before
