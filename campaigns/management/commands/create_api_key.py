"""`manage.py create_api_key`: make a key for the API and show it once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from campaigns.management.console import PlainCommand, row_id
from campaigns.models import Scope
from campaigns.models.access import SCOPE_LABELS
from campaigns.services import keys

SCOPES = {scope.code: scope for scope in Scope}


class Command(PlainCommand):
    """Makes a key; only a hash of it is kept."""

    help = "Make a key for the API. It is printed once, on standard output, and can't be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name", help="who will use it, such as 'ad server Frankfurt'")
        parser.add_argument(
            "--scope",
            action="append",
            nargs="+",
            choices=SCOPES,
            required=True,
            help="; ".join(f"{scope.code}: {label}" for scope, label in SCOPE_LABELS.items()),
        )
        parser.add_argument(
            "--brand",
            action="append",
            nargs="+",
            type=row_id,
            metavar="ID",
            help="the only brands it sees; default: every brand, now and in future",
        )

    def handle(
        self, *args: Any, name: str, scope: list[list[str]], brand: list[list[int]] | None, **options: Any
    ) -> None:
        """Make the key; the key alone goes to standard output, so that a script can take it."""
        scopes = {SCOPES[code] for codes in scope for code in codes}
        brands = None if brand is None else sorted({number for numbers in brand for number in numbers})
        key, secret = keys.create_key(name=name, scopes=scopes, brand_ids=brands, now=timezone.now())
        self.say(secret)
        if options["verbosity"] > 0:
            sees = "every brand" if brands is None else f"brand {', '.join(map(str, brands))}"
            self.err.print(f"Key {key.prefix}… for {key.name}: {', '.join(key.scope_codes)}; sees {sees}.")
            self.err.print("Keep it now: it is not stored and can't be shown again.", style="dim")
