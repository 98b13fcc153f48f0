"""`manage.py up`: the whole product on one machine, with one command."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connections
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from campaigns.management import embedded
from campaigns.management.supervisor import Child, StartError, Supervisor

DEFAULT_PORT = "8000"


def port_number(text: str) -> int:
    """Return the port that `text` names, or tell argparse why it names none."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65_535):
        raise ArgumentTypeError(f"{text!r} is not a port: a number from 1 to 65535")
    return int(text)


class Command(BaseCommand):
    """Migrates, then runs broker, web, worker, beat and stream consumer until Ctrl-C."""

    help = "Run everything on this machine: broker, web, worker, beat and stream consumer. Ctrl-C stops it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--demo", action="store_true", help="demo data and a spend reporter")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument(
            "--port",
            type=port_number,
            default=os.environ.get("PORT") or DEFAULT_PORT,
            help=f"port to listen on; default: the variable PORT, or {DEFAULT_PORT}",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare what is missing, then stay until a signal."""
        if settings.ENV.production:
            raise CommandError(
                "up is for ENVIRONMENT=embedded; in production each program is a service of its "
                "own, see docker-compose.yml"
            )
        console = Console(highlight=False)
        try:
            with embedded.sole_owner(settings.DATA_DIR):
                self._run(console, **options)
        except embedded.AlreadyRunningError as error:
            raise CommandError(
                f"it runs already (process {error}) on the data in {_short(settings.DATA_DIR)}; "
                "stop it first, or set DATA_DIR and PORT for a second one"
            ) from None

    def _run(self, console: Console, *, demo: bool, host: str, port: int, **options: Any) -> None:
        free = embedded.next_free_port(host, port)
        if free is None:
            raise CommandError(f"no free port on {host} from {port} on; choose one with PORT=")
        password = self._prepare(console, demo=demo)
        supervisor = Supervisor(
            _children(demo=demo, host=host, port=free),
            logs=settings.DATA_DIR / "logs",
            console=console,
            verbose=options["verbosity"] > 1,
        )
        console.print("Starting broker, worker, beat, stream consumer and web")
        try:
            supervisor.run(lambda: _welcome(console, host, free, password, taken=port != free))
        except StartError as error:
            raise CommandError(str(error)) from None
        console.print(f"Stopped. The data stay in {_short(settings.DATA_DIR)}.", soft_wrap=True)

    def _prepare(self, console: Console, *, demo: bool) -> str | None:
        """Bring the database up to date; return the first password as long as it is valid."""
        console.print("Preparing the database")
        try:
            call_command("migrate", verbosity=0, interactive=False)
            if demo:
                call_command("seed_demo")
            return embedded.first_password(settings.DATA_DIR)
        except OperationalError as error:
            raise CommandError(f"the database does not work: {str(error).strip()}") from None
        finally:
            connections.close_all()


def _children(*, demo: bool, host: str, port: int) -> list[Child]:
    environment = dict(os.environ) | {
        "DATA_DIR": str(settings.DATA_DIR),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(settings.BASE_DIR),
    }
    children = []
    if settings.ENV.redis_url is None:
        broker, url = embedded.valkey(settings.DATA_DIR, environment)
        environment["REDIS_URL"] = url
        children.append(broker)
    manage = settings.BASE_DIR / "manage.py"
    children += embedded.application(manage=manage, host=host, port=port, environment=environment)
    if demo:
        children.append(embedded.reporter(manage=manage, environment=environment))
    return children


def _welcome(console: Console, host: str, port: int, password: str | None, *, taken: bool) -> None:
    name = "localhost" if embedded.reachable(host) == "127.0.0.1" else embedded.reachable(host)
    python = f"{_short(Path(sys.executable))} manage.py"
    rows = Table.grid(padding=(0, 2))
    rows.add_row("[bold]Admin", f"[bold green]http://{name}:{port}/admin/")
    login = f"{embedded.ADMIN} / {password}" if password else "your own"
    rows.add_row("[bold]Login", login)
    rows.add_row("", f"[dim]to change it: {python} changepassword {embedded.ADMIN}")
    for label, command in (
        ("Try", f"{python} standing"),
        ("", f"{python} log_spend <campaign id> <amount>"),
        ("", f"{python} check_ledger"),
    ):
        rows.add_row(f"[bold]{label}", command)
    rows.add_row("[bold]Logs", f"{_short(settings.DATA_DIR)}/logs")
    rows.add_row("[bold]Stop", "Ctrl-C")
    console.print(Panel(rows, title="Budget management is running", expand=False))
    if taken:
        console.print(f"[yellow]The port you asked for is taken; this is port {port}.")


def _short(path: Path) -> str:
    """Return `path` as one types it here."""
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
