"""Cost: what recording and judging ask of the database does not grow with a brand, and a quiet pass writes nothing."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand, Campaign, PeriodicRun, RollOver
from campaigns.services import audit, catalog, enforce_budget, reset_daily_budgets, reset_monthly_budgets
from campaigns.services.enforcement import enforce_all
from campaigns.services.spend import record_spend
from tests import factories
from tests.factories import NOW, event, spend
from tests.services.reading import why

pytestmark = pytest.mark.django_db

SAVEPOINTS = re.compile(r"^(SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO)")
WRITES = re.compile(r"^\s*(INSERT INTO|UPDATE|DELETE FROM)\s+\"?(\w+)", re.IGNORECASE)


def statements(act: Callable[[], object]) -> list[str]:
    """The statements that an act sends, but for those that begin and end transactions."""
    with CaptureQueriesContext(connection) as captured:
        act()
    return [query["sql"] for query in captured.captured_queries if not SAVEPOINTS.match(query["sql"])]


def written(act: Callable[[], object]) -> list[str]:
    """The tables that an act's statements write to, in order."""
    return [match[2].removeprefix("campaigns_") for sql in statements(act) if (match := WRITES.match(sql))]


def grown(brand: Brand, campaigns: int) -> Campaign:
    """Give a brand many more campaigns; return the first."""
    first = factories.campaign(brand)
    Campaign.objects.bulk_create(
        [Campaign(brand=brand, name=f"More {at}", created_at=NOW) for at in range(campaigns - 1)]
    )
    return first


# --- Recording -------------------------------------------------------------------------------

RECORDING = ["spendlog", "brandcounter", "campaigncounter"]


@pytest.mark.parametrize("scope", ["brand", "campaign"])
def test_an_event_costs_the_same_whatever_the_size_of_its_brand(scope: str) -> None:
    costs = []
    for size in (1, 300):
        campaign = grown(factories.brand(daily_budget=100, monthly_budget=500, budget_scope=scope), size)
        spend(campaign, 1)
        costs.append(len(statements(lambda of=campaign: spend(of, 1))))  # type: ignore[misc]
        assert written(lambda of=campaign: spend(of, 1)) == RECORDING  # type: ignore[misc]
    assert costs[0] == costs[1] <= 8


def test_a_thousand_events_cost_as_many_statements_as_one() -> None:
    campaigns = [factories.campaign() for _ in range(20)]
    one = statements(lambda: record_spend([event(campaigns[0])], now=NOW))
    many = statements(lambda: record_spend([event(campaigns[at % 20]) for at in range(1_000)], now=NOW))
    assert len(many) <= len(one) + 1


def test_repeats_cost_one_more_look_and_nothing_else() -> None:
    campaign = factories.campaign()
    sent = [event(campaign) for _ in range(50)]
    record_spend(sent, now=NOW)
    assert written(lambda: record_spend(sent, now=NOW)) == ["spendlog"]
    assert len(statements(lambda: record_spend(sent, now=NOW))) <= 4  # one of them the COPY that found them


def test_crossing_costs_the_same_whatever_the_size_of_the_brand() -> None:
    costs = []
    for size in (2, 300):
        campaign = grown(factories.brand(daily_budget=100), size)
        costs.append(len(statements(lambda of=campaign: spend(of, 100))))  # type: ignore[misc]
        assert Campaign.objects.filter(brand=campaign.brand, is_active=True).count() == 0
    assert costs[0] == costs[1]


def test_beyond_the_budget_it_costs_what_it_cost_before() -> None:
    campaign = grown(factories.brand(daily_budget=100), 50)
    spend(campaign, 1)
    below = statements(lambda: spend(campaign, 1))
    spend(campaign, 100)
    assert len(statements(lambda: spend(campaign, 1))) == len(below)
    assert written(lambda: spend(campaign, 1)) == RECORDING


def test_late_spend_across_a_budget_of_its_own_day_judges_nobody() -> None:
    campaign = factories.campaign(factories.brand(daily_budget=100), daily_budget=100)
    spend(campaign, 1)
    yesterday = NOW - timedelta(days=1)
    assert written(lambda: spend(campaign, 100, at=yesterday)) == RECORDING


def test_rejected_events_write_nothing() -> None:
    assert written(lambda: record_spend([event(-1), event(0)], now=NOW)) == []


# --- The pass --------------------------------------------------------------------------------


def test_a_pass_that_changes_nothing_writes_only_its_own_record() -> None:
    brand = factories.brand(daily_budget=10)
    for _ in range(5):
        spend(factories.campaign(brand), 3)
    catalog.pause(campaign_id=factories.campaign().pk, now=NOW)
    later = NOW + timedelta(minutes=1)
    assert written(lambda: enforce_all(now=later)) == ["periodicrun", "periodicrun"]
    assert PeriodicRun.objects.get().changed == 0


def test_a_roll_over_that_changes_nothing_writes_only_records() -> None:
    factories.campaign(factories.brand(daily_budget=10))
    for reset in (reset_daily_budgets, reset_monthly_budgets):
        first, second = (set(written(lambda now=NOW: reset(now=now))) for _ in range(2))  # type: ignore[misc]  # noqa: B023
        assert first == {"periodicrun", "rollover"}
        assert second == {"periodicrun"}
    assert RollOver.objects.count() == 2


def test_judging_one_that_stands_writes_nothing() -> None:
    campaign = factories.campaign()
    assert written(lambda: enforce_budget(campaign_id=campaign.pk, now=NOW)) == ["statuschange"]  # of no rows
    assert not campaign.status_changes.exists()


def test_a_pass_costs_the_same_whatever_the_number_of_campaigns() -> None:
    costs = []
    for size in (2, 300):
        grown(factories.brand(daily_budget=0), size)
        Campaign.objects.filter(reasons=0).update(reasons=1, is_active=False)
        costs.append(len(statements(lambda: enforce_all(now=NOW))))
    assert costs[0] == costs[1]
    assert Campaign.objects.filter(reasons=2).count() == 302


def test_a_change_writes_only_the_rows_that_change() -> None:
    brand, other = factories.brand(daily_budget=10), factories.brand()
    quiet = [factories.campaign(other) for _ in range(3)]
    stamp = NOW - timedelta(days=1)
    Campaign.objects.update(status_changed_at=stamp)
    spend(factories.campaign(brand), 10)
    enforce_all(now=NOW)
    assert set(Campaign.objects.filter(brand=other).values_list("status_changed_at", flat=True)) == {stamp}
    assert list(map(why, quiet)) == [[]] * 3


# --- The audit -------------------------------------------------------------------------------


def test_the_audit_of_a_sound_ledger_is_a_statement_for_each_figure_that_writes_nothing() -> None:
    for _ in range(3):
        spend(factories.campaign(), 1)
    assert len(statements(audit.check_ledger)) == 2
    assert written(lambda: audit.repair_ledger(now=NOW)) == []
