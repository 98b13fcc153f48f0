"""The broker's queue of periodic tasks, looked at from outside."""

from __future__ import annotations

from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

QUEUE = "budget_management"
"""Where beat puts what is due and workers take it from."""

DELIVERIES = "budget_management.deliveries"
"""Where what waits for receivers of alerts is put: a worker of its own may take it."""

TIMEOUT_SECONDS = 0.5
"""The longest wait to connect, and again for the answer: a page stands behind it."""


STREAM, GROUP = "spend-events", "budget"
"""The stream of spend and its consumer group, where `consume_spend` is told no other."""


class BrokerError(Exception):
    """The broker did not say what is waiting."""


class Waiting(NamedTuple):
    """What waits at the broker: tasks for a worker; of the stream, messages that nobody was given yet (None where the
    broker can't tell), those given to a consumer and not settled, and those that were refused and kept aside.
    """

    tasks: int
    unread: int | None
    pending: int
    refused: int


def look(url: str) -> Waiting:
    """Return what waits at the broker, asked in one round trip. Raises BrokerError, within a second."""
    try:
        with connect(url) as client, client.pipeline(transaction=False) as pipeline:
            pipeline.llen(QUEUE)
            pipeline.xlen(f"{STREAM}:rejected")
            pipeline.xinfo_groups(STREAM)
            tasks, refused, groups = pipeline.execute(raise_on_error=False)
    except (redis.RedisError, OSError, ValueError) as error:
        raise BrokerError(str(error)) from error
    group = _group(groups)
    return Waiting(_number(tasks) or 0, _number(group.get("lag", 0)), group.get("pending", 0), _number(refused) or 0)


def _group(groups: Any) -> dict[str, Any]:
    """What the broker says of our group; nothing where there is no such stream."""
    found = groups if isinstance(groups, list) else []
    return next((group for group in found if group.get("name") in {GROUP, GROUP.encode()}), {})


def _number(reply: Any) -> int | None:
    return reply if isinstance(reply, int) else None  # an error, such as that the key holds something else


def count_waiting(url: str) -> int:
    """Return how many tasks wait for a worker, those included whose time has passed.

    url: `redis://` or `rediss://`. Raises BrokerError, within a second, if the broker does not answer.
    """
    try:
        with connect(url) as client:
            # A command as it is: the client's own methods are typed as if they might be awaited.
            return int(client.execute_command("LLEN", QUEUE))
    except (redis.RedisError, OSError, ValueError) as error:
        raise BrokerError(str(error)) from error


def connect(url: str) -> redis.Redis:
    """Return a client that waits half a second to connect and as long for an answer, and tries once."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
    )
