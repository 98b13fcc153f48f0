"""Many campaigns at once: the same as one by one, in a constant number of statements, all of it or nothing."""

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand, Campaign, CatalogChange, DaypartingSchedule, Edit, StatusChange
from campaigns.rules.errors import BudgetError
from campaigns.services import bulk, catalog, counters, enforcement, reviews
from campaigns.services import spend as spending
from campaigns.services.bulk import BudgetChange, How, NewCampaign
from campaigns.services.enforcement import enforce_all
from campaigns.services.status import Actor
from tests import factories
from tests.factories import NOW, spend
from tests.services import reading
from tests.services.races import Meeting, meet, together
from tests.services.reading import steps, why

postgresql = pytest.mark.postgresql
pytestmark = pytest.mark.django_db

TODAY = NOW.date()
NIGHT = {"start_hour": 22, "end_hour": 6, "weekdays": 127, "grid": None}


def some(number: int = 6) -> list[Campaign]:
    """Campaigns of two brands in two zones; every second one has spent 10 and some have budgets of their own."""
    brands = [factories.brand(timezone=zone) for zone in ("UTC", "Asia/Tokyo")]
    made = [
        factories.campaign(brands[at % 2], name=f"No. {at}", daily_budget=100 if at % 3 else None)
        for at in range(number)
    ]
    for campaign in made[::2]:
        spend(campaign, 10)
    return made


def ids(campaigns: list[Campaign]) -> list[int]:
    return [campaign.pk for campaign in campaigns]


# --- The same as one by one --------------------------------------------------------------------

ONE_BY_ONE: dict[str, tuple[Callable[..., object], Callable[..., object]]] = {
    "pause": (
        lambda rows, **who: bulk.pause_campaigns(ids(rows), note="Stock is out", **who),
        lambda row, **who: catalog.pause(campaign_id=row.pk, note="Stock is out", **who),
    ),
    "resume": (
        lambda rows, **who: bulk.resume_campaigns(ids(rows), **who),
        lambda row, **who: catalog.resume(campaign_id=row.pk, **who),
    ),
    "archive": (
        lambda rows, **who: bulk.archive_campaigns(ids(rows), **who),
        lambda row, **who: catalog.archive_campaign(campaign_id=row.pk, **who),
    ),
    "budgets": (
        lambda rows, **who: bulk.change_campaigns({row.pk: {"daily_budget": "10"} for row in rows}, **who),
        lambda row, **who: catalog.update_campaign(campaign_id=row.pk, daily_budget="10", **who),
    ),
    "flights": (
        lambda rows, **who: bulk.change_campaigns({r.pk: {"flight_end": TODAY - timedelta(1)} for r in rows}, **who),
        lambda row, **who: catalog.update_campaign(campaign_id=row.pk, flight_end=TODAY - timedelta(1), **who),
    ),
    "names": (
        lambda rows, **who: bulk.change_campaigns({row.pk: {"name": "Same"} for row in rows}, **who),
        lambda row, **who: catalog.update_campaign(campaign_id=row.pk, name="Same", **who),
    ),
    "hours": (
        lambda rows, **who: bulk.change_campaigns({row.pk: {"hours": NIGHT} for row in rows}, **who),
        lambda row, **who: catalog.set_window(campaign_id=row.pk, start_hour=22, end_hour=6, **who),
    ),
    "no hours": (
        lambda rows, **who: bulk.change_campaigns({row.pk: {"hours": None} for row in rows}, **who),
        lambda row, **who: catalog.clear_schedule(campaign_id=row.pk, **who),
    ),
}


def record(campaign: Campaign) -> list[Any]:
    """All that is kept of a campaign: its row, its hours, its journal, its edits, and what the feed tells."""
    own = {"campaign": campaign.pk}
    left_out = ("id", "name", "brand_id", "campaign_id", "transaction_id")
    rows: list[Any] = [
        Campaign.objects.filter(pk=campaign.pk).values(),
        DaypartingSchedule.objects.filter(**own).values(),
    ]
    rows += [model.objects.filter(**own).order_by("pk").values() for model in (StatusChange, Edit)]
    rows.append(CatalogChange.objects.filter(campaign_id=campaign.pk).order_by("pk").values())
    return [[{name: row[name] for name in row if name not in left_out} for row in found] for found in rows]


@pytest.mark.parametrize("verb", ONE_BY_ONE)
def test_many_at_once_leave_what_one_by_one_leaves(verb: str) -> None:
    anna = Actor(user_id=User.objects.create_user("anna").pk)
    at_once, one_by_one = ONE_BY_ONE[verb]
    left, right = some(), some()
    for rows in (left, right):
        catalog.pause(campaign_id=rows[1].pk, now=NOW)
        catalog.set_window(campaign_id=rows[2].pk, start_hour=1, end_hour=5, now=NOW)
    at_once(left, now=NOW, by=anna)
    for row in right:
        one_by_one(row, now=NOW, by=anna)
    for one, other in zip(left, right, strict=True):
        assert record(one) == record(other)


def test_new_campaigns_are_those_that_are_made_one_by_one() -> None:
    brands = [factories.brand(name=name, daily_budget=0) for name in ("Left", "Right")]
    fields = {"name": " Sale ", "external_id": "", "daily_budget": "1.5", "flight_end": TODAY}
    bulk.put_campaigns(new=[NewCampaign(brands[0].pk, fields)], changes={}, now=NOW)
    catalog.create_campaign(brand_id=brands[1].pk, now=NOW, **fields)  # type: ignore[arg-type]  # one case for both
    left, right = (Campaign.objects.get(brand=brand) for brand in brands)
    assert record(left) == record(right)
    assert (left.name, left.external_id, steps(left)) == ("Sale", None, ["created: active -> brand_daily_budget"])


def test_campaigns_are_made_and_changed_with_their_hours_in_one_go() -> None:
    brand, old = factories.brand(), factories.campaign()
    new = NewCampaign(brand.pk, {"name": "Nights", "hours": NIGHT})
    bulk.put_campaigns(new=[new], changes={old.pk: {"daily_budget": 0, "hours": NIGHT}}, now=NOW)
    made = Campaign.objects.get(name="Nights")
    assert (why(made), why(old)) == (["schedule"], ["campaign_daily_budget", "schedule"])
    assert Edit.objects.get(campaign=made).changes == {
        "name": ["", "Nights"],
        "hours": [None, "22:00–06:00, every day"],
    }


# --- All of it or nothing ----------------------------------------------------------------------


def refused(work: Callable[[], object], sentence: str) -> None:
    """Fail unless the work is refused with this sentence and has changed nothing."""
    tables = (Campaign, DaypartingSchedule, StatusChange, Edit, CatalogChange)
    before = [list(model.objects.order_by("pk").values()) for model in tables]
    with pytest.raises(BudgetError, match=f"^{sentence}$"):
        work()
    assert [list(model.objects.order_by("pk").values()) for model in tables] == before


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"daily_budget": "-1"}, "Second: Daily budget: A budget can't be negative.*"),
        ({"total_budget": "1.0000001"}, "Second: Total budget: The amount has more than 6 decimals.*"),
        ({"flight_start": TODAY, "flight_end": TODAY - timedelta(1)}, "Second: Flight end: give a day that is not.*"),
        ({"name": ""}, "Second: Name: This field cannot be blank."),
        ({"external_id": "taken"}, "External id: another campaign has this one; give another."),
        ({"external_id": "x" * 200}, "Second: External id: Ensure this value has at most 128 characters.*"),
    ],
)
def test_one_that_can_not_be_changed_keeps_all_as_they_are(given: dict[str, Any], sentence: str) -> None:
    brand = factories.brand()
    factories.campaign(brand, external_id="taken")
    first, second = factories.campaign(brand, name="First"), factories.campaign(brand, name="Second")
    changes = {first.pk: {"daily_budget": 0}, second.pk: given}
    refused(partial(bulk.change_campaigns, changes, now=NOW), sentence)
    sentence = sentence.removeprefix("Second: ")
    refused(partial(bulk.change_campaigns, {second.pk: given}, now=NOW), sentence)
    refused(partial(catalog.update_campaign, campaign_id=second.pk, now=NOW, **given), sentence)


def test_two_do_not_get_the_same_external_id() -> None:
    one, two = some(3)[::2]
    refused(
        partial(bulk.change_campaigns, {one.pk: {"external_id": "x"}, two.pk: {"external_id": "x"}}, now=NOW),
        "Two of these campaigns would have the same external id; give each its own.",
    )


@pytest.mark.parametrize("verb", ONE_BY_ONE)
def test_one_that_is_not_there_is_said_so(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, _ = ONE_BY_ONE[verb]
    rows = [factories.campaign(), Campaign(pk=987654)]
    refused(partial(at_once, rows, now=NOW), "There is no campaign 987654.")
    rows[1].pk = 2**70
    refused(partial(at_once, rows, now=NOW), f"There is no campaign {2**70}.")
    monkeypatch.setattr(bulk, "MAX_CAMPAIGNS", 1)
    refused(
        partial(at_once, some(2), now=NOW),
        "These are 2 campaigns; at most 1 are changed at once. Take fewer, for example with a filter.",
    )


def test_an_archived_one_is_not_paused_and_an_archived_brand_gets_no_new_one() -> None:
    one, two = factories.campaign(name="Old"), factories.campaign()
    catalog.archive_brand(brand_id=one.brand_id, now=NOW)
    refused(
        partial(bulk.pause_campaigns, [two.pk, one.pk], now=NOW),
        "Old is archived; it can't be paused or resumed.",
    )
    new = [NewCampaign(one.brand_id, {"name": "x"})]
    refused(
        partial(bulk.put_campaigns, new=new, changes={}, now=NOW), ".* is archived; no campaign can be added to it."
    )


# --- Cost --------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ONE_BY_ONE)
def test_thirty_take_the_statements_of_three(verb: str) -> None:
    at_once, _ = ONE_BY_ONE[verb]

    def cost(rows: list[Campaign]) -> int:
        if verb == "resume":
            bulk.pause_campaigns(ids(rows), now=NOW)
        with CaptureQueriesContext(connection) as queries:
            at_once(rows, now=NOW)
        return len(queries)

    few = cost(some(4))
    assert cost(some(30)) == few < 30


# --- Looking first, then doing -----------------------------------------------------------------


def to(amount: str) -> reviews.Work:
    """Set the daily budget of campaigns."""
    return partial(bulk.change_budgets, change=BudgetChange("daily_budget", How.SET, Decimal(amount)), now=NOW)


def test_a_rehearsal_shows_what_applying_does_and_leaves_nothing() -> None:
    one, two = some(2)
    work = to("10")
    before = [record(row) for row in (one, two)]
    shown = reviews.rehearse(work, ids([one, two]))
    assert [record(row) for row in (one, two)] == before
    assert [shown.before[one.pk].reasons.name, shown.after[one.pk].reasons.name] == [None, "CAMPAIGN_DAILY_BUDGET"]
    assert (shown.before[two.pk].daily_budget, shown.after[two.pk].daily_budget) == (100_000_000, 10_000_000)
    assert reviews.apply(work, ids([one, two]), seen=shown.seal) == shown
    assert (why(one), why(two)) == (["campaign_daily_budget"], [])


MEANWHILE: dict[str, tuple[Callable[[Campaign], object], bool]] = {
    "another budget": (lambda c: catalog.update_campaign(campaign_id=c.pk, daily_budget=7, now=NOW), True),
    "a person's pause": (lambda c: catalog.pause(campaign_id=c.pk, now=NOW), True),
    "spend that pauses it": (lambda c: spend(c, 100), False),
    "nothing": (str, False),
}


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_what_people_change_meanwhile_is_looked_at_again(meanwhile: str) -> None:
    act, again = MEANWHILE[meanwhile]
    one, two = some(2)
    work = to("50")
    seen = reviews.rehearse(work, ids([one, two])).seal
    act(two)
    if again:
        before = [record(row) for row in (one, two)]
        with pytest.raises(reviews.ChangedMeanwhileError):
            reviews.apply(work, ids([one, two]), seen=seen)
        assert [record(row) for row in (one, two)] == before
    else:
        reviews.apply(work, ids([one, two]), seen=seen)
        assert Campaign.objects.get(pk=two.pk).daily_budget == Decimal(50)


# --- Things at once ----------------------------------------------------------------------------


def lower_while_spending(first: str) -> tuple[list[Campaign], Meeting]:
    """Two campaigns of two brands have spent 30; both budgets become 50 while both spend 20 more."""
    made = [factories.campaign(), factories.campaign()]
    for campaign in made:
        spend(campaign, 30)
    lowering = partial(bulk.change_campaigns, {row.pk: {"daily_budget": 50} for row in made}, now=NOW)
    events = [factories.event(row, 20) for row in reversed(made)]
    recording = partial(spending.record_spend, events, now=NOW)
    if first == "spend":
        return made, meet(recording, lowering, at=(spending, "_judge_crossed"), when="after")
    return made, meet(lowering, recording, at=(enforcement, "judge_campaigns"), when="after")


@postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", ["lower", "spend"])
def test_no_spend_slips_past_budgets_that_are_lowered_at_once(first: str) -> None:
    made, meeting = lower_while_spending(first)
    assert meeting.waited
    assert [why(row) for row in made] == [["campaign_daily_budget"]] * 2
    reading.assert_all_is_sound(NOW)


@postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", ["lower", "spend"])
def test_it_slips_past_without_the_locks(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "lock_all", lambda _: None)
    made, meeting = lower_while_spending(first)
    assert not meeting.waited
    assert [why(row) for row in made] == [[], []]


class _Storm:
    """Everybody at once, each many times, in orders of their own."""

    def __init__(self, brands: list[Brand], campaigns: list[Campaign]) -> None:
        self.brands, self.campaigns = brands, campaigns

    def works(self) -> Iterator[Callable[[], None]]:
        verbs = (self.change_many, self.pause_many, self.set_hours, self.change_one, self.spend, self.pass_)
        for seed, verb in enumerate(verbs):
            yield partial(self._often, verb, random.Random(seed))

    def _often(self, verb: Callable[[random.Random], object], dice: random.Random) -> None:
        for _ in range(12):
            verb(dice)

    def some(self, dice: random.Random) -> list[int]:
        return dice.sample(ids(self.campaigns), 6)

    def change_many(self, dice: random.Random) -> None:
        bulk.change_campaigns({pk: {"daily_budget": dice.randint(1, 60)} for pk in self.some(dice)}, now=NOW)

    def pause_many(self, dice: random.Random) -> None:
        verb = dice.choice([bulk.pause_campaigns, bulk.resume_campaigns])
        some = self.some(dice)
        nothing = reviews.Outcome({}, {}).seal
        work = partial(verb, some, now=NOW)
        reviews.apply(lambda _: work(), [], seen=nothing) if dice.random() < 0.5 else work()

    def set_hours(self, dice: random.Random) -> None:
        bulk.change_campaigns({pk: {"hours": dice.choice([NIGHT, None])} for pk in self.some(dice)}, now=NOW)

    def change_one(self, dice: random.Random) -> None:
        catalog.update_brand(brand_id=dice.choice(self.brands).pk, daily_budget=dice.randint(1, 300), now=NOW)
        catalog.set_window(campaign_id=dice.choice(self.campaigns).pk, start_hour=1, end_hour=5, now=NOW)
        catalog.update_campaign(campaign_id=dice.choice(self.campaigns).pk, total_budget=90, now=NOW)

    def spend(self, dice: random.Random) -> None:
        events = [factories.event(pk, 1) for pk in self.some(dice)]
        spending.record_spend(events, now=NOW)

    def pass_(self, _: random.Random) -> None:
        enforce_all(now=NOW)


@postgresql
@pytest.mark.django_db(transaction=True)
def test_many_change_while_everybody_else_is_at_work() -> None:
    brands = [factories.brand() for _ in range(3)]
    campaigns = [factories.campaign(brand) for brand in brands for _ in range(4)]
    together(*_Storm(brands, campaigns).works())
    reading.assert_all_is_sound(NOW)
