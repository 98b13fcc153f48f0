"""The faults: each does harm to a product under load, and says when the harm was over."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from django.utils import timezone

from campaigns import tasks
from campaigns.models import Hold, PeriodicRun, SpendLog
from tests.chaos.load import CENT, STREAM, Bidder, Scene
from tests.chaos.product import CLAIM_SECONDS, Product, spoken
from tests.chaos.programs import Mortal

DOWN_SECONDS = 3.0
"""How long a server stays away."""

LONG_AWAY_SECONDS = 40.0

GROUP = "budget"
"""The consumers' group."""

FIVE_MINUTES = 300

HOURS_OLD = timedelta(hours=3)


@dataclass
class Recovery:
    """Seconds from the end of a fault to the first answered event, the first from the stream, the first whole pass."""

    answer: float = 0
    stream: float = 0
    pass_: float = 0

    def worst(self, other: Recovery) -> Recovery:
        """Return the longer of each."""
        return Recovery(max(self.answer, other.answer), max(self.stream, other.stream), max(self.pass_, other.pass_))


@dataclass
class Harm:
    """A product under load, and what a fault does to it. seconds: how long the load runs before and between."""

    scene: Scene
    seconds: float
    recovery: Recovery = field(default_factory=Recovery)
    notes: list[str] = field(default_factory=list)

    @property
    def product(self) -> Product:
        """The product."""
        return self.scene.product

    def over(self) -> None:
        """Say that the fault is over at this moment; wait until everything goes on, and note how long that took."""
        began, last = time.monotonic(), _last_pass()
        waits = Recovery(-1, -1, -1)

        def recovered() -> bool:
            passed = time.monotonic() - began
            if waits.answer < 0 and any(at > began for at in list(self.scene.book.answered.values())[-200:]):
                waits.answer = passed
            if waits.stream < 0 and self._streamed_since(began):
                waits.stream = passed
            if waits.pass_ < 0 and _passed_since(last):
                waits.pass_ = passed
            return min(waits.answer, waits.stream, waits.pass_) >= 0

        try:
            self.product.until(recovered, what="all goes on", within=120)
        except AssertionError as error:
            raise AssertionError(f"{error}: after the fault {waits}") from None
        self.recovery = self.recovery.worst(waits)

    def _streamed_since(self, began: float) -> bool:
        recent = list(self.scene.book.streamed.items())[-300:]
        names = [deed for deed, at in recent if at > began]
        return bool(names) and _quietly(lambda: SpendLog.objects.filter(event_id__in=names).exists())

    def go_on(self) -> None:
        """Let the load run for a while."""
        self.product.wait(self.seconds)

    def restart(self, program: Mortal, *, after: float = 0.0) -> None:
        """Kill a program without warning, start it again after a while, and wait until everything goes on."""
        program.kill()
        self.product.wait(after)
        program.start()
        self.over()


def _last_pass() -> int:
    """The last pass that has begun, if the database says."""
    last = _quietly(lambda: PeriodicRun.objects.order_by("-pk").values_list("pk", flat=True).first())
    return last or 0


def _passed_since(last: int) -> bool:
    runs = PeriodicRun.objects.filter(task=PeriodicRun.Task.ENFORCE, pk__gt=last, finished_at__isnull=False)
    return bool(_quietly(runs.exists))


def _quietly(ask: Callable[[], Any]) -> Any:
    """Return the answer of a database that may be away; None while it is."""
    from django.db import Error, connection

    try:
        return ask()
    except Error:
        connection.close()
        return None


# --- Killed --------------------------------------------------------------------------------------

ROUNDS = 3


def kill(name: str, harm: Harm) -> None:
    """Kill a program of the product again and again, with everything that it has started."""
    for _ in range(ROUNDS):
        harm.restart(getattr(harm.product, name))
        harm.go_on()


def kill_database(harm: Harm) -> None:
    """Kill the database and all of its processes, twice; it comes back after a while."""
    for _ in range(2):
        harm.restart(harm.product.database, after=DOWN_SECONDS)
        harm.go_on()


def lose_database(harm: Harm) -> None:
    """Kill the database and leave it away for long: whoever looks for it with growing pauses comes back late."""
    harm.restart(harm.product.database, after=LONG_AWAY_SECONDS)
    harm.go_on()


def kill_broker(harm: Harm) -> None:
    """Kill the broker, twice; it comes back after a while with what its log has."""
    for _ in range(2):
        harm.restart(harm.product.broker, after=DOWN_SECONDS)
        harm.go_on()


def empty_broker(harm: Harm) -> None:
    """Throw away all that the broker has, twice: what was in the stream and not recorded is the operator's loss."""
    for _ in range(2):
        book = harm.scene.book
        with harm.product.connect() as broker:
            # What the broker has taken is known only once its answer has come: so whoever was sent before, not taken.
            broker.flushall()
        book.forfeited |= {name for name in list(book.sent) if name.startswith("stream-")}
        harm.over()
        harm.go_on()


def kill_everything(harm: Harm) -> None:
    """Kill one program after the other, then the database, then the broker."""
    for program in harm.product.own[:-1]:
        harm.restart(program)
    for server in harm.product.servers:
        harm.restart(server, after=1.0)


# --- The disk of the database --------------------------------------------------------------------


def fill_disk(harm: Harm) -> None:
    """Fill the disk of the database to the last byte, and make room again after a while."""
    disk = Path(str(harm.product.cluster.command[2])).parent
    ballast = disk / "ballast"
    refused = harm.scene.book.unavailable
    with ballast.open("wb", buffering=0) as file:
        _fill(file)
        harm.product.until(lambda: harm.scene.book.unavailable > refused, what="a client is told to come again")
        until = time.monotonic() + DOWN_SECONDS + harm.seconds
        while time.monotonic() < until:
            _fill(file)  # what a restart of the database has freed
            harm.product.wait(0.1)
    ballast.unlink()
    deaths = harm.product.database.deaths
    harm.notes.append(
        f"the database ended {deaths} times and was started again" if deaths else "the database stayed up"
    )
    harm.over()
    harm.go_on()


def _fill(file: Any) -> None:
    for size in (2**20, 2**12, 1):
        try:
            while True:
                file.write(b"\0" * size)
        except OSError:  # full
            continue


# --- Tasks and beats -----------------------------------------------------------------------------

VISIBILITY_SECONDS = 3


def deliver_tasks_again(harm: Harm) -> None:
    """Send one message twice, one whose time is long over, one that is hours old; and kill who has one in hand."""
    twice = uuid.uuid4().hex
    for _ in range(2):
        _send(harm, tasks.enforce_campaign_status, task_id=twice)
    over = timezone.now() - HOURS_OLD
    logging.getLogger("celery.app.base").setLevel(logging.ERROR)  # it warns that this one is over already
    _send(harm, tasks.enforce_campaign_status, expires=over, task_id=uuid.uuid4().hex)
    _send(harm, tasks.reset_daily, headers={"sent_at": over.isoformat()}, task_id=uuid.uuid4().hex)
    harm.over()
    harm.go_on()
    _leave_one_in_hand(harm)
    harm.over()
    harm.go_on()


def _send(harm: Harm, task: Any, **options: Any) -> None:
    from budget_management.celery import app

    with app.connection_for_write(harm.product.broker_url) as broker:
        task.apply_async(connection=broker, **options)


def _leave_one_in_hand(harm: Harm) -> None:
    """Kill the worker while it has a task in hand that beat does not send; another delivery has to do it."""
    harm.product.beat.kill()  # so that nobody else sends one
    with spoken(harm.product.cluster) as lock, lock.transaction():
        lock.execute("LOCK TABLE campaigns_periodicrun IN SHARE MODE")
        _send(harm, tasks.enforce_campaign_status)
        harm.product.until(lambda: _waiting(harm.product, "campaigns_periodicrun"), what="a task in hand")
        harm.product.worker.kill()
    last = _last_pass()
    harm.product.worker.start()
    taken = harm.product.until(partial(_passed_since, last), what="the task is delivered again")
    harm.notes.append(
        f"what a killed worker had in hand was done after {taken:.1f} s, of {VISIBILITY_SECONDS} at least"
    )
    harm.product.beat.start()


def _waiting(product: Product, table: str) -> bool:
    """Whether some statement waits for a lock on a table."""
    query = """
        SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE NOT l.granted AND c.relname = %s
    """
    with spoken(product.cluster) as connection:
        row = connection.execute(query, [table]).fetchone()
    return bool(row and row[0])


def start_second_beat(harm: Harm) -> None:
    """Let two beats send everything that is due."""
    before = PeriodicRun.objects.count()
    harm.go_on()
    alone = PeriodicRun.objects.count() - before
    second = harm.product.add(harm.product.program("beat", "second"))
    harm.product.until(lambda: "Sending due task" in second.output, what="the second beat sends")
    harm.over()
    before = PeriodicRun.objects.count()
    harm.go_on()
    harm.notes.append(f"runs in {harm.seconds:g} s: {alone} with one, {PeriodicRun.objects.count() - before} with two")


# --- Frozen --------------------------------------------------------------------------------------


def freeze_web(harm: Harm) -> None:
    """Freeze the web with a settlement in hand, until the hold has expired and was swept."""
    hold_id, event_id = _hold(harm, seconds=2), "late-1"
    settler = _Settler(harm.scene, hold_id, event_id)
    harm.product.web.freeze()
    settler.start()
    harm.product.until(lambda: _state(hold_id) is Hold.State.EXPIRED, what="the hold is swept")
    harm.product.web.wake()
    harm.over()
    harm.product.until(lambda: not settler.is_alive(), what="the settlement is answered")
    harm.go_on()
    _freeze_in_transaction(harm)


def _freeze_in_transaction(harm: Harm) -> None:
    """Freeze the web in the middle of a settlement's transaction, past the expiry; the sweep has to wait for it."""
    settler = _freeze_settling(harm)
    harm.product.wait(4)
    _send(harm, tasks.expire_holds)
    harm.product.wait(1)
    harm.product.web.wake()
    harm.over()
    harm.product.until(lambda: not settler.is_alive(), what="the settlement is answered")
    harm.go_on()


def _freeze_settling(harm: Harm) -> _Settler:
    """Freeze the web while it has a hold locked and its settlement neither committed nor given up."""
    for attempt in range(5):
        hold_id = _hold(harm, seconds=3)
        settler = _Settler(harm.scene, hold_id, f"late-in-transaction-{attempt}")
        with spoken(harm.product.cluster) as lock, lock.transaction():
            lock.execute("LOCK TABLE campaigns_spendlog IN SHARE MODE")
            settler.start()
            harm.product.until(partial(_is_locked, harm.product, hold_id), what="a settlement under way")
            harm.product.web.freeze()
        harm.product.wait(0.3)
        if _is_locked(harm.product, hold_id):
            return settler
        harm.product.web.wake()  # its wait for the lock had ended at this very moment
        harm.product.until(lambda: not settler.is_alive(), what="the settlement is answered")  # noqa: B023 - at once
    raise AssertionError("the web could not be frozen in a settlement's transaction")


def _is_locked(product: Product, hold_id: int) -> bool:
    with spoken(product.cluster) as connection:
        try:
            connection.execute("SELECT 1 FROM campaigns_hold WHERE id = %s FOR UPDATE NOWAIT", [hold_id])
        except psycopg.errors.LockNotAvailable:
            return True
    return False


class _Settler(Bidder):
    """Settles one hold."""

    def __init__(self, scene: Scene, hold_id: int, event_id: str) -> None:
        super().__init__(99, scene)
        self._hold_id, self._event_id = hold_id, event_id

    def run(self) -> None:
        """Settle it."""
        self._settle(self._hold_id, self._event_id)


def _hold(harm: Harm, *, seconds: int) -> int:
    """Place a hold of so many seconds and return its id."""
    ask = {"campaign_id": harm.scene.spare_id, "amount": CENT, "key": uuid.uuid4().hex, "ttl_seconds": seconds}
    return int(Bidder(98, harm.scene).ask("POST", "/api/v1/holds", ask).body["id"])


def _state(hold_id: int) -> Hold.State:
    return Hold.State(Hold.objects.values_list("state", flat=True).get(pk=hold_id))


def freeze_worker(harm: Harm) -> None:
    """Freeze the worker for longer than its ticks live, while another sweeps in its place."""
    other = harm.product.add(harm.product.program("worker", "second"))
    harm.product.until(lambda: "ready." in other.output, what="a second worker")
    for _ in range(2):
        harm.product.worker.freeze()
        hold_id, last = _hold(harm, seconds=1), _last_pass()
        harm.product.wait(1)
        # Some messages may have been given to the frozen one: they go to the other when this one is sent again.
        harm.product.until(partial(_swept, harm, hold_id), what="the other sweeps", within=120)
        harm.product.until(partial(_passed_since, last), what="the other judges")
        harm.product.worker.wake()
        harm.over()
        harm.go_on()


def _swept(harm: Harm, hold_id: int) -> bool:
    _send(harm, tasks.expire_holds)
    harm.product.wait(0.5)
    return _state(hold_id) is Hold.State.EXPIRED


def freeze_consumer(harm: Harm) -> None:
    """Freeze a consumer with messages in hand until the other has taken them over and recorded them."""
    taken = 0
    for _ in range(ROUNDS):
        program = harm.product.consumer
        number = _freeze_with_messages(harm, program)
        harm.product.until(lambda: not _in_hand(harm, program), what="the other takes them over")  # noqa: B023 - at once
        harm.product.wait(CLAIM_SECONDS / 2)
        program.wake()
        harm.over()
        taken += number
        harm.go_on()
    harm.notes.append(f"messages that were taken over: {taken}")


def _freeze_with_messages(harm: Harm, program: Mortal) -> int:
    """Freeze a consumer while it has messages; return how many."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if _in_hand(harm, program):
            program.freeze()
            if number := _in_hand(harm, program):
                return number
            program.wake()
    raise AssertionError("the consumer never had messages in hand")


def _in_hand(harm: Harm, program: Mortal) -> int:
    """How many messages a consumer has not acknowledged."""
    ending = f"-{program.program.process.pid}".encode()
    with harm.product.connect() as broker:
        return sum(one["pending"] for one in broker.xinfo_consumers(STREAM, GROUP) if one["name"].endswith(ending))


# --- The clock -----------------------------------------------------------------------------------


def step_clock_back(harm: Harm) -> None:
    """Set the clock of all programs back by five minutes, in one go; and forward again at the end."""
    clock = Path(harm.product.environment["CHAOS_CLOCK"])
    clock.write_text(str(-FIVE_MINUTES))
    harm.over()
    harm.go_on()
    youngest = SpendLog.objects.order_by("-pk").values_list("recorded_at", flat=True).first()
    assert youngest is not None
    behind = (timezone.now() - youngest).total_seconds()
    if behind < FIVE_MINUTES / 2:
        raise AssertionError("the clock was not set back: nothing was shown")
    harm.restart(harm.product.beat)  # its notes of the last runs lie in the future now
    harm.go_on()
    clock.write_text("0")
    harm.over()
    harm.go_on()


# --- All of them ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """A fault by its name, in words, and what it takes."""

    words: str
    do: Callable[[Harm], None]
    disguise: Mapping[str, str] | None = None


FAULTS = {
    "kill-web": Fault("`kill -9` of the web, three times", partial(kill, "web")),
    "kill-worker": Fault("`kill -9` of the worker, three times", partial(kill, "worker")),
    "kill-beat": Fault("`kill -9` of beat, three times", partial(kill, "beat")),
    "kill-consumer": Fault("`kill -9` of a consumer, three times", partial(kill, "consumer")),
    "kill-database": Fault("`kill -9` of the database, twice, away for 3 s", kill_database),
    "database-away": Fault("`kill -9` of the database, away for 40 s", lose_database),
    "kill-broker": Fault("`kill -9` of the broker, twice, away for 3 s", kill_broker),
    "empty-broker": Fault("the broker emptied (`FLUSHALL`), twice", empty_broker),
    "full-disk": Fault("the database's disk full", fill_disk),
    "task-again": Fault(
        "a task delivered twice, hours late, and again after its worker died",
        deliver_tasks_again,
        disguise={"CHAOS_VISIBILITY": str(VISIBILITY_SECONDS)},
    ),
    "two-beats": Fault("two beats", start_second_beat),
    "frozen-web": Fault("the web frozen in a settlement until its hold has expired, twice", freeze_web),
    "frozen-worker": Fault("a worker frozen while another works, twice", freeze_worker),
    "frozen-consumer": Fault("a consumer frozen until its messages are taken over, three times", freeze_consumer),
    "clock-back": Fault(
        "the clock five minutes back, and forward again", step_clock_back, disguise={"CHAOS_CLOCK": ""}
    ),
    "everything": Fault("`kill -9` of everything, one after the other", kill_everything),
}
"""Every fault there is, by the name that `--only` takes."""
