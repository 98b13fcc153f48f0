"""Channels: made, changed, paused, tried out; their secrets shown once and rolled."""

from __future__ import annotations

import base64
import dataclasses
import secrets
import uuid
from datetime import datetime, timedelta

from django.db import IntegrityError, router, transaction

from campaigns.gateways import mails, messengers, nudges, sealing, webhooks
from campaigns.gateways.mails import MailError
from campaigns.gateways.messengers import MessengerError
from campaigns.gateways.webhooks import UrlError
from campaigns.models import Attempt, Channel, Delivery
from campaigns.rules import alerts
from campaigns.rules.alerts import Kind
from campaigns.rules.errors import BudgetError, InvalidFieldError
from campaigns.rules.texts import is_plain
from campaigns.services import outbox
from campaigns.services.outbox import Draft
from campaigns.services.status import NOBODY, Actor

OVERLAP = timedelta(hours=24)
"""How long messages are signed with the old secret, too, after it was rolled."""

MAX_CHANNELS = 1_000
"""Channels of the installation: an alert that is for all of them is a row for each."""

_LONGEST_NAME = 100
_SECRET_BYTES = 32
_MARK = "whsec_"


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """An address that was looked at, and as much of it as may be shown."""

    type: Channel.Type
    address: str
    shown: str


def look_at(type_: Channel.Type, address: str) -> Target:
    """Check an address and look its host up: this may wait for the network, so it is no part of a transaction.

    Raises InvalidFieldError for one that no message can go to.
    """
    address = address.strip()
    try:
        if type_ == Channel.Type.WEBHOOK:
            parts = webhooks.look_up(address)
            return Target(type_, address, f"{parts.scheme}://{parts.netloc}/…"[:200])
        if type_ == Channel.Type.EMAIL:
            found = ", ".join(mails.check(address))
            return Target(type_, found, found if len(found) <= 200 else f"{found[:199]}…")
        return Target(type_, address, messengers.look_up(address))
    except (UrlError, MailError, MessengerError) as error:
        raise InvalidFieldError("address", str(error)) from error


def create_channel(
    *,
    name: str,
    target: Target,
    brand_id: int | None,
    kinds: Kind = alerts.ALL,
    now: datetime,
    by: Actor = NOBODY,
) -> tuple[Channel, str]:
    """Make a channel; return it with the secret that its webhooks are signed with, which is shown only now.

    The secret is empty where nothing is signed. Raises BudgetError for a name that is taken or no plain text, and for
    more than 1,000 channels.
    """
    secret = _new_secret() if target.type == Channel.Type.WEBHOOK else ""
    channel = Channel(
        name=_checked_name(name),
        type=target.type,
        brand_id=brand_id,
        kinds=_checked(kinds),
        target=sealing.seal(target.address),
        shown=target.shown,
        secret=sealing.seal(secret) if secret else "",
        state_since=now,
        created_at=now,
        created_by_id=by.user_id,
    )
    if Channel.objects.count() >= MAX_CHANNELS:
        raise BudgetError(f"There are {MAX_CHANNELS:,} channels, which is the most; delete one first.")
    _save(channel)
    return channel, secret


def update_channel(
    *, channel_id: int, name: str | None = None, kinds: Kind | None = None, target: Target | None = None
) -> Channel:
    """Change what is given; the brand and the type stay. Raises BudgetError as `create_channel`."""
    with transaction.atomic():
        channel = _locked(channel_id)
        if name is not None:
            channel.name = _checked_name(name)
        if kinds is not None:
            channel.kinds = _checked(kinds)
        if target is not None:
            if target.type != channel.type:
                raise InvalidFieldError("address", f"{channel} is for {channel.get_type_display()}; make a new one.")
            channel.target, channel.shown = sealing.seal(target.address), target.shown
        _save(channel, ["name", "kinds", "target", "shown"])
    return channel


def roll_secret(*, channel_id: int, now: datetime) -> str:
    """Give a channel a new secret and return it, shown only now. The old one signs, too, for another day.

    Raises BudgetError where nothing is signed.
    """
    secret = _new_secret()
    with transaction.atomic():
        channel = _locked(channel_id)
        if channel.type != Channel.Type.WEBHOOK:
            raise BudgetError(f"{channel} has no secret: only webhooks are signed.")
        channel.old_secret, channel.old_secret_until = channel.secret, now + OVERLAP
        channel.secret = sealing.seal(secret)
        channel.save(update_fields=["secret", "old_secret", "old_secret_until"])
    return secret


def pause_channel(*, channel_id: int, note: str = "", now: datetime) -> Channel:
    """Let nothing go to a channel until it is resumed; what waits for it waits on."""
    return _set_state(channel_id, Channel.State.PAUSED, note or "Paused by a person.", now)


def resume_channel(*, channel_id: int, now: datetime) -> Channel:
    """Switch a channel on that is paused or was switched off: what waits for it is tried at once, for another day."""
    with transaction.atomic():
        channel = _set_state(channel_id, Channel.State.ON, "", now)
        waiting = Delivery.objects.filter(channel=channel_id, state=Delivery.State.WAITING)
        if waiting.update(made_at=now, due_at=now, attempts=0):
            transaction.on_commit(lambda: nudges.nudge(nudges.DELIVER))
    return channel


def delete_channel(*, channel_id: int) -> None:
    """Delete a channel with its deliveries; the alerts stay."""
    with transaction.atomic():
        channel = _locked(channel_id)
        # In a statement each: Django would read every row to find what hangs on it, and of years there are many.
        Attempt.objects.filter(delivery__channel=channel_id).delete()
        sent = Delivery.objects.filter(channel=channel_id)
        sent._raw_delete(router.db_for_write(Delivery))  # noqa: SLF001 - Django has no public way that reads nothing
        channel.delete()


def send_test(*, channel_id: int, now: datetime) -> None:
    """Put a test message on its way to a channel. Raises BudgetError if it is not on."""
    with transaction.atomic():
        channel = _locked(channel_id)
        if channel.state != Channel.State.ON:
            raise BudgetError(f"{channel} is {channel.get_state_display()}; switch it on first.")
        message = f"This is a test of the channel {channel.name}: alerts arrive here."
        draft = Draft(
            kind=Kind.TEST,
            key=f"test.{channel.pk}.{uuid.uuid4().hex}",
            message=message,
            data={"channel": {"id": channel.pk, "name": channel.name}},
            brand_id=channel.brand_id,
        )
        outbox.write([draft], now=now, only_to=channel.pk)


def _set_state(channel_id: int, state: Channel.State, note: str, now: datetime) -> Channel:
    with transaction.atomic():
        channel = _locked(channel_id)
        channel.state, channel.state_note, channel.state_since = state, note[:300], now
        channel.save(update_fields=["state", "state_note", "state_since"])
    return channel


def _locked(channel_id: int) -> Channel:
    channel = Channel.objects.select_for_update().filter(pk=channel_id).first()
    if channel is None:
        raise BudgetError(f"There is no channel {channel_id}.")
    return channel


def _save(channel: Channel, fields: list[str] | None = None) -> None:
    try:
        with transaction.atomic():
            channel.save(update_fields=fields, force_insert=fields is None)
    except IntegrityError as error:
        raise InvalidFieldError("name", f"There is a channel named {channel.name}; give another name.") from error


def _checked_name(name: str) -> str:
    name = name.strip()
    if not (name and len(name) <= _LONGEST_NAME and is_plain(name) and "\n" not in name):
        raise InvalidFieldError("name", f"The name must be plain text of 1 to {_LONGEST_NAME} characters.")
    return name


def _checked(kinds: Kind) -> int:
    if not kinds:
        raise InvalidFieldError("kinds", "Choose at least one kind of alert.")
    return int(kinds | Kind.TEST | Kind.CHANNEL_OFF)


def _new_secret() -> str:
    return _MARK + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
