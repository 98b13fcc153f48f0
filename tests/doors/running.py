"""Running the commands: in this process, and as a process of its own on the test database."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection


class Ran(NamedTuple):
    """How a command ended: exit code, standard output, and the line on standard error."""

    code: int
    out: str
    err: str


def run(name: str, *arguments: object) -> Ran:
    """Run a command in this process, in this transaction."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(name, *map(str, arguments), stdout=out, stderr=err)
    except CommandError as error:
        return Ran(error.returncode, out.getvalue(), err.getvalue() + str(error))
    return Ran(0, out.getvalue(), err.getvalue())


def start(*arguments: object, variables: dict[str, str] | None = None, **how: Any) -> subprocess.Popen[str]:
    """Start the real manage.py on the test database; the test must not hold a transaction open."""
    environment = os.environ | {"DATABASE_URL": database_url(), "COLUMNS": "100"} | (variables or {})
    how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    return subprocess.Popen(
        [sys.executable, settings.BASE_DIR / "manage.py", *map(str, arguments)],
        env=environment,
        text=True,
        **how,
    )


def finish(process: subprocess.Popen[str]) -> Ran:
    """Wait for its end."""
    out, err = process.communicate(timeout=120)
    return Ran(process.returncode, out, err)


def manage(*arguments: object, **variables: str) -> Ran:
    """Run the real manage.py to its end."""
    return finish(start(*arguments, variables=variables))


def database_url() -> str:
    """Return the URL of the database that the tests use now."""
    if connection.vendor == "sqlite":
        return f"sqlite:///{connection.settings_dict['NAME']}"
    given: Callable[[str], str] = lambda key: quote(str(connection.settings_dict[key] or ""), safe="")  # noqa: E731
    login = given("USER") + (f":{given('PASSWORD')}" if given("PASSWORD") else "")
    return f"postgresql://{login}@{given('HOST')}:{given('PORT')}/{given('NAME')}"
