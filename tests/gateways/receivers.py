"""Real receivers for what goes out: an HTTP server that does as it is told, and a mail server."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Behaviour = Callable[[socket.socket, int], None]
"""What a receiver does with a connection whose request has been read; the number counts the requests."""


@dataclass
class Request:
    """What was sent."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.line.split()[1]


@dataclass
class Receiver:
    """A server on a loopback port, with everything that was sent to it."""

    port: int
    requests: list[Request] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)
    stopped: threading.Event = field(default_factory=threading.Event)
    scheme: str = "http"

    def url(self, host: str = "127.0.0.1", path: str = "/hook") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def wait_for(self, number: int, *, within: float = 30) -> list[Request]:
        """Return the requests once there are as many."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.requests) >= number, within), self.requests
            return list(self.requests)


def answering(status: str = "200 OK", *headers: str, body: bytes = b"thank you") -> Behaviour:
    """Answer properly."""

    def answer(connection: socket.socket, _: int) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode() + body)

    return answer


def sending(*parts: bytes, then: Behaviour | None = None) -> Behaviour:
    """Send these bytes, whatever HTTP thinks of them."""

    def send(connection: socket.socket, number: int) -> None:
        for part in parts:
            connection.sendall(part)
        if then is not None:
            then(connection, number)

    return send


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One after the other; the last one for all that follow."""

    def turn(connection: socket.socket, number: int) -> None:
        behaviours[min(number, len(behaviours)) - 1](connection, number)

    return turn


@contextlib.contextmanager
def receiving(
    behaviour: Behaviour, *, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Receiver]:
    """A receiver that behaves so, for as long as the block lasts. context: speak TLS."""
    with socket.create_server((host, 0)) as server:
        receiver = Receiver(server.getsockname()[1], scheme="https" if context else "http")

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(
                    target=_serve_one, args=[connection, receiver, behaviour, context], daemon=True
                ).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.stopped.set()
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
            thread.join(5)


def _serve_one(plain: socket.socket, receiver: Receiver, behaviour: Behaviour, context: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError), plain:
        connection = plain if context is None else context.wrap_socket(plain, server_side=True)
        with connection:
            request = _read(connection)
            with receiver.arrived:
                receiver.requests.append(request)
                number = len(receiver.requests)
                receiver.arrived.notify_all()
            behaviour(connection, number)


def _read(connection: socket.socket) -> Request:
    read = b""
    while b"\r\n\r\n" not in read:
        part = connection.recv(65_536)
        if not part:
            raise OSError("closed")
        read += part
    head, _, body = read.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65_536)
    return Request(line, headers, body)


@dataclass
class Mailbox:
    """A mail server on a loopback port, with what it took."""

    port: int
    mails: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)


@contextlib.contextmanager
def mailbox(*, refuses: bytes = b"") -> Iterator[Mailbox]:
    """A mail server that takes one mail after the other, or answers each recipient with a refusal."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        box = Mailbox(server.getsockname()[1])

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), connection:
                    _take_mail(connection, box, refuses)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield box
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
            thread.join(5)


def _take_mail(connection: socket.socket, box: Mailbox, refuses: bytes) -> None:
    lines = connection.makefile("rwb")

    def say(text: bytes) -> None:
        lines.write(text + b"\r\n")
        lines.flush()

    say(b"220 here")
    while command := lines.readline():
        verb = command[:4].upper()
        if verb == b"RCPT":
            box.recipients.append(command.decode().strip())
            say(refuses or b"250 ok")
        elif verb == b"DATA":
            say(b"354 go on")
            text = b""
            while not text.endswith(b"\r\n.\r\n"):
                text += lines.readline()
            box.mails.append(text.decode())
            say(b"250 taken")
        elif verb == b"QUIT":
            say(b"221 bye")
            return
        else:
            say(b"250 ok")
