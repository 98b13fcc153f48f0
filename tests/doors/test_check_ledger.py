"""`manage.py check_ledger`: finds every counter that is not the sum of its ledger rows, says so, repairs it."""

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.db.models import F
from django.utils import timezone

from campaigns.models import Brand, BrandCounter, Campaign, CampaignCounter
from campaigns.rules.periods import Period
from campaigns.services import audit
from tests import factories
from tests.doors.running import manage, run
from tests.factories import NOW
from tests.services import reading


@pytest.fixture
def noon() -> Iterator[None]:
    """Stop the clock at NOW."""
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def acme(noon: None, db: None) -> Brand:
    """Return a brand with two campaigns that spent 7.50 and 2 today, and 1 yesterday."""
    brand = factories.brand(name="Acme", currency="EUR", daily_budget="10")
    one, two = (factories.campaign(brand, name=name) for name in ("Spring [b]", "Search"))
    factories.spend(one, "7.5")
    factories.spend(two, 2)
    factories.spend(two, 1, at=NOW - timedelta(days=1))
    return brand


def bend(campaign: str, period: Period, by: str) -> None:
    """Change a counter behind the ledger's back."""
    rows = CampaignCounter.objects.filter(campaign__name=campaign, period=period)
    if period is Period.DAY:
        rows = rows.filter(start="2025-06-18")
    assert rows.update(spent=F("spent") + int(Decimal(by) * 1_000_000)) == 1


def told(*options: str) -> tuple[int, dict[str, Any]]:
    ran = run("check_ledger", "--json", *options)
    return ran.code, json.loads(ran.out)


def test_a_clean_ledger_is_one_line(acme: Brand) -> None:
    ran = run("check_ledger")
    assert ran == (0, "The ledger is clean: 10 counters and 3 ledger rows, no difference.\n", "")
    assert told()[0] == 0


def test_an_empty_database_is_clean(db: None) -> None:
    assert run("check_ledger").out == "The ledger is clean: 0 counters and 0 ledger rows, no difference.\n"


def test_each_difference_is_told_and_nothing_is_changed(acme: Brand) -> None:
    bend("Spring [b]", Period.DAY, "0.000001")
    bend("Search", Period.TOTAL, "-1000")
    BrandCounter.objects.filter(period=Period.MONTH).delete()
    ran = run("check_ledger")
    assert ran.code == 1
    assert ran.err == "3 counters differ from the ledger; --repair rebuilds them."
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines == [
        "Brand Campaign Period Counter Ledger Difference",
        "Acme all together month 2025-06 0.00 10.50 -10.50 EUR",
        "Acme Spring [b] day 2025-06-18 7.500001 7.50 +0.000001 EUR",
        "Acme Search total -997.00 3.00 -1,000.00 EUR",
    ]
    assert len(audit.check_ledger()) == 3


def test_programs_get_all_of_it(acme: Brand) -> None:
    bend("Search", Period.DAY, "5")
    bend("Search", Period.TOTAL, "5")
    code, report = told()
    assert code == 1
    assert {key: report[key] for key in ("clean", "repaired", "counters", "ledger_rows")} == {
        "clean": False,
        "repaired": 0,
        "counters": 10,
        "ledger_rows": 3,
    }
    search = Campaign.objects.get(name="Search")
    assert report["differences"] == [
        {
            "brand_id": acme.pk,
            "brand": "Acme",
            "campaign_id": search.pk,
            "campaign": "Search",
            "period": period,
            "figure": "spent",
            "start": start,
            "currency": "EUR",
            "counter": counter,
            "ledger": in_ledger,
            "difference": "5.00",
        }
        for period, start, counter, in_ledger in (
            ("day", "2025-06-18", "7.00", "2.00"),
            ("total", None, "8.00", "3.00"),
        )
    ]


def test_a_repair_rebuilds_judges_and_checks_again(acme: Brand) -> None:
    bend("Search", Period.DAY, "5")
    BrandCounter.objects.filter(period=Period.DAY, start="2025-06-18").update(spent=99)
    Campaign.objects.filter(brand=acme).update(is_active=False, reasons=2)  # as a pass judged it on the bent counter
    ran = run("check_ledger", "--repair")
    assert (ran.code, ran.err) == (0, "")
    assert "Acme" in ran.out
    assert ran.out.splitlines()[-1] == "Repaired 2 counters; a second check finds no difference."
    assert reading.counters() == reading.sums_of_the_ledger()
    assert [reading.why(campaign) for campaign in acme.campaigns.all()] == [[], []]
    assert run("check_ledger").code == 0


def test_a_repair_of_what_is_sound_says_that_it_is_clean(acme: Brand) -> None:
    assert run("check_ledger", "--repair").out.startswith("The ledger is clean")


def test_a_repair_for_programs_says_what_differed(acme: Brand) -> None:
    bend("Search", Period.DAY, "5")
    code, report = told("--repair")
    assert (code, report["clean"], report["repaired"], len(report["differences"])) == (0, True, 1, 1)


def test_a_repair_that_did_not_help_is_an_error(acme: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    bend("Search", Period.DAY, "5")
    found = audit.check_ledger()
    monkeypatch.setattr(audit, "repair_ledger", lambda **_: found)
    ran = run("check_ledger", "--repair")
    assert ran.code == 1
    assert "1 counter still differs from the ledger after the repair" in ran.err


def test_a_long_list_is_cut_for_people_and_whole_for_programs(acme: Brand) -> None:
    for number in range(60):
        campaign = factories.campaign(acme, name=f"C{number}")
        factories.spend(campaign, 1)
    CampaignCounter.objects.filter(period=Period.TOTAL).update(spent=F("spent") + 1)
    ran = run("check_ledger")
    assert len(ran.out.splitlines()) == 1 + 50 + 1
    assert ran.out.splitlines()[-1] == "and 12 more; --json has all of them"
    assert len(told()[1]["differences"]) == 62


@pytest.mark.django_db(transaction=True)
def test_a_row_of_a_campaign_that_is_not_there_is_told_and_can_t_be_repaired() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO campaigns_spendlog (brand_id, campaign_id, event_id, kind, amount, timestamp, day, "
            "recorded_at, note) VALUES (999, 888, 'x', 1, 5, '2025-06-18', '2025-06-18', '2025-06-18', '')"
        )
    ran = run("check_ledger")
    assert ran.code == 1
    assert "unknown brand 999" in ran.out and "unknown campaign 888" in ran.out
    ran = run("check_ledger", "--repair")
    assert ran.code == 1
    assert ran.err.startswith("The database refused: ") and ran.err.isprintable()
    assert not CampaignCounter.objects.exists()


def test_wrong_arguments_are_one_sentence(db: None) -> None:
    assert run("check_ledger", "--fix").code == 2


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_the_real_program_exits_with_its_codes() -> None:
    now = timezone.now()
    campaign = factories.campaign(factories.brand(now=now, name="Müller " * 12), now=now, name="A long name " * 9)
    factories.spend(campaign, 5, now=now)
    clean = manage("check_ledger")
    assert (clean.code, clean.err, clean.out.count("\n")) == (0, "", 1)
    CampaignCounter.objects.update(spent=Decimal("-123456789.123456"))
    bent = manage("check_ledger")
    assert (bent.code, bent.err.count("\n")) == (1, 1)
    assert all(len(line) <= 100 for line in bent.out.splitlines())
    assert "-123,456,789.123456" in bent.out
    repaired = manage("check_ledger", "--repair")
    assert (repaired.code, repaired.err) == (0, "")
    assert manage("check_ledger").code == 0
