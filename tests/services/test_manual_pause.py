"""A person's pause is a person's: nothing but a person lifts it, and a person lifts nothing else."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from campaigns.models import BrandCounter, Campaign
from campaigns.rules.errors import BudgetError
from campaigns.services import audit, catalog, enforce_budget, reset_daily_budgets, reset_monthly_budgets
from campaigns.services.enforcement import enforce_all
from tests import factories
from tests.factories import NOW, spend
from tests.services import reading
from tests.services.reading import why

pytestmark = pytest.mark.django_db

TOMORROW, NEXT_MONTH = NOW + timedelta(days=1), NOW + timedelta(days=20)


def spend_and_take_back(campaign: Campaign) -> None:
    spend(campaign, 100)
    spend(campaign, -100, note="back")


def reach_its_hours(campaign: Campaign) -> None:
    catalog.set_window(campaign_id=campaign.pk, start_hour=15, end_hour=16, now=NOW)
    enforce_all(now=NOW.replace(hour=15))


def mend(campaign: Campaign) -> None:
    BrandCounter.objects.filter(brand=campaign.brand, period=1).update(spent=500)
    catalog.update_brand(brand_id=campaign.brand_id, name="Judged", now=NOW)
    assert "brand_daily_budget" in why(campaign)
    audit.repair_ledger(now=NOW)


OTHERS: dict[str, Callable[[Campaign], object]] = {
    "the pass": lambda _: enforce_all(now=NOW),
    "the pass of tomorrow": lambda _: enforce_all(now=TOMORROW),
    "judging it alone": lambda c: enforce_budget(campaign_id=c.pk, now=NOW),
    "a new day": lambda _: reset_daily_budgets(now=TOMORROW),
    "a new month": lambda _: reset_monthly_budgets(now=NEXT_MONTH),
    "spend": lambda c: spend(c, 1),
    "spend across a budget and back": spend_and_take_back,
    "a higher budget": lambda c: catalog.update_brand(brand_id=c.brand_id, daily_budget=1000, now=NOW),
    "no budget": lambda c: catalog.update_brand(brand_id=c.brand_id, daily_budget=None, now=NOW),
    "a budget of its own": lambda c: catalog.update_campaign(campaign_id=c.pk, total_budget=1000, now=NOW),
    "another scope": lambda c: catalog.update_brand(brand_id=c.brand_id, budget_scope="campaign", now=NOW),
    "another zone": lambda c: catalog.update_brand(brand_id=c.brand_id, timezone="Asia/Tokyo", now=NOW),
    "open hours": lambda c: catalog.set_window(campaign_id=c.pk, start_hour=12, end_hour=13, now=NOW),
    "an open grid": lambda c: catalog.set_grid(campaign_id=c.pk, grid="1" * 168, now=NOW),
    "no hours": lambda c: catalog.clear_schedule(campaign_id=c.pk, now=NOW),
    "hours that begin": reach_its_hours,
    "a flight": lambda c: catalog.update_campaign(campaign_id=c.pk, flight_start=NOW.date(), now=NOW),
    "a repair": mend,
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_nothing_else_lifts_it(other: Callable[[Campaign], object]) -> None:
    campaign = factories.campaign(factories.brand(daily_budget=50))
    catalog.pause(campaign_id=campaign.pk, now=NOW)
    other(campaign)
    assert why(campaign) == ["manual"]
    assert Campaign.objects.get(pk=campaign.pk).paused_manually
    catalog.resume(campaign_id=campaign.pk, now=NOW.replace(hour=12))
    assert "manual" not in why(campaign)


def test_resuming_lifts_nothing_else() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10), flight_end=NOW.date() - timedelta(days=1))
    catalog.set_window(campaign_id=campaign.pk, start_hour=1, end_hour=2, now=NOW)
    catalog.pause(campaign_id=campaign.pk, now=NOW)
    spend(campaign, 10)
    assert why(campaign) == ["manual", "brand_daily_budget", "schedule", "ended"]
    change = catalog.resume(campaign_id=campaign.pk, now=NOW)
    assert change is not None
    assert why(campaign) == ["brand_daily_budget", "schedule", "ended"]


def test_what_the_tasks_paused_a_person_need_not_resume() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    spend(campaign, 10)
    assert catalog.resume(campaign_id=campaign.pk, now=NOW) is None
    assert why(campaign) == ["brand_daily_budget"]
    enforce_all(now=TOMORROW)
    assert why(campaign) == []


def test_no_tasks_verdict_is_stored_where_a_persons_is() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=0), total_budget=0)
    catalog.set_window(campaign_id=campaign.pk, start_hour=1, end_hour=2, now=NOW)
    enforce_all(now=NOW)
    assert not Campaign.objects.get(pk=campaign.pk).paused_manually
    assert "manual" not in why(campaign)


def test_a_pause_on_top_of_other_reasons_outlasts_them() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=10))
    spend(campaign, 10)
    catalog.pause(campaign_id=campaign.pk, now=NOW, note="holiday")
    enforce_all(now=TOMORROW)
    assert why(campaign) == ["manual"]
    assert catalog.resume(campaign_id=campaign.pk, now=TOMORROW) is not None
    assert reading.steps(campaign) == [
        "spend: active -> brand_daily_budget",
        "person: brand_daily_budget -> manual brand_daily_budget",
        "pass: manual brand_daily_budget -> manual",
        "person: manual -> active",
    ]


def test_pausing_one_leaves_its_siblings_alone() -> None:
    brand = factories.brand()
    one, two = factories.campaign(brand), factories.campaign(brand)
    catalog.pause(campaign_id=one.pk, now=NOW)
    assert (why(one), why(two)) == (["manual"], [])


def test_an_archived_campaign_is_out_of_everybodys_hands() -> None:
    campaign = factories.campaign()
    catalog.archive_campaign(campaign_id=campaign.pk, now=NOW)
    for act in (catalog.pause, catalog.resume):
        with pytest.raises(BudgetError, match="is archived; it can't be paused or resumed"):
            act(campaign_id=campaign.pk, now=NOW)
    enforce_all(now=NEXT_MONTH)
    reset_daily_budgets(now=NEXT_MONTH)
    assert why(campaign) == ["manual"]


@pytest.mark.parametrize(
    "note", ["NUL \x00", "half a pair \ud800", "a bell \a", "x" * 501], ids=["NUL", "surrogate", "bell", "long"]
)
@pytest.mark.parametrize("act", [catalog.pause, catalog.resume])
def test_a_note_that_is_no_plain_text_is_refused(act: Callable[..., object], note: str) -> None:
    campaign = factories.campaign()
    if act is catalog.resume:
        catalog.pause(campaign_id=campaign.pk, now=NOW)
    before = reading.steps(campaign)
    with pytest.raises(BudgetError, match="note"):
        act(campaign_id=campaign.pk, now=NOW, note=note)
    assert reading.steps(campaign) == before


@pytest.mark.parametrize("note", ["", "x" * 500, "two\nlines\tof text", "客戶要求暫停 🙏"], ids=repr)
def test_any_plain_note_is_kept_as_it_is(note: str) -> None:
    campaign = factories.campaign()
    catalog.pause(campaign_id=campaign.pk, now=NOW, note=note)
    assert reading.journal(campaign)[0].note == note
