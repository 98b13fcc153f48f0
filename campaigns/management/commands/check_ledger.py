"""`manage.py check_ledger`: prove that every counter is the sum of its ledger rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from rich.table import Table
from rich.text import Text

from campaigns.management.console import PlainCommand, exact_money
from campaigns.models import Brand, Campaign, SpendLog
from campaigns.queries.archive import archived_rows
from campaigns.rules import money
from campaigns.rules.periods import Period
from campaigns.services import audit
from campaigns.services.audit import Difference, Figure
from campaigns.services.counters import BRAND

SHOWN = 50
"""Differences in the table; `--json` has all of them."""

_CHUNK = 500  # names looked up in one query


class Command(PlainCommand):
    """Recomputes the counters from the ledger and reports, or repairs, every difference."""

    help = (
        "Recompute every counter from the ledger by a second path and report each difference. "
        "Exit code 0 when there is none (or none is left after --repair), 1 otherwise."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--repair", action="store_true", help="rebuild the counters that differ, judge their campaigns, check again"
        )
        parser.add_argument("--json", action="store_true", help="for programs: one JSON document")

    def handle(self, *args: Any, repair: bool, **options: Any) -> None:
        """Check, repair if asked to, and print what was found."""
        found = left = audit.run_check(now=timezone.now())
        if repair and found:
            audit.repair_ledger(now=timezone.now())
            left = audit.run_check(now=timezone.now())
        names = _Names.of(found)
        if options["json"]:
            self.say(json.dumps(_as_json(found, left, names, repair=repair), indent=2, ensure_ascii=False))
        elif found:
            self.out.print(_table(found[:SHOWN], names))
            if len(found) > SHOWN:
                self.say(f"and {len(found) - SHOWN:,} more; --json has all of them")
        if left:
            raise CommandError(_bad_news(left, repaired=repair))
        if options["json"] or options["verbosity"] == 0:
            return
        if found:
            self.say(f"Repaired {_counters(len(found))}; a second check finds no difference.", style="green")
        else:
            self.say(
                f"The ledger is clean: {_counters(audit.count_counters())} and {_rows()}, no difference.", style="green"
            )


class _Names(NamedTuple):
    """What people call the owners of some counters, and the currency of each brand."""

    brands: dict[int, tuple[str, str]]
    campaigns: dict[int, str]

    @classmethod
    def of(cls, differences: Iterable[Difference]) -> _Names:
        differences = list(differences)
        brands: dict[int, tuple[str, str]] = {}
        for ids in _chunks({d.brand_id for d in differences}):
            rows = Brand.objects.filter(pk__in=ids).order_by().values_list("pk", "name", "currency")
            brands |= {pk: (name, currency) for pk, name, currency in rows}
        campaigns: dict[int, str] = {}
        for ids in _chunks({d.campaign_id for d in differences}):
            campaigns |= dict(Campaign.objects.filter(pk__in=ids).order_by().values_list("pk", "name"))
        return cls(brands, campaigns)

    def brand(self, difference: Difference) -> str:
        # The ledger's rows carry no foreign key of their own, so even this is told and not taken for granted.
        return self.brands.get(difference.brand_id, (f"unknown brand {difference.brand_id}", ""))[0]

    def currency(self, difference: Difference) -> str:
        return self.brands.get(difference.brand_id, ("", ""))[1]

    def campaign(self, difference: Difference) -> str | None:
        """The campaign's name; None where the counter is the brand's own."""
        if difference.campaign_id == BRAND:
            return None
        return self.campaigns.get(difference.campaign_id, f"unknown campaign {difference.campaign_id}")


def _table(differences: Sequence[Difference], names: _Names) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    table.add_column("Brand", overflow="fold")
    table.add_column("Campaign", overflow="fold")
    table.add_column("Period", no_wrap=True)
    for name in ("Counter", "Ledger", "Difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for difference in differences:
        currency = names.currency(difference)
        table.add_row(
            Text(names.brand(difference)),
            Text(names.campaign(difference) or "all together", style="" if difference.campaign_id else "dim"),
            Text(_period(difference) + (", held" if difference.figure is Figure.HELD else "")),
            Text(exact_money(difference.counted)),
            Text(exact_money(difference.ledger)),
            Text(exact_money(difference.counted - difference.ledger, currency, sign=True), style="red"),
        )
    return table


def _period(difference: Difference) -> str:
    if difference.period is Period.DAY:
        return f"day {difference.start}"
    return f"month {difference.start:%Y-%m}" if difference.period is Period.MONTH else "total"


def _bad_news(left: Sequence[Difference], *, repaired: bool) -> str:
    number, differ = _counters(len(left)), "differs" if len(left) == 1 else "differ"
    if repaired:
        return f"{number} still {differ} from the ledger after the repair."
    return f"{number} {differ} from the ledger; --repair rebuilds {'it' if len(left) == 1 else 'them'}."


def _as_json(found: Sequence[Difference], left: Sequence[Difference], names: _Names, *, repair: bool) -> dict[str, Any]:
    return {
        "clean": not left,
        "repaired": len(found) if repair else 0,
        "counters": audit.count_counters(),
        "ledger_rows": SpendLog.objects.count(),
        "archived_rows": archived_rows(),
        "differences": [_difference_as_json(difference, names) for difference in found],
    }


def _difference_as_json(difference: Difference, names: _Names) -> dict[str, Any]:
    return {
        "brand_id": difference.brand_id,
        "brand": names.brand(difference),
        "campaign_id": difference.campaign_id or None,
        "campaign": names.campaign(difference),
        "period": difference.period.name.lower(),
        "figure": difference.figure.value,
        "start": None if difference.period is Period.TOTAL else difference.start.isoformat(),
        "currency": names.currency(difference),
        "counter": money.to_text(difference.counted),
        "ledger": money.to_text(difference.ledger),
        "difference": money.to_text(difference.counted - difference.ledger),
    }


def _counters(number: int) -> str:
    return f"{number:,} counter{'' if number == 1 else 's'}"


def _rows() -> str:
    number, archived = SpendLog.objects.count(), archived_rows()
    return f"{number:,} ledger row{'' if number == 1 else 's'}" + (f" ({archived:,} more archived)" if archived else "")


def _chunks(ids: Iterable[int]) -> Iterable[list[int]]:
    wanted = sorted(ids)
    return (wanted[first : first + _CHUNK] for first in range(0, len(wanted), _CHUNK))
