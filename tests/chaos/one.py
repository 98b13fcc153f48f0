"""Brings about one fault and prints its line as JSON: `python -m tests.chaos.one NAME SECONDS PLANT [FOLDER]`."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import django

from tests.chaos.disguise import IN_PROGRAMS
from tests.chaos.lines import Line

if TYPE_CHECKING:
    from tests.chaos.load import Scene
    from tests.chaos.product import Product
    from tests.chaos.scenarios import Fault, Harm
    from tests.servers import Cluster


def main(name: str, seconds: str, plant: str, keep: str = "") -> None:
    """Bring it about and print the line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and so every program with it
    with ExitStack() as stack:
        if keep:
            folder = Path(keep)
            folder.mkdir(parents=True)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos.")))
        line = _attempt(name, float(seconds), plant, folder)
    print(json.dumps(dataclasses.asdict(line)))


def _attempt(name: str, seconds: float, plant: str, folder: Path) -> Line:
    """Set Django up on a new database and bring the fault about; what goes wrong is in the line."""
    from tests.chaos import product

    line = Line(name)
    with ExitStack() as stack:
        try:
            small = name == "full-disk"
            disk = stack.enter_context(product.small_disk(folder)) if small else None
            cluster = stack.enter_context(product.database(folder, disk=disk))
            _set_up(cluster, folder)
            _bring_about(name, seconds, plant, cluster, folder, line)
        except (AssertionError, product.NotRunError) as error:
            line.wrong.append(f"{type(error).__name__}: {error}")
    return line


def _set_up(cluster: Cluster, folder: Path) -> None:
    os.environ |= {"DATABASE_URL": cluster.url, "DATA_DIR": str(folder), "ENVIRONMENT": "embedded"}
    os.environ.pop("REDIS_URL", None)  # this process counts for nobody
    os.environ["DJANGO_SETTINGS_MODULE"] = "budget_management.settings"
    django.setup()
    from django.db import connection

    # Without a pool: after the database was away, one looks for new connections with growing pauses.
    connection.settings_dict["OPTIONS"].pop("pool", None)


def _bring_about(name: str, seconds: float, plant: str, cluster: Cluster, folder: Path, line: Line) -> None:
    from django.core.management import call_command

    from tests.chaos.product import Product
    from tests.chaos.scenarios import FAULTS, Harm

    fault = FAULTS[name]
    line.words = fault.words
    product = Product(cluster, folder, disguise=_disguise(fault, plant, folder))
    try:
        product.start_servers()
        call_command("migrate", verbosity=0)
        harm = Harm(_scene(product, plant), seconds)
        product.start()
        try:
            _live_through(fault, harm, line)
        finally:
            line.wrong += _told(product)  # before they are stopped: that is no part of the fault
        _check(harm, line)
    finally:
        product.stop()


def _disguise(fault: Fault, plant: str, folder: Path) -> dict[str, str] | None:
    """What the programs are disguised by; None if by nothing."""
    disguise = dict(fault.disguise or {})
    if "CHAOS_CLOCK" in disguise:
        clock = folder / "clock"
        clock.write_text("0")
        disguise["CHAOS_CLOCK"] = str(clock)
    if plant in IN_PROGRAMS:
        disguise["CHAOS_PLANT"] = plant
    return disguise or None


def _scene(product: Product, plant: str) -> Scene:
    """A brand whose budget is set all the time, one for holds whose budget runs out, and one without a budget."""
    from campaigns.models import Scope
    from campaigns.services import keys
    from tests import factories
    from tests.chaos.load import Scene

    now = datetime.now(UTC)
    zone = _where_it_is_noon(now)
    managed = factories.brand(now=now, timezone=zone, daily_budget=1)
    scarce = factories.brand(now=now, timezone=zone, daily_budget=2)
    plenty = factories.brand(now=now, timezone=zone)
    _, key = keys.create_key(name="Chaos", scopes=[Scope.SPEND, Scope.MANAGE], now=now)
    return Scene(
        product,
        key,
        managed.pk,
        campaign_ids=[factories.campaign(managed, now=now).pk for _ in range(5)],
        held_ids=[factories.campaign(brand, now=now).pk for brand in (scarce, plenty)],
        spare_id=factories.campaign(plenty, now=now).pk,
        plant=plant,
    )


def _where_it_is_noon(now: datetime) -> str:
    """A time zone in which no midnight is near: time alone is to change no verdict."""
    ahead = 12 - now.astimezone(UTC).hour
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def _live_through(fault: Fault, harm: Harm, line: Line) -> None:
    """Let the load run, do the harm, and let everybody finish and everything come to rest."""
    from tests.chaos.load import STREAM

    product = harm.product
    harm.scene.begin()
    try:
        harm.go_on()
        fault.do(harm)
    finally:
        harm.scene.end()
        line.notes += harm.notes
    with product.connect() as broker:
        product.until(lambda: not broker.xlen(STREAM), what="the stream is empty")
        if refused := broker.xlen(f"{STREAM}:rejected"):
            line.wrong.append(f"{refused} messages of the stream were refused.")
    product.until(lambda: _get(product, "/readyz")[0] == http.client.OK, what="/readyz says that all is well")
    _metrics_count(product, line)


def _get(product: Product, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", product.port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def _metrics_count(product: Product, line: Line) -> None:
    """See that /metrics still counts: runs of the pass, which a worker tells through the broker."""
    before = _passes(product)
    product.until(lambda: _passes(product) > before, what="the metrics count passes")
    if before < 0:
        line.wrong.append("/metrics did not answer.")


def _passes(product: Product) -> float:
    status, text = _get(product, "/metrics")
    name = 'budget_management_run_seconds_count{task="enforce"}'
    counts = [text_line.split()[-1] for text_line in text.splitlines() if text_line.startswith(name)]
    return float(counts[0]) if status == http.client.OK and counts else -1.0


def _check(harm: Harm, line: Line) -> None:
    """Stop the product's programs and judge what they have left behind."""
    from tests.chaos import judging
    from tests.chaos.programs import stop_all

    stop_all(harm.product.own)
    with _planted(harm.scene.plant):
        found = judging.judge(harm.scene.book, now=datetime.now(UTC))
    times = harm.recovery
    line.cells = [
        f"{found.answered:,}",
        f"{found.recorded:,}",
        str(found.twice),
        str(found.lost),
        f"{harm.scene.book.retries:,}",
        *(f"{seconds:.1f}" for seconds in (times.answer, times.stream, times.pass_)),
        str(found.differences),
    ]
    line.wrong += found.wrong
    if found.forfeited:
        line.notes.append(f"thrown away with the stream by whoever emptied it: {found.forfeited} events")
    ended = [f"{program.name} {program.deaths}" for program in harm.product.own if program.deaths]
    if ended:
        line.notes.append(f"ended by themselves and were started again: {', '.join(ended)}")


@contextmanager
def _planted(plant: str) -> Iterator[None]:
    """Spoil what was recorded, if that is the fault to be found."""
    from django.db import connection

    from campaigns.models import Campaign, SpendLog, append_only

    if plant == "row-deleted":
        with append_only.suspended(connection):
            SpendLog.objects.order_by("pk").first().delete()  # type: ignore[union-attr]  # there are thousands
    if plant == "status-overwritten":
        Campaign.objects.order_by("pk")[:1].get()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE campaigns_campaign SET reasons = 1 - reasons % 2, is_active = (reasons % 2 = 1)")
    yield


def _told(product: Product) -> list[str]:
    """What the programs have printed that they should not have."""
    from tests.chaos.judging import tracebacks

    found = {
        f"{program.name} printed a traceback: {last}" for program in product.own for last in tracebacks(program.output)
    }
    return sorted(found)


if __name__ == "__main__":
    main(*sys.argv[1:])
