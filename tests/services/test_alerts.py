"""Looking for what is to be told: each thing once, whoever looks and however often."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Alert, AlertRule, Brand, Campaign, PeriodicRun
from campaigns.queries.alert_rules import Rules
from campaigns.rules import alerts as rules
from campaigns.rules.alerts import Kind, Subject
from campaigns.rules.errors import BudgetError
from campaigns.services import alert_rules, alert_shares, alerts, catalog
from campaigns.services.enforcement import enforce_all
from tests import factories
from tests.factories import NOW, spend
from tests.services.alerting import INTERVALS, look, rule
from tests.services.races import together

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Brand:
    return factories.brand(name="Acme", currency="EUR", timezone="Europe/Paris", daily_budget="100")


@pytest.fixture
def sale(acme: Brand) -> Campaign:
    return factories.campaign(acme, name="Spring sale")


def payload() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Alert.objects.latest("pk").payload)
    return found


# --- Shares of a brand's budgets -------------------------------------------------------------


def test_each_share_is_told_once_without_a_rule(sale: Campaign) -> None:
    spend(sale, "49.999999")
    assert look() == []
    spend(sale, "0.000001")
    assert look() == ["Acme has spent 50% of its daily budget of 18 Jun 2025: 50.00 EUR of 100.00 EUR."]
    assert look() == []
    spend(sale, 35)
    assert look() == ["Acme has spent 85% of its daily budget of 18 Jun 2025: 85.00 EUR of 100.00 EUR."]
    spend(sale, 15)
    assert look() == ["Acme has spent its daily budget of 18 Jun 2025: 100.00 EUR of 100.00 EUR."]
    spend(sale, 4)
    assert look() == []
    spend(sale, 2)
    assert look() == [
        "Acme has spent 6.00 EUR more than its daily budget of 18 Jun 2025: 106.00 EUR of 100.00 EUR.",
    ]
    assert look() == []


def test_of_shares_that_were_leapt_over_the_highest_is_told(sale: Campaign) -> None:
    spend(sale, 100)
    assert len(look()) == 1
    assert list(Alert.objects.values_list("threshold", flat=True)) == [100]


def test_the_message_says_it_in_figures(sale: Campaign, acme: Brand) -> None:
    spend(sale, "85.123456")
    look()
    sent = payload()
    assert (sent["type"], sent["timestamp"]) == ("budget.threshold_reached", "2025-06-18T12:00:00+00:00")
    uid = sent["data"].pop("id")
    assert uid == Alert.objects.get().uid
    assert sent["data"].pop("message").startswith("Acme has spent 85%")
    assert sent["data"] == {
        "brand": {"id": acme.pk, "name": "Acme"},
        "campaign": None,
        "period": "day",
        "period_start": "2025-06-18",
        "time_zone": "Europe/Paris",
        "currency": "EUR",
        "budget": "100.00",
        "spent": "85.123456",
        "threshold_percent": 80,
        "spent_percent": 85,
    }


def test_another_budget_and_another_day_are_told_anew(sale: Campaign, acme: Brand) -> None:
    spend(sale, 90)
    assert len(look()) == 1
    catalog.update_brand(brand_id=acme.pk, now=NOW, daily_budget=150)
    assert look() == ["Acme has spent 60% of its daily budget of 18 Jun 2025: 90.00 EUR of 150.00 EUR."]
    catalog.update_brand(brand_id=acme.pk, now=NOW, daily_budget=100)
    assert look() == []  # that was told of this value
    tomorrow = NOW + timedelta(days=1)
    assert look(tomorrow) == []
    spend(sale, 60, now=tomorrow)
    assert look(tomorrow) == ["Acme has spent 60% of its daily budget of 19 Jun 2025: 60.00 EUR of 100.00 EUR."]


def test_the_day_is_that_of_the_brands_zone(acme: Brand) -> None:
    late = NOW.replace(hour=15)  # past midnight in Tokyo
    tokyo = factories.brand(name="Tokyo", timezone="Asia/Tokyo", daily_budget=100)
    spend(factories.campaign(tokyo), 60)
    assert look(late) == []
    assert len(look(NOW)) == 1


def test_a_month_has_its_own_budget(acme: Brand, sale: Campaign) -> None:
    catalog.update_brand(brand_id=acme.pk, now=NOW, daily_budget=None, monthly_budget="1000")
    spend(sale, 500, at=NOW - timedelta(days=3))
    assert look() == ["Acme has spent 50% of its monthly budget of June 2025: 500.00 EUR of 1,000.00 EUR."]
    assert payload()["data"]["period_start"] == "2025-06-01"


@pytest.mark.parametrize("fields", [{"daily_budget": None}, {"daily_budget": 0}, {"budget_scope": "campaign"}])
def test_no_budget_nothing_and_each_campaign_alone_are_no_share_of_the_brands(
    acme: Brand, sale: Campaign, fields: dict[str, Any]
) -> None:
    catalog.update_brand(brand_id=acme.pk, now=NOW, **fields)
    spend(sale, 100)
    assert look() == []


def test_what_is_archived_tells_nothing(acme: Brand, sale: Campaign) -> None:
    rule(Kind.DAILY_BUDGET, Subject.CAMPAIGN)
    spend(sale, 100)
    catalog.archive_brand(brand_id=acme.pk, now=NOW)
    assert look() == []


@pytest.mark.parametrize("micros", [1, 3, 7, 33, 99, 101, 999_999, 1_000_001, 10**18])
@pytest.mark.parametrize("percent", [1, 33, 50, 99, 100])
def test_a_share_is_exact(micros: int, percent: int) -> None:
    least = -(-micros * percent // 100)  # the first micro that is at least the share
    rows = ", ".join(f"({spent}, {micros}, {percent})" for spent in (least - 1, least))
    share = alert_shares._SHARE.replace("%%", "%")
    with connection.cursor() as cursor:
        values = f"SELECT column1 AS spent, column2 AS budget, column3 AS percent FROM (VALUES {rows}) v"
        if connection.vendor == "postgresql":
            values = values.replace("column", "v.column")
        cursor.execute(f"SELECT x.spent >= {share} FROM ({values}) x ORDER BY x.spent".replace("%", "%%"), [])
        assert [bool(reached) for (reached,) in cursor.fetchall()] == [False, True]


# --- Rules -----------------------------------------------------------------------------------


def test_the_narrowest_rule_decides(acme: Brand, sale: Campaign) -> None:
    bolt = factories.campaign(factories.brand(name="Bolt", daily_budget=100))
    rule(Kind.DAILY_BUDGET, percents="20")
    rule(Kind.DAILY_BUDGET, brand_id=acme.pk, percents="30, 60")
    for campaign in (sale, bolt):
        spend(campaign, 25)
    assert [told[:19] for told in look()] == ["Bolt has spent 25% "]
    spend(sale, 5)
    assert [told[:19] for told in look()] == ["Acme has spent 30% "]
    AlertRule.objects.filter(brand=acme).update(is_on=False)
    spend(sale, 50)
    assert look() == []
    for made in AlertRule.objects.all():
        alert_rules.delete_rule(rule_id=made.pk)
    assert [told[:19] for told in look()] == ["Acme has spent 80% "]


def test_campaigns_tell_only_where_a_rule_says_so(acme: Brand) -> None:
    of_acme = [factories.campaign(acme, name=name, daily_budget=10, total_budget=100) for name in ("One", "Two")]
    other = factories.campaign(factories.brand(name="Bolt"), name="Three", daily_budget=10)
    for campaign in (*of_acme, other):
        spend(campaign, 9)
    assert look() == []
    rule(Kind.DAILY_BUDGET, Subject.CAMPAIGN, campaign_id=of_acme[0].pk, percents="90")
    assert [told.split(" has")[0] for told in look()] == ["One (Acme)"]
    rule(Kind.DAILY_BUDGET, Subject.CAMPAIGN, brand_id=acme.pk, percents="10")
    assert [told.split(" has")[0] for told in look()] == ["Two (Acme)"]
    rule(Kind.DAILY_BUDGET, Subject.CAMPAIGN, percents="50")
    assert [told.split(" has")[0] for told in look()] == ["Three (Bolt)"]
    rule(Kind.TOTAL_BUDGET, Subject.CAMPAIGN, percents="5")
    assert {told.split(" of its ")[1] for told in look()} == {"total budget: 9.00 EUR of 100.00 EUR."}
    assert payload()["data"]["period_start"] is None


def test_a_campaign_is_held_against_its_brands_budget_where_that_is_for_each(acme: Brand) -> None:
    catalog.update_brand(brand_id=acme.pk, now=NOW, budget_scope="campaign")
    tight, wide = (factories.campaign(acme, name=name, daily_budget=own) for name, own in (("T", 50), ("W", 500)))
    rule(Kind.DAILY_BUDGET, Subject.CAMPAIGN)
    for campaign in (tight, wide):
        spend(campaign, 50)
    assert look() == [
        "T (Acme) has spent its daily budget of 18 Jun 2025: 50.00 EUR of 50.00 EUR.",
        "W (Acme) has spent 50% of its daily budget of 18 Jun 2025: 50.00 EUR of 100.00 EUR.",
    ]


def test_overspend_of_campaigns_is_of_each_budget(acme: Brand) -> None:
    campaign = factories.campaign(acme, daily_budget=10, monthly_budget=20, total_budget=10)
    rule(Kind.OVERSPEND, Subject.CAMPAIGN, percents="10")
    rule(Kind.OVERSPEND, is_on=False)
    spend(campaign, "11")
    assert len(look()) == 2
    assert {alert.key.split(".")[1] for alert in Alert.objects.all()} == {"1", "3"}


@pytest.mark.parametrize(
    ("kind", "subject", "fields", "error"),
    [
        (Kind.TOTAL_BUDGET, Subject.BRAND, {}, "choose each campaign"),
        (Kind.PAUSED, Subject.PRODUCT, {}, "no rule about the installation for campaigns paused"),
        (Kind.TEST, Subject.BRAND, {}, "no rule"),
        (Kind.DAILY_BUDGET, Subject.BRAND, {"percents": "0"}, "Give percents from 1 to 100."),
        (Kind.DAILY_BUDGET, Subject.BRAND, {"percents": "101"}, "Give percents from 1 to 100."),
        (Kind.OVERSPEND, Subject.BRAND, {"percents": "501"}, "Give percents from 1 to 500."),
        (Kind.DAILY_BUDGET, Subject.BRAND, {"percents": "half"}, "Give whole percents"),
        (Kind.DAILY_BUDGET, Subject.BRAND, {"percents": "1 2 3 4 5 6 7 8 9 10 11"}, "Give 1 to 10 percents"),
        (Kind.RUNS_LATE, Subject.PRODUCT, {"brand_id": 1}, "leave brand and campaign empty"),
        (Kind.DAILY_BUDGET, Subject.BRAND, {"campaign_id": 1}, "leave the campaign empty"),
        (Kind.DAILY_BUDGET, Subject.CAMPAIGN, {"campaign_id": 0}, "There is no campaign 0."),
    ],
)
def test_a_rule_that_can_not_be_is_refused_in_words(
    kind: Kind, subject: Subject, fields: dict[str, Any], error: str
) -> None:
    with pytest.raises(BudgetError, match=error):
        rule(kind, subject, **fields)
    assert not AlertRule.objects.exists()


def test_there_is_one_rule_of_a_kind_for_the_same(acme: Brand, sale: Campaign) -> None:
    for fields in ({}, {"brand_id": acme.pk}, {"campaign_id": sale.pk}):
        rule(Kind.DAILY_BUDGET, Subject.CAMPAIGN, **fields)
        with pytest.raises(BudgetError, match="There is such a rule"):
            rule(Kind.DAILY_BUDGET, Subject.CAMPAIGN, **fields)


def test_a_rule_is_changed_in_what_it_looks_for() -> None:
    made = rule(Kind.DAILY_BUDGET, percents="80%, 20")
    assert made.percents == "20, 80"
    alert_rules.update_rule(rule_id=made.pk, percents="5")
    alert_rules.update_rule(rule_id=made.pk, is_on=False)
    made.refresh_from_db()
    assert (made.percents, made.is_on) == ("5", False)
    with pytest.raises(BudgetError):
        alert_rules.update_rule(rule_id=made.pk, percents="-5")


def test_every_kind_is_named_and_has_a_type() -> None:
    assert set(rules.LABELS) == set(rules.EVENTS) == set(Kind)


# --- However many look -----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_several_processes_that_look_at_once_tell_each_thing_once() -> None:
    brands = [factories.brand(daily_budget=10, monthly_budget=100) for _ in range(5)]
    for brand in brands:
        campaign = factories.campaign(brand, daily_budget=10)
        spend(campaign, 10)
    rule(Kind.DAILY_BUDGET, Subject.CAMPAIGN)
    rule(Kind.PAUSED, Subject.CAMPAIGN)
    look_once = lambda: alerts.look(now=NOW, intervals=INTERVALS, broker_url="redis://127.0.0.1:1/0")  # noqa: E731
    told = together(look_once, look_once, look_once, look_once)
    assert sum(told) == Alert.objects.count() == 10
    assert Alert.objects.values("brand", "key", "threshold").distinct().count() == 10


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgresql
def test_without_the_key_it_would_be_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: both have looked before either has written, and nothing but the key parts them."""
    brand = factories.brand(daily_budget=10)
    spend(factories.campaign(brand), 10)
    both, plain = threading.Barrier(2), alert_shares._find

    def find(*args: Any) -> Any:
        found = plain(*args)
        both.wait(20)
        return found

    monkeypatch.setattr(alert_shares, "_find", find)

    def tell() -> int:
        return alert_shares.tell_of_brands(Rules.read(), now=NOW)

    assert sorted(together(tell, tell)) == [0, 1]
    assert Alert.objects.count() == 1
    Alert.objects.all().delete()
    keys = iter("ab")
    monkeypatch.setattr(alert_shares, "_key", lambda _: f"not the same {next(keys)}")
    assert together(tell, tell) == [1, 1]


# --- What a look costs -----------------------------------------------------------------------


def test_a_look_costs_the_same_however_many_brands_and_campaigns_there_are() -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            look()
        return len(queries)

    for kind in (Kind.DAILY_BUDGET, Kind.TOTAL_BUDGET, Kind.PAUSED):
        rule(kind, Subject.CAMPAIGN)
    cost()
    counts = []
    for number in (2, 30):
        for _ in range(number):
            spend(factories.campaign(factories.brand(daily_budget=10), daily_budget=5, total_budget=5), 5)
        counts.append(cost())
        counts.append(cost())
    assert counts[0] == counts[2]
    assert counts[1] == counts[3] < counts[0]


def test_more_than_one_statement_finds_are_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_shares, "AT_ONCE", 3)
    monkeypatch.setattr(alert_shares, "BATCH", 2)
    rule(Kind.DAILY_BUDGET, Subject.CAMPAIGN)
    for _ in range(7):
        spend(factories.campaign(factories.brand(daily_budget=10), daily_budget=5), 5)
    assert len(look()) == 14
    assert look() == []


# --- The installation ------------------------------------------------------------------------


def test_late_passes_are_told_once_each_time_they_stop() -> None:
    enforce_all(now=NOW)
    assert look(NOW + timedelta(seconds=149)) == []
    later = NOW + timedelta(minutes=10)
    assert look(later) == ["Last pass: The last pass was 10 min ago; one is due every 60 s."]
    assert look(later + timedelta(minutes=1)) == []
    enforce_all(now=later)
    assert look(later) == []
    assert len(look(later + timedelta(minutes=10))) == 1


def test_a_failed_ledger_check_is_told_once_until_it_finds_something_else() -> None:
    def check(differences: int, hours: int) -> None:
        at = NOW - timedelta(hours=10 - hours)
        task = PeriodicRun.Task.CHECK_LEDGER
        PeriodicRun.objects.create(task=task, started_at=at, finished_at=at, judged=9, changed=differences)

    found = []
    for hours, differences in enumerate((0, 2, 2, 3, 0, 1)):
        check(differences, hours)
        found.append(look() + look())
    assert found == [
        [],
        ["2 counters differ from the ledger; run check_ledger, which names them."],
        [],
        ["3 counters differ from the ledger; run check_ledger, which names them."],
        [],
        ["1 counter differs from the ledger; run check_ledger, which names them."],
    ]


def test_a_failed_check_is_told_also_where_no_look_came_between_it_and_the_next() -> None:
    for hours, differences in ((3, 0), (2, 2), (1, 2)):
        at = NOW - timedelta(hours=hours)
        task = PeriodicRun.Task.CHECK_LEDGER
        PeriodicRun.objects.create(task=task, started_at=at, finished_at=at, judged=9, changed=differences)
    assert look() == ["2 counters differ from the ledger; run check_ledger, which names them."]
    assert look() == []


def test_a_rule_that_is_off_keeps_the_installation_quiet() -> None:
    at = NOW - timedelta(hours=1)
    task = PeriodicRun.Task.CHECK_LEDGER
    PeriodicRun.objects.create(task=task, started_at=at, finished_at=at, judged=9, changed=1)
    made = rule(Kind.LEDGER_DIFFERS, Subject.PRODUCT, is_on=False)
    assert look() == []
    alert_rules.update_rule(rule_id=made.pk, is_on=True)
    assert len(look()) == 1
