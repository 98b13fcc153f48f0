"""Delivering alerts: each channel's deliveries are worked off by one worker at a time, the channels side by side.

A worker claims a channel by a conditional update that gives it a lease; the lease of a worker that dies runs out. So a
slow receiver holds up nobody but itself. No transaction is open while a message is under way; what was delivered just
before a worker died may be delivered again, under the same message id.
"""

from __future__ import annotations

import dataclasses
import logging
import secrets
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from campaigns.gateways import mails, messengers, meters, nudges, sealing, webhooks
from campaigns.gateways.sealing import SealError
from campaigns.gateways.webhooks import Reply
from campaigns.models import Alert, Attempt, Channel, Delivery
from campaigns.models.fields import adapt_moment
from campaigns.rules import alerts
from campaigns.rules.alerts import Kind
from campaigns.rules.errors import BudgetError
from campaigns.services import outbox
from campaigns.services.outbox import Draft

logger = logging.getLogger(__name__)

SIDE_BY_SIDE = 8
"""Channels that one run works off at the same time."""

RUN = timedelta(seconds=20)
"""How long a run takes on further channels; the next run goes on."""

TURN = timedelta(seconds=30)
"""How long a channel is worked off before others get their turn; a message that is under way is finished."""

LEASE = timedelta(seconds=180)
"""How long a channel is somebody's: longer than a turn and the slowest message together, resolving names included."""

AT_ONCE = 20
"""Deliveries of a channel that one turn takes on."""

FORGOTTEN_AT_ONCE = 5_000


@dataclasses.dataclass(frozen=True, slots=True)
class Clock:
    """The time from a given moment on, by a monotonic clock."""

    began_at: datetime
    began: float

    @classmethod
    def starting(cls, now: datetime) -> Clock:
        """A clock that shows `now`."""
        return cls(now, time.monotonic())

    def now(self) -> datetime:
        """The moment it shows."""
        return self.began_at + timedelta(seconds=time.monotonic() - self.began)


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """A channel that is ours to work off until its lease ends."""

    channel_id: int
    lease: str


def deliver_due(*, now: datetime) -> int:
    """Try every delivery that is due, of many channels side by side; return how many were tried.

    Within somebody's transaction, where no other connection would see anything, one after the other.
    """
    clock = Clock.starting(now)
    if connection.in_atomic_block:
        return sum(work_off(claim, clock=clock) for claim in claim_channels(now=now, most=SIDE_BY_SIDE))
    tried = 0
    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="deliver") as threads:
        running: set[Future[int]] = set()
        while True:
            free = SIDE_BY_SIDE - len(running) if clock.now() < now + RUN else 0
            claims = claim_channels(now=clock.now(), most=free) if free else []
            running |= {threads.submit(_in_a_thread, claim, clock) for claim in claims}
            if not running:
                return tried
            done, running = wait(running, timeout=1, return_when=FIRST_COMPLETED)
            tried += sum(future.result() for future in done)


def claim_channels(*, now: datetime, most: int) -> list[Claim]:
    """Claim channels that are on and have something due, of nobody else's: at most so many, the longest waiting first.

    One statement: who comes second finds the lease, or on PostgreSQL passes over the locked row.
    """
    lease = uuid.uuid4().hex
    skipping = " FOR UPDATE OF c SKIP LOCKED" if connection.vendor == "postgresql" else ""
    at = adapt_moment(connection, now)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE campaigns_channel SET lease = %s, lease_until = %s WHERE id IN (
                SELECT c.id FROM campaigns_channel c
                WHERE c.state = {Channel.State.ON:d} AND (c.lease = '' OR c.lease_until <= %s) AND EXISTS (
                    SELECT 1 FROM campaigns_delivery d
                    WHERE d.channel_id = c.id AND d.state = {Delivery.State.WAITING:d} AND d.due_at <= %s
                )
                ORDER BY COALESCE(c.lease_until, c.created_at), c.id LIMIT %s{skipping}
            ) RETURNING id
            """,
            [lease, adapt_moment(connection, now + LEASE), at, at, most],
        )
        return [Claim(channel_id, lease) for (channel_id,) in cursor.fetchall()]


def work_off(claim: Claim, *, clock: Clock) -> int:
    """Try what is due of a claimed channel, in order, for a turn; give the channel back and return how many."""
    began, tried = clock.now(), 0
    try:
        for delivery in _due(claim, began):
            if clock.now() >= began + TURN or not _is_ours(claim):
                break
            _try(delivery, clock)
            tried += 1
    finally:
        _give_back(claim, clock.now())
    return tried


def _in_a_thread(claim: Claim, clock: Clock) -> int:
    try:
        return work_off(claim, clock=clock)
    finally:
        connection.close()  # the thread's own


def _due(claim: Claim, now: datetime) -> Sequence[Delivery]:
    due = Delivery.objects.filter(channel=claim.channel_id, state=Delivery.State.WAITING, due_at__lte=now)
    return list(due.order_by("due_at", "id").select_related("alert", "channel")[:AT_ONCE])


def _is_ours(claim: Claim) -> bool:
    """Whether the channel is still ours and on: it may have been paused, or have answered that it is gone."""
    return Channel.objects.filter(pk=claim.channel_id, lease=claim.lease, state=Channel.State.ON).exists()


def _give_back(claim: Claim, now: datetime) -> None:
    # The moment stays, so that those come first who have waited longest.
    Channel.objects.filter(pk=claim.channel_id, lease=claim.lease).update(lease="", lease_until=now)


# --- One attempt -----------------------------------------------------------------------------


def _try(delivery: Delivery, clock: Clock) -> None:
    """Send a message and write down what came of it."""
    at, began = clock.now(), time.monotonic()
    if not connection.in_atomic_block:
        connection.close()  # a connection of the pool must not wait for a receiver
    try:
        reply = _send(delivery.channel, delivery.alert, at)
    except Exception:  # whatever it is counts as an attempt: else it were due again at once, for ever
        logger.exception("Delivery %s could not be sent", delivery.pk)
        reply = Reply(error="It could not be sent; the log of this installation says why.")
    took = round((time.monotonic() - began) * 1_000)
    _settle(delivery, reply, at=at, took=took, now=clock.now())


def _send(channel: Channel, alert: Alert, now: datetime) -> Reply:
    try:
        target = sealing.unseal(channel.target)
        if channel.type == Channel.Type.WEBHOOK:
            headers = webhooks.signed(
                message_id=alert.uid, body=alert.payload, secrets=list(_secrets(channel, now)), now=now
            )
            return webhooks.post(target, body=alert.payload, headers=headers, now=now)
    except SealError as error:
        return Reply(error=str(error))
    title = f"Budget alert: {alert.get_kind_display()}"
    if channel.type == Channel.Type.EMAIL:
        return Reply(error=mails.send(target, subject=alert.message, body=f"{alert.message}\n"))
    return Reply(error=messengers.send(target, title=title, body=alert.message))


def _secrets(channel: Channel, now: datetime) -> Iterator[str]:
    """What a message is signed with: while a secret is being rolled, with both."""
    yield sealing.unseal(channel.secret)
    if channel.old_secret and channel.old_secret_until is not None and now < channel.old_secret_until:
        yield sealing.unseal(channel.old_secret)


def _settle(delivery: Delivery, reply: Reply, *, at: datetime, took: int, now: datetime) -> None:
    """Write the attempt into the log, and what becomes of the delivery."""
    number = delivery.attempts + 1
    with transaction.atomic():
        if reply.final:  # the channel before its deliveries, as whoever resumes or deletes it
            _switch_off(delivery.channel, reply.error, now=now)
        state, due = _outcome(delivery, reply, number, now)
        changed = Delivery.objects.filter(pk=delivery.pk).update(
            attempts=number,
            state=state,
            due_at=due or delivery.due_at,
            settled_at=None if state == Delivery.State.WAITING else now,
        )
        if not changed:  # its channel was deleted while the message was under way
            return
        Attempt.objects.create(
            delivery=delivery,
            number=number,
            at=at,
            milliseconds=took,
            status=reply.status,
            answer=reply.answer[:500],
            error=reply.error[:500],
        )
    meters.count_delivery(delivery.channel.type, _METERED[state])


_METERED = {
    Delivery.State.WAITING: "failed",
    Delivery.State.DELIVERED: "delivered",
    Delivery.State.FAILED: "given_up",
}


def _outcome(delivery: Delivery, reply: Reply, number: int, now: datetime) -> tuple[Delivery.State, datetime | None]:
    """What becomes of a delivery, and when it is tried again if it is."""
    if not reply.error:
        return Delivery.State.DELIVERED, None
    if reply.final:
        return Delivery.State.FAILED, None
    due = alerts.next_try(attempt=number, made_at=delivery.made_at, now=now, draw=secrets.randbelow)
    if due is None:
        return Delivery.State.FAILED, None
    if reply.retry_after is not None:
        due = max(due, min(now + timedelta(seconds=reply.retry_after), delivery.made_at + alerts.GIVE_UP_AFTER))
    return Delivery.State.WAITING, due


def _switch_off(channel: Channel, why: str, *, now: datetime) -> None:
    """Switch a channel off whose receiver is gone, give up what waits for it, and tell the others."""
    changed = Channel.objects.filter(pk=channel.pk, state=Channel.State.ON).update(
        state=Channel.State.OFF, state_note=why[:300], state_since=now
    )
    waiting = Delivery.objects.filter(channel=channel, state=Delivery.State.WAITING)
    waiting.update(state=Delivery.State.FAILED, settled_at=now)
    if changed:
        message = f"The channel {channel.name} was switched off. {why}"
        data = {"channel": {"id": channel.pk, "name": channel.name}, "reason": why}
        draft = Draft(
            kind=Kind.CHANNEL_OFF,
            key=f"channel_off.{channel.pk}.{now.isoformat()}",
            message=message,
            data=data,
            brand_id=channel.brand_id,
        )
        outbox.write([draft], now=now)


# --- Again, and no more ----------------------------------------------------------------------


def deliver_again(*, delivery_ids: Sequence[int], now: datetime) -> int:
    """Put deliveries on their way once more, under the same message ids; return how many.

    What waits is tried at once. Raises BudgetError, with nothing changed, if one of their channels is not on.
    """
    with transaction.atomic():
        chosen = Delivery.objects.filter(pk__in=delivery_ids)
        stopped = Channel.objects.filter(deliveries__in=chosen).exclude(state=Channel.State.ON).first()
        if stopped is not None:
            raise BudgetError(f"{stopped} is {stopped.get_state_display()}; switch it on first.")
        again = chosen.update(state=Delivery.State.WAITING, attempts=0, made_at=now, due_at=now, settled_at=None)
        transaction.on_commit(lambda: nudges.nudge(nudges.DELIVER))
    return again


def forget_old(*, now: datetime) -> int:
    """Delete alerts that were told more than ALERTS_KEPT_DAYS ago, with their deliveries; return how many.

    At most 5,000 at once: the next run goes on. What a budget of the current month has told is kept, or it would be
    told again: the setting has to be at least 32 days.
    """
    before = now - timedelta(days=settings.ALERTS_KEPT_DAYS)
    old = Alert.objects.filter(at__lt=before).exclude(kind=Kind.TOTAL_BUDGET).exclude(key__startswith="overspend.3.")
    ids = list(old.order_by("at").values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
    with transaction.atomic():
        deliveries = Delivery.objects.filter(alert__in=ids)
        Attempt.objects.filter(delivery__in=deliveries).delete()
        deliveries.delete()
        Alert.objects.filter(pk__in=ids).delete()
    return len(ids)
