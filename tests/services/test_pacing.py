"""Pacing against the database: who is paced, by which budget, and what is kept and told of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand, Campaign, OwnerPace, PeriodicRun
from campaigns.queries.pacing import brand_pace, campaign_pace, from_text, target_curve
from campaigns.queries.traffic import past_hours
from campaigns.rules import money, pacing
from campaigns.rules.pacing import ONE, START
from campaigns.rules.profile import Profile
from campaigns.services import catalog, enforcement, hours, runs
from campaigns.services import pacing as service
from campaigns.services.pacing import pace_all
from tests import factories
from tests.factories import NOW
from tests.services.holding import asked
from tests.services.races import holding, meet, together

pytestmark = pytest.mark.django_db

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
MIDNIGHT = datetime(2025, 6, 18, tzinfo=UTC)
UNIT = 1_000_000


def pace_of(owner: Brand | Campaign) -> OwnerPace:
    if isinstance(owner, Campaign):
        return OwnerPace.objects.get(campaign=owner)
    return OwnerPace.objects.get(brand=owner, campaign=None)


def even_campaign(**fields: Any) -> Campaign:
    return factories.campaign(now=MIDNIGHT, **{"daily_budget": 240, "pacing": "even", **fields})


def test_only_those_that_are_paced_evenly_have_a_pace() -> None:
    paced = even_campaign()
    factories.campaign(paced.brand, daily_budget=10)
    archived = even_campaign()
    catalog.archive_campaign(campaign_id=archived.pk, now=MIDNIGHT)
    outcome = pace_all(now=MIDNIGHT)
    assert (outcome.judged, outcome.changed) == (1, 1)
    assert [(pace.campaign_id, pace.brand_id) for pace in OwnerPace.objects.all()] == [(paced.pk, paced.brand_id)]
    run = PeriodicRun.objects.get(task=PeriodicRun.Task.PACE)
    assert (run.judged, run.changed) == (1, 1)
    assert run.finished_at is not None


def test_a_brand_is_paced_as_one_or_through_each_of_its_campaigns() -> None:
    together = factories.brand(daily_budget=100, pacing="even")
    factories.campaign(together)
    alone = factories.brand(daily_budget=100, pacing="even", budget_scope="campaign")
    one = factories.campaign(alone)
    pace_all(now=NOW)
    assert {(pace.brand_id, pace.campaign_id) for pace in OwnerPace.objects.all()} == {
        (together.pk, None),
        (alone.pk, one.pk),
    }
    assert pace_of(one).budget == 100 * UNIT


def test_the_budget_is_the_least_that_all_of_them_leave_for_today() -> None:
    campaign = even_campaign(monthly_budget=300, total_budget=290)
    factories.spend(campaign, 100, now=MIDNIGHT, at=MIDNIGHT - DAY)
    factories.spend(campaign, 20, now=MIDNIGHT)
    pace_all(now=MIDNIGHT)
    pace = pace_of(campaign)
    assert (pace.seen, pace.budget) == (20 * UNIT, 190 * UNIT)


def test_what_is_held_is_on_its_way_out() -> None:
    campaign = even_campaign()
    asked(campaign, 30, now=MIDNIGHT)
    pace_all(now=MIDNIGHT)
    pace = pace_of(campaign)
    assert (pace.seen, pace.budget) == (30 * UNIT, 240 * UNIT)


def test_a_step_is_what_the_rules_say_and_is_taken_once() -> None:
    campaign = even_campaign()
    pace_all(now=MIDNIGHT)
    first = pace_of(campaign)
    assert first.published == first.probability == START
    factories.spend(campaign, 1, now=MIDNIGHT + MINUTE)
    assert pace_all(now=MIDNIGHT + MINUTE).judged == 1
    second = pace_of(campaign)
    curve = pacing.Curve(pacing.open_day(date(2025, 6, 18), campaign.brand.timezone), pacing_profile(first))
    budget = 240 * UNIT
    begun = pacing.begin(curve, budget=budget)
    stepped = pacing.step(begun, curve, second=60, spent=UNIT, budget=budget, served=START)
    assert (second.probability, second.earned, second.exposed) == (
        stepped.probability,
        stepped.earned,
        stepped.exposed,
    )
    assert pace_all(now=MIDNIGHT + MINUTE + timedelta(seconds=19)).judged == 0  # a duplicate
    assert pace_all(now=MIDNIGHT + MINUTE - timedelta(seconds=5)).judged == 0  # by a clock that is behind
    assert pace_of(campaign).second == 60


def pacing_profile(pace: OwnerPace) -> Profile:
    return from_text(pace.profile)


def test_what_is_paused_has_not_served() -> None:
    campaign = even_campaign()
    pace_all(now=MIDNIGHT)
    catalog.pause(campaign_id=campaign.pk, now=MIDNIGHT)
    pace_all(now=MIDNIGHT + MINUTE)
    assert pace_of(campaign).silent == 0
    catalog.resume(campaign_id=campaign.pk, now=MIDNIGHT + MINUTE)
    pace_all(now=MIDNIGHT + 2 * MINUTE)
    assert pace_of(campaign).silent > 0


def test_a_campaign_has_served_by_the_smaller_of_both_probabilities() -> None:
    brand = factories.brand(now=MIDNIGHT, daily_budget=1_000, pacing="even")
    campaign = factories.campaign(brand, now=MIDNIGHT, daily_budget=240, pacing="even")
    pace_all(now=MIDNIGHT)
    OwnerPace.objects.filter(brand=brand, campaign=None).update(published=1_000)
    pace_all(now=MIDNIGHT + MINUTE)
    pace = pace_of(campaign)
    weights = pacing_profile(pace).weights
    assert pace.silent == 60 * weights[0] * 1_000


def test_a_new_day_begins_with_what_was_learned_of_the_demand() -> None:
    campaign = even_campaign()
    live(campaign, MIDNIGHT, minutes=120)
    before = pace_of(campaign)
    pace_all(now=MIDNIGHT + DAY)
    after = pace_of(campaign)
    assert (after.day, after.second, after.seen, after.silent) == (date(2025, 6, 19), 0, 0, 0)
    assert (after.earned, after.exposed) == (before.earned, before.exposed) != (0, 0)


def live(campaign: Campaign, begins: datetime, *, minutes: int, every: int = 1) -> None:
    """Let a campaign be offered ten units a minute at a probability of 1."""
    for minute in range(0, minutes, every):
        now = begins + minute * MINUTE
        pace_all(now=now)
        served = campaign_pace(campaign_id=campaign.pk, now=now)
        assert served is not None
        factories.spend(campaign, money.from_micros(10 * every * served.probability), now=now)


def test_a_paced_campaign_lasts_and_one_that_is_not_does_not() -> None:
    campaign = even_campaign()
    live(campaign, MIDNIGHT, minutes=24 * 60, every=5)
    spent = campaign.counters.get(period=1, start=date(2025, 6, 18)).spent
    assert 230 < spent <= 241
    by_noon = sum(log.amount for log in campaign.spend_logs.filter(timestamp__lt=MIDNIGHT + 12 * 60 * MINUTE))
    assert 100 < by_noon < 140
    assert campaign.status_changes.filter(to_reasons__gt=0).count() <= 1


def test_only_what_differs_enough_is_published() -> None:
    assert service._published(None, 123_456) == 123_400
    assert service._published(500_000, 509_000) == 500_000
    assert service._published(500_000, 510_000) == 510_000
    assert service._published(20_000, 20_900) == 20_000
    assert service._published(20_000, 21_000) == 21_000  # small ones move far within a point
    assert service._published(995_000, ONE) == ONE
    assert service._published(102, 100) == 100


def test_a_budget_that_is_taken_away_and_given_again() -> None:
    brand = factories.brand(daily_budget=100, budget_scope="campaign")
    campaign = factories.campaign(brand, now=NOW, pacing="even")
    catalog.update_brand(brand_id=brand.pk, daily_budget=None, now=NOW)
    pace_all(now=NOW)
    assert (pace_of(campaign).budget, pace_of(campaign).published) == (None, ONE)
    now = campaign_pace(campaign_id=campaign.pk, now=NOW)
    assert now is not None and (now.probability, now.target) == (ONE, None)
    catalog.update_brand(brand_id=brand.pk, daily_budget=100, now=NOW)
    pace_all(now=NOW + MINUTE)
    assert pace_of(campaign).budget == 100 * UNIT
    assert pace_of(campaign).probability < ONE


def test_a_campaign_that_is_closed_today_keeps_its_pace() -> None:
    campaign = even_campaign(flight_start=date(2025, 6, 20))
    pace_all(now=MIDNIGHT)
    pace_all(now=MIDNIGHT + MINUTE)
    assert pace_of(campaign).published == START
    assert campaign_pace(campaign_id=campaign.pk, now=MIDNIGHT + MINUTE).probability == 0  # type: ignore[union-attr]


def test_what_pages_are_told() -> None:
    brand = factories.brand(now=MIDNIGHT, daily_budget=2_400, pacing="even")
    campaign = factories.campaign(brand, now=MIDNIGHT, daily_budget=240, pacing="even")
    other = factories.campaign(brand, now=MIDNIGHT)
    assert campaign_pace(campaign_id=factories.campaign().pk, now=NOW) is None
    assert brand_pace(brand_id=factories.brand().pk, now=NOW) is None
    assert target_curve(campaign_id=campaign.pk, now=MIDNIGHT) == []
    pace_all(now=MIDNIGHT)
    OwnerPace.objects.filter(brand=brand, campaign=None).update(published=50_000)
    own = campaign_pace(campaign_id=campaign.pk, now=MIDNIGHT + 6 * 60 * MINUTE)
    assert own is not None
    assert (own.probability, own.own, own.of_brand) == (50_000, START, 50_000)
    assert own.target == 60 * UNIT
    by_brand = campaign_pace(campaign_id=other.pk, now=MIDNIGHT + 6 * 60 * MINUTE)
    assert by_brand is not None
    assert (by_brand.probability, by_brand.own, by_brand.target) == (50_000, None, 600 * UNIT)
    of_brand = brand_pace(brand_id=brand.pk, now=MIDNIGHT + 6 * 60 * MINUTE)
    assert of_brand is not None and (of_brand.own, of_brand.target) == (50_000, 600 * UNIT)
    curve = target_curve(campaign_id=campaign.pk, now=MIDNIGHT)
    assert curve[0] == (0, 0) and curve[-1] == (86_400, 240 * UNIT) and len(curve) == 25
    assert target_curve(campaign_id=other.pk, now=MIDNIGHT) == []


def test_many_take_as_many_statements_as_one() -> None:
    brand = factories.brand(daily_budget=1_000, pacing="even")
    for _ in range(3):
        factories.campaign(brand, daily_budget=10, pacing="even")

    def statements(now: datetime) -> int:
        with CaptureQueriesContext(connection) as queries:
            pace_all(now=now)
        return len(queries)

    pace_all(now=NOW)
    few = statements(NOW + MINUTE)
    for _ in range(20):
        factories.campaign(brand, daily_budget=10, pacing="even")
    pace_all(now=NOW + 2 * MINUTE)
    assert statements(NOW + 3 * MINUTE) == few


def test_batches_are_bounded_and_leave_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "BATCH", 2)
    campaigns = [even_campaign() for _ in range(5)]
    assert pace_all(now=NOW).judged == 5
    assert OwnerPace.objects.count() == len(campaigns)


def test_the_profile_is_learned_once_a_day_from_the_hours_of_the_brand() -> None:
    campaign = even_campaign()
    for back in range(1, 8):
        at = MIDNIGHT - back * DAY + timedelta(hours=9)
        factories.spend(campaign, 10, now=MIDNIGHT, at=at)
    hours.sum_hours(now=MIDNIGHT)
    pace_all(now=MIDNIGHT)
    weights = pacing_profile(pace_of(campaign)).weights
    assert max(range(24), key=lambda hour: weights[hour]) == 9
    with CaptureQueriesContext(connection) as queries:
        pace_all(now=MIDNIGHT + MINUTE)
    assert not any("brandhour" in query["sql"] for query in queries)


def test_hours_in_which_the_budget_was_spent_say_nothing() -> None:
    brand = factories.brand(now=MIDNIGHT - 10 * DAY, daily_budget=10)
    campaign = factories.campaign(brand, now=MIDNIGHT - 10 * DAY)
    for back in range(3, 0, -1):
        begins = MIDNIGHT - back * DAY
        enforcement.enforce_all(now=begins + timedelta(seconds=30))
        factories.spend(campaign, 10, now=begins + timedelta(hours=9, minutes=10))
    enforcement.enforce_all(now=MIDNIGHT)
    hours.sum_hours(now=MIDNIGHT)
    (days,) = past_hours({brand.pk: brand.timezone}, now=MIDNIGHT).values()
    assert [day.day.day for day in days] == [15, 16, 17]
    for day in days:
        assert list(day.hours) == [0] * 9 + [None] * 15


# --- At once ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_each_step_is_taken_once() -> None:
    campaign = even_campaign()
    pace_all(now=MIDNIGHT)
    outcomes = together(*[lambda: pace_all(now=MIDNIGHT + MINUTE)] * 2)
    assert len(outcomes) == 2
    assert OwnerPace.objects.count() == 1
    served = pace_of(campaign)
    assert served.second == 60
    weights = pacing_profile(served).weights
    assert served.silent == 60 * weights[0] * START


@pytest.mark.django_db(transaction=True)
def test_a_step_that_another_run_has_taken_meanwhile_is_not_taken_again() -> None:
    campaign = even_campaign()
    pace_all(now=MIDNIGHT)
    found = service._step_campaigns([campaign.pk], MIDNIGHT + 2 * MINUTE)
    pace_all(now=MIDNIGHT + MINUTE)
    service._write(found)
    assert pace_of(campaign).second == 60


@pytest.mark.django_db(transaction=True)
def test_new_rows_at_once_are_one() -> None:
    even_campaign()
    together(*[lambda: pace_all(now=MIDNIGHT)] * 3)
    assert OwnerPace.objects.count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_nobody_who_records_waits_for_a_step_and_no_step_for_who_records() -> None:
    campaign = even_campaign()
    factories.spend(campaign, 1, now=MIDNIGHT)  # so that there are counters to lock
    pace_all(now=MIDNIGHT)
    met = meet(
        lambda: pace_all(now=MIDNIGHT + MINUTE),
        lambda: factories.spend(campaign, 1, now=MIDNIGHT + MINUTE),
        at=(service, "_update"),
        when="after",
    )
    assert not met.waited
    with holding(lambda: factories.spend(campaign, 1, now=MIDNIGHT + 2 * MINUTE)):
        assert pace_all(now=MIDNIGHT + 2 * MINUTE).judged == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_runs_do_not_wait_for_each_other() -> None:
    even_campaign()
    pace_all(now=MIDNIGHT)
    met = meet(
        lambda: pace_all(now=MIDNIGHT + MINUTE),
        lambda: pace_all(now=MIDNIGHT + MINUTE),
        at=(service, "_update"),
        when="after",
    )
    assert not met.waited


def test_a_pace_is_no_verdict() -> None:
    pace_all(now=NOW + MINUTE)
    assert runs.not_before_the_last_run(NOW) == NOW
