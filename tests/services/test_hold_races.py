"""Holds at once: no money is granted twice, no hold is closed twice, and nobody waits for each other in a circle.

As in `test_races.py`, each race is put in its worst order by hand, and beside it stands the proof that it is there:
with the lock taken out the same order ends wrong.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from django.db import OperationalError, connection
from django.db.models import Sum

from campaigns.api.together import Together
from campaigns.models import BrandCounter, Campaign, CampaignCounter, Hold, SpendLog
from campaigns.queries.holds import HoldRow
from campaigns.rules import money
from campaigns.rules.errors import BudgetError
from campaigns.rules.periods import Period
from campaigns.services import audit, catalog, closing, counters, enforcement, holds
from campaigns.services import spend as spending
from campaigns.services.enforcement import enforce_all
from campaigns.services.holds import HoldAsk, Refusal, Refused, expire_holds, place_holds, release_holds
from campaigns.services.spend import Outcome, SpendResult, record_spend
from tests import factories
from tests.factories import NOW, event, spend
from tests.services import reading
from tests.services.holding import (
    ask,
    asked,
    assert_held_is_sound,
    granted,
    held,
    place,
    release,
    settle,
    settlement,
    stored,
    sums_of_open_holds,
)
from tests.services.races import PATIENCE, Meeting, meet, queued, together

postgresql = pytest.mark.postgresql
pytestmark = pytest.mark.django_db(transaction=True)

UNIT = money.MICROS
LATER = NOW + timedelta(hours=1)


def take_none(*_: object, **__: object) -> dict[object, int]:
    """Stand where locks were taken."""
    return {}


@pytest.fixture
def no_counter_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out the locks that an ask takes before it reads what is left."""
    without = SimpleNamespace(add=take_none, hold=counters.hold, spread=counters.spread)
    monkeypatch.setattr(holds, "counters", without)


@pytest.fixture
def no_hold_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out the locks that closing a hold takes."""
    monkeypatch.setattr(closing, "for_update", lambda _: "")


@pytest.fixture
def campaign() -> Campaign:
    """A campaign of a brand that has 10 for the day, and all its counters."""
    campaign = factories.campaign(factories.brand(daily_budget=10))
    spend(campaign, 1)
    spend(campaign, -1, note="back")
    return campaign


def used(campaign: Campaign) -> int:
    """What is spent and held of its brand's day."""
    row = BrandCounter.objects.get(brand=campaign.brand_id, period=Period.DAY, start=NOW.date())
    return money.to_micros(row.spent) + money.to_micros(row.held)


# --- Asks at once ----------------------------------------------------------------------------


def two_asks(campaign: Campaign) -> Meeting:
    """Either of them fits, both don't; the first has been granted, but not yet written."""
    asking = partial(asked, campaign, 6)
    return meet(asking, asking, at=(holds, "_write"), when="before")


@postgresql
def test_two_asks_at_once_are_not_granted_the_same_money(campaign: Campaign) -> None:
    meeting = two_asks(campaign)
    assert meeting.waited
    assert isinstance(meeting.first, HoldRow)
    assert isinstance(meeting.second, Refused)
    assert (meeting.second.why, meeting.second.left) == (Refusal.EXHAUSTED, 4 * UNIT)
    assert used(campaign) == 6 * UNIT
    assert_held_is_sound()


@postgresql
def test_they_are_without_the_lock(campaign: Campaign, no_counter_locks: None) -> None:
    meeting = two_asks(campaign)
    assert len(granted([meeting.first, meeting.second])) == 2
    assert used(campaign) == 12 * UNIT


def two_siblings(scope: str) -> Meeting:
    """Two campaigns have no counter of their own in common, but their brand's."""
    brand = factories.brand(daily_budget=10, budget_scope=scope)
    one, two = factories.campaign(brand), factories.campaign(brand)
    record_spend([event(one, 1), event(two, 1)], now=NOW)
    return meet(partial(asked, one, 6), partial(asked, two, 6), at=(holds, "_write"), when="before")


@postgresql
@pytest.mark.parametrize(("scope", "number"), [("brand", 1), ("campaign", 2)])
def test_siblings_share_their_brands_money_only_where_it_is_one(scope: str, number: int) -> None:
    meeting = two_siblings(scope)
    assert meeting.waited
    assert len(granted([meeting.first, meeting.second])) == number
    assert_held_is_sound()


@postgresql
def test_siblings_spend_it_twice_without_the_lock(no_counter_locks: None) -> None:
    meeting = two_siblings("brand")
    assert len(granted([meeting.first, meeting.second])) == 2


# --- Sixty-four clients of one brand ---------------------------------------------------------

CLIENTS = 64
MANY = bool(os.environ.get("TEST_MANY_HOLDS"))
EACH = 78 if MANY else 10
"""Asks of one client; TEST_MANY_HOLDS=1 has them ask 5,000 times in all, which takes a minute one by one."""

Asking = Callable[[HoldAsk], HoldRow | Refused]


def one_by_one(given: HoldAsk) -> HoldRow | Refused:
    """Ask as a request does that has its own transaction and gives back its connection."""
    try:
        return place_holds([given], now=NOW)[0]
    finally:
        connection.close()


def race(campaigns: Sequence[Campaign], each: int, asking: Asking, budget: int) -> list[HoldRow]:
    """Sixty-four clients ask for 1 again and again; return what was granted, having watched it all the while."""

    def client(number: int) -> list[HoldRow]:
        wanted = [ask(campaigns[(number + at) % len(campaigns)], 1, ttl=86_400) for at in range(each)]
        return granted([asking(one) for one in wanted])

    with ThreadPoolExecutor(CLIENTS) as pool:
        futures = [pool.submit(client, number) for number in range(CLIENTS)]
        for most in watched(futures):
            assert most <= budget * UNIT
        return [row for future in futures for row in future.result(PATIENCE)]


def watched(futures: Sequence[Future[Any]]) -> Iterator[int]:
    """Look at what is spent and held of a brand's day, again and again until all is done."""
    while not all(future.done() for future in futures):
        days = BrandCounter.objects.filter(period=Period.DAY).values_list("spent", "held")
        yield max(money.to_micros(spent + holding) for spent, holding in days)
        time.sleep(0.005)  # looked at without a pause, it would take the interpreter from those who are watched


def a_hot_brand(budget: int) -> list[Campaign]:
    brand = factories.brand(daily_budget=budget)
    campaigns = [factories.campaign(brand) for _ in range(4)]
    record_spend([event(campaign, 1) for campaign in campaigns], now=NOW)
    record_spend([event(campaign, -1, note="back") for campaign in campaigns], now=NOW)
    return campaigns


@postgresql
def test_sixty_four_clients_get_exactly_the_budget() -> None:
    budget = CLIENTS * EACH // 5
    campaigns = a_hot_brand(budget)
    rows = race(campaigns, EACH, one_by_one, budget)
    assert len(rows) == len({row.id for row in rows}) == budget
    assert Hold.objects.aggregate(sum=Sum("amount"))["sum"] == budget
    assert used(campaigns[0]) == budget * UNIT
    assert_held_is_sound()


@postgresql
def test_sixty_four_clients_overspend_without_the_lock(no_counter_locks: None) -> None:
    budget = CLIENTS * EACH // 5
    rows = race(a_hot_brand(budget), EACH, one_by_one, 10 * budget)
    assert len(rows) > budget


def test_sixty_four_clients_in_groups_get_a_thousand_of_five_thousand() -> None:
    """As the API asks: what many clients ask for at the same moment is decided in one transaction."""
    calls: list[int] = []

    def decide(asks: Sequence[HoldAsk]) -> Sequence[HoldRow | Refused]:
        calls.append(len(asks))
        return place_holds(asks, now=NOW)

    grouped = Together[HoldAsk, HoldRow | Refused](decide, most=500, waiting=5_000)

    def asking(given: HoldAsk) -> HoldRow | Refused:
        try:
            return grouped(given)
        finally:
            connection.close()

    campaigns = a_hot_brand(1_000)
    rows = race(campaigns, 78, asking, 1_000)
    assert len({row.id for row in rows}) == len(rows) == 1_000
    assert sum(calls) == CLIENTS * 78
    assert max(calls) > 1
    assert used(campaigns[0]) == 1_000 * UNIT
    assert_held_is_sound()


# --- Asks beside spend, budgets and zones ----------------------------------------------------


def ask_while_spending(campaign: Campaign) -> Meeting:
    """The spend is in the counters, but not committed."""
    return meet(partial(spend, campaign, 8), partial(asked, campaign, 6), at=(spending, "_judge_crossed"), when="after")


@postgresql
def test_an_ask_waits_for_the_spend_that_takes_its_money(campaign: Campaign) -> None:
    meeting = ask_while_spending(campaign)
    assert meeting.waited
    assert isinstance(meeting.second, Refused)
    assert meeting.second.left == 2 * UNIT
    assert used(campaign) == 8 * UNIT


@postgresql
def test_it_is_granted_what_is_being_spent_without_the_lock(campaign: Campaign, no_counter_locks: None) -> None:
    meeting = ask_while_spending(campaign)
    assert isinstance(meeting.second, HoldRow)
    assert used(campaign) == 14 * UNIT


@postgresql
def test_spend_waits_for_the_ask_that_was_first_and_is_recorded_all_the_same(campaign: Campaign) -> None:
    meeting = meet(partial(asked, campaign, 6), partial(spend, campaign, 8), at=(holds, "_write"), when="before")
    assert meeting.waited
    assert isinstance(meeting.first, HoldRow)
    assert meeting.second.count(Outcome.RECORDED) == 1
    assert_held_is_sound()
    reading.assert_all_is_sound(NOW)


LOWERED: dict[str, Callable[[Campaign], object]] = {
    "brand's day": lambda c: catalog.update_brand(brand_id=c.brand_id, daily_budget=5, now=NOW),
    "brand's month": lambda c: catalog.update_brand(brand_id=c.brand_id, monthly_budget=5, now=NOW),
    "own day": lambda c: catalog.update_campaign(campaign_id=c.pk, daily_budget=5, now=NOW),
    "own month": lambda c: catalog.update_campaign(campaign_id=c.pk, monthly_budget=5, now=NOW),
    "own total": lambda c: catalog.update_campaign(campaign_id=c.pk, total_budget=5, now=NOW),
}
lowered = pytest.mark.parametrize(("lower", "name"), [(lower, name) for name, lower in LOWERED.items()], ids=LOWERED)


def ask_while_lowering(campaign: Campaign, lower: Callable[[Campaign], object], name: str) -> Meeting:
    """The lower budget is set and judged, but not committed."""
    judging = "judge_brands" if "brand" in name else "judge_campaigns"
    return meet(partial(lower, campaign), partial(asked, campaign, 6), at=(enforcement, judging), when="after")


@postgresql
@lowered
def test_an_ask_does_not_slip_past_a_lowered_budget(
    campaign: Campaign, lower: Callable[[Campaign], object], name: str
) -> None:
    meeting = ask_while_lowering(campaign, lower, name)
    assert meeting.waited
    assert isinstance(meeting.second, Refused)
    assert meeting.second.left == 5 * UNIT
    assert held() == {}


@postgresql
@lowered
def test_an_ask_slips_past_without_the_lock(
    campaign: Campaign, lower: Callable[[Campaign], object], name: str, no_counter_locks: None
) -> None:
    meeting = ask_while_lowering(campaign, lower, name)
    assert isinstance(meeting.second, HoldRow)
    assert used(campaign) == 6 * UNIT


@postgresql
@pytest.mark.parametrize("hour", [12, 16], ids=["to the same day", "to another day"])
def test_a_brand_that_has_moved_since_the_look_is_looked_at_again(hour: int) -> None:
    """The ask has found the brand in UTC; it has no lock yet when the brand moves to Tokyo."""
    at = datetime(2025, 6, 18, hour, tzinfo=UTC)
    brand = factories.brand(timezone="UTC", daily_budget=10, now=at)
    campaign = factories.campaign(brand, now=at)
    place(campaign, 7, now=at)
    move = partial(catalog.update_brand, brand_id=brand.pk, timezone="Asia/Tokyo", now=at)
    meeting = meet(partial(asked, campaign, 6, now=at), move, at=(holds, "_decide"), when="before")
    assert not meeting.waited
    assert isinstance(meeting.first, HoldRow) is (hour == 16)
    if hour == 16:
        assert meeting.first.day == at.date() + timedelta(days=1)
    assert_held_is_sound()


@postgresql
def test_a_brand_does_not_move_under_an_ask_that_is_being_decided() -> None:
    at = datetime(2025, 6, 18, 16, tzinfo=UTC)
    brand = factories.brand(timezone="UTC", daily_budget=10, now=at)
    campaign = factories.campaign(brand, now=at)
    move = partial(catalog.update_brand, brand_id=brand.pk, timezone="Asia/Tokyo", now=at)
    meeting = meet(partial(asked, campaign, 6, now=at), move, at=(holds, "_figures"), when="before")
    assert meeting.waited
    assert meeting.first.day == at.date()
    assert_held_is_sound()


@postgresql
@pytest.mark.parametrize(("first", "when"), [("ask", "after"), ("delete", "before"), ("delete", "after")])
@pytest.mark.parametrize("counted", [True, False], ids=["with counters", "without counters"])
def test_a_campaign_that_is_deleted_while_it_is_asked_for(
    first: str, when: Literal["before", "after"], counted: bool
) -> None:
    campaign = factories.campaign(daily_budget=10)
    if counted:
        asked(campaign, 11)  # refused, but its counters are there

    def delete() -> BudgetError | None:
        try:
            catalog.delete_campaign(campaign_id=campaign.pk, now=NOW)
        except BudgetError as error:
            return error
        return None

    asking = partial(asked, campaign, 6)
    if first == "ask":
        answer, error = outcome(meet(asking, delete, at=(holds, "_write"), when="after"))
    else:
        error, answer = outcome(meet(delete, asking, at=(counters, "remove_empty"), when=when))
    assert isinstance(answer, HoldRow) is (error is not None)
    assert isinstance(answer, HoldRow) or answer.why is Refusal.UNKNOWN
    assert Hold.objects.count() == Campaign.objects.count()
    assert held() == sums_of_open_holds()


def outcome(meeting: Meeting) -> tuple[Any, Any]:
    return meeting.first, meeting.second


def ask_while_sweeping(campaign: Campaign) -> Meeting:
    """The ask has read the counters with the expired hold in them, but not yet what of it has expired."""
    place(campaign, 10)
    asking, sweeping = partial(asked, campaign, 6, now=LATER), partial(expire_holds, now=LATER)
    return meet(asking, sweeping, at=(holds, "_figures"), when="after")


@postgresql
def test_a_sweep_does_not_come_between_the_two_looks_of_an_ask(campaign: Campaign) -> None:
    meeting = ask_while_sweeping(campaign)
    assert meeting.waited
    assert isinstance(meeting.first, HoldRow)
    assert (meeting.second, used(campaign)) == (1, 6 * UNIT)
    assert_held_is_sound()


@postgresql
def test_it_does_without_the_lock(campaign: Campaign, no_counter_locks: None) -> None:
    meeting = ask_while_sweeping(campaign)
    assert not meeting.waited
    assert isinstance(meeting.first, Refused)


# --- Closing one hold twice ------------------------------------------------------------------

Close = Callable[[HoldRow], object]

CLOSING: dict[str, Close] = {
    "settle": lambda row: settle(row, 4, event_id="a", once=True),
    "settle again": lambda row: settle(row, 3, event_id="b", once=True),
    "release": release,
    "sweep": lambda _: expire_holds(now=LATER),
}
PAIRS = [(one, two) for one in CLOSING for two in CLOSING if one == two == "sweep" or one != two or one == "release"]
pairs = pytest.mark.parametrize(("one", "two"), PAIRS, ids=[f"{one} and {two}" for one, two in PAIRS])


def close_twice(campaign: Campaign, one: str, two: str) -> tuple[HoldRow, Meeting]:
    """Two close one hold; the first is about to. Another hold stays open, so that too much may be freed unseen."""
    row = place(campaign, 5)
    place(campaign, 5, ttl=86_400)
    return row, meet(partial(CLOSING[one], row), partial(CLOSING[two], row), at=(closing, "close"), when="before")


@postgresql
@pairs
def test_a_hold_is_closed_once(campaign: Campaign, one: str, two: str) -> None:
    row, meeting = close_twice(campaign, one, two)
    assert meeting.waited
    assert_held_is_sound()
    reading.assert_all_is_sound(NOW)
    settled = [name for name in (one, two) if name.startswith("settle")]
    outcomes = [result.outcome for result in (meeting.first, meeting.second) if isinstance(result, SpendResult)]
    assert outcomes == [Outcome.RECORDED, Outcome.CONFLICT][: len(settled)]
    state = "settled" if settled else {"release": "released", "sweep": "expired"}[one]
    assert stored(row).get_state_display() == state
    assert SpendLog.objects.filter(event_id__in="ab").count() == bool(settled)
    assert used(campaign) == 5 * UNIT + (SpendLog.objects.filter(event_id="b").count() * 3 * UNIT) + (
        SpendLog.objects.filter(event_id="a").count() * 4 * UNIT
    )


@postgresql
@pairs
def test_it_is_freed_twice_without_the_lock(campaign: Campaign, one: str, two: str, no_hold_locks: None) -> None:
    close_twice(campaign, one, two)
    with pytest.raises(AssertionError):
        assert_held_is_sound()


@pytest.mark.parametrize("seed", range(3))
def test_everybody_closes_the_same_holds_at_once(seed: int) -> None:
    campaigns = [factories.campaign(factories.brand(daily_budget=100)) for _ in range(2)]
    rows = [place(campaigns[at % 2], 2, now=NOW - timedelta(days=at % 2)) for at in range(20)]

    def shuffled(number: int) -> list[HoldRow]:
        return random.Random(f"{seed} {number}").sample(rows, len(rows))

    def settling(number: int) -> int:
        sent = [settlement(row, 1, event_id=f"{number} of {row.id}", once=True) for row in shuffled(number)]
        return sum(record_spend(sent[at : at + 5], now=NOW).count(Outcome.RECORDED) for at in range(0, 20, 5))

    def releasing(number: int) -> int:
        ids = [row.id for row in shuffled(number)]
        for at in range(0, 20, 5):
            release_holds(ids[at : at + 5], now=NOW - timedelta(days=2))
        return 0

    def sweeping(_: int) -> int:
        expire_holds(now=LATER)
        return 0

    works = [settling, settling, releasing, sweeping, releasing]
    recorded = sum(together(*(partial(work, number) for number, work in enumerate(works))))
    assert recorded == 20  # each hold was settled once, whatever else became of it
    assert Hold.objects.filter(state=Hold.State.SETTLED).count() == SpendLog.objects.count() == 20
    assert held() == {}
    assert_held_is_sound()
    reading.assert_all_is_sound(NOW)


# --- One key at once -------------------------------------------------------------------------


def test_one_key_at_once_makes_one_hold() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=1_000))
    asks = [ask(campaign, 2, key=f"k{at}") for at in range(40)]

    def client(seed: int) -> dict[str, int]:
        mine = random.Random(seed).sample(asks, len(asks))
        return {r.key: r.id for at in range(0, 40, 8) for r in granted(place_holds(mine[at : at + 8], now=NOW))}

    answers = together(*(partial(client, seed) for seed in range(4)))
    assert all(len(one) == 40 and one == answers[0] for one in answers)
    assert Hold.objects.count() == 40
    assert_held_is_sound()


MONTH_END = datetime(2025, 6, 30, 23, 59, tzinfo=UTC)


def without_order(place_them: Callable[[], Any]) -> Callable[[], Any]:
    """Write the holds in the order in which they were asked for."""

    def plain(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        return execute(sql.replace("ORDER BY brand_id, key", ""), *rest)

    def work() -> Any:
        with connection.execute_wrapper(plain):
            return place_them()

    return work


def same_keys_over_the_end_of_a_month(change: Callable[[Callable[[], Any]], Callable[[], Any]]) -> list[Any]:
    """Two campaigns of a brand, one asked for in June and one in July: they have no counter in common.

    Both calls come to the key in the middle, which a third is writing; each has what the other needs next.
    """
    brand = factories.brand(now=MONTH_END)
    june, july = factories.campaign(brand, now=MONTH_END), factories.campaign(brand, now=MONTH_END)
    third = factories.campaign(brand, now=MONTH_END)
    first = [ask(june, 1, key=key) for key in "amz"]
    second = [ask(july, 1, key=key) for key in "zma"]
    return queued(
        change(partial(place_holds, first, now=MONTH_END)),
        change(partial(place_holds, second, now=MONTH_END + timedelta(minutes=2))),
        behind=partial(place_holds, [ask(third, 1, key="m")], now=MONTH_END - timedelta(days=40)),
    )


@postgresql
def test_the_same_keys_over_the_end_of_a_month_wait_for_each_other() -> None:
    first, second = same_keys_over_the_end_of_a_month(lambda work: work)
    assert len(granted(first)) == 3
    assert [answer.why for answer in second] == [Refusal.KEY_USED] * 3
    assert_held_is_sound()


@postgresql
def test_they_deadlock_without_the_order_of_keys() -> None:
    with pytest.raises(OperationalError, match="deadlock"):
        same_keys_over_the_end_of_a_month(without_order)


# --- The order of locks ----------------------------------------------------------------------


def settle_two_in_opposite_order(change: Callable[[Callable[[], Any]], Callable[[], Any]]) -> list[Any]:
    """Both calls come to the hold in the middle, which a third has locked."""
    campaign = factories.campaign()
    rows = [place(campaign, 1) for _ in range(3)]
    sent = [settlement(row, 1) for row in rows]
    again = [settlement(row, 1, once=True) for row in rows[::-1]]
    return queued(
        partial(record_spend, sent, now=NOW),
        change(partial(record_spend, again, now=NOW)),
        behind=partial(closing.lock, [rows[1].id]),
    )


@postgresql
def test_calls_that_close_the_same_holds_wait_for_each_other() -> None:
    receipts = settle_two_in_opposite_order(lambda work: work)
    assert [receipt.count(Outcome.RECORDED) for receipt in receipts] == [3, 0]
    assert_held_is_sound()


def backwards(work: Callable[[], Any]) -> Callable[[], Any]:
    """Lock holds by descending id."""

    def plain(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        return execute(sql.replace("ORDER BY h.id", "ORDER BY h.id DESC"), *rest)

    def work_so() -> Any:
        with connection.execute_wrapper(plain):
            return work()

    return work_so


@postgresql
def test_they_deadlock_without_the_order_of_holds() -> None:
    with pytest.raises(OperationalError, match="deadlock"):
        settle_two_in_opposite_order(backwards)


class Storm:
    """All that can happen to holds at once: each method is what one thread does, with dice of its own.

    Nobody spends but what is held, and no budget is lowered, so that spent and held together never pass a budget.
    """

    ROUNDS = 20

    def __init__(self) -> None:
        self.budgets = {"brand": 60, "campaign": 25}
        self.brands = [
            factories.brand(daily_budget=budget, budget_scope=scope, now=NOW - timedelta(days=2))
            for scope, budget in self.budgets.items()
        ]
        self.campaigns = [factories.campaign(self.brands[at % 2], now=NOW - timedelta(days=2)) for at in range(6)]
        self.rows: list[HoldRow] = granted(place_holds([ask(c, 2, ttl=86_400) for c in self.campaigns] * 4, now=NOW))
        self.settled: Counter[Outcome] = Counter()

    def clock(self, dice: random.Random) -> datetime:
        """Clocks that differ: some are in yesterday."""
        return NOW - timedelta(days=dice.choice([0, 0, 0, 1]))

    def place(self, dice: random.Random) -> None:
        """Place holds of several campaigns and of two days, some with keys that others use as well."""
        for _ in range(self.ROUNDS):
            asks = [
                ask(dice.choice(self.campaigns), dice.choice([1, 3, 7]), minimum=1, ttl=86_400, key=dice.choice(keys))
                for keys in [[None, f"k{dice.randrange(30)}"]] * dice.randint(1, 6)
            ]
            self.rows += granted(place_holds(asks, now=self.clock(dice)))

    def some(self, dice: random.Random, *, to_settle: bool) -> list[HoldRow]:
        """A few holds: some are only settled, some only released, for what is released may be promised anew."""
        rows = [row for row in list(self.rows) if bool(row.id % 2) is to_settle]
        return dice.sample(rows, min(len(rows), 4))

    def settle(self, dice: random.Random) -> None:
        """Settle holds of several days with events that others may send as well, for no more than was held."""
        for _ in range(self.ROUNDS):
            sent = [
                settlement(row, 1, event_id=f"final {row.id}", at=moment(row), once=dice.random() < 0.5)
                for row in self.some(dice, to_settle=True)
            ]
            self.settled.update(result.outcome for result in record_spend(sent, now=NOW).results)

    def report(self, dice: random.Random) -> None:
        """Send the same events again, without their holds, if they are known by now."""
        for _ in range(self.ROUNDS):
            ids = SpendLog.objects.order_by("event_id").values_list("event_id", "campaign_id", "timestamp")[:20]
            known = [event(campaign, 1, event_id=name, at=at) for name, campaign, at in ids]
            dice.shuffle(known)
            assert record_spend(known, now=NOW).count(Outcome.RECORDED) == 0

    def release(self, dice: random.Random) -> None:
        """Release some."""
        for _ in range(self.ROUNDS):
            release_holds([row.id for row in self.some(dice, to_settle=False)], now=self.clock(dice))

    def sweep(self, dice: random.Random) -> None:
        """Sweep yesterday's, run the pass, audit and repair."""
        for _ in range(self.ROUNDS):
            expire_holds(now=self.clock(dice))
            enforce_all(now=NOW)
            assert audit.repair_ledger(now=NOW) == []

    def watch(self) -> None:
        """No day of a brand, and no day of a campaign that has its brand's budget alone, is used beyond it."""
        for model, brand in ((BrandCounter, self.brands[0]), (CampaignCounter, self.brands[1])):
            rows = model.objects.filter(brand=brand, period=Period.DAY)
            for spent, holding in rows.values_list("spent", "held"):
                assert spent + holding <= (brand.daily_budget or 0)


def moment(row: HoldRow) -> datetime:
    """When it is spent: on the day of the hold."""
    return row.created_at


def test_a_storm_of_holds() -> None:
    storm = Storm()
    does = [storm.place, storm.place, storm.settle, storm.settle, storm.report, storm.release, storm.sweep]
    together(*(partial(work, random.Random(seed)) for seed, work in enumerate(does)), storm_watch(storm))
    assert_held_is_sound()
    reading.assert_all_is_sound(NOW)
    storm.watch()
    assert storm.settled[Outcome.RECORDED] > 0
    assert Hold.objects.filter(state=Hold.State.SETTLED).count() == SpendLog.objects.count()


def storm_watch(storm: Storm) -> Callable[[], None]:
    def watch() -> None:
        for _ in range(3 * storm.ROUNDS):
            storm.watch()

    return watch


def settle_yesterdays_hold_while_late_spend_comes(campaign: Campaign) -> Meeting:
    """The settlement has today's counters and comes to yesterday's; the late spend goes the other way."""
    yesterday = NOW - timedelta(days=1)
    row = place(campaign, 4, now=yesterday)
    return meet(
        partial(settle, row, 3, at=NOW), partial(spend, campaign, 1, at=yesterday), at=(closing, "close"), when="before"
    )


@postgresql
def test_the_counters_of_another_day_are_locked_along_with_todays(campaign: Campaign) -> None:
    meeting = settle_yesterdays_hold_while_late_spend_comes(campaign)
    assert meeting.waited
    assert meeting.first.outcome is Outcome.RECORDED
    assert_held_is_sound()
    reading.assert_all_is_sound(NOW)


@postgresql
def test_they_deadlock_where_they_are_locked_afterwards(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    def close(*given: Any, **named: Any) -> None:
        closing.close(*given, **named)

    without = SimpleNamespace(lock=closing.lock, close=close, counted=take_none)
    monkeypatch.setattr(spending, "closing", without)
    with pytest.raises(OperationalError, match="deadlock"):
        settle_yesterdays_hold_while_late_spend_comes(campaign)
