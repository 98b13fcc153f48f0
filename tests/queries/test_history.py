"""History: what the journal has of one campaign, page by page."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign, Scope, StatusChange
from campaigns.queries.history import HistoricChange, History, status_history
from campaigns.queries.standing import Limit
from campaigns.rules import money, reasons
from campaigns.rules.errors import BudgetError
from campaigns.rules.reasons import Reason
from campaigns.services import catalog
from campaigns.services.keys import create_key
from campaigns.services.status import Actor
from tests import factories
from tests.factories import NOW, spend
from tests.services import reading

pytestmark = pytest.mark.django_db

MICROS = money.MICROS


def user(name: str) -> Actor:
    return Actor(user_id=get_user_model().objects.create_user(name).pk)


def toggled(times: int, *, by: Actor | None = None) -> Campaign:
    """Make a campaign that was paused and resumed some times in all, an hour apart."""
    campaign = factories.campaign()
    for at in range(times):
        act = catalog.resume if at % 2 else catalog.pause
        act(campaign_id=campaign.pk, now=NOW + timedelta(hours=at), note=f"no. {at}", by=by or Actor())
    return campaign


def test_a_change_says_all_that_the_journal_has() -> None:
    brand = factories.brand(daily_budget=100, monthly_budget=1000)
    campaign = factories.campaign(brand, daily_budget=50, monthly_budget=500, total_budget=5000)
    spend(factories.campaign(brand), 7)
    spend(campaign, 1, at=NOW - timedelta(days=40))
    spend(campaign, 2, at=NOW - timedelta(days=1))
    spend(campaign, "50.000001")
    (row,) = reading.journal(campaign)
    assert status_history(campaign_id=campaign.pk) == History(
        changes=[
            HistoricChange(
                id=row.pk,
                at=NOW,
                from_reasons=reasons.NONE,
                to_reasons=Reason.CAMPAIGN_DAILY_BUDGET,
                cause=StatusChange.Cause.SPEND,
                actor=None,
                api_key=None,
                note="",
                brand_daily=Limit(100 * MICROS, 57_000_001),
                brand_monthly=Limit(1000 * MICROS, 59_000_001),
                campaign_daily=Limit(50 * MICROS, 50_000_001),
                campaign_monthly=Limit(500 * MICROS, 52_000_001),
                campaign_total=Limit(5000 * MICROS, 53_000_001),
            )
        ],
        more=False,
    )


def test_no_budget_is_none_and_one_of_0_is_0() -> None:
    campaign = factories.campaign(total_budget=0)
    (change,) = status_history(campaign_id=campaign.pk).changes
    assert change.cause is StatusChange.Cause.CREATED
    assert change.brand_daily == change.brand_monthly == change.campaign_daily == Limit(None, 0)
    assert (change.campaign_monthly, change.campaign_total) == (Limit(None, 0), Limit(0, 0))


def test_the_brands_figures_are_the_brands_where_its_budgets_bind_each_campaign_alone() -> None:
    brand = factories.brand(daily_budget=10, budget_scope="campaign")
    campaign = factories.campaign(brand)
    spend(factories.campaign(brand), 7)
    spend(campaign, 10)
    (change,) = status_history(campaign_id=campaign.pk).changes
    assert change.brand_daily == Limit(10 * MICROS, 17 * MICROS)


def test_its_time_is_aware() -> None:
    at = datetime(2025, 6, 18, 12, 30, 15, 123456, tzinfo=UTC)
    campaign = factories.campaign(now=at)
    catalog.pause(campaign_id=campaign.pk, now=at)
    (change,) = status_history(campaign_id=campaign.pk).changes
    assert (change.at, change.at.utcoffset()) == (at, timedelta())


def test_a_person_is_told_by_name_with_the_note() -> None:
    changes = status_history(campaign_id=toggled(2, by=user("maria")).pk).changes
    assert [(c.actor, c.note, c.cause) for c in changes] == [("maria", "no. 1", "person"), ("maria", "no. 0", "person")]


def test_a_key_is_told_by_name() -> None:
    key, _ = create_key(name="Bid server", scopes=[Scope.MANAGE], now=NOW)
    (change,) = status_history(campaign_id=toggled(1, by=Actor(api_key_id=key.pk)).pk).changes
    assert (change.api_key, change.actor) == ("Bid server", None)


def test_a_user_who_is_gone_takes_no_change_along() -> None:
    campaign = toggled(2, by=user("maria"))
    get_user_model().objects.all().delete()
    assert [change.actor for change in status_history(campaign_id=campaign.pk).changes] == [None, None]


def test_the_newest_comes_first_and_other_campaigns_have_their_own() -> None:
    campaign, other = toggled(5), toggled(3)
    history = status_history(campaign_id=campaign.pk)
    assert [change.id for change in history.changes] == [row.pk for row in reversed(reading.journal(campaign))]
    assert [change.note for change in history.changes] == [f"no. {at}" for at in (4, 3, 2, 1, 0)]
    assert len(status_history(campaign_id=other.pk).changes) == 3
    steps = [(change.from_reasons, change.to_reasons) for change in history.changes]
    assert steps == [(0, 1), (1, 0), (0, 1), (1, 0), (0, 1)]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_pages_make_up_the_whole(limit: int) -> None:
    campaign = toggled(5)
    whole = status_history(campaign_id=campaign.pk).changes
    pages: list[HistoricChange] = []
    more, before = True, None
    while more:
        page = status_history(campaign_id=campaign.pk, before=before, limit=limit)
        assert 0 < len(page.changes) <= limit
        pages += page.changes
        more, before = page.more, page.changes[-1].id
        assert more is (len(pages) < len(whole))
    assert pages == whole


def test_what_is_added_meanwhile_moves_no_page() -> None:
    campaign = toggled(4)
    first = status_history(campaign_id=campaign.pk, limit=2)
    catalog.pause(campaign_id=campaign.pk, now=NOW + timedelta(days=1))
    second = status_history(campaign_id=campaign.pk, limit=2, before=first.changes[-1].id)
    assert [change.note for change in [*first.changes, *second.changes]] == [f"no. {at}" for at in (3, 2, 1, 0)]


@pytest.mark.parametrize("arguments", [{"campaign_id": 987_654_321}, {"campaign_id": 0}, {"campaign_id": 2**80}])
def test_a_campaign_that_there_is_not_has_no_changes(arguments: dict[str, Any]) -> None:
    toggled(1)
    assert status_history(**arguments) == History(changes=[], more=False)


def test_any_number_can_be_a_place() -> None:
    campaign = toggled(2)
    for before, changes in ((0, 0), (-(2**80), 0), (2**63, 2), (2**80, 2)):
        assert len(status_history(campaign_id=campaign.pk, before=before).changes) == changes


@pytest.mark.parametrize("limit", [0, -1, 1_001])
def test_a_page_is_bounded(limit: int) -> None:
    with pytest.raises(BudgetError, match="from 1 to 1,000"):
        status_history(campaign_id=1, limit=limit)


def test_it_is_one_query_whoever_did_it() -> None:
    campaign = toggled(1)
    for at, name in enumerate(("maria", "jonas", "li")):
        act = catalog.pause if at % 2 else catalog.resume
        act(campaign_id=campaign.pk, now=NOW + timedelta(days=1), by=user(name))
    with CaptureQueriesContext(connection) as captured:
        changes = status_history(campaign_id=campaign.pk).changes
    assert [change.actor for change in changes] == ["li", "jonas", "maria", None]
    assert len(captured) == 1
