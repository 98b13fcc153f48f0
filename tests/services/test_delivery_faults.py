"""What must not stop deliveries: a hostile answer, a channel that goes meanwhile, a long pause."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.gateways import webhooks
from campaigns.gateways.webhooks import Reply
from campaigns.models import Alert, Attempt, Delivery
from campaigns.services import channels, deliveries
from tests.factories import NOW
from tests.gateways.receivers import answering, receiving
from tests.services import alerting

pytestmark = pytest.mark.django_db

ENDLESS_ZONE = "Retry-After: Thu, 01 Jan 2026 00:00:00 +99999999999999999999999"
"""What the library that reads dates can't hold."""


@pytest.fixture(autouse=True)
def _private_is_allowed(settings: Any) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True


def test_an_answer_that_breaks_the_reader_of_dates_is_a_failed_attempt() -> None:
    with receiving(answering("503 Service Unavailable", ENDLESS_ZONE)) as receiver:
        alerting.channel(receiver.url())
        alerting.alert()
        assert deliveries.deliver_due(now=NOW) == 1
    assert (Attempt.objects.get().status, Delivery.objects.get().attempts) == (503, 1)


def test_what_breaks_on_the_way_is_a_failed_attempt_and_the_others_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery that raised would be due at once again, for ever, and end the run of all the others."""
    with receiving(answering()) as receiver:
        for path in ("/broken", "/sound"):
            alerting.channel(receiver.url(path=path))
        alerting.alert()
        post = webhooks.post

        def breaking(url: str, **given: Any) -> Reply:
            if url.endswith("/broken"):
                raise RuntimeError(f"can't start new thread for {url}")
            return post(url, **given)

        monkeypatch.setattr(webhooks, "post", breaking)
        assert deliveries.deliver_due(now=NOW) == 2
    broken, sound = Delivery.objects.order_by("channel")
    assert (broken.state, broken.attempts, sound.state) == (Delivery.State.WAITING, 1, Delivery.State.DELIVERED)
    assert broken.due_at > NOW
    assert "/broken" not in broken.tries.get().error


@pytest.mark.django_db(transaction=True)
def test_a_channel_that_is_deleted_while_its_message_is_under_way_breaks_nothing() -> None:
    with receiving(answering()) as receiver:
        going, staying = alerting.channel(receiver.url()), alerting.channel(receiver.url())
        alerting.alert()

        def deleted_meanwhile(url: str, **_: Any) -> Reply:
            channels.delete_channel(channel_id=going.pk)
            return Reply(status=200)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(webhooks, "post", deleted_meanwhile)
            claim = next(one for one in deliveries.claim_channels(now=NOW, most=8) if one.channel_id == going.pk)
            assert deliveries.work_off(claim, clock=deliveries.Clock.starting(NOW)) == 1
    assert not Attempt.objects.exists()
    assert list(Delivery.objects.values_list("channel", flat=True)) == [staying.pk]


def test_what_waited_through_a_pause_of_days_has_a_day_of_its_own() -> None:
    with receiving(answering("500 Internal Server Error")) as receiver:
        channel = alerting.channel(receiver.url())
        alerting.alert()
        deliveries.deliver_due(now=NOW)
        channels.pause_channel(channel_id=channel.pk, now=NOW)
        later = NOW + timedelta(days=3)
        channels.resume_channel(channel_id=channel.pk, now=later)
        assert Delivery.objects.get().due_at == later
        assert deliveries.deliver_due(now=later) == 1
    assert Delivery.objects.get().state == Delivery.State.WAITING  # and not given up with the first failure


def test_a_channel_is_deleted_without_reading_what_it_was_sent() -> None:
    """Of years of alerts there may be a million."""

    def statements(number: int) -> list[str]:
        told = [alerting.alert() for _ in range(number)]  # to nobody yet
        channel = alerting.channel()
        for alert in told:
            sent = Delivery.objects.create(channel=channel, alert=alert, made_at=NOW, due_at=NOW)
            Attempt.objects.create(delivery=sent, number=1, at=NOW, milliseconds=1)
        with CaptureQueriesContext(connection) as captured:
            channels.delete_channel(channel_id=channel.pk)
        return [query["sql"] for query in captured]

    about = [sql.partition(" ")[0] for sql in statements(3) if '"campaigns_delivery"."channel_id"' in sql]
    assert about[0] == "DELETE"  # before anything looks for one
    assert (Delivery.objects.count(), Attempt.objects.count()) == (0, 0)
    assert Alert.objects.count() == 3
