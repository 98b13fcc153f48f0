"""`manage.py reset_second_factor`: let somebody in who has lost phone and recovery codes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from campaigns.management.console import PlainCommand
from campaigns.queries import people
from campaigns.rules.errors import BudgetError
from campaigns.services import factors


class Command(PlainCommand):
    """Takes a second factor away; the person sets up another at the next login."""

    help = "Take a person's second factor away, who has lost it. Every session of theirs ends."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name", help="the name to log in with")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        """Reset it."""
        if not factors.reset(user_ids=[people.find_person(name).pk]):
            raise BudgetError(f"{name} has no second factor.")
        self.say(f"{name} logs in by password now, and sets up a new second factor then.")
