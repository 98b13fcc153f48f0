"""`manage.py archive_ledger` from outside: what it says, and its exit codes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.test import Client, override_settings

from campaigns.management.console import FAILED, MISUSED
from campaigns.models import LedgerArchive, SpendLog
from campaigns.services import audit
from tests import factories
from tests.doors.running import run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _the_summer_after() -> Any:
    with time_machine.travel(datetime(2026, 8, 15, 12, tzinfo=UTC), tick=False):
        yield


def spend(month: int) -> None:
    now = datetime(2025, month, 20, tzinfo=UTC)
    campaign = factories.campaign(now=now)
    for _ in range(3):
        factories.spend(campaign, "12.5", now=now)


def test_it_says_what_it_did(tmp_path: Path) -> None:
    for month in (3, 5, 7):
        spend(month)
    done = run("archive_ledger", "--to", str(tmp_path))
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        f"2025-03: 3 rows in {tmp_path}/ledger-2025-03.parquet, read back and compared.",
        "2025-03: 3 rows removed from the ledger.",
        f"2025-05: 3 rows in {tmp_path}/ledger-2025-05.parquet, read back and compared.",
        "2025-05: 3 rows removed from the ledger.",
    ]
    assert SpendLog.objects.count() == 3
    assert audit.check_ledger() == []
    again = run("archive_ledger", "--to", str(tmp_path))
    assert (again.code, again.out) == (0, "There is nothing to archive: the ledger begins with 2025-07 or later.\n")


def test_the_files_are_in_the_data_folder_unless_told_otherwise(tmp_path: Path) -> None:
    spend(3)
    with override_settings(DATA_DIR=tmp_path):
        assert run("archive_ledger").code == 0
    assert (tmp_path / "archive" / "ledger-2025-03.parquet").is_file()


def test_in_production_the_folder_is_told(tmp_path: Path) -> None:
    """DATA_DIR may be a container's own there, and be gone with it."""
    spend(3)
    production = settings.ENV.model_copy(update={"environment": "production"})
    with override_settings(DATA_DIR=tmp_path, ENV=production):
        for mode in ([], ["--keep-rows"], ["--verify"]):
            done = run("archive_ledger", *mode)
            assert (done.code, SpendLog.objects.count()) == (FAILED, 3)
            assert done.err.startswith("Name the folder of the files with --to")
        assert run("archive_ledger", "--dry-run").out == "2025-03: 3 rows would leave the ledger.\n"
        assert list(tmp_path.iterdir()) == []
        assert run("archive_ledger", "--to", str(tmp_path / "archive")).code == 0
    assert SpendLog.objects.count() == 0


def test_a_dry_run_and_rows_that_are_kept(tmp_path: Path) -> None:
    spend(3)
    dry = run("archive_ledger", "--to", str(tmp_path), "--dry-run")
    assert (dry.code, dry.out) == (0, "2025-03: 3 rows would leave the ledger.\n")
    assert list(tmp_path.iterdir()) == []
    kept = run("archive_ledger", "--to", str(tmp_path), "--keep-rows")
    assert kept.out == f"2025-03: 3 rows in {tmp_path}/ledger-2025-03.parquet, read back and compared.\n"
    assert SpendLog.objects.count() == 3
    assert run("archive_ledger", "--to", str(tmp_path)).out == "2025-03: 3 rows removed from the ledger.\n"
    assert SpendLog.objects.count() == 0


def test_files_are_verified(tmp_path: Path) -> None:
    spend(3)
    spend(4)
    run("archive_ledger", "--to", str(tmp_path))
    good = run("archive_ledger", "--to", str(tmp_path), "--verify")
    assert (good.code, good.out.splitlines()) == (
        0,
        [f"2025-0{month}: 3 rows in ledger-2025-0{month}.parquet, as archived." for month in (3, 4)],
    )
    (tmp_path / "ledger-2025-04.parquet").unlink()
    bad = run("archive_ledger", "--to", str(tmp_path), "--verify")
    assert bad.code == FAILED
    assert f"ledger-2025-04.parquet is not in {tmp_path}." in bad.out
    assert bad.err == "1 archived month can't be relied on; see above."


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--before", "2026-06"], FAILED, "Spend of 2026-05 may still come in"),
        (["--before", "2026-13"], MISUSED, "'2026-13' is not a month; give one such as 2025-01"),
        (["--before", "26-1"], MISUSED, "'26-1' is not a month"),
        (["--dry-run", "--verify"], MISUSED, "not allowed with argument"),
    ],
)
def test_what_can_not_be_done_is_one_line(arguments: list[str], code: int, says: str) -> None:
    done = run("archive_ledger", *arguments)
    assert done.code == code
    assert says in done.err
    assert len(done.err.splitlines()) == 1


def test_a_folder_that_takes_nothing_is_one_line(tmp_path: Path) -> None:
    """As a full disk is: nothing has left."""
    spend(3)
    (tmp_path / "file").write_text("no folder")
    done = run("archive_ledger", "--to", str(tmp_path / "file"))
    assert done.code == FAILED
    assert done.err == f"{tmp_path}/file can't be written to: File exists. Every row is where it was, or in its file."
    assert SpendLog.objects.count() == 3
    assert not LedgerArchive.objects.filter(sealed_at__isnull=False).exists()
    assert audit.check_ledger() == []


def test_the_spend_log_says_where_older_rows_are(client: Client, tmp_path: Path) -> None:
    spend(3)
    spend(7)
    page = "/admin/campaigns/spendlog/"
    assert "in the archive" not in client.get(page).content.decode()
    run("archive_ledger", "--to", str(tmp_path))
    assert "Rows of budget days before 1 April 2025 are in the archive." in client.get(page).content.decode()


def test_check_ledger_tells_the_rows_that_are_archived(tmp_path: Path) -> None:
    spend(3)
    spend(7)
    run("archive_ledger", "--to", str(tmp_path))
    assert "and 3 ledger rows (3 more archived), no difference." in run("check_ledger").out
