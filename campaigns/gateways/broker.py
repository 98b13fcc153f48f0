"""The broker's queue of periodic tasks, looked at from outside."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

QUEUE = "budget_management"
"""Where beat puts what is due and workers take it from."""

TIMEOUT_SECONDS = 0.5
"""The longest wait to connect, and again for the answer: a page stands behind it."""


class BrokerError(Exception):
    """The broker did not say what is waiting."""


def count_waiting(url: str) -> int:
    """Return how many tasks wait for a worker, those included whose time has passed.

    url: `redis://` or `rediss://`. Raises BrokerError, within a second, if the broker does not answer.
    """
    try:
        with redis.Redis.from_url(
            url,
            socket_connect_timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
        ) as client:
            # A command as it is: the client's own methods are typed as if they might be awaited.
            return int(client.execute_command("LLEN", QUEUE))
    except (redis.RedisError, OSError, ValueError) as error:
        raise BrokerError(str(error)) from error
