"""Messengers out, by Apprise: one library that speaks to Slack, Teams, Telegram and a hundred others.

Apprise resolves names and follows redirects by itself. So the host of its address is looked at beforehand, and while it
sends no connection of its thread to an address that is not public is let through.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from campaigns.gateways import addresses
from campaigns.gateways.addresses import AddressError

MAX_URL = 2_000

CONNECT_SECONDS, READ_SECONDS = 5, 10

_HERE = {"blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"}
"""What would show a message on this server."""

_FILES = ("keyfile", "subfile", "pgp_key", "pgp_privkey")
"""Attributes of services that are paths of files, beside those that Apprise holds as attachments."""

_ASKS_PORT = 443

logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its lines name addresses, and with them their passwords


class MessengerError(Exception):
    """An address that no message can go to; the message is one sentence for people."""


def check(url: str) -> str:
    """Return as much of an Apprise address as may be shown; its host is not looked up. Raises MessengerError."""
    return _shown(_service(url))


def look_up(url: str) -> str:
    """As `check`, and where the address names a host, that is looked up, too. Raises MessengerError."""
    service = _service(url)
    try:
        _look_at_host(service)
    except AddressError as error:
        raise MessengerError(str(error)) from error
    return _shown(service)


def send(url: str, *, title: str, body: str) -> str:
    """Send a message; return why that failed in words, or nothing."""
    import apprise

    try:
        service = _service(url)
        _look_at_host(service)
        with addresses.only_public():
            sent = service.notify(title=title, body=body, notify_type=apprise.NotifyType.INFO)
    except (MessengerError, AddressError) as error:
        return str(error)
    except Exception:  # noqa: BLE001 - what a hundred plugins may raise; their messages may have secrets in them
        sent = False
    return "" if sent else "The messenger did not take the message, or could not be reached."


def _service(url: str) -> Any:
    scheme = url.partition("://")[0].lower()
    if len(url) > MAX_URL or not url.isprintable() or "://" not in url:
        raise MessengerError("Give an Apprise address, such as slack://token_a/token_b/token_c or tgram://token/chat.")
    if scheme in _HERE:
        raise MessengerError(f"{scheme}:// shows messages on the server itself; choose a messenger.")
    import apprise  # only where a messenger is set or written to: it loads much

    service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if service is None or not hasattr(service, "notify"):
        raise MessengerError("Apprise does not know such an address, or something is missing in it; see its list.")
    _insist_on_no_file(service)
    service.socket_connect_timeout, service.socket_read_timeout = CONNECT_SECONDS, READ_SECONDS
    service.request_rate_per_sec = 0
    return service


def _insist_on_no_file(service: Any) -> None:
    """Refuse an address that names a file, such as a template: its text would go to whoever has set the address.

    Asked of what Apprise has made of the address, which it reads in its own way.
    """
    from apprise import AppriseAttachment

    attached = any(isinstance(value, AppriseAttachment) and value for value in vars(service).values())
    if attached or any(getattr(service, name, None) for name in _FILES):
        raise MessengerError("The address names a template or a key in files of the server; leave that out.")


def _look_at_host(service: Any) -> None:
    """Look at the host of an address in which a service of one's own is named."""
    if _has_own_host(service):
        addresses.allowed(str(service.host), int(service.port or _ASKS_PORT))


def _shown(service: Any) -> str:
    """Scheme and service; the rest is tokens, or may be."""
    scheme = urlsplit(service.url(privacy=True)).scheme
    own = f" at {service.host}" if _has_own_host(service) else ""
    return f"{scheme}://… ({service.service_name}{own})"[:200]


def _has_own_host(service: Any) -> bool:
    """Whether the address names a host, as that of a service of one's own does; else what stands there is a token."""
    return bool(service.host) and any("{host}" in template for template in service.templates)
