"""`manage.py log_spend`, driven as a person drives it."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from campaigns.models import Campaign, SpendLog
from campaigns.rules.periods import Period
from tests import factories
from tests.doors.running import finish, manage, run, start
from tests.factories import NOW
from tests.services import reading


@pytest.fixture
def noon() -> Iterator[None]:
    """Stop the clock at NOW."""
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def campaign(noon: None, db: None) -> Campaign:
    """Return a campaign in Berlin that may spend 100 a day; 5 euros are spent."""
    brand = factories.brand(name="Acme", timezone="Europe/Berlin", currency="EUR", daily_budget="100")
    campaign = factories.campaign(brand, name="Spring [bold]sale")
    factories.spend(campaign, 5, at=NOW - timedelta(days=2))
    return campaign


def test_it_records_and_says_where_the_campaign_stands(campaign: Campaign) -> None:
    ran = run("log_spend", campaign.pk, "1012.5")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        f"Recorded 1012.50 EUR. Spring [bold]sale (campaign {campaign.pk} of Acme) is paused (brand daily "
        "budget); spent today 1,012.50 EUR, this month 1,017.50 EUR.\n"
    )
    row = SpendLog.objects.latest("pk")
    assert (row.amount, row.timestamp, row.kind, row.recorded_at) == (Decimal("1012.5"), NOW, 1, NOW)
    assert reading.why(campaign) == ["brand_daily_budget"]


def test_an_active_campaign_is_said_to_be_active(campaign: Campaign) -> None:
    assert "is active; spent today 99.99 EUR, this month 104.99 EUR." in run("log_spend", campaign.pk, "99.99").out


def test_the_same_event_is_a_duplicate_and_no_error(campaign: Campaign) -> None:
    first = run("log_spend", campaign.pk, "7", "--event-id", "e1")
    again = run("log_spend", campaign.pk, "7.00", "--event-id", "e1")
    assert (first.code, again.code) == (0, 0)
    assert again.out.startswith("Recorded before, so not counted again: event e1. ")
    assert "spent today 7.00 EUR" in again.out
    assert SpendLog.objects.filter(event_id="e1").count() == 1


def test_without_an_id_every_event_is_new(campaign: Campaign) -> None:
    for _ in range(2):
        assert run("log_spend", campaign.pk, "7").code == 0
    assert reading.counted(campaign, Period.DAY, "2025-06-18") == 14


def test_the_same_id_with_other_content_is_a_conflict(campaign: Campaign) -> None:
    run("log_spend", campaign.pk, "7", "--event-id", "e1")
    ran = run("log_spend", campaign.pk, "8", "--event-id", "e1")
    assert (ran.code, ran.out) == (1, "")
    assert "recorded before with other content" in ran.err
    assert reading.counted(campaign, Period.DAY, "2025-06-18") == 7


@pytest.mark.parametrize("amount", ["-12.50", "-.5", "-3"])
def test_an_adjustment_may_be_negative(campaign: Campaign, amount: str) -> None:
    ran = run("log_spend", campaign.pk, amount, "--kind", "adjustment", "--note", "credit")
    assert ran.code == 0
    row = SpendLog.objects.latest("pk")
    assert (row.amount, row.kind, row.note) == (Decimal(amount), 2, "credit")


@pytest.mark.parametrize(
    ("text", "moment", "day"),
    [
        ("2025-06-17T23:30:00Z", "2025-06-17T23:30", ""),  # in Berlin that is today
        ("2025-06-18T01:30:00+02:00", "2025-06-17T23:30", ""),
        ("2025-06-18 01:30", "2025-06-17T23:30", ""),
        ("2025-06-18", "2025-06-17T22:00", ""),
        ("2025-06-17", "2025-06-16T22:00", " for 2025-06-17"),
        ("2025-06-17T12:00:00.123456+00:00", "2025-06-17T12:00:00.123456", " for 2025-06-17"),
    ],
)
def test_the_time_is_read_on_the_brand_s_clock(campaign: Campaign, text: str, moment: str, day: str) -> None:
    ran = run("log_spend", campaign.pk, "1", "--timestamp", text)
    assert ran.out.startswith(f"Recorded 1.00 EUR{day}. ")
    assert SpendLog.objects.latest("pk").timestamp == datetime.fromisoformat(moment).replace(tzinfo=UTC)


WRONG = [
    # arguments after the campaign's id, exit code, part of the sentence
    (["abc"], 1, "'abc' is not an amount"),
    (["12,50"], 1, "is not an amount"),
    (["1_000"], 1, "is not an amount"),
    (["nan"], 1, "not a finite number"),
    (["1e99"], 1, "out of range"),
    (["0"], 1, "zero"),
    (["0.0000001"], 1, "more than 6 decimals"),
    (["2000000000"], 1, "above 1,000,000,000"),
    (["-5"], 1, "negative"),
    ([], 2, "amount"),
    (["5", "6"], 2, "unrecognized arguments: 6"),
    (["5", "--bogus"], 2, "--bogus"),
    (["5", "--kind", "gift"], 2, "'gift'"),
    (["5", "--kind", "adjustment"], 1, "note"),
    (["5", "--timestamp", "soon"], 2, "'soon' is not a day or a time"),
    (["5", "--timestamp", "01/06/2025"], 2, "two ways"),
    (["5", "--timestamp", "2025-06-19"], 1, "in the future"),
    (["5", "--timestamp", "2024-06-18"], 1, "more than 62 days ago"),
    (["5", "--timestamp", "9999-12-31T23:59:59-23:00"], 2, "year"),
    (["5", "--event-id", ""], 1, "event id is missing"),
    (["5", "--event-id", "x" * 129], 1, "128"),
    (["5", "--event-id", "a\nb"], 1, "printable"),
    (["5", "--note", "x" * 501], 1, "500"),
    (["5", "--note", "a\x1b[31m"], 1, "control characters"),
]


@pytest.mark.parametrize(("arguments", "code", "sentence"), WRONG)
def test_wrong_input_is_one_sentence_and_records_nothing(
    campaign: Campaign, arguments: list[str], code: int, sentence: str
) -> None:
    ran = run("log_spend", campaign.pk, *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert sentence in ran.err
    assert ran.err.isprintable(), "one line"
    assert SpendLog.objects.count() == 1


@pytest.mark.parametrize("text", ["abc", "0", "-1", "1.5", "", " ", "1e3", "9223372036854775808", "9" * 30, "٣", "5\0"])
def test_what_is_no_id_is_one_sentence(text: str, db: None) -> None:
    ran = run("log_spend", text, "5")
    assert (ran.code, ran.out) == (2, "")
    assert "is not an id: a whole number from 1 on" in ran.err or "unrecognized" in ran.err or "required" in ran.err
    assert ran.err.isprintable()


@pytest.mark.parametrize("campaign_id", [999_999, 2**63 - 1])
def test_an_unknown_campaign_is_one_sentence(campaign_id: int, db: None) -> None:
    assert run("log_spend", campaign_id, "5") == (1, "", f"There is no campaign {campaign_id}.")
    assert run("log_spend", campaign_id, "5", "--timestamp", "2025-06-18") == (
        1,
        "",
        f"There is no campaign {campaign_id}.",
    )


def test_spend_of_an_archived_campaign_is_recorded(campaign: Campaign) -> None:
    from campaigns.services import catalog

    catalog.archive_campaign(campaign_id=campaign.pk, now=NOW)
    ran = run("log_spend", campaign.pk, "5")
    assert ran.code == 0
    assert "is paused (manual); " in ran.out


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_the_real_program_exits_with_one_line_and_its_code() -> None:
    now = timezone.now()
    campaign = factories.campaign(factories.brand(now=now, currency="EUR"), now=now, name="Frühling")
    ran = manage("log_spend", campaign.pk, "-2.50", "--kind", "adjustment", "--note", "credit")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Recorded -2.50 EUR. Frühling (campaign ")
    for arguments, code in ((["x", "5"], 2), ([campaign.pk, "5", "--bogus"], 2), ([campaign.pk, "five"], 1)):
        ran = manage("log_spend", *arguments)
        assert (ran.code, ran.out) == (code, "")
        assert ran.err.startswith("Error: ")
        assert ran.err.count("\n") == 1
    assert "Traceback" in manage("log_spend", campaign.pk, "five", "--traceback").err
    ascii_only = manage("log_spend", campaign.pk, "1", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (ascii_only.code, ascii_only.err) == (0, "")
    assert "Fr\\xfchling" in ascii_only.out


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_can_t_be_written_is_no_traceback() -> None:
    now = timezone.now()
    campaign = factories.campaign(factories.brand(now=now), now=now)
    with Path("/dev/full").open("w") as full:
        ran = finish(start("log_spend", campaign.pk, "5", stdout=full))
    assert (ran.code, ran.err) == (1, "Error: Input or output failed: No space left on device.\n")
    ran = finish(start("log_spend", campaign.pk, "5", stdout=None, preexec_fn=partial(os.close, 1)))
    assert (ran.code, ran.err) == (0, "")
    assert SpendLog.objects.count() == 2


@pytest.mark.processes
@pytest.mark.once
def test_a_database_that_is_not_there_is_one_line(tmp_path: object) -> None:
    gone = manage("log_spend", "1", "5", DATABASE_URL=f"sqlite:///{tmp_path}/none/db.sqlite3")
    empty = manage("log_spend", "1", "5", DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")
    dead = manage("log_spend", "1", "5", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
    for ran in (gone, empty, dead):
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.count("\n") == 1
    assert "migrate" in empty.err
    for ran in (gone, dead):
        assert ran.err.startswith("Error: The database does not answer: ")


@pytest.mark.processes
@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_tables_that_are_not_there_are_one_line() -> None:
    from tests.doors.running import database_url

    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS nothing_in_it")
        cursor.execute("CREATE DATABASE nothing_in_it")
    empty = database_url().rpartition("/")[0] + "/nothing_in_it"
    ran = manage("log_spend", "1", "5", DATABASE_URL=empty)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "migrate" in ran.err
