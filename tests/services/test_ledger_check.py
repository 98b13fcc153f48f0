"""The check of the ledger as a periodic run: it is recorded, finds, repairs nothing, and stands in nobody's way."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F

from campaigns.models import BrandCounter, Campaign, PeriodicRun
from campaigns.services import audit, runs
from campaigns.services.enforcement import enforce_all
from tests import factories
from tests.doors.running import run
from tests.factories import NOW
from tests.services import reading

pytestmark = pytest.mark.django_db

Task = PeriodicRun.Task
A_MOMENT = timedelta(milliseconds=200)


@pytest.fixture
def campaign() -> Campaign:
    """Return a campaign that has spent: five counters."""
    campaign = factories.campaign(factories.brand(daily_budget=10))
    factories.spend(campaign, 3)
    return campaign


def bend() -> None:
    """Change a counter behind the ledger's back."""
    assert BrandCounter.objects.filter(period=1).update(spent=F("spent") + 1_000_000)


def recorded() -> list[tuple[int, int, bool]]:
    """The recorded checks, oldest first: counters compared, counters that differ, and whether they came to an end."""
    rows = PeriodicRun.objects.filter(task=Task.CHECK_LEDGER).order_by("pk")
    return [(row.judged, row.changed, row.finished_at is not None) for row in rows]


def test_a_check_is_recorded_with_what_it_compared_and_found(campaign: Campaign) -> None:
    assert audit.run_check(now=NOW) == []
    bend()
    (difference,) = audit.run_check(now=NOW)
    assert (difference.brand_id, difference.counted - difference.ledger) == (campaign.brand_id, 1_000_000)
    assert recorded() == [(5, 0, True), (5, 1, True)]


def test_it_repairs_nothing(campaign: Campaign) -> None:
    bend()
    before = reading.counters()
    audit.run_check(now=NOW)
    assert reading.counters() == before
    assert len(audit.check_ledger()) == 1


def test_a_check_that_fails_leaves_its_record_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("the database went away")

    monkeypatch.setattr(audit, "check_ledger", fail)
    with pytest.raises(RuntimeError):
        audit.run_check(now=NOW)
    assert recorded() == [(0, 0, False)]


def test_it_does_not_hide_the_last_verdict_from_who_waited_over_it(campaign: Campaign) -> None:
    """A check that read its clock before a pass and was recorded after it: the verdicts follow the pass."""
    enforce_all(now=NOW + A_MOMENT)
    audit.run_check(now=NOW - A_MOMENT)
    assert runs.not_before_the_last_run(NOW) == NOW + A_MOMENT


def test_it_is_no_verdict_that_others_are_held_to(campaign: Campaign) -> None:
    audit.run_check(now=NOW + A_MOMENT)
    assert runs.not_before_the_last_run(NOW) == NOW


def test_the_command_records_its_run_too(campaign: Campaign) -> None:
    assert run("check_ledger").code == 0
    bend()
    assert run("check_ledger").code == 1
    assert recorded() == [(5, 0, True), (5, 1, True)]


def test_after_a_repair_the_last_record_is_of_what_is_left(campaign: Campaign) -> None:
    bend()
    ran = run("check_ledger", "--repair")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "Repaired 1 counter; a second check finds no difference.")
    assert recorded() == [(5, 1, True), (5, 0, True)]
    assert audit.check_ledger() == []
