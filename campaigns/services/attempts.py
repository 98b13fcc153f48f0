"""Failed logins: what is remembered of them, whom they lock out, and until when.

They are counted by name and address together, so that nobody can lock a colleague out from elsewhere by guessing, and
by address over all names, so that nobody tries one password on everybody. django-axes keeps the counts; they live as
long as a lock does and are cleared away by the next failure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from datetime import datetime
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Sum
from django.db.models.signals import pre_save
from django.dispatch import receiver

MOST_OF_AN_ADDRESS = 50
"""Failed logins from one address, over all names, that lock the address out. An office may share one."""


class Attempts(AxesDatabaseHandler):  # type: ignore[misc]  # axes ships without types
    """Counts failed logins, with a bound for a name at an address and a wider one for the address."""

    def get_failures(self, request: Any, credentials: dict[str, Any] | None = None) -> int:
        """Return how many failures count, so that AXES_FAILURE_LIMIT of them lock out by either bound."""
        found = zip(self.get_user_attempts(request, credentials), bounds(), strict=True)
        limit: int = settings.AXES_FAILURE_LIMIT
        return max(_failures(rows) * limit // most for rows, most in found)

    def locked_until(self, request: Any, credentials: dict[str, Any] | None = None) -> datetime | None:
        """Return when the request may try again; None if it may now."""
        found = zip(self.get_user_attempts(request, credentials), bounds(), strict=True)
        ends = [end for rows, most in found if (end := lock_end(rows, most))]
        return max(ends, default=None)

    def reset_user_attempts(self, request: Any, credentials: dict[str, Any] | None = None) -> int:
        """Forget the failures of a name at an address, now that it has logged in, but not those of the address.

        With an account of their own somebody could else try the names of others for ever.
        """
        of_the_name, _ = self.filter_user_attempts(request, credentials)
        count: int = of_the_name.delete()[0]
        return count


def network(text: str) -> str | None:
    """Return the address that failures are counted under, a port beside it left out; None for what is no address.

    For IPv6 it is the network of 64 bits: whoever has a line has all of its addresses.
    """
    try:
        address = ipaddress.ip_address(_without_port(text.strip()).partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False).network_address)


def _without_port(text: str) -> str:
    """Some proxies write where a connection comes from as 192.0.2.7:50123, or [2001:db8::1]:50123."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def bounds() -> tuple[int, int]:
    """Return how many failures lock out: of a name at an address, and of an address."""
    return settings.AXES_FAILURE_LIMIT, MOST_OF_AN_ADDRESS


def lock_end(rows: Any, most: int) -> datetime | None:
    """Return when fewer than so many of the failures are left; None if these are fewer."""
    count = 0
    for failures, at in rows.order_by("-attempt_time").values_list("failures_since_start", "attempt_time"):
        count += failures
        if count >= most:
            end: datetime = at + settings.AXES_COOLOFF_TIME
            return end
    return None


def forget(*, names: Collection[str] | None = None, address: str | None = None) -> int:
    """Forget the failed logins of names, of an address, or of names at an address; return how many there were."""
    rows = AccessAttempt.objects.all()
    rows = rows if names is None else rows.filter(username__in=names)
    rows = rows if address is None else rows.filter(ip_address=address)
    count = _failures(rows)
    rows.delete()
    return count


def _failures(rows: Any) -> int:
    count: int | None = rows.aggregate(count=Sum("failures_since_start"))["count"]
    return count or 0


@receiver(pre_save, sender=AccessAttempt, dispatch_uid="campaigns.attempts")
def _keep_nothing_that_was_sent(instance: Any, **_: object) -> None:
    """Leave out what axes would keep of the form and the browser: somebody may have typed a password anywhere."""
    instance.get_data = instance.post_data = instance.http_accept = ""
