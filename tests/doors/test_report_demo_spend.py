"""`manage.py report_demo_spend`: its bounds, and what it tells."""

from __future__ import annotations

import signal
import threading

import pytest

from campaigns.rules.reasons import NONE, Reason
from campaigns.services import demo
from campaigns.services.demo.reporter import Tick
from campaigns.services.status import Change
from tests import factories
from tests.doors.running import run


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e300", "-1", "0", "0.09", "3600.1", "soon", ""])
def test_a_pause_out_of_bounds_is_one_line(text: str) -> None:
    ran = run("report_demo_spend", f"--every={text}", "--ticks=1")
    assert (ran.code, ran.out) == (2, "")
    assert f"argument --every: {text!r} is not a pause: a number of seconds from 0.1 to 3600" in ran.err
    assert ran.err.isprintable()


@pytest.mark.parametrize("text", ["-1", "1.5", "nan", "9" * 5000, "\u0663", "", "many"])
def test_a_number_of_reports_that_is_none_is_one_line(text: str) -> None:
    ran = run("report_demo_spend", f"--ticks={text}")
    assert (ran.code, ran.out) == (2, "")
    assert "is not a number of reports: a whole number from 0 on" in ran.err
    assert ran.err.isprintable()


@pytest.mark.django_db
def test_it_tells_what_changed_and_stops_after_its_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = []
    for number in range(6):  # each of a brand of its own
        campaign = factories.campaign(factories.brand(name=f"Brand {number}"), name="Only")
        was, is_now = (Reason.SCHEDULE, NONE) if number == 0 else (NONE, Reason.BRAND_DAILY_BUDGET)
        changes.append(Change(number, campaign.pk, was, is_now))
    monkeypatch.setattr(demo, "report", lambda **_: Tick(6, changes))
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # they are pytest's
    monkeypatch.setattr(threading.Event, "wait", lambda *_: True)
    ran = run("report_demo_spend", "--every", "0.1", "--ticks", "1")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "resumed  Brand 0 / Only",
        "paused   Brand 1 / Only: brand daily budget",
        "paused   Brand 2 / Only: brand daily budget",
        "paused   Brand 3 / Only: brand daily budget",
        "paused   2 more campaigns",
    ]
