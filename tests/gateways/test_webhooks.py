"""Webhooks out: against real servers that fail, stall, redirect and lie, and names that lead astray."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from campaigns.gateways import addresses, webhooks
from campaigns.gateways.webhooks import Reply, UrlError
from tests.factories import NOW
from tests.gateways.receivers import Behaviour, answering, in_turn, receiving, sending

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(autouse=True)
def _private_is_allowed(settings: Any) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True


def post(url: str) -> Reply:
    return webhooks.post(url, body="{}", headers={"webhook-id": "msg_1"}, now=NOW)


def reply_of(behaviour: Behaviour) -> Reply:
    with receiving(behaviour) as receiver:
        return post(receiver.url())


def stalling(connection: socket.socket, _: int) -> None:
    """Say nothing until the other side has had enough."""
    connection.settimeout(60)
    connection.recv(1)


def dripping(connection: socket.socket, _: int) -> None:
    """Send a byte now and then: no wait for the next one is ever long."""
    for _ in range(600):
        connection.sendall(b"x")
        time.sleep(0.05)


def endless(connection: socket.socket, _: int) -> None:
    """Send without end."""
    while True:
        connection.sendall(b"x" * 65_536)


# --- What is sent ----------------------------------------------------------------------------


def test_a_message_is_posted_as_it_is_with_its_headers() -> None:
    with receiving(answering()) as receiver:
        reply = webhooks.post(
            receiver.url(path="/hook?a=1"), body='{"name":"Zürich"}', headers={"webhook-id": "msg_1"}, now=NOW
        )
    (request,) = receiver.requests
    assert (reply.status, reply.answer, reply.error) == (200, "thank you", "")
    assert request.line == "POST /hook?a=1 HTTP/1.1"
    assert request.body.decode() == '{"name":"Zürich"}'
    assert request.headers["webhook-id"] == "msg_1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "204 No Content", "299 Whatever"])
def test_every_2xx_is_a_success(status: str) -> None:
    assert reply_of(answering(status, body=b"")).error == ""


# --- Servers that fail -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("500 Internal Server Error", "It answered 500 Internal Server Error."),
        ("404 Not Found", "It answered 404 Not Found."),
        ("418 Whatever", "It answered 418 I'm a Teapot."),
        ("999 Whatever", "It answered 999."),
    ],
)
def test_another_status_is_a_failure_in_words(status: str, error: str) -> None:
    reply = reply_of(answering(status, body=b"no\x00thing"))
    assert (reply.error, reply.answer, reply.final) == (error, "no thing", False)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("99999999999999", 86_400),
        ("Wed, 18 Jun 2025 12:01:30 GMT", 90),
        ("Wed, 18 Jun 2025 11:00:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_who_asks_to_wait_is_heard(status: str, header: str, seconds: int | None) -> None:
    assert reply_of(answering(status, f"Retry-After: {header}")).retry_after == seconds


def test_a_410_is_final() -> None:
    reply = reply_of(answering("410 Gone"))
    assert (reply.final, reply.error) == (True, "It answered 410 Gone: it wants no more messages.")


def test_who_refuses_the_connection_is_told_in_words() -> None:
    with receiving(answering()) as receiver:
        url = receiver.url()
    assert post(url).error == "The connection was refused."


# --- Servers that stall ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (stalling, "No answer for 1 s."),
        (sending(b"HTTP/1.1 200 OK\r\nX-Slow: ", then=dripping), "The answer was not complete within 2 s."),
        (sending(b"HTTP/1.1 ", then=dripping), "The answer was not complete within 2 s."),
    ],
)
def test_a_server_that_stalls_is_left(behaviour: Behaviour, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "READ_SECONDS", 1)
    monkeypatch.setattr(webhooks, "TOTAL_SECONDS", 2)
    began = time.monotonic()
    assert reply_of(behaviour).error == error
    assert time.monotonic() - began < 15  # a drip lasts half a minute


@pytest.mark.parametrize("then", [stalling, dripping, endless])
def test_a_success_is_one_however_the_rest_of_the_answer_comes(
    then: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "READ_SECONDS", 1)
    monkeypatch.setattr(webhooks, "TOTAL_SECONDS", 2)
    began = time.monotonic()
    reply = reply_of(sending(OK, b"\r\n", b"yes", then=then))
    assert (reply.status, reply.error, reply.answer[:3]) == (200, "", "yes")
    assert len(reply.answer) <= webhooks.KEPT_ANSWER
    assert time.monotonic() - began < 15


def test_of_an_endless_answer_a_little_is_read() -> None:
    sent = 0

    def count(connection: socket.socket, _: int) -> None:
        nonlocal sent
        connection.sendall(OK + b"\r\n")
        while True:
            sent += connection.send(b"x" * 65_536)

    assert reply_of(count).status == 200
    assert sent < 2**24  # what the buffers of both sides hold, and no more


# --- Servers that redirect -------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent"])
def test_no_redirect_is_followed(status: str) -> None:
    with receiving(answering()) as inner:
        with receiving(answering(status, f"Location: {inner.url()}")) as receiver:
            reply = post(receiver.url())
        assert "Redirects are not followed" in reply.error
        assert not inner.requests
    assert len(receiver.requests) == 1


# --- Servers that lie ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        (OK + b"Content-Length: 1000\r\n\r\nshort", 200, ""),
        (OK + b"Content-Length: 2\r\n\r\nlonger than that", 200, ""),
        (OK + b"Content-Length: nonsense\r\n\r\nyes", 200, ""),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nnonsense", 200, ""),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope", 200, ""),
        (b"", None, "The connection was closed before an answer came."),
        (b"HTTP/1.1 20", None, "The connection was closed before an answer came."),
        (b"SSH-2.0-OpenSSH\r\n", None, "The connection was closed before an answer came."),
        (OK + b"X: y\r\n" * 200 + b"\r\n", None, "The connection was closed before an answer came."),
        (OK + b"X: " + b"y" * 100_000, None, "The connection was closed before an answer came."),
    ],
)
def test_a_server_that_lies_breaks_nothing(sent: bytes, status: int | None, error: str) -> None:
    reply = reply_of(sending(sent))
    assert (reply.status, reply.error) == (status, error)


# --- Names and addresses ---------------------------------------------------------------------

INNER = [
    "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",  # noqa: S104
    "169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7",
    "203.0.113.9", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "::7f00:1", "64:ff9b::7f00:1",
    "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2001::1", "2001:0:4136:e378::", "2001:db8::1",
    "2001:2::1", "2001:10::1", "3fff::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
    "100::1", "5f00::1", "4000::1", "nonsense", "",
]  # fmt: skip
OUTER = [
    "8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "169.253.1.1", "198.20.0.1",
    "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INNER)
def test_what_is_not_public_is_known(address: str) -> None:
    assert not addresses.is_public(address)


@pytest.mark.parametrize("address", OUTER)
def test_what_is_public_is_known(address: str) -> None:
    assert addresses.is_public(address)


def test_nothing_that_python_calls_private_is_public() -> None:
    for network in (*ipaddress._IPv4Constants._private_networks, *ipaddress._IPv6Constants._private_networks):  # type: ignore[attr-defined]  # Python's own list
        if str(network) != "::ffff:0:0/96":  # looked at as what is in it
            assert not addresses.is_public(str(network[0])), network
            assert not addresses.is_public(str(network[-1])), network


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_an_inner_address_is_refused_however_it_is_written(host: str, settings: Any) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = False
    with pytest.raises(UrlError, match="not a public address"):
        webhooks.look_up(f"https://{host}/hook")
    assert "not a public address" in post(f"https://{host}/hook").error


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names resolve to these, one after the other; return the names that were asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    monkeypatch.setattr(addresses, "resolve", resolve)
    return asked


def test_a_name_of_which_one_address_is_inner_is_refused(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = False
    resolving(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(UrlError, match=r"The host hooks.example leads to 10\.0\.0\.1"):
        webhooks.look_up("https://hooks.example/")


def test_a_name_that_changes_after_it_was_saved_is_refused_then(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = False
    with receiving(answering()) as receiver:
        resolving(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
        url = f"https://hooks.example:{receiver.port}/"
        webhooks.look_up(url)
        assert "leads to 127.0.0.1" in post(url).error
        assert not receiver.requests


def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked once for each attempt: a second answer, which may be another, is never asked for."""
    with receiving(answering()) as receiver:
        asked = resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.99"])
        assert post(receiver.url("hooks.example")).status == 200
    assert asked == ["hooks.example"]
    assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"


def test_the_next_address_is_tried_where_the_first_takes_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(answering()) as receiver:
        resolving(monkeypatch, ["127.0.0.77", "127.0.0.1"])
        assert post(receiver.url("hooks.example")).status == 200


@pytest.mark.parametrize("error", [socket.gaierror(), UnicodeError()])
def test_a_name_that_is_not_found_is_told(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise error

    monkeypatch.setattr(addresses, "resolve", resolve)
    assert post("https://hooks.example/").error == "The host hooks.example could not be found; check its name."


@pytest.mark.parametrize(
    "url",
    [
        "", "https://", "ftp://example.com/", "http://example.com/", "https://user:secret@example.com/",
        "https://example.com/#part", "https://example.com:99999/", "https://example.com:0/", "https://exa mple.com/",
        "https://example.com/\r\nX: y", "https://example.com\\@127.0.0.1/", "javascript:alert(1)", "//example.com",
        "https://[::1", "https://example.com/" + "x" * 2_000, "https://…/",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_webhook_is_refused(url: str, settings: Any) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = False
    with pytest.raises(UrlError):
        webhooks.check(url)


# --- TLS -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[ssl.SSLContext, Path]]:
    """Make a certificate for a name: a server's context, and the file that says whom to trust."""

    def certify(name: str) -> tuple[ssl.SSLContext, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        today = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - dt.timedelta(days=1))
            .not_valid_after(today + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        folder = tmp_path_factory.mktemp("tls")
        (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        return context, folder / "cert.pem"

    return certify


@pytest.mark.parametrize(
    ("name", "trusted", "error"),
    [
        ("hooks.example", True, ""),
        ("other.example", True, "Its certificate is not valid: it is of another name."),
        ("hooks.example", False, "Its certificate is not valid: self-signed certificate"),
    ],
)
def test_the_certificate_has_to_be_that_of_the_name(
    name: str,
    trusted: bool,
    error: str,
    certified: Callable[[str], tuple[ssl.SSLContext, Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context, certificate = certified(name)
    names: list[str | None] = []
    context.sni_callback = lambda _socket, asked, _context: names.append(asked)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    resolving(monkeypatch, ["127.0.0.1"])
    with receiving(answering(), context=context) as receiver:
        reply = post(receiver.url("hooks.example"))
    assert reply.error[: len(error) or None] == error
    assert names == ["hooks.example"]


def test_a_server_may_fail_first_and_then_take_it() -> None:
    with receiving(in_turn(answering("500 No"), answering())) as receiver:
        assert [post(receiver.url()).status for _ in range(3)] == [500, 200, 200]
