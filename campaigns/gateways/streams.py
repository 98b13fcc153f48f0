"""Spend events on a Redis stream: read as one consumer of a group, settled, and kept aside where they are refused.

Bytes throughout, and fields as they came: a message was written by others, and may hold what is no text and a field
twice. Needs Redis 6.2 or Valkey.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.retry import Retry

from campaigns.gateways.spend_json import FIELDS, Unreadable, WireEvent, read_event

MAX_MESSAGE_BYTES = 65_536
"""The most bytes of a message that can be a spend event. One with everything in it has a few thousand."""

SLICE = 100
BATCH_BYTES = 16 * 2**20
"""A batch is read in slices and ends when it is this large, so that it is not messages of others that fill memory."""

CLAIM_CALLS = 100
"""The most calls for one claim; each looks through ten slices of what is pending, and the next goes on from there."""

SOCKET_SECONDS = 5
"""How long the broker may be silent before it counts as gone; well above the time that a read may block."""


class NoGroupError(Exception):
    """The consumer group is not there, or no more; `create_group` makes it anew."""


class StreamError(Exception):
    """What is at the broker can't be used as it is; the message is one sentence for people."""


class Message(NamedTuple):
    """A message of the stream: its entry id, and names and values in turn; without any if it was deleted meanwhile."""

    id: bytes
    fields: Sequence[bytes]


class Refused(NamedTuple):
    """A message that can't be counted, and why."""

    message: Message
    reason: str


def connect(url: str) -> redis.Redis:
    """Return a client for `redis://`, `rediss://` or `unix://`; nothing is sent yet.

    Raises ValueError, which says nothing of what is in it, for a URL that can't be read.
    """
    options: dict[str, Any] = {
        # Each failed command is seen, none repeated in secret: what a lost reply has delivered is pending, and only
        # who knows of the failure looks there. A MULTI that was repeated could write a refusal twice.
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": SOCKET_SECONDS,
        "decode_responses": False,
        "protocol": 2,
    }
    try:
        pool = ConnectionPool.from_url(url, **options)
        pool.connection_kwargs |= options  # what the URL says would win
        pool.make_connection()  # so that an option in the URL that there isn't is found here
    except (ValueError, TypeError, redis.RedisError):
        raise ValueError("not redis://[:password@]host:port/db") from None
    client = redis.Redis(connection_pool=pool)
    # As they came: the library's own reading makes a dict of the fields, and loses the first of two of one name.
    for command in ("XREADGROUP", "XAUTOCLAIM"):
        client.set_response_callback(command, _as_it_came)
    return client


def _as_it_came(reply: Any, **_: Any) -> Any:
    return reply


# --- What is in a message --------------------------------------------------------------------

_NUMBERS = {b"campaign_id", b"brand_id", b"hold_id"}
_NUMBER = re.compile(rb"0|-?[1-9][0-9]{0,17}")
_KNOWN = {name.encode() for name in FIELDS}
_SHOWN_BYTES = 40


def read_message(message: Message) -> WireEvent | Unreadable:
    """Return the event of a message: the JSON in its one field `event`, or its fields, by their names and as text."""
    fields = message.fields
    if not fields:
        return Unreadable(None, "The message was deleted from the stream before it was recorded.")
    size = sum(map(len, fields))
    if size > MAX_MESSAGE_BYTES:
        return Unreadable(None, f"The message has {size:,} bytes; a spend event has at most {MAX_MESSAGE_BYTES:,}.")
    names, values = fields[0::2], fields[1::2]
    if b"event" not in names:
        return _read_fields(names, values)
    if len(names) > 1:
        return Unreadable(None, "The message has other fields beside its event; send either the JSON or the fields.")
    return read_event(values[0])


def _read_fields(names: Sequence[bytes], values: Sequence[bytes]) -> WireEvent | Unreadable:
    if len(set(names)) < len(names):
        [(twice, _)] = Counter(names).most_common(1)
        return Unreadable(None, f"The message has the field {_shown(twice)} more than once.")
    event: dict[str, str | int] = {}
    for name, value in zip(names, values, strict=True):
        if not value and name in _KNOWN:
            continue  # text has no null
        try:
            event[name.decode()] = int(value) if name in _NUMBERS and _NUMBER.fullmatch(value) else value.decode()
        except UnicodeDecodeError:
            return Unreadable(None, f"The field {_shown(name)} is not valid UTF-8.")
    return read_event(msgspec.json.encode(event))  # one reader, one set of sentences


def _shown(name: bytes) -> str:
    rest = "..." if len(name) > _SHOWN_BYTES else ""
    return repr(name[:_SHOWN_BYTES].decode(errors="backslashreplace") + rest)


# --- The stream ------------------------------------------------------------------------------

_Entry: TypeAlias = tuple[bytes, Sequence[bytes] | None]
_BEGINNING = b"0-0"
_NEW = b">"

# In one script, since a consumer that gets a message between being looked at and being removed would take it along.
_FORGET = """
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local of = {}
    for i = 1, #consumer, 2 do of[consumer[i]] = consumer[i + 1] end
    if of['pending'] == 0 and of['idle'] >= tonumber(ARGV[2]) and of['name'] ~= ARGV[3] then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of['name'])
    end
end
"""


class SpendStream:
    """A stream as one consumer of a group sees it.

    Every method may raise redis.RedisError (the broker does not answer, or not now), NoGroupError, and StreamError
    where a key holds something else than a stream.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        name: str,
        group: str,
        consumer: str,
        keep: bool = False,
        most_rejected: int = 100_000,
    ) -> None:
        """Prepare; nothing is sent yet.

        keep: leave entries in the stream when they are acknowledged. most_rejected: roughly how many the stream of
        the refused keeps.
        """
        self.rejected = f"{name}:rejected"
        self._client = client
        self._name = name
        self._group = group
        self._consumer = consumer
        self._keep = keep
        self._most_rejected = most_rejected
        self._claimed_to = _BEGINNING

    def create_group(self) -> None:
        """Create the group, to read all that is in the stream, and the stream, unless they are there."""
        with _translated(self._name):
            try:
                self._client.xgroup_create(self._name, self._group, id="0", mkstream=True)
            except redis.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
        self._check_rejected()

    def read_own(self, count: int) -> list[Message]:
        """Return up to `count` messages that this consumer was given and has not settled, the oldest first."""
        return _gather(count, lambda room, so_far: self._read(so_far[-1].id if so_far else _BEGINNING, room))

    def read_new(self, count: int, *, block_ms: int = 0) -> list[Message]:
        """Return up to `count` messages that nobody was given yet; if there are none, wait up to `block_ms` for one."""
        return _gather(count, lambda room, so_far: self._read(_NEW, room, block_ms=0 if so_far else block_ms))

    def claim(self, count: int, *, idle_ms: int) -> list[Message]:
        """Return up to `count` messages, now this consumer's, that were pending for `idle_ms` without a sign of life.

        Goes on where the call before has ended.
        """
        messages: list[Message] = []
        for _ in range(CLAIM_CALLS):
            with _translated(self._name):
                reply: Any = self._client.xautoclaim(
                    self._name,
                    self._group,
                    self._consumer,
                    min_idle_time=idle_ms,
                    start_id=self._claimed_to,
                    count=min(SLICE, count - len(messages)),
                )
            self._claimed_to = reply[0]
            messages += _messages(reply[1])
            # Since 7.0 the broker forgets by itself what was deleted and tells which that was. It leaves a trace, too.
            messages += [Message(gone, ()) for gone in (reply[2] if len(reply) > 2 else ())]
            if self._claimed_to == _BEGINNING or len(messages) >= count or _size(messages) >= BATCH_BYTES:
                break
        return messages

    def settle(self, done: Sequence[Message], refused: Sequence[Refused], *, now: datetime) -> None:
        """Acknowledge messages: all of them in one MULTI, in which the refused ones go to the stream of the refused.

        Raises redis.OutOfMemoryError when the broker has no room for the refused; then only the others are settled.
        """
        if refused:
            self._check_rejected()  # a MULTI whose first command fails would acknowledge all the same
        try:
            self._settle(done, refused, now)
        except redis.OutOfMemoryError:
            self._settle(done, (), now)  # takes no room, makes some
            raise

    def forget_consumers(self, *, idle_ms: int) -> None:
        """Remove the group's other consumers that have been silent for `idle_ms` and have nothing pending."""
        with _translated(self._name):
            self._client.eval(_FORGET, 1, self._name, self._group, idle_ms, self._consumer)

    def _read(self, after: bytes, count: int, *, block_ms: int = 0) -> list[Message]:
        with _translated(self._name):
            reply: Any = self._client.xreadgroup(
                self._group, self._consumer, {self._name: after}, count=count, block=block_ms or None
            )
        return _messages(reply[0][1]) if reply else []

    def _settle(self, done: Sequence[Message], refused: Sequence[Refused], now: datetime) -> None:
        ids = [message.id for message in (*done, *(message for message, _ in refused))]
        if not ids:
            return
        with _translated(self._name), self._client.pipeline(transaction=True) as pipeline:
            # By hand: the library's xadd takes a dict, and a message may have a field twice.
            execute: Callable[..., object] = pipeline.execute_command
            for message, reason in refused:
                execute("XADD", self.rejected, "MAXLEN", "~", self._most_rejected, "*", *_kept(message, reason, now))
            pipeline.xack(self._name, self._group, *ids)
            if not self._keep:
                pipeline.xdel(self._name, *ids)
            pipeline.execute()

    def _check_rejected(self) -> None:
        if self._client.type(self.rejected) not in {b"none", b"stream"}:
            raise StreamError(f"The key {self.rejected} holds something else than a stream; rename it.")


def _kept(message: Message, reason: str, now: datetime) -> list[bytes | str]:
    """The fields of a refused message: its own as they came, and behind them what became of it."""
    at = now.isoformat(timespec="milliseconds")
    about: list[bytes | str] = ["rejected_id", message.id, "rejected_at", at, "rejected_reason", reason]
    return [*message.fields, *about]


def _gather(count: int, read: Callable[[int, list[Message]], list[Message]]) -> list[Message]:
    """Read slice by slice, until there are `count` messages, or many bytes of them, or no more."""
    messages: list[Message] = []
    size = 0
    while len(messages) < count and size < BATCH_BYTES:
        room = min(SLICE, count - len(messages))
        part = read(room, messages)
        messages += part
        size += _size(part)
        if len(part) < room:
            break
    return messages


def _size(messages: Sequence[Message]) -> int:
    return sum(len(part) for message in messages for part in message.fields)


def _messages(entries: Sequence[_Entry | None]) -> list[Message]:
    # Before 7.0 a claimed message that was deleted is nothing at all; it comes again as pending, with its id.
    return [Message(entry[0], entry[1] or ()) for entry in entries if entry is not None]


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except redis.ResponseError as error:
        words = str(error)
        if "NOGROUP" in words or words.startswith("UNBLOCKED"):  # the second: deleted while a read was waiting
            raise NoGroupError from error
        if "WRONGTYPE" in words:
            raise StreamError(f"The key {name} holds something else than a stream; choose another --stream.") from error
        raise
