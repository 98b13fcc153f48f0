"""Things at once: the locks keep verdicts true, and their order keeps transactions from waiting for each other.

On PostgreSQL each race is put in its worst order by hand: one transaction stops at a chosen point, the other goes as
far as it can. Beside it stands the proof that the race is there: with the lock taken out the same order ends wrong.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Any

import pytest
from django.db import OperationalError, connection

from campaigns.models import Brand, Campaign, RollOver, SpendLog
from campaigns.rules.errors import BudgetError
from campaigns.rules.periods import Period
from campaigns.rules.reasons import Reason
from campaigns.services import (
    audit,
    catalog,
    counters,
    enforcement,
    events,
    reset_daily_budgets,
    reset_monthly_budgets,
    status,
)
from campaigns.services import spend as spending
from campaigns.services.counters import Key
from campaigns.services.enforcement import enforce_all
from campaigns.services.spend import Outcome, Receipt, SpendEvent, record_spend
from tests import factories
from tests.factories import NOW, event, spend
from tests.services import reading
from tests.services.races import Meeting, meet, queued, together
from tests.services.reading import why

postgresql = pytest.mark.postgresql
pytestmark = pytest.mark.django_db(transaction=True)

LATER = NOW + timedelta(hours=1)
TODAY = NOW.date()


def take_none(*_: object, **__: object) -> None:
    """Stand where locks were taken."""


@pytest.fixture
def no_counter_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out the locks that a change of a budget takes."""
    monkeypatch.setattr(counters, "lock", take_none)
    monkeypatch.setattr(counters, "lock_all", take_none)


@pytest.fixture
def no_status_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out the locks that judging takes."""
    monkeypatch.setattr(status, "lock", take_none)


# --- A budget is lowered while spend is recorded ---------------------------------------------

Act = Callable[[Campaign], object]


def of_brand(**fields: Any) -> Act:
    return lambda campaign: catalog.update_brand(brand_id=campaign.brand_id, now=NOW, **fields)


def of_campaign(**fields: Any) -> Act:
    return lambda campaign: catalog.update_campaign(campaign_id=campaign.pk, now=NOW, **fields)


LOWERED: dict[str, tuple[Act, str, str]] = {  # what to do, what it judges by, the reason that it gives
    "brand's day": (of_brand(daily_budget=50), "judge_brands", "brand_daily_budget"),
    "brand's month": (of_brand(monthly_budget=50), "judge_brands", "brand_monthly_budget"),
    "brand's scope": (of_brand(budget_scope="brand"), "judge_brands", "brand_daily_budget"),
    "own day": (of_campaign(daily_budget=50), "judge_campaigns", "campaign_daily_budget"),
    "own month": (of_campaign(monthly_budget=50), "judge_campaigns", "campaign_monthly_budget"),
    "own total": (of_campaign(total_budget=50), "judge_campaigns", "campaign_total_budget"),
}
lowered = pytest.mark.parametrize(("lower", "judging", "reason"), LOWERED.values(), ids=LOWERED)
who_is_first = pytest.mark.parametrize("first", ["lower", "spend"])


def lower_while_spending(lower: Act, judging: str, first: str) -> tuple[Campaign, Meeting]:
    """A campaign's 30 become 50, its brand's 40 become 60; who is first has judged, but not yet committed."""
    brand = factories.brand(daily_budget=55, monthly_budget=100, budget_scope="campaign")
    campaign, sibling = factories.campaign(brand), factories.campaign(brand)
    record_spend([event(campaign, 30), event(sibling, 10)], now=NOW)
    lowering, recording = partial(lower, campaign), partial(spend, campaign, 20)
    if first == "spend":
        return campaign, meet(recording, lowering, at=(spending, "_judge_crossed"), when="after")
    return campaign, meet(lowering, recording, at=(enforcement, judging), when="after")


@postgresql
@lowered
@who_is_first
def test_no_spend_slips_past_a_lowered_budget(lower: Act, judging: str, reason: str, first: str) -> None:
    campaign, meeting = lower_while_spending(lower, judging, first)
    assert meeting.waited
    assert why(campaign) == [reason]
    reading.assert_all_is_sound(NOW)


@postgresql
@lowered
@who_is_first
def test_it_slips_past_without_the_lock(
    lower: Act, judging: str, reason: str, first: str, no_counter_locks: None
) -> None:
    campaign, meeting = lower_while_spending(lower, judging, first)
    assert not meeting.waited
    assert why(campaign) == []
    assert [code.name for code in reading.verdicts_on_the_ledger(NOW)[campaign.pk]] == [reason.upper()]


def lower_a_total_while_late_spend_comes(first: str) -> tuple[Campaign, Meeting]:
    """Spend of a month that is over moves none of the brand's counters of today, but the campaign's total."""
    campaign = factories.campaign()
    spend(campaign, 30)
    lowering = partial(of_campaign(total_budget=50), campaign)
    recording = partial(spend, campaign, 20, at=NOW - timedelta(days=40))
    if first == "spend":
        return campaign, meet(recording, lowering, at=(spending, "_judge_crossed"), when="after")
    return campaign, meet(lowering, recording, at=(enforcement, "judge_campaigns"), when="after")


@postgresql
@who_is_first
def test_no_late_spend_slips_past_a_lowered_total(first: str) -> None:
    campaign, meeting = lower_a_total_while_late_spend_comes(first)
    assert meeting.waited
    assert why(campaign) == ["campaign_total_budget"]
    reading.assert_all_is_sound(NOW)


@postgresql
@who_is_first
def test_late_spend_slips_past_without_the_lock(first: str, no_counter_locks: None) -> None:
    campaign, _ = lower_a_total_while_late_spend_comes(first)
    assert why(campaign) == []
    assert reading.verdicts_on_the_ledger(NOW)[campaign.pk] == Reason.CAMPAIGN_TOTAL_BUDGET


# --- A campaign is created while its brand's budget is crossed -------------------------------


def create_while_crossing(first: str) -> tuple[Campaign, Meeting]:
    brand = factories.brand(daily_budget=50)
    old = factories.campaign(brand)
    creating, crossing = partial(factories.campaign, brand, name="New"), partial(spend, old, 50)
    if first == "spend":
        meeting = meet(crossing, creating, at=(spending, "_judge_crossed"), when="after")
    else:
        meeting = meet(creating, crossing, at=(enforcement, "judge_campaigns"), when="after")
    return Campaign.objects.get(name="New"), meeting


@postgresql
@pytest.mark.parametrize("first", ["create", "spend"])
def test_a_new_campaign_does_not_slip_past_a_crossing(first: str) -> None:
    new, meeting = create_while_crossing(first)
    assert meeting.waited
    assert why(new) == ["brand_daily_budget"]
    reading.assert_all_is_sound(NOW)


@postgresql
@pytest.mark.parametrize("first", ["create", "spend"])
def test_a_new_campaign_slips_past_without_the_lock(first: str, no_counter_locks: None) -> None:
    new, meeting = create_while_crossing(first)
    assert not meeting.waited
    assert why(new) == []


# --- Something changes while the pass runs ---------------------------------------------------


def waiting_for_its_hours() -> Campaign:
    """A campaign that the pass will resume at LATER, when its hours have begun."""
    campaign = factories.campaign(factories.brand(daily_budget=50))
    catalog.set_window(campaign_id=campaign.pk, start_hour=13, end_hour=15, now=NOW)
    assert why(campaign) == ["schedule"]
    return campaign


MEANWHILE: dict[str, tuple[Act, str]] = {
    "spend crosses the budget": (lambda c: spend(c, 50, now=LATER), "brand_daily_budget"),
    "a person pauses it": (lambda c: catalog.pause(campaign_id=c.pk, now=LATER), "manual"),
    "its hours change": (
        lambda c: catalog.set_window(campaign_id=c.pk, start_hour=1, end_hour=2, now=LATER),
        "schedule",
    ),
    "its flight ends": (
        lambda c: catalog.update_campaign(campaign_id=c.pk, flight_end=TODAY - timedelta(1), now=LATER),
        "ended",
    ),
    "its brand's budget goes": (
        lambda c: catalog.update_brand(brand_id=c.brand_id, daily_budget=0, now=LATER),
        "brand_daily_budget",
    ),
}
meanwhile = pytest.mark.parametrize(("act", "reason"), MEANWHILE.values(), ids=MEANWHILE)


def act_while_the_pass_runs(act: Act) -> tuple[Campaign, Meeting]:
    """The pass has found that the campaign may spend, but not written it, when something else pauses it."""
    campaign = waiting_for_its_hours()
    return campaign, meet(partial(enforce_all, now=LATER), partial(act, campaign), at=(status, "_store"), when="before")


@postgresql
@meanwhile
def test_the_pass_does_not_overwrite_what_comes_after_it_looked(act: Act, reason: str) -> None:
    campaign, meeting = act_while_the_pass_runs(act)
    assert meeting.waited
    assert why(campaign) == [reason]
    reading.assert_all_is_sound(LATER)


@postgresql
@meanwhile
def test_the_pass_overwrites_it_without_the_lock(act: Act, reason: str, no_status_locks: None) -> None:
    campaign, _ = act_while_the_pass_runs(act)
    if reason != "schedule":  # that one finds the status that it would write, and writes nothing
        assert [change.code for change in reading.verdicts_on_the_ledger(LATER)[campaign.pk]] == [reason]
    assert why(campaign) == []
    with pytest.raises(AssertionError):
        reading.assert_all_is_sound(LATER)


# --- Two of the same at once -----------------------------------------------------------------

TOMORROW = NOW + timedelta(days=1)
NEXT_MONTH = NOW + timedelta(days=20)

TASKS: dict[str, Callable[[], object]] = {
    "the pass": partial(enforce_all, now=TOMORROW),
    "the daily roll-over": partial(reset_daily_budgets, now=TOMORROW),
    "the monthly roll-over": partial(reset_monthly_budgets, now=NEXT_MONTH),
}
tasks = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def spent_campaigns() -> list[Campaign]:
    brand = factories.brand(daily_budget=10)
    campaigns = [factories.campaign(brand) for _ in range(3)]
    spend(campaigns[0], 10)
    return campaigns


@postgresql
@tasks
def test_of_two_at_once_each_change_is_journaled_once(task: Callable[[], object]) -> None:
    campaigns = spent_campaigns()
    meeting = meet(task, task, at=(status, "_store"), when="before")
    assert meeting.waited
    assert [outcome.changed for outcome in (meeting.first, meeting.second)] == [3, 0]
    for campaign in campaigns:
        assert len(reading.steps(campaign)) == 2
        reading.assert_journal_unbroken(campaign)


@postgresql
@tasks
def test_it_is_journaled_twice_without_the_lock(task: Callable[[], object], no_status_locks: None) -> None:
    campaigns = spent_campaigns()
    meet(task, task, at=(status, "_store"), when="before")
    assert [len(reading.steps(campaign)) for campaign in campaigns] == [3, 3, 3]


def test_everything_periodic_at_once_and_twice() -> None:
    campaigns = [campaign for _ in range(4) for campaign in spent_campaigns()]
    together(*(task for task in TASKS.values() for _ in range(2)))
    for campaign in campaigns:
        assert why(campaign) == []
        assert len(reading.steps(campaign)) == 2
        reading.assert_journal_unbroken(campaign)
    assert RollOver.objects.filter(period=Period.DAY).count() == 4
    assert RollOver.objects.filter(period=Period.MONTH).count() == 4


# --- The order of locks ----------------------------------------------------------------------


def insert(of: Campaign, event_id: str) -> None:
    record_spend([event(of, 1, event_id=event_id)], now=NOW)


def same_events_in_opposite_order() -> list[Any]:
    """Two calls meet at the event in the middle, which a third is recording; each has what the other needs next."""
    campaign = factories.campaign()
    sent = [event(campaign, 1, event_id=name) for name in "amz"]
    return queued(
        partial(record_spend, sent, now=NOW),
        partial(record_spend, sent[::-1], now=NOW),
        behind=partial(insert, campaign, "m"),
    )


@postgresql
def test_calls_with_the_same_events_wait_for_each_other() -> None:
    receipts = same_events_in_opposite_order()
    assert [receipt.count(Outcome.RECORDED) for receipt in receipts] == [3, 0]
    assert [receipt.count(Outcome.DUPLICATE) for receipt in receipts] == [0, 3]
    reading.assert_all_is_sound(NOW)


@postgresql
def test_they_deadlock_without_the_order_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_ledger_order", attrgetter("at"))
    with pytest.raises(OperationalError, match="deadlock"):
        same_events_in_opposite_order()


@postgresql
def test_calls_for_the_same_brands_wait_for_each_other() -> None:
    campaigns = [factories.campaign() for _ in range(3)]
    first, second = ([event(campaign, 1) for campaign in order] for order in (campaigns, campaigns[::-1]))
    queued(
        partial(record_spend, first, now=NOW),
        partial(record_spend, second, now=NOW),
        behind=partial(spend, campaigns[1], 1),
    )
    assert SpendLog.objects.count() == 6
    reading.assert_all_is_sound(NOW)


def lock_of(*keys: Key) -> Callable[[], object]:
    """What takes the locks of some counters."""
    return lambda: counters.add(dict.fromkeys(keys, 0))


@postgresql
def test_calls_for_the_same_days_wait_for_each_other() -> None:
    """The events of a call come in the order of their ids; the counters of its days have an order of their own."""
    campaign = factories.campaign()
    yesterday = NOW - timedelta(days=1)
    for at in (NOW, yesterday):
        spend(campaign, 1, at=at)
    first = [event(campaign, 1, event_id="a", at=NOW), event(campaign, 1, event_id="b", at=yesterday)]
    second = [event(campaign, 1, event_id="c", at=yesterday), event(campaign, 1, event_id="d", at=NOW)]
    queued(
        partial(record_spend, first, now=NOW),
        partial(record_spend, second, now=NOW),
        behind=lock_of(Key(campaign.brand_id, counters.BRAND, Period.MONTH, TODAY.replace(day=1))),
    )
    reading.assert_all_is_sound(NOW)


@postgresql
def test_calls_for_the_same_campaigns_wait_for_each_other() -> None:
    """One for last month, one for today: of their counters only the campaigns' totals are the same."""
    brand = factories.brand()
    one, two = factories.campaign(brand), factories.campaign(brand)
    long_ago = NOW - timedelta(days=40)
    for at in (NOW, long_ago):
        record_spend([event(one, 1, at=at), event(two, 1, at=at)], now=NOW)
    first = [event(two, 1, event_id="a", at=long_ago), event(one, 1, event_id="b", at=long_ago)]
    second = [event(one, 1, event_id="c", at=NOW), event(two, 1, event_id="d", at=NOW)]
    queued(
        partial(record_spend, first, now=NOW),
        partial(record_spend, second, now=NOW),
        # Each call has to stop between its two campaigns.
        behind=lock_of(
            Key(brand.pk, one.pk, Period.DAY, long_ago.date()),
            Key(brand.pk, two.pk, Period.DAY, TODAY),
        ),
    )
    reading.assert_all_is_sound(NOW)


@pytest.mark.parametrize("crossing", [False, True], ids=["below the budgets", "across the budgets"])
def test_four_with_overlapping_events_in_all_orders_do_not_deadlock(crossing: bool) -> None:
    budget = 60 if crossing else None
    campaigns = [factories.campaign(factories.brand(daily_budget=budget)) for _ in range(4)]
    campaigns += [factories.campaign(campaign.brand) for campaign in campaigns]

    def shuffled(seed: int) -> list[SpendEvent]:
        own = [event(campaign, 1, event_id=f"{seed}-{at}", at=NOW) for at, campaign in enumerate(campaigns * 10)]
        shared = [event(campaign, 1, event_id=f"{at}", at=NOW) for at, campaign in enumerate(campaigns * 10)]
        both = own + shared
        random.Random(seed).shuffle(both)
        return both

    def record(seed: int) -> None:
        events = shuffled(seed)
        for first in range(0, len(events), 40):
            record_spend(events[first : first + 40], now=NOW)

    together(*(partial(record, seed) for seed in range(4)))
    assert SpendLog.objects.count() == 5 * 80
    reading.assert_all_is_sound(NOW)
    assert [bool(why(campaign)) for campaign in campaigns] == [crossing] * 8


@postgresql
def test_a_change_of_zone_locks_both_days_in_the_order_of_a_call() -> None:
    at = datetime(2025, 6, 18, 16, tzinfo=UTC)  # the 19th in Tokyo
    campaign = factories.campaign(factories.brand(timezone="Asia/Tokyo"), now=at)
    spend(campaign, 1, now=at)
    meet(
        lambda: catalog.update_brand(brand_id=campaign.brand_id, timezone="UTC", now=at),
        partial(spend, campaign, 1, now=at),
        at=(counters, "lock"),
        when="after",
    )
    reading.assert_all_is_sound(at)


@postgresql
def test_archiving_locks_campaigns_in_the_order_of_the_pass() -> None:
    brand = factories.brand()
    one, two = factories.campaign(brand), factories.campaign(brand)
    catalog.update_campaign(campaign_id=one.pk, name="Moved behind the other on disk", now=NOW)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE campaigns_campaign")  # as autovacuum does: from now on it reads in the order on disk
    Brand.objects.filter(pk=brand.pk).update(daily_budget=0)  # so that the pass has something to write
    queued(
        lambda: catalog.archive_brand(brand_id=brand.pk, now=NOW),
        partial(enforce_all, now=NOW),
        behind=lambda: Campaign.objects.select_for_update().get(pk=two.pk),
    )
    assert [why(campaign) for campaign in (one, two)] == [["manual", "brand_daily_budget"]] * 2


# --- What is checked first must still be so at the end ---------------------------------------


@postgresql
def test_a_currency_does_not_change_under_a_first_spend() -> None:
    campaign = factories.campaign(factories.brand(currency="EUR"))
    meeting = meet(
        partial(attempt, lambda: catalog.update_brand(brand_id=campaign.brand_id, currency="JPY", now=NOW)),
        partial(spend, campaign, 1),
        at=(counters, "lock"),
        when="before",
    )
    assert isinstance(meeting.first, BudgetError)
    assert Brand.objects.get().currency == "EUR"


@postgresql
@pytest.mark.parametrize("first", ["delete", "spend"])
def test_a_campaign_that_is_deleted_while_it_spends_is_a_clear_error(first: str) -> None:
    campaign = factories.campaign()
    deleting = partial(attempt, lambda: catalog.delete_campaign(campaign_id=campaign.pk, now=NOW))
    recording = partial(attempt, partial(spend, campaign, 1))
    if first == "spend":
        meeting = meet(recording, deleting, at=(spending, "_judge_crossed"), when="after")
    else:
        meeting = meet(deleting, recording, at=(counters, "remove_empty"), when="before")
    assert SpendLog.objects.count() == Campaign.objects.count()
    assert reading.counters() == reading.sums_of_the_ledger()
    outcomes = (meeting.first, meeting.second)
    assert sum(isinstance(outcome, BudgetError) or _rejected(outcome) for outcome in outcomes) == 1


def _rejected(outcome: object) -> bool:
    return isinstance(outcome, Receipt) and outcome.count(Outcome.REJECTED) == 1


@postgresql
def test_two_halves_of_a_flight_that_do_not_fit_are_a_clear_error() -> None:
    campaign = factories.campaign()
    starts = partial(catalog.update_campaign, campaign_id=campaign.pk, flight_start=TODAY, now=NOW)
    ends = partial(catalog.update_campaign, campaign_id=campaign.pk, flight_end=TODAY - timedelta(1), now=NOW)
    meeting = meet(partial(attempt, starts), partial(attempt, ends), at=(counters, "lock_all"), when="before")
    assert sum(isinstance(outcome, BudgetError) for outcome in (meeting.first, meeting.second)) == 1


def attempt(act: Callable[[], object]) -> object:
    """Do it; return its result or the clear error that it ends with."""
    try:
        return act()
    except BudgetError as error:
        return error


# --- Everything at once ----------------------------------------------------------------------


ROUNDS = 25


class Storm:
    """All that can happen at once to two brands: each method is what one thread does, with dice of its own."""

    def __init__(self) -> None:
        scopes = ("brand", "campaign")
        self.brands = [factories.brand(daily_budget=30, budget_scope=scope) for scope in scopes]
        self.campaigns = [factories.campaign(self.brands[at % 2]) for at in range(6)]

    def record(self, dice: random.Random) -> None:
        """Report spend, and sometimes take some of it back."""
        for _ in range(ROUNDS):
            events = [event(dice.choice(self.campaigns), dice.choice([1, 2, 7])) for _ in range(dice.randint(1, 4))]
            events += [event(dice.choice(self.campaigns), -3, note="less")] * dice.randint(0, 1)
            record_spend(events, now=NOW)

    def set_budgets(self, dice: random.Random) -> None:
        """Raise and lower budgets of brands and campaigns."""
        for _ in range(ROUNDS):
            budget = dice.choice([None, 10, 30, 60, 120, 200])
            if dice.random() < 0.5:
                catalog.update_brand(brand_id=dice.choice(self.brands).pk, daily_budget=budget, now=NOW)
            else:
                catalog.update_campaign(campaign_id=dice.choice(self.campaigns).pk, total_budget=budget, now=NOW)

    def steer(self, dice: random.Random) -> None:
        """Pause, resume and change hours."""
        for _ in range(ROUNDS):
            campaign, hour = dice.choice(self.campaigns), dice.choice([11, 12])
            dice.choice([catalog.pause, catalog.resume])(campaign_id=campaign.pk, now=NOW)
            catalog.set_window(campaign_id=campaign.pk, start_hour=hour, end_hour=hour + 1, now=NOW)

    def judge(self, dice: random.Random) -> None:
        """Run the periodic tasks."""
        for _ in range(2 * ROUNDS):
            dice.choice([enforce_all, reset_daily_budgets])(now=NOW)


def test_after_a_storm_every_status_is_the_verdict() -> None:
    """While the clock stands still no pass is needed to put anything right, however much happens at once."""
    storm = Storm()
    does = [storm.record, storm.record, storm.set_budgets, storm.steer, storm.judge, storm.judge]
    together(*(partial(work, random.Random(seed)) for seed, work in enumerate(does)))
    reading.assert_all_is_sound(NOW)
    assert audit.check_ledger() == []
    assert enforce_all(now=NOW).changed == 0
