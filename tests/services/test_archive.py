"""Old months leave the ledger for files: nothing is lost, nothing counts twice, whatever ends the process and when."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import QuerySet

from campaigns.gateways import ledger_parquet
from campaigns.models import (
    ArchivedSpend,
    Brand,
    BrandCounter,
    Campaign,
    CampaignCounter,
    LedgerArchive,
    SpendLog,
    append_only,
)
from campaigns.queries import archive as archive_queries
from campaigns.queries import listing, reports
from campaigns.queries.reports import GroupBy
from campaigns.rules import money
from campaigns.rules.errors import BudgetError
from campaigns.services import archive, audit, catalog, spend
from campaigns.services.archive import Step
from campaigns.services.spend import Outcome, SpendEvent, record_spend
from tests import factories
from tests.services.races import Meeting, meet

pytestmark = pytest.mark.django_db

LATER = datetime(2026, 8, 15, 12, tzinfo=UTC)
MARCH, APRIL, MAY, JUNE = (date(2025, month, 1) for month in (3, 4, 5, 6))

COLUMNS = "id", "brand_id", "campaign_id", "event_id", "kind", "amount", "timestamp", "day", "recorded_at", "note"


def at(month: int, day: int, hour: int = 12) -> datetime:
    """A moment of 2025."""
    return datetime(2025, month, day, hour, tzinfo=UTC)


def spend_of_a_spring(*, seed: int = 1, events: int = 60) -> list[Campaign]:
    """Spend of March to June by random campaigns, in whole batches, with adjustments and awkward texts."""
    chance = random.Random(seed)
    campaigns = [
        factories.campaign(factories.brand(timezone=zone, currency=currency), now=at(3, 1))
        for zone, currency in [("UTC", "USD"), ("Asia/Tokyo", "JPY"), ("America/New_York", "EUR")]
        for _ in range(2)
    ]
    campaigns[1].brand.refresh_from_db()
    for number in range(events):
        moment = at(3, 3) + timedelta(days=100 * number / events)
        batch = [
            factories.event(
                chance.choice(campaigns),
                f"{chance.randint(1, 10**9)}.{chance.randint(0, 999_999):06d}",
                event_id=f"{number}-{at_}-ü,\"'{chance.random()}",
                at=moment - timedelta(hours=chance.randint(0, 40)),
                note=chance.choice(["", "", "a note, with ü and 'quotes'"]),
            )
            for at_ in range(chance.randint(1, 5))
        ]
        assert record_spend(batch, now=moment).count(Outcome.RECORDED) == len(batch)
    return campaigns


def run(folder: Path, before: date = JUNE, *, keep_rows: bool = False) -> list[Step]:
    return list(archive.archive_ledger(before=before, folder=folder, now=LATER, by="ada", keep_rows=keep_rows))


def rows_by_month() -> dict[date, list[tuple[Any, ...]]]:
    """The ledger's rows by month, with amounts in micros."""
    months: dict[date, list[tuple[Any, ...]]] = {}
    for row in SpendLog.objects.order_by("id").values_list(*COLUMNS):
        values = (*row[:5], money.to_micros(row[5]), *row[6:])
        months.setdefault(row[7].replace(day=1), []).append(values)
    return months


def counters() -> list[Any]:
    return [
        *BrandCounter.objects.order_by("id").values_list("id", "spent"),
        *CampaignCounter.objects.order_by("id").values_list("id", "spent"),
    ]


def in_file(path: Path) -> list[tuple[Any, ...]]:
    """The rows of a file, by id."""
    return sorted(tuple(row.values()) for row in pq.read_table(path).to_pylist())


# --- What leaves and what stays ---------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_whole_months_leave_and_everything_else_stays_as_it_was(seed: int, tmp_path: Path) -> None:
    spend_of_a_spring(seed=seed)
    before, figures = rows_by_month(), counters()
    by_day = reports.spend_report(group_by=GroupBy.DAY, first=MARCH, last=date(2025, 6, 30))
    run(tmp_path)
    assert rows_by_month() == {JUNE: before[JUNE]}
    for month in (MARCH, APRIL, MAY):
        assert in_file(tmp_path / f"ledger-{month:%Y-%m}.parquet") == before[month]
    assert counters() == figures
    assert reports.spend_report(group_by=GroupBy.DAY, first=MARCH, last=date(2025, 6, 30)) == by_day
    assert audit.check_ledger() == []
    assert [archive.verify(month, tmp_path) for month in LedgerArchive.objects.all()] == ["", "", ""]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ledger-2025-03.parquet", "ledger-2025-04.parquet", "ledger-2025-05.parquet",
    ]  # fmt: skip


def test_what_is_kept_of_a_month_says_what_it_was(tmp_path: Path) -> None:
    spend_of_a_spring()
    march = rows_by_month()[MARCH]
    run(tmp_path, APRIL)
    month = LedgerArchive.objects.get()
    assert (month.month, month.until, month.rows, month.archived_by) == (MARCH, APRIL, len(march), "ada")
    assert (month.first_id, month.last_id) == (march[0][0], march[-1][0])
    assert month.sha256 == ledger_parquet.digest(tmp_path / month.file)
    assert month.closed_at == month.sealed_at == month.removed_at == LATER
    sums: Counter[tuple[int, int, date]] = Counter()
    for _, brand_id, campaign_id, _, _, micros, _, day, *_ in march:
        sums[brand_id, campaign_id, day] += micros
    kept = ArchivedSpend.objects.values_list("brand_id", "campaign_id", "day", "amount")
    assert {row[:3]: money.to_micros(row[3]) for row in kept} == dict(sums)
    metadata = pq.read_metadata(tmp_path / month.file).metadata
    currencies = dict(Brand.objects.values_list("pk", "currency"))
    by_currency: Counter[str] = Counter()
    for row in march:
        by_currency[currencies[row[1]]] += row[5]
    assert metadata[b"ledger.rows"] == str(len(march)).encode()
    assert json.loads(metadata[b"ledger.sum_micros"]) == by_currency


def test_a_second_run_finds_nothing_to_do(tmp_path: Path) -> None:
    spend_of_a_spring()
    run(tmp_path)
    archived = list(LedgerArchive.objects.values())
    assert run(tmp_path) == []
    assert list(LedgerArchive.objects.values()) == archived
    assert audit.check_ledger() == []


def test_rows_can_be_kept_for_a_later_run(tmp_path: Path) -> None:
    spend_of_a_spring()
    rows = SpendLog.objects.count()
    run(tmp_path, keep_rows=True)
    assert SpendLog.objects.count() == rows
    assert audit.check_ledger() == [], "the rows that are still there must not count beside their sums"
    assert LedgerArchive.objects.filter(sealed_at__isnull=False, removed_at=None).count() == 3
    steps = run(tmp_path)
    assert [month for month in rows_by_month() if month < JUNE] == []
    assert sum(step.removed for step in steps if step.done) == rows - SpendLog.objects.count()
    assert audit.check_ledger() == []


def test_rows_leave_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spend_of_a_spring()
    monkeypatch.setattr(archive, "REMOVED_AT_ONCE", 7)
    march = len(rows_by_month()[MARCH])
    steps = [step.removed for step in run(tmp_path, APRIL)]
    assert steps == [0, *range(7, march, 7), march, march]
    assert MARCH not in rows_by_month()


def test_a_repair_after_it_counts_what_has_left(tmp_path: Path) -> None:
    campaigns = spend_of_a_spring()
    run(tmp_path)
    figures = counters()
    with transaction.atomic():
        CampaignCounter.objects.filter(campaign=campaigns[0], period=3).update(spent=Decimal(1))
        CampaignCounter.objects.filter(campaign=campaigns[0], start=MARCH).update(spent=Decimal(2))
    assert {(d.campaign_id, d.start) for d in audit.repair_ledger(now=LATER)} >= {(campaigns[0].pk, MARCH)}
    assert counters() == figures
    assert audit.check_ledger() == []


def test_the_audit_sees_a_counter_of_an_archived_month_that_is_wrong(tmp_path: Path) -> None:
    campaigns = spend_of_a_spring()
    run(tmp_path)
    CampaignCounter.objects.filter(campaign=campaigns[0], start=MARCH, period=2).update(spent=Decimal(2))
    (found,) = audit.check_ledger()
    assert (found.campaign_id, found.start, found.counted) == (campaigns[0].pk, MARCH, 2_000_000)
    assert audit.check_ledger(brand_ids=[campaigns[0].brand_id]) == [found]
    assert audit.check_ledger(brand_ids=[campaigns[4].brand_id]) == []


# --- What may leave ---------------------------------------------------------------------------


def test_a_month_stays_as_long_as_spend_may_come_in_for_it(settings: Any) -> None:
    settings.SPEND_MAX_AGE_DAYS = 62
    now = datetime(2026, 3, 4, tzinfo=UTC)  # 93 days after the 1st of December
    archive.check_before(date(2025, 12, 1), now=now)
    with pytest.raises(BudgetError, match=r"Spend of 2025-11 may still come in.* stays is 2025-11 at the latest"):
        archive.check_before(date(2025, 12, 1), now=now - timedelta(days=1))
    with pytest.raises(BudgetError, match="Only whole months"):
        archive.check_before(date(2025, 10, 2), now=now)


def test_the_horizon_counts_whole_months(settings: Any) -> None:
    settings.LEDGER_KEEP_MONTHS = 13
    assert archive.horizon(now=datetime(2026, 1, 31, tzinfo=UTC)) == date(2024, 12, 1)
    assert archive.horizon(now=datetime(2026, 2, 1, tzinfo=UTC)) == date(2025, 1, 1)
    assert archive.horizon(now=datetime(2026, 12, 1, tzinfo=UTC)) == date(2025, 11, 1)


def test_a_plan_tells_and_changes_nothing(tmp_path: Path) -> None:
    spend_of_a_spring()
    months = rows_by_month()
    plans = archive.plan(before=MAY)
    assert [(plan.month, plan.rows, plan.micros) for plan in plans] == [
        (month, len(months[month]), sum(row[5] for row in months[month])) for month in (MARCH, APRIL)
    ]
    assert rows_by_month() == months
    assert not LedgerArchive.objects.exists()
    assert list(tmp_path.iterdir()) == []


# --- A closed month ---------------------------------------------------------------------------


def late(campaign: Campaign, *, note: str = "") -> SpendEvent:
    return factories.event(campaign, 5, event_id="late", at=at(4, 20), note=note)


@pytest.mark.parametrize("note", ["", "an adjustment"])
def test_a_closed_month_takes_no_more(note: str, tmp_path: Path, settings: Any) -> None:
    settings.SPEND_MAX_AGE_DAYS = 3_000
    campaign = spend_of_a_spring()[0]
    archive._close(MAY, LATER, "")
    good = factories.event(campaign, 1, at=LATER)
    receipt = record_spend([late(campaign, note=note), good], now=LATER)
    assert [result.outcome for result in receipt.results] == [Outcome.REJECTED, Outcome.RECORDED]
    assert receipt.results[0].detail == (
        "Its month, 2025-04, is in the archive and takes no more; record it as an adjustment of today."
    )
    assert receipt.results[0].field == "timestamp"
    assert audit.check_ledger() == []


@pytest.mark.parametrize("events", [1, 60], ids=["one, by INSERT", "many, by COPY where there is one"])
def test_a_clock_that_is_behind_does_not_get_past_it(events: int) -> None:
    campaign = spend_of_a_spring()[0]
    archive._close(MAY, LATER, "")
    receipt = record_spend([factories.event(campaign, 5) for _ in range(events)], now=at(5, 3))
    assert receipt.count(Outcome.REJECTED) == events
    assert "2025-05, is in the archive" in receipt.results[0].detail


def test_the_database_itself_refuses_a_row_of_a_closed_month() -> None:
    campaign = spend_of_a_spring()[0]
    archive._close(APRIL, LATER, "")
    factory = {"brand_id": campaign.brand_id, "campaign": campaign, "amount": 1, "timestamp": at(4, 1)}
    with pytest.raises(DatabaseError, match="takes no row of a month that is archived"), transaction.atomic():
        SpendLog.objects.create(event_id="x", day=date(2025, 4, 30), **factory)
    with pytest.raises(DatabaseError, match="takes no row of a month that is archived"), transaction.atomic():
        SpendLog.objects.create(event_id="x", day=date(2024, 1, 1), **factory)
    SpendLog.objects.create(event_id="x", day=MAY, **factory)


def test_a_repeat_of_what_is_still_there_is_a_duplicate(tmp_path: Path, settings: Any) -> None:
    settings.SPEND_MAX_AGE_DAYS = 3_000
    campaign = factories.campaign(now=at(4, 1))
    record_spend([late(campaign)], now=at(4, 20))
    settings.SPEND_MAX_AGE_DAYS = 62
    run(tmp_path, keep_rows=True)
    settings.SPEND_MAX_AGE_DAYS = 3_000
    assert record_spend([late(campaign)], now=LATER).results[0].outcome is Outcome.DUPLICATE
    settings.SPEND_MAX_AGE_DAYS = 62
    run(tmp_path)
    settings.SPEND_MAX_AGE_DAYS = 3_000
    assert record_spend([late(campaign)], now=LATER).results[0].outcome is Outcome.REJECTED
    assert audit.check_ledger() == []


# --- The doors of the ledger ------------------------------------------------------------------


def delete(day: date) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM campaigns_spendlog WHERE day = %s", [day])


@pytest.mark.parametrize("state", ["open", "closed", "another month is sealed"])
def test_rows_are_not_deleted_before_their_month_is_sealed(state: str, tmp_path: Path) -> None:
    spend_of_a_spring()
    if state == "closed":
        archive._close(MAY, LATER, "")
    if state == "another month is sealed":
        run(tmp_path, MAY, keep_rows=True)
    day = rows_by_month()[MAY][0][7]
    with pytest.raises(DatabaseError, match="campaigns_spendlog is append-only"), transaction.atomic():
        delete(day)
    assert SpendLog.objects.filter(day=day).exists()


def test_rows_of_a_sealed_month_are_never_changed_and_its_sums_stay(tmp_path: Path) -> None:
    spend_of_a_spring()
    run(tmp_path, keep_rows=True)
    for model in (SpendLog, ArchivedSpend):
        with pytest.raises(DatabaseError, match="is append-only"), transaction.atomic():
            model.objects.update(amount=1)
    with pytest.raises(DatabaseError, match="is append-only"), transaction.atomic():
        ArchivedSpend.objects.all()._raw_delete("default")
    delete(rows_by_month()[MAY][0][7])


def test_the_doors_are_back_after_test_suites_had_them_lifted() -> None:
    campaign = spend_of_a_spring()[0]
    archive._close(MARCH, LATER, "")
    with append_only.suspended(connection):
        pass
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        delete(rows_by_month()[MAY][0][7])
    with pytest.raises(DatabaseError, match="takes no row"), transaction.atomic():
        SpendLog.objects.create(
            brand_id=campaign.brand_id, campaign=campaign, event_id="x", amount=1, timestamp=at(3, 1), day=MARCH
        )


# --- Files that can't be relied on ------------------------------------------------------------


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


SPOILT = {
    "gone": (Path.unlink, "is not in"),
    "changed": (flip_a_byte, "its SHA-256 is another"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "its SHA-256 is another"),
}


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT)
def test_no_row_leaves_without_its_file(spoil: Any, says: str, tmp_path: Path) -> None:
    spend_of_a_spring()
    rows = SpendLog.objects.count()
    run(tmp_path, APRIL, keep_rows=True)
    spoil(tmp_path / "ledger-2025-03.parquet")
    with pytest.raises(BudgetError, match=rf"{says}.*No row of 2025-03 was removed"):
        run(tmp_path, APRIL)
    assert SpendLog.objects.count() == rows
    assert says in archive.verify(LedgerArchive.objects.get(), tmp_path)


def test_a_file_of_other_sums_is_found(tmp_path: Path) -> None:
    spend_of_a_spring()
    run(tmp_path, APRIL)
    path, month = tmp_path / "ledger-2025-03.parquet", LedgerArchive.objects.get()
    table = pq.read_table(path)
    pq.write_table(table.slice(0, table.num_rows - 1), path)
    LedgerArchive.objects.update(sha256=ledger_parquet.digest(path))
    month.refresh_from_db()
    assert "ledger-2025-03.parquet and the database differ: The file has" in archive.verify(month, tmp_path)


def test_a_month_whose_file_went_wrong_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read back before anything relies on it."""
    spend_of_a_spring()
    rows, whole = SpendLog.objects.count(), archive_queries.rows_of
    monkeypatch.setattr(archive_queries, "rows_of", lambda month: list(whole(month))[1:])
    with pytest.raises(BudgetError, match="is not what the ledger has; nothing was removed"):
        run(tmp_path)
    assert (SpendLog.objects.count(), list(tmp_path.iterdir())) == (rows, [])
    assert not LedgerArchive.objects.filter(sealed_at__isnull=False).exists()
    assert audit.check_ledger() == []
    monkeypatch.undo()
    run(tmp_path)
    assert audit.check_ledger() == []


def test_a_second_run_beside_the_first_does_not_replace_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the ledger when rows have left already, and finds its file to be what the ledger has."""
    spend_of_a_spring()
    march, seal = rows_by_month()[MARCH], archive._seal

    def after_the_other(*args: Any) -> None:
        monkeypatch.setattr(archive, "_seal", seal)
        assert run(tmp_path, APRIL)
        seal(*args)

    monkeypatch.setattr(archive, "_seal", after_the_other)
    run(tmp_path, APRIL)
    assert in_file(tmp_path / "ledger-2025-03.parquet") == march
    assert archive.verify(LedgerArchive.objects.get(), tmp_path) == ""
    assert audit.check_ledger() == []


@pytest.mark.parametrize("content", ["of another database", "no Parquet"])
def test_a_file_of_that_name_with_other_rows_is_not_replaced(content: str, tmp_path: Path) -> None:
    """Two databases may have been given one folder, and of the first the rows may have left."""
    spend_of_a_spring(seed=1)
    run(tmp_path, APRIL, keep_rows=True)
    there = tmp_path / "ledger-2025-03.parquet"
    if content == "no Parquet":
        there.write_text("something else")
    else:
        pq.write_table(pq.read_table(there).slice(1), there)
    was = there.read_bytes()
    with append_only.suspended(connection):
        ArchivedSpend.objects.all()._raw_delete("default")
        LedgerArchive.objects.all().delete()
    rows = SpendLog.objects.count()
    with pytest.raises(BudgetError, match=r"ledger-2025-03.parquet in .* has other rows.*Nothing was removed"):
        run(tmp_path, APRIL)
    assert there.read_bytes() == was
    assert [path.name for path in tmp_path.iterdir()] == [there.name]
    assert SpendLog.objects.count() == rows
    there.unlink()
    run(tmp_path, APRIL)
    assert audit.check_ledger() == []


def test_two_processes_of_one_number_do_not_write_to_one_file(tmp_path: Path) -> None:
    """In a container everybody is process 1."""
    with ledger_parquet.writing(tmp_path, MARCH) as one, ledger_parquet.writing(tmp_path, MARCH) as other:
        assert one != other


# --- Who reads the ledger ---------------------------------------------------------------------


def test_hours_of_an_archived_month_are_not_told_as_none(tmp_path: Path) -> None:
    campaign = spend_of_a_spring()[0]
    run(tmp_path)
    hours = {"group_by": GroupBy.HOUR, "campaign_id": campaign.pk}
    with pytest.raises(BudgetError, match=r"The hours of 2025-05 and before are in the archive.*2025-06-01 or later"):
        reports.spend_report(first=date(2025, 5, 31), last=JUNE, **hours)  # type: ignore[arg-type]  # both as asked
    reports.spend_report(first=JUNE, last=date(2025, 6, 30), **hours)  # type: ignore[arg-type]  # both as asked


def test_what_has_spend_in_the_archive_only_has_spend(tmp_path: Path) -> None:
    campaign = factories.campaign(now=at(3, 1))
    other = factories.campaign(campaign.brand, now=at(3, 1))
    factories.spend(campaign, 5, now=at(3, 2))
    factories.spend(campaign, -5, now=at(3, 2), note="taken back, so that the counters say nothing")
    run(tmp_path)
    assert not SpendLog.objects.exists()
    assert listing.brands_with_spend([campaign.brand_id]) == {campaign.brand_id}
    assert listing.campaigns_with_spend([campaign.pk, other.pk]) == {campaign.pk}
    with pytest.raises(BudgetError, match="has spend and can't be deleted"):
        catalog.delete_campaign(campaign_id=campaign.pk, now=LATER)
    with pytest.raises(BudgetError, match="has spend and can't be deleted"):
        catalog.delete_brand(brand_id=campaign.brand_id, now=LATER)
    with pytest.raises(BudgetError, match="so its currency stays"):
        catalog.update_brand(brand_id=campaign.brand_id, now=LATER, currency="CHF")
    catalog.delete_campaign(campaign_id=other.pk, now=LATER)


# --- Killed ------------------------------------------------------------------------------------

PROGRAM = """
import os, signal, sys
from datetime import UTC, date, datetime
from pathlib import Path
import django
django.setup()
from campaigns.gateways import ledger_parquet
from campaigns.services import archive

place, when, folder = sys.argv[1:]
owner = {"archive": archive, "ledger_parquet": ledger_parquet}[place.split(".")[0]]
name = place.split(".")[1]
whole, calls = getattr(owner, name), 0

def killed(*args, **named):
    global calls
    calls += 1
    if when == "before" and calls == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    answer = whole(*args, **named)
    if when == "after" and calls == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

setattr(owner, name, killed)
archive.REMOVED_AT_ONCE = 5
for step in archive.archive_ledger(
    before=date(2025, 6, 1), folder=Path(folder), now=datetime(2026, 8, 15, 12, tzinfo=UTC), by="killed"
):
    pass
"""
STEPS = (
    ("archive._close", "before"),
    ("archive._close", "after"),
    ("ledger_parquet.write", "after"),
    ("archive._keep_sums", "after"),
    ("ledger_parquet.keep", "before"),
    ("ledger_parquet.keep", "after"),
    ("archive._count", "after"),
    ("archive.verify", "after"),
    ("archive._remove_some", "before"),
    ("archive._remove_some", "after"),
)


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("place", "when"), STEPS)
def test_killed_at_any_step_the_next_run_completes_it(
    place: str, when: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """Each step is met a second time in the second month, or in the second batch that leaves."""
    folder = tmp_path / "archive"
    spend_of_a_spring()
    before, figures = rows_by_month(), counters()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, place, when, str(folder)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert audit.check_ledger() == [], "in between, too, every counter is what ledger and archive add up to"
    run(folder)
    assert rows_by_month() == {JUNE: before[JUNE]}
    for month in LedgerArchive.objects.all():
        assert in_file(folder / month.file) == before[month.month]
        assert archive.verify(month, folder) == ""
    assert LedgerArchive.objects.filter(removed_at__isnull=False).count() == 3
    assert counters() == figures
    assert audit.check_ledger() == []


# --- Beside others -----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_spend_goes_on_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaigns = spend_of_a_spring()
    monkeypatch.setattr(archive, "REMOVED_AT_ONCE", 3)
    stop = threading.Event()
    failed: list[BaseException] = []
    sent: list[int] = []

    def report() -> None:
        try:
            while not stop.is_set():
                number = len(sent)
                receipt = record_spend([factories.event(campaigns[number % 6], 1) for _ in range(20)], now=LATER)
                assert receipt.count(Outcome.RECORDED) == 20
                sent.append(number)
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=report)
    thread.start()
    try:
        run(tmp_path)
    finally:
        stop.set()
        thread.join(60)
    assert failed == []
    assert sent
    assert audit.check_ledger() == []
    assert {month for month in rows_by_month() if month < JUNE} == set()
    assert SpendLog.objects.filter(recorded_at=LATER).count() == 20 * len(sent)


def late_spend_meets_the_archive(folder: Path) -> Meeting:
    """Spend of April that is in the ledger and not committed yet, by a clock that is behind, and an archive of it."""
    campaign = spend_of_a_spring()[0]
    return meet(
        lambda: record_spend([late(campaign)], now=at(4, 21)).results[0].outcome,
        lambda: run(folder),
        at=(spend, "_by_day"),
        when="before",
    )


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_closing_waits_for_whoever_was_about_to_add_to_the_month(tmp_path: Path) -> None:
    meeting = late_spend_meets_the_archive(tmp_path)
    assert (meeting.waited, meeting.first) == (True, Outcome.RECORDED)
    assert "late" in {row[3] for row in in_file(tmp_path / "ledger-2025-04.parquet")}
    assert audit.check_ledger() == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_lock_their_spend_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "lock_out_recording", lambda *_, **__: None)
    meeting = late_spend_meets_the_archive(tmp_path)
    assert (meeting.waited, meeting.first) == (False, Outcome.RECORDED)
    assert "late" not in {row[3] for row in in_file(tmp_path / "ledger-2025-04.parquet")}
    assert audit.check_ledger() != []


def two_seal_one_month(folder: Path) -> Meeting:
    """The first has kept the sums and not committed yet when the second comes."""
    spend_of_a_spring()
    month = archive._close(MARCH, LATER, "")
    once = partial(archive._seal, month, folder, LATER)
    return meet(once, once, at=(archive, "_keep_sums"), when="after")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_that_seal_a_month_the_second_finds_it_done(tmp_path: Path) -> None:
    assert two_seal_one_month(tmp_path).waited
    assert archive.verify(LedgerArchive.objects.get(), tmp_path) == ""
    assert audit.check_ledger() == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_second_fails_without_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **_: rows)
    with pytest.raises(IntegrityError, match="archivedspend_once"):
        two_seal_one_month(tmp_path)
