"""`manage.py archive_ledger`: let old months leave the ledger for Parquet files, and check such files."""

from __future__ import annotations

import contextlib
import getpass
from argparse import ArgumentTypeError
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from campaigns.management.console import PlainCommand
from campaigns.models import LedgerArchive
from campaigns.services import archive
from campaigns.services.archive import Step

_TOLD_EVERY = 100
"""Batches of rows that leave between two lines."""


class Command(PlainCommand):
    """Archives whole months, the oldest first, and says what it did with each."""

    help = (
        "Write old months of the ledger to Parquet files, check the files, and delete the rows. Counters, reports by "
        "day and check_ledger stay as they are. Whatever cuts it short, running it again completes it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--before",
            type=_month,
            metavar="YYYY-MM",
            help="the first month that stays; LEDGER_KEEP_MONTHS before this one unless given",
        )
        parser.add_argument(
            "--to",
            type=Path,
            metavar="DIR",
            help="the folder of the files; has to be given in production, and is archive in DATA_DIR elsewhere",
        )
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument("--dry-run", action="store_true", help="say what would leave, and write nothing")
        mode.add_argument(
            "--keep-rows", action="store_true", help="write and seal the files; the rows leave with the next run"
        )
        mode.add_argument("--verify", action="store_true", help="check the files of all archived months")

    def handle(self, *args: Any, before: date | None, to: Path | None, **options: Any) -> None:
        """Archive, plan or verify."""
        now = timezone.now()
        if options["verify"]:
            self._verify(to or _usual_folder())
            return
        before = before or archive.horizon(now=now)
        archive.check_before(before, now=now)
        if options["dry_run"]:
            self._plan(before)
            return
        folder, done = to or _usual_folder(), set()
        steps = archive.archive_ledger(
            before=before, folder=folder, now=now, by=_account(), keep_rows=options["keep_rows"]
        )
        try:
            for step in steps:
                done.add(step.archive.month)
                self._tell(step, folder)
        except OSError as error:
            why = f"{folder} can't be written to: {error.strerror or error}"
            raise CommandError(f"{why}. Every row is where it was, or in its file.") from error
        if not done:
            self.say(f"There is nothing to archive: the ledger begins with {before:%Y-%m} or later.")

    def _tell(self, step: Step, folder: Path) -> None:
        month, rows = step.archive, _rows(step.archive.rows)
        if step.done:
            self.say(f"{month}: {_rows(step.removed)} removed from the ledger.", style="green")
        elif not step.removed:
            self.say(f"{month}: {rows} in {folder / month.file}, read back and compared.")
        elif step.removed % (_TOLD_EVERY * archive.REMOVED_AT_ONCE) == 0:
            self.say(f"{month}: {step.removed:,} of {rows} removed so far.")

    def _plan(self, before: date) -> None:
        plans = archive.plan(before=before)
        for month in plans:
            self.say(f"{month.month:%Y-%m}: {_rows(month.rows)} would leave the ledger.")
        if not plans:
            self.say(f"There is nothing to archive: the ledger begins with {before:%Y-%m} or later.")

    def _verify(self, folder: Path) -> None:
        wrong = 0
        for month in LedgerArchive.objects.filter(sealed_at__isnull=False):
            sentence = archive.verify(month, folder)
            wrong += bool(sentence)
            self.say(sentence or f"{month}: {_rows(month.rows)} in {month.file}, as archived.")
        if wrong:
            raise CommandError(f"{wrong} archived month{'' if wrong == 1 else 's'} can't be relied on; see above.")


def _month(text: str) -> date:
    """Argument type: a month."""
    with contextlib.suppress(ValueError):
        year, _, month = text.partition("-")
        if len(year) == 4 and len(month) == 2:
            return date(int(year), int(month), 1)
    raise ArgumentTypeError(f"{text!r} is not a month; give one such as 2025-01")


def _usual_folder() -> Path:
    """Where files go in embedded mode. In production DATA_DIR may be a container's own, and be gone with it."""
    if settings.ENV.production:
        raise CommandError("Name the folder of the files with --to: one that stays, and that your backups reach.")
    return Path(settings.DATA_DIR / "archive")


def _rows(number: int) -> str:
    return f"{number:,} row{'' if number == 1 else 's'}"


def _account() -> str:
    """The account of the operating system; a container may run under a number that has no name."""
    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()[:150]
    return ""
