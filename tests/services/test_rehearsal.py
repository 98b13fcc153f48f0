"""A rehearsal does the real thing, tells what it did, and leaves nothing."""

import time
from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from campaigns.models import Brand, Campaign
from campaigns.rules.errors import BudgetError
from campaigns.services import bulk, catalog, rehearsal
from campaigns.services.rehearsal import (
    RehearsalBusyError,
    RehearsalTooLongError,
    rehearse,
    rehearse_in_slices,
)
from campaigns.services.spend import record_spend
from campaigns.services.status import Change
from tests import factories
from tests.factories import NOW, spend
from tests.services.races import Worker, holding
from tests.services.reading import why

anywhere = pytest.mark.parametrize(
    "outer", [pytest.param(True, id="a savepoint"), pytest.param(False, id="of its own")]
)


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of ours."""
    return {
        model._meta.label: sorted(model._default_manager.values_list(), key=repr)
        for model in apps.get_app_config("campaigns").get_models()
    }


def change_all(brand: Brand, campaign: Campaign) -> list[Change]:
    """Change whatever people set: budgets, hours, a pause, a new campaign; with spend on top."""
    changes = catalog.update_brand(brand_id=brand.pk, now=NOW, daily_budget="50", name="Acme & Sons")
    catalog.set_window(campaign_id=campaign.pk, start_hour=22, end_hour=6, now=NOW)
    catalog.pause(campaign_id=campaign.pk, now=NOW, note="Looks wrong")
    catalog.create_campaign(brand_id=brand.pk, name="Autumn sale", now=NOW)
    record_spend([factories.event(campaign, 7)], now=NOW)
    return changes


@pytest.fixture
def sale(transactional_db: None) -> Campaign:
    """A campaign that has spent 60 of 100."""
    campaign = factories.campaign(factories.brand(name="Acme", daily_budget="100"))
    spend(campaign, 60)
    return campaign


@anywhere
def test_nothing_is_left_and_the_outcome_is_that_of_the_real_thing(sale: Campaign, outer: bool) -> None:
    before = everything()
    with transaction.atomic() if outer else pytest.MonkeyPatch.context():
        rehearsed = rehearse(partial(change_all, sale.brand, sale))
        assert everything() == before
    assert everything() == before
    changed = change_all(sale.brand, sale)
    assert [change[1:] for change in rehearsed] == [change[1:] for change in changed]  # but for the ids of rows
    assert len(changed) == 1
    assert everything() != before


@anywhere
def test_nothing_is_left_of_work_that_raises(sale: Campaign, outer: bool) -> None:
    before = everything()

    def work() -> None:
        change_all(sale.brand, sale)
        raise BudgetError("Give another.")

    with transaction.atomic() if outer else pytest.MonkeyPatch.context():
        with pytest.raises(BudgetError, match="Give another"):
            rehearse(work)
        assert everything() == before
    assert everything() == before


def test_what_the_transaction_around_it_has_done_stays(sale: Campaign) -> None:
    with transaction.atomic():
        catalog.update_brand(brand_id=sale.brand_id, now=NOW, daily_budget="60")
        rehearse(lambda: catalog.update_brand(brand_id=sale.brand_id, now=NOW, daily_budget="90"))
    assert (Brand.objects.get().daily_budget, why(sale)) == (Decimal(60), ["brand_daily_budget"])


def test_what_was_to_follow_a_commit_does_not_follow(sale: Campaign) -> None:
    called: list[str] = []
    rehearse(lambda: transaction.on_commit(lambda: called.append("after")))
    assert called == []


# --- In nobody's way ---------------------------------------------------------------------------------


def lower(sale: Campaign) -> Callable[[], object]:
    return partial(catalog.update_brand, brand_id=sale.brand_id, now=NOW, daily_budget="50")


@pytest.mark.postgresql
@pytest.mark.parametrize("held", ["the brand", "the counters"])
def test_it_gives_up_soon_where_somebody_holds_the_locks(sale: Campaign, held: str) -> None:
    behind = lower(sale) if held == "the brand" else lambda: record_spend([factories.event(sale, 1)], now=NOW)
    began = time.monotonic()
    with holding(behind), pytest.raises(RehearsalBusyError, match="Busy"):
        rehearse(lower(sale))
    assert time.monotonic() - began < 10  # and not until the locks are let go, in 20
    assert rehearse(lower(sale))  # and now there is nobody


@pytest.mark.sqlite
def test_it_gives_up_where_somebody_else_writes_all_the_time(sale: Campaign) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 100")
    with holding(lower(sale)), pytest.raises(RehearsalBusyError, match="Busy"):
        rehearse(lower(sale))
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {connection.settings_dict['OPTIONS']['timeout'] * 1_000:d}")
    assert rehearse(lower(sale))


@pytest.mark.postgresql
@anywhere
def test_it_gives_up_what_takes_long_and_bounds_nothing_else(
    sale: Campaign, monkeypatch: pytest.MonkeyPatch, outer: bool
) -> None:
    monkeypatch.setattr(rehearsal, "HELD_MS", 50)
    with transaction.atomic() if outer else pytest.MonkeyPatch.context():
        with pytest.raises(RehearsalBusyError, match="too long"):
            rehearse(lambda: _ask("SELECT pg_sleep(5)"))
        assert (_ask("SHOW lock_timeout"), _ask("SHOW statement_timeout")) == ("0", "0")
        monkeypatch.undo()
        rehearse(lower(sale))
        assert (_ask("SHOW lock_timeout"), _ask("SHOW statement_timeout")) == ("0", "0")


@pytest.mark.postgresql
def test_it_holds_its_locks_only_meanwhile(sale: Campaign) -> None:
    with transaction.atomic():
        rehearse(lower(sale))
        other = Worker(partial(rehearse, lower(sale)))  # which would give up, were anything still locked
        other.start()
        assert other.result()


def _ask(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


# --- In slices -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "sizes"), [(0, []), (1, [1]), (1_000, [1_000]), (1_001, [501, 500]), (2_500, [834, 833, 833])]
)
def test_many_are_rehearsed_in_slices_of_nearly_the_same_size(
    transactional_db: None, number: int, sizes: list[int]
) -> None:
    found = list(rehearse_in_slices(list, range(number)))
    assert [len(one) for one in found] == sizes
    assert [one for some in found for one in some] == list(range(number))


def test_slices_that_take_too_long_become_smaller(transactional_db: None) -> None:
    tried: list[int] = []

    def work(some: Sequence[int]) -> list[int]:
        tried.append(len(some))
        if len(some) > 300:
            raise RehearsalTooLongError
        return list(some)

    found = [one for some in rehearse_in_slices(work, range(1_000)) for one in some]
    assert found == list(range(1_000))
    assert tried == [1_000, 500, 250, 250, 250, 250]
    tried.clear()
    with pytest.raises(RehearsalTooLongError, match="take fewer campaigns"):
        list(rehearse_in_slices(_never, range(1_000)))


def _never(some: Sequence[int]) -> None:
    raise RehearsalTooLongError


@anywhere
def test_all_statements_together_have_one_deadline(
    sale: Campaign, monkeypatch: pytest.MonkeyPatch, outer: bool
) -> None:
    monkeypatch.setattr(rehearsal, "HELD_MS", 200)
    before = everything()

    def work() -> None:
        lower(sale)()
        for _ in range(100):  # each of them in time
            Brand.objects.get()
            time.sleep(0.02)

    began = time.monotonic()
    with transaction.atomic() if outer else pytest.MonkeyPatch.context(), pytest.raises(RehearsalTooLongError):
        rehearse(work)
    assert time.monotonic() - began < 2  # which is what the work sleeps
    assert everything() == before


@pytest.mark.postgresql
def test_what_fails_within_is_cleaned_up_and_the_rest_goes_on(sale: Campaign) -> None:
    def work() -> object:
        with pytest.raises(IntegrityError), transaction.atomic():
            Campaign.objects.create(pk=sale.pk, brand=sale.brand, name="Twice", created_at=NOW)
        return lower(sale)()

    assert rehearse(work)


@pytest.mark.postgresql
def test_spend_waits_for_one_slice_and_not_for_all(sale: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two slices nothing is locked: a spend that waits for the first is through before the second begins."""
    monkeypatch.setattr(rehearsal, "SLICE", 1)
    other = factories.campaign(sale.brand)
    waiting: list[Worker[Any]] = []

    def work(ids: Collection[int]) -> object:
        if waiting:
            return waiting[0].result()  # it could not end, were the first slice's locks still held
        bulk.change_campaigns({pk: {"daily_budget": 5} for pk in ids}, now=NOW)
        waiting.append(Worker(partial(record_spend, [factories.event(sale, 1)], now=NOW)))
        waiting[0].start()
        return None

    list(rehearse_in_slices(work, [sale.pk, other.pk]))
    assert waiting[0].result()
