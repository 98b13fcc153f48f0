"""`manage.py create_person`: make a person who may log in, with a role, and show the password once."""

from __future__ import annotations

import secrets
from typing import Any

from django.core.management.base import CommandParser

from campaigns.management.console import PlainCommand
from campaigns.queries.lookup import find_brand
from campaigns.services import roles
from campaigns.services.roles import ROLE_LABELS, Role

ROLES = {role.value.lower(): role for role in Role}


class Command(PlainCommand):
    """Makes a person; the password is theirs to change."""

    help = "Make a person who may log in. The generated password is printed once, on standard output."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name", help="the name to log in with")
        meaning = "; ".join(f"{role.value.lower()}: {label}" for role, label in ROLE_LABELS.items())
        parser.add_argument("--role", choices=ROLES, required=True, help=meaning)
        parser.add_argument(
            "--brand",
            action="append",
            nargs="+",
            metavar="NAME",
            help="the only brands the person sees, by name, external id or id; default: every brand, now and in future",
        )
        parser.add_argument("--email", default="", help="the person's address")

    def handle(
        self, *args: Any, name: str, role: str, brand: list[list[str]] | None, email: str, **options: Any
    ) -> None:
        """Make the person; the password alone goes to standard output, so that a script can take it."""
        brands = None if brand is None else [find_brand(one) for names in brand for one in names]
        password = secrets.token_urlsafe(12)
        ids = None if brands is None else [one.pk for one in brands]
        person = roles.create_person(name=name, role=ROLES[role], password=password, email=email, brand_ids=ids)
        self.say(password)
        if options["verbosity"] > 0:
            sees = "every brand" if brands is None else ", ".join(sorted({one.name for one in brands}))
            self.err.print(f"{person.username} may log in as {ROLES[role]}; sees {sees}.")
            self.err.print("Hand the password over now: it can't be shown again.", style="dim")
