"""Asks /healthz: the supervisor until the site is ready, a container's health check ever after.

`python -m campaigns.management.probe [PORT]` exits 0 when the site answers 200.
"""

import http.client
import os
import sys

TIMEOUT_SECONDS = 5.0


def answers(
    port: int,
    *,
    address: str = "127.0.0.1",
    host: str = "localhost",
    timeout: float = TIMEOUT_SECONDS,
) -> bool:
    """Return whether the site at `address`:`port` answers 200 when it is called `host`."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", "/healthz", headers={"Host": host})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def own_name() -> str:
    """Return a host name that ALLOWED_HOSTS lets the site answer to."""
    first = os.environ.get("ALLOWED_HOSTS", "").split(",")[0].strip().removeprefix(".")
    return first if first not in {"", "*"} else "localhost"


if __name__ == "__main__":
    sys.exit(not answers(int(sys.argv[1]) if len(sys.argv) > 1 else 8000, host=own_name()))
