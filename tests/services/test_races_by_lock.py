"""Locks that the other tests of races rest on without taking them out: here each is taken out, and the race happens.

A lock that is part of a statement is taken out of its text on the way to the database; that the text was there to be
changed is checked, too, so that a statement that is written otherwise one day doesn't make a control of nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection

from campaigns.api import locked as waiting
from campaigns.management import embedded
from campaigns.models import BrandHour, Campaign, RollOver, SpendLog
from campaigns.rules.periods import Period
from campaigns.services import catalog, counters, hours, rehearsal, reset_daily_budgets, rollover
from campaigns.services import spend as spending
from campaigns.services.audit import check_ledger
from campaigns.services.counters import Key
from campaigns.services.enforcement import enforce_all
from campaigns.services.hours import sum_hours
from campaigns.services.spend import Outcome, record_spend
from tests import factories
from tests.factories import NOW, event, spend
from tests.services import reading
from tests.services.races import Meeting, Worker, holding, meet, queued, results_of

postgresql = pytest.mark.postgresql
pytestmark = pytest.mark.django_db(transaction=True)

Work = Callable[[], Any]
Change = Callable[[Work], Work]

YESTERDAY = NOW - timedelta(days=1)
LONG_AGO = NOW - timedelta(days=40)
LONG = 2.0
"""Seconds after which what still waits for a lock is taken to wait as long as the lock is held: several bounds."""


def as_it_is(work: Work) -> Work:
    """Take nothing out."""
    return work


def without(text: str, instead: str = "") -> Change:
    """Return what does a piece of work with a part of its statements taken out, or replaced."""

    def change(work: Work) -> Work:
        found = 0

        def altered(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
            nonlocal found
            found += text in sql
            return execute(sql.replace(text, instead), *rest)

        def do() -> Any:
            try:
                with connection.execute_wrapper(altered):
                    return work()
            finally:
                assert found, f"No statement has {text!r} any more."

        return do

    return change


def take_none(*_: object, **__: object) -> None:
    """Stand where locks were taken."""


# --- The ledger's key --------------------------------------------------------------------------


def one_event_twice_at_once(change: Change) -> Meeting:
    """The second comes to the key while the first has it and has not committed."""
    campaign = factories.campaign()
    sent = [event(campaign, 1, event_id="one")]
    recording = partial(record_spend, sent, now=NOW)
    return meet(recording, change(recording), at=(counters, "add"), when="before")


@postgresql
def test_of_one_event_twice_at_once_the_second_is_a_duplicate() -> None:
    meeting = one_event_twice_at_once(as_it_is)
    assert meeting.waited
    assert [meeting.first.count(Outcome.RECORDED), meeting.second.count(Outcome.DUPLICATE)] == [1, 1]
    assert SpendLog.objects.count() == 1
    reading.assert_all_is_sound(NOW)


@postgresql
def test_it_is_an_error_for_all_beside_it_without_the_key_as_lock() -> None:
    with pytest.raises(IntegrityError):
        one_event_twice_at_once(without("ON CONFLICT (brand_id, event_id) DO NOTHING"))


# --- The counters' upsert ----------------------------------------------------------------------

ADDED = "SET spent = counter.spent + excluded.spent"
KEYS = {
    "brand": "o.period = counter.period AND o.start = counter.start AND o.brand_id = counter.brand_id",
    "campaign": "o.period = counter.period AND o.start = counter.start AND o.campaign_id = counter.campaign_id",
}


def as_it_was_seen(owner: str) -> Change:
    """Add to what the statement saw when it began, instead of to the row that it has locked."""
    seen = f"(SELECT o.spent FROM campaigns_{owner}counter o WHERE {KEYS[owner]})"
    table = f"INSERT INTO campaigns_{owner}counter"

    def change(work: Work) -> Work:
        def altered(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
            return execute(sql.replace(ADDED, f"SET spent = {seen} + excluded.spent") if table in sql else sql, *rest)

        def do() -> Any:
            with connection.execute_wrapper(altered):
                return work()

        return do

    return change


def two_spend_at_once(owner: str, change: Change) -> Meeting:
    """Two for the same day; or for two days of which only the campaign's total is the same counter."""
    campaign = factories.campaign()
    for at in (NOW, LONG_AGO):
        spend(campaign, 1, at=at)
    first = partial(spend, campaign, 20, at=LONG_AGO if owner == "campaign" else NOW)
    second = change(partial(spend, campaign, 30, at=NOW))
    return meet(first, second, at=(spending, "_judge_crossed"), when="after")


@postgresql
@pytest.mark.parametrize("owner", KEYS)
def test_both_of_two_amounts_at_once_are_counted(owner: str) -> None:
    meeting = two_spend_at_once(owner, as_it_is)
    assert meeting.waited
    reading.assert_all_is_sound(NOW)


@postgresql
@pytest.mark.parametrize("owner", KEYS)
def test_one_is_lost_where_counters_are_not_read_under_their_lock(owner: str) -> None:
    two_spend_at_once(owner, as_it_was_seen(owner))
    assert check_ledger()


# --- The order of counters and campaigns -------------------------------------------------------


def same_brands_in_opposite_order(change: Change) -> list[Any]:
    campaigns = [factories.campaign() for _ in range(3)]
    first, second = ([event(campaign, 1) for campaign in order] for order in (campaigns, campaigns[::-1]))
    return queued(
        partial(record_spend, first, now=NOW),
        change(partial(record_spend, second, now=NOW)),
        behind=partial(spend, campaigns[1], 1),
    )


def same_campaigns_of_two_months(change: Change) -> list[Any]:
    """One for last month, one for today: of their counters only the campaigns' totals are the same."""
    brand = factories.brand()
    one, two = factories.campaign(brand), factories.campaign(brand)
    for at in (NOW, LONG_AGO):
        record_spend([event(one, 1, at=at), event(two, 1, at=at)], now=NOW)
    first = [event(two, 1, event_id="a", at=LONG_AGO), event(one, 1, event_id="b", at=LONG_AGO)]
    second = [event(one, 1, event_id="c", at=NOW), event(two, 1, event_id="d", at=NOW)]
    # Each call stops at its second campaign.
    last = one if change is not as_it_is else two
    between = [Key(brand.pk, two.pk, Period.DAY, LONG_AGO.date()), Key(brand.pk, last.pk, Period.DAY, NOW.date())]
    return queued(
        partial(record_spend, first, now=NOW),
        change(partial(record_spend, second, now=NOW)),
        behind=lambda: counters.add(dict.fromkeys(between, 0)),
    )


def archive_while_the_pass_runs(change: Change) -> list[Any]:
    brand = factories.brand()
    one, two, three = (factories.campaign(brand) for _ in range(3))
    spend(one, 1)
    factories.brand()
    with connection.cursor() as cursor:  # so that the pass has something to write
        cursor.execute("UPDATE campaigns_brand SET daily_budget = 0 WHERE id = %s", [brand.pk])
    assert [one.pk, two.pk, three.pk] == sorted([one.pk, two.pk, three.pk])
    return queued(
        lambda: catalog.archive_brand(brand_id=brand.pk, now=NOW),
        change(partial(enforce_all, now=NOW)),
        behind=lambda: Campaign.objects.select_for_update().get(pk=two.pk),
    )


ORDERS: dict[str, tuple[Callable[[Change], list[Any]], str, str]] = {
    "brand counters": (
        same_brands_in_opposite_order,
        "ORDER BY brand_id, period, start",
        "ORDER BY brand_id DESC, period, start",
    ),
    "campaign counters": (
        same_campaigns_of_two_months,
        "ORDER BY brand_id, campaign_id, period, start",
        "ORDER BY brand_id, campaign_id DESC, period, start",
    ),
    "campaign rows": (archive_while_the_pass_runs, "ORDER BY c.id FOR", "ORDER BY c.id DESC FOR"),
}
orders = pytest.mark.parametrize(("meeting", "order", "other"), ORDERS.values(), ids=ORDERS)


@postgresql
@orders
def test_in_one_order_they_wait_for_each_other(meeting: Callable[[Change], list[Any]], order: str, other: str) -> None:
    meeting(as_it_is)
    assert not check_ledger()


@postgresql
@orders
def test_in_two_orders_they_deadlock(meeting: Callable[[Change], list[Any]], order: str, other: str) -> None:
    with pytest.raises(OperationalError, match="deadlock"):
        meeting(without(order, other))


# --- The record of a roll-over -----------------------------------------------------------------


def roll_over_twice_at_once(change: Change) -> Meeting:
    """Neither sees a record; the second comes to write its own when the first has written and not committed."""
    factories.campaign()
    rolling = partial(reset_daily_budgets, now=NOW)
    return meet(change(rolling), rolling, at=(rollover, "_record"), when="before")


@postgresql
def test_two_roll_overs_at_once_leave_one_record() -> None:
    roll_over_twice_at_once(as_it_is)
    assert RollOver.objects.filter(period=Period.DAY).count() == 1


@postgresql
def test_one_of_them_fails_without_its_key_as_lock() -> None:
    with pytest.raises(IntegrityError):
        roll_over_twice_at_once(without("ON CONFLICT (brand_id, period, start) DO NOTHING"))


# --- The hours of a brand ----------------------------------------------------------------------


def sum_twice_at_once() -> Meeting:
    spend(factories.campaign(), 1)
    summing = partial(sum_hours, now=NOW)
    return meet(summing, summing, at=(hours, "_insert"), when="after")


@postgresql
def test_two_runs_at_once_write_the_hours_in_turn() -> None:
    meeting = sum_twice_at_once()
    assert meeting.waited
    assert BrandHour.objects.count() == 1


@postgresql
def test_one_of_them_fails_without_the_brands_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hours, "_lock", take_none)
    with pytest.raises(IntegrityError):
        sum_twice_at_once()


# --- Bounds on waiting -------------------------------------------------------------------------


def lower(campaign: Campaign) -> Work:
    return partial(catalog.update_brand, brand_id=campaign.brand_id, daily_budget=50, now=NOW)


def rehearse(campaign: Campaign) -> Work:
    return partial(rehearsal.rehearse, lower(campaign))


def record_past_locks(campaign: Campaign) -> Work:
    def record(asks: Any) -> Any:
        return [record_spend([ask], now=NOW) for ask in asks]

    return partial(waiting.past_locks(record), [event(campaign, 1)])


BOUNDED: dict[str, tuple[Callable[[Campaign], Work], tuple[Any, str, object]]] = {
    "a rehearsal": (rehearse, (rehearsal._Deadline, "_bound", take_none)),
    "reports that came together": (record_past_locks, (waiting, "_waiting", lambda _: contextlib.nullcontext())),
}
bounded = pytest.mark.parametrize(("ask", "bound"), BOUNDED.values(), ids=BOUNDED)


def waits_on(ask: Callable[[Campaign], Work]) -> bool:
    """Whether a piece of work still waits when a lock has been held for long."""
    campaign = factories.campaign()
    worker = Worker(ask(campaign))
    with holding(lambda: spend(campaign, 1)):
        worker.start()
        worker.join(LONG)
        still = worker.is_alive()
        if not still:
            with contextlib.suppress(OperationalError, rehearsal.RehearsalBusyError):
                worker.result()
    if still:
        worker.result()
    return still


@postgresql
@bounded
def test_it_gives_up_while_a_lock_is_held(ask: Callable[[Campaign], Work], bound: tuple[Any, str, object]) -> None:
    campaign = factories.campaign()
    worker = Worker(ask(campaign))
    with holding(lambda: spend(campaign, 1)):  # for as long as it takes, up to 20 seconds
        worker.start()
        with contextlib.suppress(OperationalError, rehearsal.RehearsalBusyError):
            worker.result()


@postgresql
@bounded
def test_it_waits_for_as_long_as_the_lock_is_held_without_the_bound(
    ask: Callable[[Campaign], Work], bound: tuple[Any, str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, instead = bound
    monkeypatch.setattr(owner, name, instead)
    assert waits_on(ask)


# --- SQLite: one writer at a time --------------------------------------------------------------


@contextlib.contextmanager
def begun_as(mode: str | None) -> Iterator[None]:
    """Begin the transactions of this thread's connection otherwise."""
    connection.ensure_connection()
    usual = connection.transaction_mode  # type: ignore[attr-defined]  # SQLite's wrapper has it
    connection.transaction_mode = mode  # type: ignore[attr-defined]  # see above
    try:
        yield
    finally:
        connection.transaction_mode = usual  # type: ignore[attr-defined]  # see above


def write_between_a_look_and_a_write(mode: str | None) -> list[Any]:
    """One looks at a brand's hold on its budget, another spends meanwhile if it can, and then the first writes."""
    campaign = factories.campaign()
    spend(campaign, 1)
    looked, spent = threading.Event(), threading.Event()

    def look(*given: Any, **named: Any) -> Any:
        looked.set()
        spent.wait(LONG)
        return plain(*given, **named)

    def lowering() -> None:
        with begun_as(mode):
            catalog.update_brand(brand_id=campaign.brand_id, daily_budget=50, now=NOW)

    def spending_meanwhile() -> None:
        assert looked.wait(20)
        spend(campaign, 60)
        spent.set()

    plain = counters.lock
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counters, "lock", look)
        workers = [Worker(lowering), Worker(spending_meanwhile)]
        for worker in workers:
            worker.start()
        return results_of(workers)


@pytest.mark.sqlite
def test_on_sqlite_nobody_writes_between_a_look_and_a_write() -> None:
    write_between_a_look_and_a_write("IMMEDIATE")
    reading.assert_all_is_sound(NOW)


@pytest.mark.sqlite
def test_the_look_is_of_no_use_where_a_transaction_begins_without_the_lock() -> None:
    with pytest.raises(OperationalError, match="locked"):
        write_between_a_look_and_a_write(None)


def test_transactions_on_sqlite_begin_with_the_lock() -> None:
    from budget_management.settings import DATABASES

    options = DATABASES["default"].get("OPTIONS", {})
    assert "sqlite" not in DATABASES["default"]["ENGINE"] or options["transaction_mode"] == "IMMEDIATE"


# --- The folder of the data --------------------------------------------------------------------


def start_twice(folder: Path) -> None:
    with embedded.sole_owner(folder), embedded.sole_owner(folder):
        pass


@pytest.mark.once
def test_two_do_not_start_on_the_same_data(tmp_path: Path) -> None:
    with pytest.raises(embedded.AlreadyRunningError):
        start_twice(tmp_path)


@pytest.mark.once
def test_they_do_without_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", take_none)
    start_twice(tmp_path)
