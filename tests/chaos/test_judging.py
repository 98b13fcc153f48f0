"""The judge of the fault tests finds each kind of harm, planted one at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection

from campaigns.models import BrandCounter, Campaign, PeriodicRun, SpendLog, append_only
from campaigns.queries.holds import HoldRow
from campaigns.services import catalog, holds
from campaigns.services.holds import HoldAsk
from campaigns.services.spend import SpendEvent, record_spend
from tests import factories
from tests.chaos.judging import judge, tracebacks
from tests.chaos.load import CENT, Book

pytestmark = pytest.mark.django_db(transaction=True)

NOW = factories.NOW
LATER = NOW + timedelta(seconds=30)


@pytest.fixture
def book() -> Book:
    """Return the book of somebody who was told the truth about ten events and three holds."""
    brand = factories.brand(daily_budget=1)
    campaign = factories.campaign(brand)
    book = Book(sent={f"e-{number}": f"e-{number}" for number in range(10)})
    record_spend([factories.event(campaign, CENT, event_id=event_id) for event_id in book.sent], now=NOW)
    book.answered = dict.fromkeys(list(book.sent)[:7], 0.0)
    book.streamed = dict.fromkeys(list(book.sent)[7:], 0.0)
    placed = holds.place_holds(
        [HoldAsk(campaign.pk, f"h-{number}", CENT, ttl_seconds=10) for number in range(3)], now=NOW
    )
    settled, released, left = [hold.id for hold in placed if isinstance(hold, HoldRow)]
    record_spend([SpendEvent(event_id="settles", campaign_id=campaign.pk, amount=CENT, hold_id=settled)], now=NOW)
    holds.release_holds([released], now=NOW)
    book.sent["settles"] = "settles"
    book.answered["settles"] = 0.0
    book.settled, book.released, book.left = {settled: "settles"}, {released}, {left}
    catalog.update_brand(brand_id=brand.pk, now=NOW, daily_budget="2.50")
    book.budgets = ["9", "2.50"]
    return book


def test_what_was_told_truly_is_found_right(book: Book) -> None:
    found = judge(book, now=LATER)
    assert found.wrong == []
    assert (found.answered, found.recorded, found.twice, found.lost, found.differences) == (11, 11, 0, 0, 0)


def delete_a_row(_: Book) -> None:
    with append_only.suspended(connection):
        SpendLog.objects.filter(event_id="e-3").delete()


def count_twice(book: Book) -> None:
    campaign = Campaign.objects.get()
    record_spend([factories.event(campaign, CENT, event_id="e-3+")], now=NOW)
    book.sent["e-3+"] = "e-3"


def record_the_refused(book: Book) -> None:
    book.refused.add("e-3")


def record_a_strangers(_: Book) -> None:
    record_spend([factories.event(Campaign.objects.get(), CENT, event_id="stranger")], now=NOW)


def record_another_amount(book: Book) -> None:
    record_spend([factories.event(Campaign.objects.get(), "0.02", event_id="dear")], now=NOW)
    book.sent["dear"] = "dear"


def lose_from_the_stream(book: Book) -> None:
    book.sent["lost"] = "lost"
    book.streamed["lost"] = 0.0


def add_to_a_counter(_: Book) -> None:
    BrandCounter.objects.order_by("pk")[:1].get()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE campaigns_brandcounter SET spent = spent + 1")


def pause_by_hand(_: Book) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE campaigns_campaign SET reasons = 2, is_active = false")


def mend_by_a_pass(_: Book) -> None:
    PeriodicRun.objects.create(task=PeriodicRun.Task.ENFORCE, started_at=NOW, finished_at=NOW, judged=1, changed=1)


def differ_in_a_check(_: Book) -> None:
    PeriodicRun.objects.create(task=PeriodicRun.Task.CHECK_LEDGER, started_at=NOW, finished_at=NOW, judged=1, changed=1)


def settle_by_another(book: Book) -> None:
    book.settled = dict.fromkeys(book.settled, "e-3")


def settle_the_released(book: Book) -> None:
    book.released |= book.settled.keys()


def leave_the_released(book: Book) -> None:
    book.left |= book.released


def forget_a_budget(book: Book) -> None:
    book.budgets.append("7")


def tell_nonsense(book: Book) -> None:
    book.wrong.append("500")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (delete_a_row, "Answered, but not in the ledger: e-3."),
        (delete_a_row, "check_ledger found"),
        (count_twice, "In the ledger more than once: e-3."),
        (record_the_refused, "Refused, but in the ledger: e-3."),
        (record_a_strangers, "In the ledger, but sent by nobody: stranger."),
        (record_another_amount, "In the ledger with another amount: dear."),
        (lose_from_the_stream, "Answered, but not in the ledger: lost."),
        (add_to_a_counter, "check_ledger found"),
        (pause_by_hand, "The stored status is not the verdict"),
        (pause_by_hand, "A pass after all was over changed 1 statuses."),
        (mend_by_a_pass, "A pass had to mend statuses"),
        (differ_in_a_check, "A check during the run found differences"),
        (settle_by_another, "Answered as settled, but it is not"),
        (settle_the_released, "Answered as released, but it is not"),
        (leave_the_released, "Left to expire, but it has not"),
        (forget_a_budget, "No brand has the daily budget 7"),
        (tell_nonsense, "A client was told something wrong: 500."),
    ],
)
def test_each_harm_is_found(book: Book, harm: Callable[[Book], None], sentence: str) -> None:
    harm(book)
    assert [wrong for wrong in judge(book, now=LATER).wrong if wrong.startswith(sentence)]


def test_what_an_operator_threw_away_is_told_apart_from_what_was_lost(book: Book) -> None:
    lose_from_the_stream(book)
    book.forfeited.add("lost")
    found = judge(book, now=LATER)
    assert (found.wrong, found.lost, found.forfeited) == ([], 0, 1)


def test_tracebacks_are_found_in_what_was_printed() -> None:
    text = 'before\nTraceback (most recent call last):\n  File "x", line 1\nValueError: no\nafter\n'
    assert list(tracebacks(text)) == ["ValueError: no"]
    assert list(tracebacks("nothing")) == []
    assert list(tracebacks("Traceback (most recent call last):\n  File")) == ["one that does not end"]
