"""Forecasts above a budget, and under-delivery: told by rule, once for each budget, period and threshold."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Alert, Brand, Campaign, JournalPosition
from campaigns.queries import forecasts
from campaigns.queries.alert_rules import Rules
from campaigns.rules.alerts import Kind, Subject
from campaigns.rules.errors import BudgetError
from campaigns.services import alert_forecasts, alert_rules, catalog, hours
from tests import factories
from tests.factories import spend
from tests.services.alerting import rule
from tests.services.races import together

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = datetime(2025, 6, 18, tzinfo=UTC)
NOON, EVENING = MIDNIGHT + 12 * HOUR, MIDNIGHT + 20 * HOUR
ABOVE, UNDER = Kind.FORECAST_ABOVE, Kind.UNDER_DELIVERY


def lived(of: Brand | None = None, *, days: int = 10, until: int = 12, **fields: Any) -> Campaign:
    """A campaign that has spent 1.00 in every hour: of some days before today, and of today until an hour."""
    brand = of or factories.brand(**{"name": "Acme", **fields}, now=MIDNIGHT - 20 * DAY)
    campaign = factories.campaign(brand, name="Spring sale", now=MIDNIGHT - 20 * DAY)
    for back in range(1, days + 1):
        for hour in range(24):
            spend(campaign, 1, now=MIDNIGHT, at=MIDNIGHT - back * DAY + hour * HOUR)
    for hour in range(until):
        spend(campaign, 1, now=MIDNIGHT + until * HOUR, at=MIDNIGHT + hour * HOUR)
    for minute in range(13):
        hours.sum_hours(now=NOON + timedelta(minutes=minute))
    return campaign


def look(now: datetime) -> list[str]:
    """Look at forecasts as if the last look were long ago; return the messages of what is new."""
    JournalPosition.objects.update(forecasts_at=None)
    before = set(Alert.objects.values_list("pk", flat=True))
    told = alert_forecasts.tell_of_forecasts(Rules.read(), now=now)
    new = list(Alert.objects.exclude(pk__in=before).order_by("pk").values_list("message", flat=True))
    assert told == len(new)
    return new


def data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Alert.objects.latest("pk").payload)
    return found


def test_nothing_is_told_without_a_rule_and_nothing_is_asked() -> None:
    lived(daily_budget=18)
    rules = Rules.read()
    with CaptureQueriesContext(connection) as queries:
        assert alert_forecasts.tell_of_forecasts(rules, now=NOON) == 0
    assert len(queries) == 0


# --- Above -----------------------------------------------------------------------------------


def test_a_forecast_above_the_daily_budget_says_when_it_is_spent() -> None:
    campaign = lived(daily_budget=18, timezone="Europe/Paris", currency="EUR")
    rule(ABOVE)
    (message,) = look(NOON)
    assert message == (
        "At this rate the daily budget of Acme (18.00 EUR) is spent at about 18:00 Europe/Paris: "
        "the forecast demand is about 133% of it."
    )
    sent = data()
    assert sent["type"] == "budget.forecast_above"
    told = {name: sent["data"][name] for name in ("period", "period_start", "budget", "spent", "threshold_percent")}
    assert told == {
        "period": "day",
        "period_start": "2025-06-18",
        "budget": "18.00",
        "spent": "14.00",
        "threshold_percent": 10,
    }
    assert sent["data"]["brand"] == {"id": campaign.brand_id, "name": "Acme"}
    assert sent["data"]["spent_at"] == "2025-06-18T18:00+02:00"


def test_it_is_told_once_and_again_of_another_budget_and_the_next_day() -> None:
    campaign = lived(daily_budget=18)
    rule(ABOVE)
    assert len(look(NOON)) == 1
    assert look(NOON + HOUR) == []
    catalog.update_brand(brand_id=campaign.brand_id, now=NOON, daily_budget=19)
    assert len(look(NOON + HOUR)) == 1
    catalog.update_brand(brand_id=campaign.brand_id, now=NOON, daily_budget=18)
    assert look(NOON + HOUR) == []
    assert len(look(MIDNIGHT + DAY + HOUR / 6)) == 1
    assert set(Alert.objects.values_list("key", flat=True)) == {
        f"forecast.1.0.2025-06-{day}.{budget}000000" for day, budget in ((18, 18), (18, 19), (19, 18))
    }


def test_the_furthest_threshold_is_told_and_a_nearer_one_not_after_it() -> None:
    campaign = lived(daily_budget=16)
    rule(ABOVE, percents="20, 40, 90")
    assert len(look(NOON)) == 1
    assert data()["data"]["threshold_percent"] == 40
    alert_rules.update_rule(rule_id=rule(ABOVE, brand_id=campaign.brand_id, percents="5").pk, percents="20")
    assert look(NOON) == []
    assert Alert.objects.count() == 1


@pytest.mark.parametrize(("budget", "told"), [(23, 0), (21, 1), (12, 0)])
def test_a_forecast_is_above_from_the_percent_on_until_the_budget_is_spent(budget: int, told: int) -> None:
    lived(daily_budget=budget)
    rule(ABOVE)
    assert len(look(NOON)) == told


def test_of_two_budgets_the_one_that_stops_the_day_is_told() -> None:
    lived(daily_budget=20, monthly_budget=10 * 24 + 18)
    rule(ABOVE)
    (message,) = look(NOON)
    assert message == (
        "At this rate the monthly budget of Acme (258.00 USD) is spent on about 18 Jun 2025: "
        "the forecast demand is about 193% of it."
    )


def test_a_forecast_above_the_monthly_budget_says_on_which_day_it_is_spent() -> None:
    lived(monthly_budget=10 * 24 + 24 * 6)
    rule(ABOVE)
    (message,) = look(NOON)
    assert message.startswith("At this rate the monthly budget of Acme (384.00 USD) is spent on about 23 Jun 2025: ")
    assert data()["data"]["spent_on"] == "2025-06-23"
    assert look(NOON + DAY) == []  # the month was told


def test_what_pacing_makes_last_is_not_told_of_the_day() -> None:
    lived(daily_budget=18, pacing="even")
    rule(ABOVE)
    assert look(NOON) == []


# --- Under -----------------------------------------------------------------------------------


def test_under_delivery_of_the_day_is_told_after_three_quarters_of_it() -> None:
    lived(daily_budget=100, until=20)
    rule(UNDER)
    assert look(MIDNIGHT + 17 * HOUR) == []
    (message,) = look(EVENING)
    assert message == ("Acme is forecast to spend at most 24% of its daily budget of 100.00 USD on 18 Jun 2025.")
    assert data()["type"] == "budget.under_delivery"
    assert look(EVENING + HOUR) == []


def test_under_delivery_of_the_month_is_told_after_half_of_it() -> None:
    lived(monthly_budget=2_000)
    rule(UNDER, percents="50")
    assert look(MIDNIGHT - 3 * DAY) == []  # the 15th: fourteen days of thirty are over
    (message,) = look(NOON)
    assert message.startswith("Acme is forecast to spend at most ")
    assert message.endswith("% of its monthly budget of 2,000.00 USD in June 2025.")
    assert data()["data"]["period_start"] == "2025-06-01"
    assert look(NOON + DAY) == []


def test_worse_is_told_and_better_is_not_told_after_it() -> None:
    lived(daily_budget=40, until=20)
    made = rule(UNDER, percents="30")
    assert look(EVENING) == []
    alert_rules.update_rule(rule_id=made.pk, percents="70, 90")
    assert len(look(EVENING)) == 1
    assert data()["data"]["threshold_percent"] == 70
    alert_rules.update_rule(rule_id=made.pk, percents="80")
    assert look(EVENING) == []


def test_a_day_that_another_budget_holds_down_is_not_under_delivery() -> None:
    lived(daily_budget=100, monthly_budget=10 * 24 + 21, until=20)
    rule(UNDER)
    assert look(EVENING) == []


def test_a_day_that_another_budget_may_hold_down_is_not_under_delivery_either() -> None:
    campaign = lived(daily_budget=100, until=20)
    (outlook,) = forecasts.brand_outlooks(brand_ids=[campaign.brand_id], now=EVENING)
    under = alert_forecasts._day_under(outlook)
    assert under is not None
    assert alert_forecasts._day_under(outlook._replace(spendable=under.forecast)) is None
    assert alert_forecasts._day_under(outlook._replace(spendable=under.forecast + 1)) is not None


def test_a_budget_that_will_be_spent_is_not_under_delivery() -> None:
    lived(daily_budget=22, until=20)
    rule(UNDER, percents="100")
    assert look(EVENING) == []


# --- Whom ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ABOVE, UNDER])
def test_nothing_is_told_where_too_little_is_known(kind: Kind) -> None:
    lived(days=2, daily_budget=18 if kind is ABOVE else 100, until=20 if kind is UNDER else 12)
    rule(kind)
    assert look(NOON if kind is ABOVE else EVENING) == []


def test_the_narrowest_rule_decides() -> None:
    quiet, other = lived(daily_budget=18), lived(name="Bolt", daily_budget=18)
    rule(ABOVE)
    rule(ABOVE, brand_id=quiet.brand_id, is_on=False)
    assert len(look(NOON)) == 1
    assert Alert.objects.get().brand_id == other.brand_id


def test_without_a_rule_for_all_only_those_with_one_are_looked_at() -> None:
    one, _ = lived(daily_budget=18), lived(name="Bolt", daily_budget=18)
    rule(ABOVE, brand_id=one.brand_id)
    assert len(look(NOON)) == 1
    assert Alert.objects.get().brand_id == one.brand_id


def test_a_campaign_is_told_of_by_a_rule_of_its_own() -> None:
    brand = factories.brand(name="Acme", now=MIDNIGHT - 20 * DAY)
    campaign = lived(brand)
    catalog.update_campaign(campaign_id=campaign.pk, now=NOON, daily_budget=18)
    rule(ABOVE, Subject.CAMPAIGN, campaign_id=campaign.pk)
    (message,) = look(NOON)
    assert message.startswith("At this rate the daily budget of Spring sale (Acme) (18.00 USD) is spent at about 18:")
    assert data()["data"]["campaign"] == {"id": campaign.pk, "name": "Spring sale"}
    assert look(NOON) == []


@pytest.mark.parametrize("kind", [ABOVE, UNDER])
def test_a_rule_about_campaigns_names_one(kind: Kind) -> None:
    with pytest.raises(BudgetError, match="Choose the campaign"):
        rule(kind, Subject.CAMPAIGN)


def test_a_budget_that_binds_each_campaign_alone_is_not_the_brands() -> None:
    lived(daily_budget=18, budget_scope="campaign")
    rule(ABOVE)
    assert look(NOON) == []


# --- How often, and what it costs ------------------------------------------------------------


def test_forecasts_are_looked_at_once_in_five_minutes() -> None:
    lived(daily_budget=18)
    rule(ABOVE)

    def tell(now: datetime) -> int:
        return alert_forecasts.tell_of_forecasts(Rules.read(), now=now)

    JournalPosition.objects.create(forecasts_at=NOON)
    assert tell(NOON + timedelta(minutes=4, seconds=59)) == 0
    assert tell(NOON + timedelta(minutes=5)) == 1
    Alert.objects.all().delete()
    assert tell(NOON + timedelta(minutes=6)) == 0
    assert tell(NOON) == 1  # the clock was set back


@pytest.mark.django_db(transaction=True)
def test_of_several_at_once_one_looks() -> None:
    JournalPosition.objects.create()
    claimed = together(*[lambda: alert_forecasts._claimed(NOON)] * 4)
    assert sorted(claimed) == [False, False, False, True]


def test_a_batch_costs_the_same_however_many_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rule(ABOVE)
    rule(UNDER)
    look(NOON)
    counts = []
    for number in (1, 5):
        for each in range(number):
            lived(name=f"Brand {number} {each}", daily_budget=18, monthly_budget=5_000)
        Alert.objects.all().delete()
        with CaptureQueriesContext(connection) as queries:
            assert look(NOON)
        counts.append(len(queries))
    assert counts[0] == counts[1]
    Alert.objects.all().delete()
    monkeypatch.setattr(alert_forecasts, "BATCH", 4)
    assert len(look(NOON)) == 12
