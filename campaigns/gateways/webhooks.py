"""Webhooks out: one signed POST to one address that was looked at, with a bound on everything.

No redirect is followed, no proxy is asked, nothing is unpacked; of the answer a little is read and the rest is left.
The signature is that of Standard Webhooks (https://www.standardwebhooks.com), by its own package.
"""

from __future__ import annotations

import contextlib
import dataclasses
import email.utils
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import SplitResult, urlsplit

import certifi
from django.conf import settings
from standardwebhooks import Webhook
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.response import BaseHTTPResponse
from urllib3.util.ssl_match_hostname import CertificateError

from campaigns.gateways import addresses
from campaigns.gateways.addresses import AddressError

CONNECT_SECONDS, READ_SECONDS, TOTAL_SECONDS = 5, 10, 15
"""The longest wait for a connection, for the next part of the answer, and for all of it, names apart."""

MAX_ANSWER = 16 * 1024
"""Bytes of an answer that are read; nothing in it is needed but for its beginning in the log."""

KEPT_ANSWER = 500
"""Characters of it that are kept."""

MAX_URL = 2_000

MAX_TRIED = 2
"""Addresses of a host that are tried one after the other while none takes the connection."""

USER_AGENT = "budget-management"


class UrlError(Exception):
    """An address that no webhook may have; the message is one sentence for people."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of an attempt. status: None where none was received. error: why it failed, empty where it did not.

    retry_after: what the receiver asked to wait, in seconds. final: whether it is of no use to try again.
    """

    status: int | None = None
    answer: str = ""
    error: str = ""
    retry_after: int | None = None
    final: bool = False


def check(url: str) -> SplitResult:
    """Return the parts of a webhook's address, its host not looked up. Raises UrlError for one that can't be."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except (ValueError, UnicodeError):
        raise UrlError("The address can't be read; give one such as https://example.com/hooks/budget.") from None
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise UrlError(f"Give an address of at most {MAX_URL:,} characters, all of them plain ASCII.")
    schemes = {"https", "http"} if settings.WEBHOOKS_ALLOW_PRIVATE else {"https"}
    if parts.scheme not in schemes or not host or port == 0:
        raise UrlError("Give an address that begins with https://, such as https://example.com/hooks/budget.")
    if "@" in parts.netloc or parts.fragment:
        raise UrlError("Give an address without a user, a password and a #; the receiver knows us by the signature.")
    return parts


def look_up(url: str) -> SplitResult:
    """As `check`, and its host is looked up, too: that it leads to public addresses only. Raises UrlError."""
    parts = check(url)
    try:
        addresses.allowed(parts.hostname or "", _port(parts))
    except AddressError as error:
        raise UrlError(str(error)) from error
    return parts


def signed(*, message_id: str, body: str, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """Return the headers of a message, with a signature by each of the secrets, parted by spaces."""
    at = now.astimezone(UTC)
    signatures = [Webhook(secret).sign(msg_id=message_id, timestamp=at, data=body) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def post(url: str, *, body: str, headers: dict[str, str], now: datetime) -> Reply:
    """Send a message and tell what came of it. Never raises: what went wrong is a sentence.

    Only a status of 2xx is a success; what of the answer comes after it is no matter.
    """
    try:
        parts = check(url)
        found = addresses.allowed(parts.hostname or "", _port(parts))
    except (UrlError, AddressError) as error:
        return Reply(error=str(error))
    reply = Reply()
    for address in found[:MAX_TRIED]:
        connected, reply = _post(parts, address, body, headers, now)
        if connected:
            break
    return reply


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _connection(parts: SplitResult, address: str) -> HTTPConnection:
    """A connection to the address that was looked at; certificate and name are still those of the host."""
    host, port = parts.hostname or "", _port(parts)
    if parts.scheme == "http":
        return HTTPConnection(address, port, timeout=CONNECT_SECONDS)
    context = tls_context()
    return HTTPSConnection(
        address, port, timeout=CONNECT_SECONDS, ssl_context=context, server_hostname=host, assert_hostname=host
    )


def tls_context() -> ssl.SSLContext:
    """Return what certificates are trusted: the system's, those that SSL_CERT_FILE names, and certifi's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _post(parts: SplitResult, address: str, body: str, headers: dict[str, str], now: datetime) -> tuple[bool, Reply]:
    """Send to one address; return whether it took the connection, and what came of it."""
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    connected = False
    with closing(_connection(parts, address)) as connection, _Deadline(connection, TOTAL_SECONDS) as deadline:
        try:
            connection.connect()
            connected = True
            connection.timeout = READ_SECONDS
            deadline.watch(connection.sock)
            sent = _OURS | headers | {"Host": parts.netloc}
            connection.request("POST", path, body=body.encode(), headers=sent, preload_content=False)
            response = connection.getresponse()
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            return connected, Reply(error=deadline.sentence if deadline.passed else _why(error))
        if deadline.passed:  # what was cut within its head looks like one that was short
            return True, Reply(error=deadline.sentence)
        return True, _reply(response, _beginning(response), now)


_OURS = {
    "Content-Type": "application/json",
    "User-Agent": USER_AGENT,
    "Accept-Encoding": "identity",
    "Connection": "close",
}


class _Deadline:
    """Cuts a connection after some seconds, whatever it waits for: a byte now and then would never time out."""

    def __init__(self, connection: HTTPConnection, seconds: int) -> None:
        self._connection = connection
        self._sock: socket.socket | None = None
        self._seconds = seconds
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self.passed = False

    @property
    def sentence(self) -> str:
        """Why the attempt ended."""
        return f"The answer was not complete within {self._seconds} s."

    def watch(self, sock: socket.socket | None) -> None:
        """Keep hold of the socket: the connection lets go of it as soon as an answer begins."""
        if sock is not None:
            self._sock = sock

    def _cut(self) -> None:
        self.passed = True
        sock = self._sock or self._connection.sock
        with contextlib.suppress(OSError):  # it was over just now
            if sock is not None:
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _beginning(response: BaseHTTPResponse) -> str:
    """How the answer begins. The verdict is in its status: that the rest is late, cut or wrong is no matter."""
    began = time.monotonic()
    read = bytearray()
    try:
        while len(read) < MAX_ANSWER and time.monotonic() - began < TOTAL_SECONDS:
            part = response.read1(MAX_ANSWER - len(read), decode_content=False)
            if not part:
                break
            read += part
    except (HTTPError, HTTPException, OSError, ValueError):
        pass
    text = read.decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text)[:KEPT_ANSWER].strip()


def _reply(response: BaseHTTPResponse, answer: str, now: datetime) -> Reply:
    status = response.status
    if 200 <= status < 300:
        return Reply(status=status, answer=answer)
    return Reply(
        status=status,
        answer=answer,
        error=_refusal(status),
        retry_after=retry_after(response.headers.get("Retry-After", ""), now) if status in {429, 503} else None,
        final=status == HTTPStatus.GONE,
    )


def _refusal(status: int) -> str:
    named = {one.value: one.phrase for one in HTTPStatus}
    shown = f"{status} {named[status]}" if status in named else str(status)
    if 300 <= status < 400:
        return f"It answered {shown}. Redirects are not followed; set the address that it leads to."
    if status == HTTPStatus.GONE:
        return f"It answered {shown}: it wants no more messages."
    return f"It answered {shown}."


def retry_after(text: str, now: datetime) -> int | None:
    """Return how many seconds a receiver asks to wait, from a number or a date; None where it asks for nothing."""
    if text.isascii() and text.isdecimal():
        return min(int(text[:9]), 86_400)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):  # the last by a zone of twenty digits
        return None
    wait = at.replace(tzinfo=at.tzinfo or UTC) - now
    return max(0, min(int(wait.total_seconds()), 86_400))


def _why(error: Any) -> str:
    """Why no status was received, in words."""
    if isinstance(error, NewConnectionError):
        refused = isinstance(error.__cause__, ConnectionRefusedError)
        return "The connection was refused." if refused else "No connection could be made."
    if isinstance(error, ConnectTimeoutError):
        return f"No connection within {CONNECT_SECONDS} s."
    if isinstance(error, TimeoutError):
        return f"No answer for {READ_SECONDS} s."
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"Its certificate is not valid: {error.verify_message}."
    if isinstance(error, CertificateError):
        return "Its certificate is not valid: it is of another name."
    if isinstance(error, ssl.SSLError):
        return "No TLS connection could be made."
    return "The connection was closed before an answer came."
