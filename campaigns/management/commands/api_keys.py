"""`manage.py api_keys`: the keys of the API, and how one is revoked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Q
from django.utils import timezone
from rich.table import Table
from rich.text import Text

from campaigns.management.console import PlainCommand, shown
from campaigns.models import ApiKey
from campaigns.rules.errors import BudgetError
from campaigns.services import keys

SHOWN = 1_000
"""Keys in the table, the youngest first."""


class Command(PlainCommand):
    """Lists keys, or revokes one."""

    help = "List the keys of the API with what they may do and when they were last used; --revoke ends one."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--revoke", metavar="KEY", help="a key by its name or its beginning: it is refused at once")

    def handle(self, *args: Any, revoke: str | None, **options: Any) -> None:
        """Revoke a key or print the table."""
        if revoke is not None:
            key = _find(revoke)
            keys.revoke_key(key_id=key.pk, now=timezone.now())
            self.say(f"Revoked {key.prefix}… ({key.name}); the next request with it is refused.")
            return
        rows = list(ApiKey.objects.order_by("-pk").prefetch_related("brands")[:SHOWN])
        if not rows:
            self.say("There are no keys yet; make one with: manage.py create_api_key NAME --scope read")
            return
        self.out.print(_table(rows))


def _find(reference: str) -> ApiKey:
    named = ApiKey.objects.filter(Q(name=reference) | Q(prefix=reference)) if reference.isprintable() else None
    key = named.first() if named is not None else None
    if key is None:
        raise BudgetError(f"There is no key with the name or beginning {shown(reference)}; api_keys lists them.")
    return key


def _table(rows: list[ApiKey]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    for name in ("Key", "Name", "Scopes", "Brands", "Made", "Last used", "Revoked"):
        table.add_column(name, overflow="fold", no_wrap=name in {"Key", "Made", "Last used"})
    for key in rows:
        brands = "all" if key.all_brands else ", ".join(brand.name for brand in key.brands.all()) or "none"
        table.add_row(
            Text(f"{key.prefix}…"),
            Text(key.name),
            Text(", ".join(key.scope_codes)),
            Text(brands),
            _moment(key.created_at),
            _moment(key.last_used_at, "never"),
            _moment(key.revoked_at, "", style="red"),
            style="dim" if key.revoked_at else "",
        )
    return table


def _moment(moment: datetime | None, absent: str = "", style: str = "") -> Text:
    return Text(absent if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC", style=style)
