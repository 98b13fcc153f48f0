"""Where a message may go: names become addresses here, and only public ones are let through.

Whoever sets a channel could otherwise have this server ask its own network. A name is resolved once for each attempt
and the connection is made to the very address that was looked at, so that a name that changes its address in between
gains nothing.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from django.conf import settings

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
# Within the global unicast range, but set aside by IANA: protocol assignments (Teredo and benchmarking among them),
# documentation.
_SET_ASIDE_6 = [IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20")]
_SET_ASIDE_4 = [
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
    )
]  # fmt: skip
"""IANA's registry of special-purpose addresses, written out: what Python calls global differs by its version."""

MAX_ADDRESSES = 16
"""The most addresses of a name that are looked at."""


class AddressError(Exception):
    """A host that no message may go to; the message is one sentence for people."""


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, as the system resolves it. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(where[0]) for *_, where in found))


def allowed(host: str, port: int) -> list[str]:
    """Return the addresses of a host, to connect to one of these and to nothing else.

    Raises AddressError if it has none, or if one of them is not public and WEBHOOKS_ALLOW_PRIVATE is not set.
    """
    try:
        found = resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise AddressError(f"The host {host} could not be found; check its name.") from error
    if not found:
        raise AddressError(f"The host {host} could not be found; check its name.")
    insist_on_public(host, found[:MAX_ADDRESSES])
    return found[:MAX_ADDRESSES]


def insist_on_public(host: str, addresses: Sequence[str]) -> None:
    """Raise AddressError if one of a host's addresses is not public, unless a setting allows private ones."""
    if settings.WEBHOOKS_ALLOW_PRIVATE:
        return
    inner = next((address for address in addresses if not is_public(address)), None)
    if inner is not None:
        raise AddressError(
            f"The host {host} leads to {inner}, which is not a public address. Use a public one, or have the operator "
            "of this installation set WEBHOOKS_ALLOW_PRIVATE."
        )


def is_public(address: str) -> bool:
    """Return whether an address is one of the public internet: unicast, and set aside for nothing else.

    An IPv4 address that is written within an IPv6 one (mapped, NAT64) is looked at as what it is.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # such as one with the name of an interface
        return False
    return _is_public_4(found) if isinstance(found, IPv4Address) else _is_public_6(found)


def _is_public_4(address: IPv4Address) -> bool:
    return not any(address in network for network in _SET_ASIDE_4)


def _is_public_6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _is_public_4(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public_4(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address.sixtofour is not None:
        return _is_public_4(address.sixtofour)
    return address in _GLOBAL_UNICAST and not any(address in network for network in _SET_ASIDE_6)


# --- Code of others that connects by itself --------------------------------------------------

_guard = threading.local()
_installing = threading.Lock()
_installed = False


@contextlib.contextmanager
def only_public() -> Iterator[None]:
    """Refuse every connection of this thread to an address that is not public, for as long as the block lasts.

    For libraries that resolve names and follow redirects themselves. Python tells of each connection, by whatever
    library, before it is made; what such a library does outside Python, or in threads of its own, is not seen.
    """
    _install()
    _guard.depth = getattr(_guard, "depth", 0) + 1
    try:
        yield
    finally:
        _guard.depth -= 1


def _install() -> None:
    global _installed  # noqa: PLW0603 - an audit hook stays for the life of the process: there must be one
    with _installing:
        if not _installed:
            sys.addaudithook(_look)
            _installed = True


def _look(event: str, arguments: tuple[object, ...]) -> None:
    if event not in {"socket.connect", "socket.sendto"} or not getattr(_guard, "depth", 0):
        return
    where = arguments[1]
    host = str(where[0]) if isinstance(where, tuple) else str(where)  # a socket of this machine has a path
    if not settings.WEBHOOKS_ALLOW_PRIVATE and not is_public(host):
        raise AddressError(f"The host leads to {host}, which is not a public address.")
