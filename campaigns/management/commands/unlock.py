"""`manage.py unlock`: end a lock that failed logins have brought about."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from campaigns.management.console import PlainCommand
from campaigns.queries import people
from campaigns.rules.errors import BudgetError
from campaigns.services import attempts, factors


class Command(PlainCommand):
    """Forgets failed logins and wrong codes of a person, or all failures from an address."""

    help = "End a lock that too many failed logins have brought about."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name", nargs="?", help="the name to log in with")
        parser.add_argument("--address", help="an address that is locked out as a whole")

    def handle(self, *args: Any, name: str | None, address: str | None, **options: Any) -> None:
        """Forget them."""
        if name is None and address is None:
            raise BudgetError("Say whom to unlock: a name, or --address and an address.")
        if name is not None:
            factors.forgive(user_ids=[people.find_person(name).pk])
        count = attempts.forget(names=None if name is None else [name], address=address and _counted(address))
        self.say(f"{count} failed login{'' if count == 1 else 's'} forgotten.")


def _counted(address: str) -> str:
    """The address as failures are counted under it."""
    network = attempts.network(address)
    if network is None:
        raise BudgetError(f"{address!r} is no address.")
    return network
