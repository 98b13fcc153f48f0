"""`manage.py import_spend`: the spend reports of ad platforms into the ledger; see docs/importing.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.management.base import CommandError, CommandParser
from django.db import Error
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from campaigns.gateways.cells import DECIMAL_MARKS, DayOrder
from campaigns.gateways.rejects_csv import Rejects
from campaigns.gateways.spend_csv import DELIMITERS, Column, Sheet, Wishes
from campaigns.management.console import (
    FAILED,
    INTERRUPTED,
    PlainCommand,
    database_sentence,
    exact_money,
    misused,
    shown,
)
from campaigns.management.importing import WAYS, Account, Fate, Import, Terms
from campaigns.models import Campaign
from campaigns.queries import lookup
from campaigns.queries.lookup import By
from campaigns.rules import reasons
from campaigns.rules.errors import BudgetError

REASONS_SHOWN = 10
PAUSED_SHOWN = 20

AGAIN = "What was recorded until then stays; run the same command again to go on, nothing counts twice."

LABELS = {
    Fate.RECORDED: "Recorded",
    Fate.ADJUSTED: "Adjusted",
    Fate.DUPLICATE: "Recorded before",
    Fate.CONFLICT: "In conflict",
    Fate.REJECTED: "Rejected",
}
STYLES = {Fate.RECORDED: "green", Fate.ADJUSTED: "green", Fate.CONFLICT: "yellow", Fate.REJECTED: "red"}

COLUMN_HELP = {
    Column.TIME: "the day or the time of the spend",
    Column.HOUR: "the hour of the day, beside a column with the day",
    Column.UNTIL: "the last day of a row; rows of several days are rejected",
    Column.CAMPAIGN: "the campaign",
    Column.COST: "the amount spent",
    Column.CURRENCY: "the currency; rows in another than the brand's are rejected",
    Column.EVENT_ID: "an id that is unique for every row of the brand",
}


class Command(PlainCommand):
    """Imports one file and accounts for every row of it."""

    help = (
        "Import a spend report in CSV: rows with a day or time, a campaign and a cost. The same file counts once, "
        "however often it is imported. Exit code 0 when all rows were taken, 1 when some were rejected or in conflict "
        "(they go to a file of rejects), 2 when the file can't be imported as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("file", help="the CSV file")
        parser.add_argument("--brand", help="only campaigns of this brand: its id, external id or name")
        parser.add_argument("--by", choices=list(By), help="what the campaign column holds; default: by its header")
        for column, what in COLUMN_HELP.items():
            parser.add_argument(f"--{column}-column", metavar="NAME", help=what)
        parser.add_argument(
            "--decimal", choices=DECIMAL_MARKS, metavar="MARK", help="what stands before the decimals; default: ."
        )
        order = parser.add_mutually_exclusive_group()
        order.add_argument("--day-first", action="store_true", help="01/03/2026 is the 1st of March")
        order.add_argument("--month-first", action="store_true", help="01/03/2026 is the 3rd of January")
        parser.add_argument(
            "--timezone", metavar="ZONE", help="zone of times without an offset; default: that of each brand"
        )
        parser.add_argument("--encoding", help="such as cp1252; default: UTF-8, or what the file's mark says")
        parser.add_argument(
            "--restated",
            choices=["reject", "adjust"],
            default="reject",
            help="what to do where a cost is another than it was at the last import: reject the row, or record the "
            "difference as an adjustment; default: reject",
        )
        parser.add_argument("--rejects", metavar="PATH", help="file of rejects; default: FILE.rejects.csv beside FILE")
        parser.add_argument("--dry-run", action="store_true", help="tell what would happen, record nothing")

    def handle(self, *args: Any, file: str, **options: Any) -> None:
        """Import the file, print the account, and end with 1 if rows were not taken."""
        path = Path(file)
        try:
            with self._reading(path):
                sheet = Sheet(path, _wishes(options))
            terms = _terms(sheet, options)
            rejects = Rejects(_rejects_path(path, options["rejects"]), sheet)
        except BudgetError as error:
            raise misused(str(error)) from error
        run = Import(sheet, terms, rejects)
        quiet = options["verbosity"] == 0
        try:
            with rejects, self._progress(sheet) as progress:
                run.run(progress)
        except (KeyboardInterrupt, BudgetError, Error) as error:
            if not quiet and run.account.rows:
                self.out.print(_summary(sheet, terms, run.account, rejects))
            raise _stopped(error, run.account) from error
        if not quiet:
            self.out.print(_summary(sheet, terms, run.account, rejects))
        if run.account.refused:
            raise CommandError(
                f"{run.account.refused:,} of {run.account.rows:,} rows were not recorded; they are in {rejects.path} "
                "with the reasons."
            )

    @contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        if not self.err.is_terminal:
            yield
            return
        with self.err.status(Text(f"Reading {path.name}")):
            yield

    @contextmanager
    def _progress(self, sheet: Sheet) -> Iterator[Callable[[Account], None]]:
        """Yield what draws the progress: by rows, whose number is known by now."""
        if not self.err.is_terminal:
            yield lambda _: None
            return
        columns = (
            TextColumn("Importing"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows", markup=False),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.err, transient=True) as progress:
            task = progress.add_task("", total=sheet.rows_in_all)
            yield lambda account: progress.update(task, completed=account.rows)


def _wishes(options: dict[str, Any]) -> Wishes:
    named = {column: options[f"{column.replace('-', '_')}_column"] for column in COLUMN_HELP}
    return Wishes(
        columns={column: name for column, name in named.items() if name is not None},
        encoding=options["encoding"],
        decimal=options["decimal"],
        by_name=options["by"] == By.NAME,
    )


def _terms(sheet: Sheet, options: dict[str, Any]) -> Terms:
    order = DayOrder.DAY_FIRST if options["day_first"] else DayOrder.MONTH_FIRST if options["month_first"] else None
    return Terms(
        by=[By(options["by"])] if options["by"] else WAYS[sheet.layout.campaign_is],
        brand=None if options["brand"] is None else lookup.find_brand(options["brand"]),
        zone=_zone(options["timezone"]),
        order=order,
        adjust=options["restated"] == "adjust",
        dry_run=options["dry_run"],
    )


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # unknown, malformed, a folder
        raise misused(f"{shown(name or '')} is not an IANA time zone, such as Europe/Berlin.") from error


def _rejects_path(path: Path, wish: str | None) -> Path:
    return path.with_name(f"{path.stem}.rejects.csv") if wish is None else Path(wish)


def _stopped(error: BaseException, account: Account) -> CommandError:
    # A batch can be committed before it is accounted for.
    again = "" if isinstance(error, BudgetError) and not account.rows else f" {AGAIN}"
    if isinstance(error, KeyboardInterrupt):
        return CommandError(f"Stopped.{again}", returncode=INTERRUPTED)
    sentence = database_sentence(error) if isinstance(error, Error) else str(error)
    return CommandError(f"{sentence}{again}", returncode=FAILED)


def _summary(sheet: Sheet, terms: Terms, account: Account, rejects: Rejects) -> RenderableType:
    parts: list[RenderableType] = [_reading(sheet, terms), "", _figures(account, sheet.layout.titles)]
    for title, campaigns in (("Paused by this import", account.paused()), ("Resumed by it", account.resumed())):
        if campaigns:
            parts += ["", Text(title, style="bold"), _campaigns(campaigns)]
    if account.reasons:
        title = f"Not recorded; all of them are in {rejects.path}"
        parts += ["", Text(title, style="bold"), _reasons(account)]
    if terms.dry_run:
        parts += ["", Text("Dry run: nothing was recorded.", style="bold")]
    return Group(*parts)


def _reading(sheet: Sheet, terms: Terms) -> RenderableType:
    """How the file was understood, so that a wrong guess shows."""
    layout = sheet.layout
    about = Table.grid(padding=(0, 2, 0, 0))
    encoding = sheet.text.encoding.upper().removesuffix("-SIG")
    about.add_row("File", Text(f"{sheet.text.path}, {encoding} text separated by {DELIMITERS[layout.delimiter]}"))
    about.add_row("Campaign", Text(f"{layout.name(Column.CAMPAIGN)!r}, by {' or '.join(map(_way, terms.by))}"))
    hour = f" and {layout.name(Column.HOUR)!r}" if Column.HOUR in layout.at else ""
    zone = terms.zone.key if terms.zone else "the brand's time zone"
    about.add_row("Time", Text(f"{layout.name(Column.TIME)!r}{hour}, in {zone} where no offset is given"))
    about.add_row("Cost", Text(f"{layout.name(Column.COST)!r}, decimals after {sheet.decimal!r}"))
    if Column.EVENT_ID in layout.at:
        about.add_row("Event id", Text(repr(layout.name(Column.EVENT_ID))))
    return about


def _way(by: By) -> str:
    return by.value.replace("-", " ")


def _figures(account: Account, titles: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    table.add_column("")
    table.add_column("Rows", justify="right", no_wrap=True)
    table.add_column("Amount", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for fate, label in LABELS.items():
        if account.fates[fate] or fate is Fate.RECORDED:
            amounts = sorted(account.sums[fate].items())
            amount = "\n".join(exact_money(micros, currency or "(?)") for currency, micros in amounts)
            style = STYLES.get(fate, "") if account.fates[fate] else ""
            table.add_row(Text(label, style=style), f"{account.fates[fate]:,}", Text(amount))
    skipped = account.skipped.most_common()
    if skipped:
        what = ", ".join(f"{number:,} {kind}{'' if number == 1 else 's'}" for kind, number in skipped)
        table.add_row(Text("Skipped"), f"{account.fates[Fate.SKIPPED]:,}", "", Text(what, style="dim"))
    above = f"{titles} title line{'' if titles == 1 else 's'} above the header" if titles else ""
    table.add_row(Text("Read", style="bold"), Text(f"{account.rows:,}", style="bold"), "", Text(above, style="dim"))
    return table


def _campaigns(changed: dict[int, reasons.Reason]) -> RenderableType:
    first = sorted(changed)[:PAUSED_SHOWN]
    found = Campaign.objects.select_related("brand").in_bulk(first)
    lines = Table.grid(padding=(0, 2, 0, 0))
    for campaign_id in first:
        campaign = found[campaign_id]
        lines.add_row(Text(f"{campaign} ({campaign.brand})"), Text(reasons.in_words(changed[campaign_id])))
    if len(changed) > len(first):
        lines.add_row(Text(f"and {len(changed) - len(first):,} more"))
    return Padding(lines, (0, 0, 0, 2))


def _reasons(account: Account) -> RenderableType:
    lines = Table.grid(padding=(0, 2, 0, 0))
    lines.add_column(justify="right", no_wrap=True)
    lines.add_column(no_wrap=True)
    lines.add_column()
    for why, number in account.reasons.most_common(REASONS_SHOWN):
        where = f"line {account.lines[why]:,}" if number == 1 else f"from line {account.lines[why]:,}"
        lines.add_row(f"{number:,}", Text(where, style="dim"), Text(why))
    if len(account.reasons) > REASONS_SHOWN:
        lines.add_row("", "", Text("and other reasons", style="dim"))
    return Padding(lines, (0, 0, 0, 2))
