"""The receiver of docs/alerts.md, as it stands there, against what the product sends."""

from __future__ import annotations

import http.server
import re
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from campaigns.models import Attempt, Delivery
from campaigns.rules import alerts
from campaigns.services import channels, deliveries
from tests import factories
from tests.servers import REPOSITORY
from tests.services import alerting

pytestmark = [pytest.mark.django_db, pytest.mark.once]

GUIDE = (REPOSITORY / "docs/alerts.md").read_text()


def example() -> types.ModuleType:
    """The code below the mark, as a module."""
    found = re.search(r"<!-- receiver -->\n```python\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    module = types.ModuleType("receiver")
    exec(compile(found[1], "docs/alerts.md", "exec"), module.__dict__)  # noqa: S102 - our own document
    return module


@pytest.fixture
def served() -> Any:
    """Serve the example; give it and its address."""
    module = example()
    module.Receiver.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), module.Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield module, f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_the_receiver_of_the_guide_takes_what_is_sent(
    served: Any, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True
    module, url = served
    module.SECRET = "whsec_b3RoZXI="
    channel = alerting.channel(url)
    brand = factories.brand(name="Acme", currency="EUR", daily_budget=100)
    factories.spend(factories.campaign(brand), 85, now=timezone.now())
    alerting.look(timezone.now())
    now = timezone.now()
    deliveries.deliver_due(now=now)
    assert Attempt.objects.get().status == 401  # it knows another secret
    module.SECRET = alerting.secret_of(channel)
    for _ in range(2):
        deliveries.deliver_again(delivery_ids=[Delivery.objects.get().pk], now=now)
        deliveries.deliver_due(now=now)
    module.SECRET = channels.roll_secret(channel_id=channel.pk, now=now)
    deliveries.deliver_again(delivery_ids=[Delivery.objects.get().pk], now=now)
    deliveries.deliver_due(now=now)
    assert list(Attempt.objects.order_by("pk").values_list("status", flat=True)) == [401, 204, 204, 204]
    assert capsys.readouterr().out.count("budget.threshold_reached Acme has spent 85% of its daily budget") == 1


def test_every_kind_is_explained() -> None:
    for kind, event in alerts.EVENTS.items():
        assert f"`{event}`" in GUIDE, kind
    assert sys.modules.get("receiver") is None


def test_the_guide_names_the_bounds() -> None:
    from campaigns.gateways import mails, webhooks

    named: list[Callable[[], str]] = [
        lambda: f"{webhooks.CONNECT_SECONDS} s to connect, {webhooks.READ_SECONDS} s for the next part of an answer",
        lambda: (
            f"{webhooks.TOTAL_SECONDS} s for all of it, {webhooks.MAX_ANSWER // 1024} KiB of it are read and "
            f"{webhooks.KEPT_ANSWER}\n  characters kept"
        ),
        lambda: f"up to {mails.MAX_ADDRESSES} addresses",
        lambda: f"5 s, 20 s, 80 s … and at most {alerts.LONGEST_WAIT.seconds // 3600} h",
    ]
    for text in named:
        assert text() in GUIDE
