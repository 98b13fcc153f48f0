"""Driving a web server hard from one thread: many connections, each with one request under way.

A load generator in Python must cost little, since it shares the machine with what it measures: requests are made
ready as bytes before the clock runs, and of an answer only its status and length are read.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_PATIENCE = 60.0


class Driven(NamedTuple):
    """What a load came to. seconds: from the first request to the last answer; latencies: of each request, sorted."""

    seconds: float
    latencies: list[float]
    statuses: Counter[int]
    received: int

    @property
    def per_second(self) -> float:
        """Requests answered in a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Return the latency that this share of the requests stayed below, in seconds."""
        return self.latencies[min(int(len(self.latencies) * percent / 100), len(self.latencies) - 1)]


def request(method: str, path: str, *, key: str, body: bytes = b"", headers: str = "") -> bytes:
    """Return a request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n{headers}"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def drive(port: int, requests: Iterable[bytes], *, connections: int) -> Driven:
    """Send all requests over some connections, one at a time on each, as fast as they are answered."""
    todo = iter(requests)
    with selectors.DefaultSelector() as selector:
        began = time.perf_counter()
        open_ = sum(_Connection(port, selector).send_next(todo) for _ in range(connections))
        latencies: list[float] = []
        statuses: Counter[int] = Counter()
        received = 0
        while open_:
            ready = selector.select(_PATIENCE)
            if not ready:
                raise TimeoutError("the server does not answer")
            for event, _ in ready:
                connection: _Connection = event.data
                answer = connection.receive()
                if answer is not None:
                    latencies.append(answer.seconds)
                    statuses[answer.status] += 1
                    received += answer.size
                    open_ -= not connection.send_next(todo)
        seconds = time.perf_counter() - began
    return Driven(seconds, sorted(latencies), statuses, received)


class _Answer(NamedTuple):
    status: int
    size: int
    seconds: float


class _Connection:
    """One connection, kept alive."""

    def __init__(self, port: int, selector: selectors.BaseSelector) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector = selector
        self._received = bytearray()
        self._needed = 0
        self._began = 0.0
        selector.register(self._socket, selectors.EVENT_READ, self)

    def send_next(self, todo: Iterator[bytes]) -> bool:
        """Send the next request; close and return False where there is none left."""
        following = next(todo, None)
        if following is None:
            self._selector.unregister(self._socket)
            self._socket.close()
            return False
        self._received.clear()
        self._needed = 0
        self._began = time.perf_counter()
        self._socket.sendall(following)
        return True

    def receive(self) -> _Answer | None:
        """Read what has come; return the answer once all of it is there."""
        part = self._socket.recv(1 << 20)
        if not part:
            raise ConnectionError("the server closed a connection")
        self._received += part
        if not self._needed:
            end = self._received.find(_HEAD_END)
            if end < 0:
                return None
            head = bytes(self._received[:end]).lower()
            at = head.find(_LENGTH)
            length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._needed = end + len(_HEAD_END) + length
        if len(self._received) < self._needed:
            return None
        return _Answer(int(self._received[9:12]), self._needed, time.perf_counter() - self._began)
