"""A change of status as a sentence: why, with which figures, by whom, on whose clock, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from campaigns.admin.sentences import change_sentence
from campaigns.models import StatusChange
from campaigns.queries.changes import ToldChange
from campaigns.queries.standing import Limit
from campaigns.rules import money, reasons
from campaigns.rules.reasons import Reason

Cause = StatusChange.Cause
UNIT = money.MICROS

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 22, 15, 30, tzinfo=PARIS)
AT = datetime(2026, 11, 22, 14, 2, tzinfo=PARIS)
MIDNIGHT = datetime(2026, 11, 23, tzinfo=PARIS)

DAILY, MONTHLY = Reason.BRAND_DAILY_BUDGET, Reason.BRAND_MONTHLY_BUDGET
SPENT = {DAILY: Limit(1_000 * UNIT, 1_000 * UNIT)}


def told(was: Reason, became: Reason, cause: StatusChange.Cause, **fields: Any) -> str:
    """The sentence about a change; what the case does not care about is filled in."""
    now = fields.pop("now", NOW)
    plain: dict[str, Any] = {
        "id": 1,
        "at": AT,
        "zone": PARIS,
        "currency": "USD",
        "campaign_id": 2,
        "campaign": "Spring",
        "brand_id": 3,
        "brand": "Acme",
        "actor": None,
        "api_key": None,
        "note": "",
        "limits": {},
        "resumes_at": None,
    }
    return change_sentence(ToldChange(from_reasons=was, to_reasons=became, cause=cause, **{**plain, **fields}), now)


def paused(why: Reason, cause: StatusChange.Cause = Cause.PASS, **fields: Any) -> str:
    return told(reasons.NONE, why, cause, **fields)


def resumed(why: Reason, cause: StatusChange.Cause = Cause.PASS, **fields: Any) -> str:
    return told(why, reasons.NONE, cause, **fields)


# --- Paused ----------------------------------------------------------------------------------


def test_a_spent_budget_is_told_with_its_figures_and_the_resumption() -> None:
    assert paused(DAILY, Cause.SPEND, limits=SPENT, resumes_at=MIDNIGHT) == (
        "Paused 14:02: daily budget of Acme spent, 1,000.00 of 1,000.00 USD; resumes at midnight Europe/Paris"
    )


def test_overspend_and_the_currencys_own_decimals_are_told_as_they_are() -> None:
    limits = {Reason.CAMPAIGN_TOTAL_BUDGET: Limit(5_000 * UNIT, 5_100 * UNIT)}
    assert paused(Reason.CAMPAIGN_TOTAL_BUDGET, Cause.SPEND, limits=limits, currency="JPY") == (
        "Paused 14:02 Europe/Paris: total budget of the campaign spent, 5,100 of 5,000 JPY"
    )


def test_several_reasons_at_once_are_all_told() -> None:
    limits = {**SPENT, MONTHLY: Limit(30_000 * UNIT, 30_000 * UNIT)}
    assert paused(DAILY | MONTHLY | Reason.SCHEDULE, limits=limits, resumes_at=datetime(2026, 12, 1, tzinfo=PARIS)) == (
        "Paused 14:02: daily budget of Acme spent, 1,000.00 of 1,000.00 USD, "
        "monthly budget of Acme spent, 30,000.00 of 30,000.00 USD, outside its hours; "
        "resumes 1 Dec 2026, 00:00 Europe/Paris"
    )


@pytest.mark.parametrize(
    ("resumes_at", "expected"),
    [
        (datetime(2026, 11, 22, 22, tzinfo=PARIS), "resumes 22:00 Europe/Paris"),
        (datetime(2026, 11, 23, 6, tzinfo=PARIS), "resumes 06:00 tomorrow Europe/Paris"),
        (datetime(2026, 11, 23, 5, tzinfo=UTC), "resumes 06:00 tomorrow Europe/Paris"),
        (MIDNIGHT.astimezone(UTC), "resumes at midnight Europe/Paris"),
        (datetime(2026, 11, 24, tzinfo=PARIS), "resumes 24 Nov 2026, 00:00 Europe/Paris"),
    ],
)
def test_when_it_resumes(resumes_at: datetime, expected: str) -> None:
    assert paused(Reason.SCHEDULE, resumes_at=resumes_at) == f"Paused 14:02: outside its hours; {expected}"


def test_what_should_have_resumed_waits_for_the_next_pass() -> None:
    assert paused(Reason.SCHEDULE, resumes_at=NOW) == (
        "Paused 14:02 Europe/Paris: outside its hours; resumes with the next pass"
    )


def test_a_midnight_that_the_clock_skips_is_no_midnight() -> None:
    beirut = ZoneInfo("Asia/Beirut")  # on 2026-03-29 its day begins at 01:00
    now = datetime(2026, 3, 28, 15, tzinfo=beirut)
    sentence = paused(Reason.SCHEDULE, zone=beirut, at=now, now=now, resumes_at=datetime(2026, 3, 28, 22, tzinfo=UTC))
    assert sentence.endswith("resumes 01:00 tomorrow Asia/Beirut")


def test_another_day_is_told_with_its_date_on_the_brands_clock() -> None:
    late = datetime(2026, 11, 21, 22, 59, tzinfo=UTC)  # 23:59 in Paris, and already the 22nd in Tokyo
    assert paused(Reason.ENDED, at=late) == "Paused 21 Nov 2026, 23:59 Europe/Paris: flight ended"
    tokyo = ZoneInfo("Asia/Tokyo")
    assert paused(Reason.ENDED, at=late, zone=tokyo) == "Paused 07:59 Asia/Tokyo: flight ended"


def test_a_person_is_named_with_the_note() -> None:
    sentence = paused(Reason.MANUAL, Cause.PERSON, actor="maria", note="wrong landing page")
    assert sentence == "Paused 14:02 Europe/Paris by maria: wrong landing page"
    assert paused(Reason.MANUAL, Cause.PERSON, actor="maria") == "Paused 14:02 Europe/Paris by maria"
    assert paused(Reason.MANUAL, Cause.PERSON, api_key="ad server") == "Paused 14:02 Europe/Paris by key ad server"
    assert paused(Reason.MANUAL, Cause.PERSON) == "Paused 14:02 Europe/Paris by a person"


def test_what_somebody_changed_is_told_beside_what_it_did() -> None:
    limits = {DAILY: Limit(500 * UNIT, 800 * UNIT)}
    assert paused(DAILY, Cause.BUDGET, limits=limits, actor="maria", resumes_at=MIDNIGHT) == (
        "Paused 14:02: daily budget of Acme spent, 800.00 of 500.00 USD; a budget was changed by maria; "
        "resumes at midnight Europe/Paris"
    )
    assert paused(Reason.SCHEDULE, Cause.CREATED, api_key="import") == (
        "Paused 14:02 Europe/Paris: outside its hours; the campaign was created by key import"
    )


# --- Resumed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [Cause.PASS, Cause.ROLL_OVER])
@pytest.mark.parametrize(
    ("why", "expected"),
    [
        (DAILY, "a new budget day began"),
        (DAILY | Reason.CAMPAIGN_MONTHLY_BUDGET, "a new budget month began"),
        (Reason.SCHEDULE, "its hours began"),
        (Reason.NOT_STARTED, "its flight started"),
        (DAILY | Reason.SCHEDULE, "a new budget day began, its hours began"),
    ],
)
def test_what_time_alone_resumes(why: Reason, expected: str, cause: StatusChange.Cause) -> None:
    sentence = resumed(why, cause, at=datetime(2026, 11, 22, tzinfo=PARIS), limits={DAILY: Limit(UNIT, 0)})
    assert sentence == f"Resumed 00:00 Europe/Paris: {expected}"


def test_a_raised_budget() -> None:
    limits = {DAILY: Limit(2_000 * UNIT, 1_000 * UNIT)}
    assert resumed(DAILY, Cause.BUDGET, limits=limits, actor="maria", note="") == (
        "Resumed 14:02 Europe/Paris: a budget was changed by maria; "
        "daily budget of Acme no longer spent, 1,000.00 of 2,000.00 USD"
    )
    gone = resumed(DAILY, Cause.BUDGET, limits={DAILY: Limit(None, 1_000 * UNIT)})
    assert gone.endswith("a budget was changed; daily budget of Acme no longer spent, 1,000.00 USD without a limit now")


def test_an_adjustment_that_lifts_a_pause() -> None:
    assert resumed(DAILY, Cause.SPEND, limits={DAILY: Limit(1_000 * UNIT, 990 * UNIT)}) == (
        "Resumed 14:02 Europe/Paris: daily budget of Acme no longer spent, 990.00 of 1,000.00 USD"
    )


def test_hours_that_begin_in_the_moment_of_a_spend() -> None:
    assert resumed(Reason.SCHEDULE, Cause.SPEND) == "Resumed 14:02 Europe/Paris: its hours began"


def test_a_person_resumes_it() -> None:
    assert resumed(Reason.MANUAL, Cause.PERSON, actor="maria") == "Resumed 14:02 Europe/Paris by maria"
    assert resumed(Reason.MANUAL, Cause.PERSON, note="mended") == "Resumed 14:02 Europe/Paris by a person: mended"


def test_repaired_counters() -> None:
    assert resumed(DAILY, Cause.REPAIR, limits={DAILY: Limit(1_000 * UNIT, 900 * UNIT)}) == (
        "Resumed 14:02 Europe/Paris: counters were repaired; "
        "daily budget of Acme no longer spent, 900.00 of 1,000.00 USD"
    )


# --- Still paused ----------------------------------------------------------------------------


def test_one_reason_ended_and_others_stay() -> None:
    six = datetime(2026, 11, 22, 18, tzinfo=PARIS)
    assert told(DAILY | Reason.SCHEDULE, Reason.SCHEDULE, Cause.ROLL_OVER, resumes_at=six) == (
        "Still paused 14:02: outside its hours; no longer: daily budget of Acme spent; resumes 18:00 Europe/Paris"
    )


def test_one_reason_more() -> None:
    assert told(Reason.SCHEDULE, DAILY | Reason.SCHEDULE, Cause.SPEND, limits=SPENT, resumes_at=MIDNIGHT) == (
        "Still paused 14:02: outside its hours; now also daily budget of Acme spent, 1,000.00 of 1,000.00 USD; "
        "resumes at midnight Europe/Paris"
    )


def test_one_reason_for_another() -> None:
    assert told(Reason.NOT_STARTED, Reason.SCHEDULE, Cause.PASS) == (
        "Still paused 14:02 Europe/Paris: outside its hours; no longer: flight not started"
    )


def test_a_person_pauses_and_resumes_what_is_paused_anyway() -> None:
    both = Reason.MANUAL | Reason.SCHEDULE
    assert told(Reason.SCHEDULE, both, Cause.PERSON, actor="maria", note="wait") == (
        "Still paused 14:02 Europe/Paris by maria: wait; outside its hours"
    )
    assert told(both, Reason.SCHEDULE, Cause.PERSON, actor="maria") == (
        "Pause lifted 14:02 Europe/Paris by maria; still paused: outside its hours"
    )
    assert told(both, Reason.SCHEDULE, Cause.PERSON, actor="maria", note="go") == (
        "Pause lifted 14:02 Europe/Paris by maria: go; still paused: outside its hours"
    )


# --- All of them -----------------------------------------------------------------------------


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("resumes_at", [None, MIDNIGHT, NOW - timedelta(hours=1)])
def test_whatever_happened_there_is_a_sentence_that_names_the_zone_once(
    cause: StatusChange.Cause, resumes_at: datetime | None
) -> None:
    for was, became in [(a, b) for a in range(0, 512, 37) for b in range(0, 512, 23) if a != b]:
        why, then = reasons.of(was), reasons.of(became)
        limits = {reason: Limit(UNIT, UNIT) for reason in why | then}
        sentence = told(why, then, cause, limits=limits, resumes_at=resumes_at if then else None)
        assert sentence.count("Europe/Paris") == 1
        lifted = cause is Cause.PERSON and Reason.MANUAL in why & ~then
        still = "Pause lifted" if lifted else "Still paused"
        assert sentence.startswith("Resumed" if not then else still if why else "Paused")
        assert "; ;" not in sentence
        assert sentence.rstrip(": ;") == sentence
