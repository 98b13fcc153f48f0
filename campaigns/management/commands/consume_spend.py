"""`manage.py consume_spend`: record what comes over a Redis stream, until a signal."""

from __future__ import annotations

import os
import signal
import socket
import threading
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from campaigns.gateways.streams import SpendStream, StreamError, connect
from campaigns.management.console import PlainCommand, misused, shown
from campaigns.management.consuming import Consumer, Plan
from campaigns.services.spend import MAX_EVENTS

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
LONGEST_NAME = 200
A_DAY = 86_400


class Command(PlainCommand):
    """Records the spend events of a stream; a message is acknowledged after the commit of what it brought."""

    help = "Record the spend events of a Redis stream; SIGTERM or Ctrl-C ends it after the batch in hand."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--stream", type=_name, default="spend-events", help="key to read; default: %(default)s")
        parser.add_argument("--group", type=_name, default="budget", help="consumer group; default: %(default)s")
        parser.add_argument("--consumer", type=_name, help="name within the group; default: host and process id")
        parser.add_argument(
            "--batch", type=_between(1, MAX_EVENTS), default=1_000, help="most messages at once; default: %(default)s"
        )
        parser.add_argument(
            "--claim-after",
            type=_between(1, A_DAY),
            default=60,
            help="seconds after which messages of a dead consumer are taken over; default: %(default)s",
        )
        parser.add_argument("--keep", action="store_true", help="leave recorded messages in the stream")
        parser.add_argument(
            "--most-rejected",
            type=_between(1, 10_000_000),
            default=100_000,
            help="roughly how many messages the stream STREAM:rejected keeps; default: %(default)s",
        )
        parser.add_argument("--url", help="of the broker, redis://[:password@]host:port/db; default: REDIS_URL")
        parser.add_argument("--drain", action="store_true", help="end when there is nothing left to read")

    def handle(self, *args: Any, **options: Any) -> None:
        """Consume until a signal."""
        consumer_name = options["consumer"] or f"{socket.gethostname()}-{os.getpid()}"
        stream = SpendStream(
            _client(options["url"]),
            name=options["stream"],
            group=options["group"],
            consumer=consumer_name,
            keep=options["keep"],
            most_rejected=options["most_rejected"],
        )
        plan = Plan(batch=options["batch"], claim_after=options["claim_after"], drain=options["drain"])
        consumer = Consumer(stream, plan, say=self.say)
        with _calling(consumer.stop):
            self.say(f"Reading {options['stream']} for the group {options['group']} as {consumer_name}.")
            try:
                consumer.run()
            except StreamError as error:
                raise CommandError(str(error)) from error


def _client(url: str | None) -> redis.Redis:
    try:
        return connect(url or settings.REDIS_URL)
    except ValueError as error:
        raise misused(f"The URL of the broker can't be read: it is {error}.") from None


@contextmanager
def _calling(stop: Callable[[], None]) -> Iterator[None]:
    """Let the signals that end a program call `stop` instead, as long as the block lasts."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can have handlers
        return
    former = {number: signal.signal(number, lambda *_: stop()) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _name(text: str) -> str:
    """Argument type: what a key, a group or a consumer is called."""
    if not (0 < len(text) <= LONGEST_NAME and text.isprintable()):
        raise ArgumentTypeError(f"{shown(text)} is no name: 1 to {LONGEST_NAME} printable characters")
    return text


def _between(least: int, most: int) -> Callable[[str], int]:
    """Argument type: a whole number from `least` to `most`."""

    def number(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else 0
        if not least <= value <= most:
            raise ArgumentTypeError(f"{shown(text)} is not a whole number from {least} to {most:,}")
        return value

    return number
