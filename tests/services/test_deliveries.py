"""Delivering alerts: claimed by one, tried again with growing waits, logged, and never twice at the same time."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from campaigns.gateways import webhooks
from campaigns.models import Alert, Attempt, Channel, Delivery
from campaigns.rules import alerts as rules
from campaigns.rules.alerts import Kind
from campaigns.rules.errors import BudgetError
from campaigns.services import channels, deliveries, outbox
from tests import factories
from tests.factories import NOW
from tests.gateways.receivers import answering, in_turn, mailbox, receiving
from tests.services import alerting
from tests.services.races import together

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _private_is_allowed(settings: Any) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True


def deliver(now: datetime = NOW) -> int:
    return deliveries.deliver_due(now=now)


def only() -> Delivery:
    return Delivery.objects.select_related("channel", "alert").get()


def states() -> list[str]:
    return [Delivery.State(state).label for state in Delivery.objects.order_by("pk").values_list("state", flat=True)]


@pytest.fixture
def gone() -> str:
    """The address of a receiver that is not there."""
    with receiving(answering()) as receiver:
        return receiver.url()


# --- The outbox ------------------------------------------------------------------------------


def test_an_alert_is_written_with_a_delivery_for_each_channel_that_gets_it() -> None:
    acme, bolt = factories.brand(), factories.brand()
    everything, of_acme, of_bolt = (alerting.channel(), alerting.channel(brand=acme), alerting.channel(brand=bolt))
    only_pauses = alerting.channel(kinds=Kind.PAUSED)
    channels.pause_channel(channel_id=alerting.channel().pk, now=NOW)
    of_the_product = alerting.alert()
    of_a_brand = alerting.alert(kind=Kind.PAUSED, brand_id=acme.pk)

    def to(alert: Alert) -> set[int]:
        return set(alert.deliveries.values_list("channel_id", flat=True))

    assert to(of_the_product) == {everything.pk}
    assert to(of_a_brand) == {everything.pk, of_acme.pk, only_pauses.pk}
    assert not of_bolt.deliveries.exists()


def test_what_was_told_is_not_told_again() -> None:
    acme = factories.brand()
    alerting.channel()
    for fields in ({}, {"brand_id": acme.pk}, {"brand_id": acme.pk, "threshold": 80}):
        draft = alerting.draft(key="same", **fields)
        assert len(outbox.write([draft, draft], now=NOW)) == 1
        assert outbox.write([draft], now=NOW) == []
    assert (Alert.objects.count(), Delivery.objects.count()) == (3, 3)


def test_any_number_of_alerts_takes_three_statements(django_assert_max_num_queries: Any) -> None:
    alerting.channel()
    drafts = [alerting.draft() for _ in range(500)]
    with django_assert_max_num_queries(4):  # with its savepoint
        assert len(outbox.write(drafts, now=NOW)) == 500
    assert Delivery.objects.count() == 500


# --- What is sent ----------------------------------------------------------------------------


def test_what_is_sent_is_what_the_public_package_verifies() -> None:
    now = timezone.now()
    with receiving(answering()) as receiver:
        channel = alerting.channel(receiver.url())
        alert = alerting.alert(now=now, message="Zürich has spent 80 % of its daily budget.")
        assert deliver(now) == 1
    (request,) = receiver.requests
    body = Webhook(alerting.secret_of(channel)).verify(request.body, request.headers)
    assert body["type"] == "ledger.differs"
    assert body["data"] == {"id": alert.uid, "message": alert.message, "figure": 1}
    assert datetime.fromisoformat(body["timestamp"]) == now.replace(microsecond=0)
    with pytest.raises(WebhookVerificationError):
        Webhook(alerting.secret_of(channel)).verify(request.body + b" ", request.headers)
    assert states() == ["delivered"]


def test_while_a_secret_is_rolled_both_are_good_and_then_only_the_new_one() -> None:
    now = timezone.now()
    with receiving(answering()) as receiver:
        channel = alerting.channel(receiver.url())
        old = alerting.secret_of(channel)
        new = channels.roll_secret(channel_id=channel.pk, now=now)
        alerting.alert(now=now)
        deliver(now)
        later = now + timedelta(seconds=60)
        Channel.objects.update(old_secret_until=later)
        alerting.alert(now=later)
        deliver(later)
    both, one = receiver.requests
    assert old != new
    for secret, request in ((old, both), (new, both), (new, one)):
        Webhook(secret).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(one.body, one.headers)


def test_nothing_secret_is_stored_as_it_is() -> None:
    address = "https://hooks.example/T0KEN"
    channel = alerting.channel(address)
    secret = alerting.secret_of(channel)
    stored = str(Channel.objects.filter(pk=channel.pk).values("target", "secret").get())
    assert secret not in stored
    assert "T0KEN" not in stored


def test_a_secret_that_was_sealed_with_another_key_is_told_in_words(settings: Any) -> None:
    alerting.channel()
    alerting.alert()
    settings.SECRET_KEY = "another"
    deliver()
    assert Attempt.objects.get().error == "It was sealed with another SECRET_KEY and can't be read; set it again."


# --- Trying again ----------------------------------------------------------------------------


def test_what_failed_is_tried_again_under_the_same_id_until_it_is_taken() -> None:
    with receiving(in_turn(answering("500 No"), answering("503 No"), answering())) as receiver:
        alerting.channel(receiver.url())
        alert = alerting.alert()
        now = NOW
        for _ in range(3):
            assert deliver(now) == 1
            assert deliver(now) == 0  # nothing is due before its time
            now = only().due_at
    assert {request.headers["webhook-id"] for request in receiver.requests} == {alert.uid}
    assert {request.body for request in receiver.requests} == {alert.payload.encode()}
    log = Attempt.objects.order_by("pk").values_list("number", "status", "error")
    assert [number for number, _, _ in log] == [1, 2, 3]
    assert [error for *_, error in log] == ["It answered 500 No.".replace("No", "Internal Server Error"), log[1][2], ""]
    assert (only().attempts, states(), only().settled_at is not None) == (3, ["delivered"], True)


def test_it_is_tried_for_a_day_with_growing_waits_and_then_given_up(gone: str) -> None:
    alerting.channel(gone)
    alerting.alert()
    now = NOW
    waits: list[float] = []
    while states() == ["waiting"]:
        assert len(waits) < 100
        deliver(now)
        waits.append((only().due_at - now).total_seconds())
        now = only().due_at
    assert states() == ["given up"]
    assert waits[0] <= 6
    assert max(waits) <= rules.LONGEST_WAIT.total_seconds() + 1
    assert len(waits) > 8
    last = Attempt.objects.latest("pk")
    assert (last.error, last.status, last.answer) == ("The connection was refused.", None, "")
    assert abs((last.at - NOW) - rules.GIVE_UP_AFTER) < timedelta(minutes=1)


def test_who_asks_to_wait_is_given_the_time() -> None:
    with receiving(answering("429 Too Many Requests", "Retry-After: 3600")) as receiver:
        alerting.channel(receiver.url())
        alerting.alert()
        deliver()
    assert NOW + timedelta(seconds=3_600) <= only().due_at < NOW + timedelta(seconds=3_700)


def test_a_410_switches_the_channel_off_and_the_others_are_told() -> None:
    with receiving(answering("410 Gone")) as receiver:
        channel, other = alerting.channel(receiver.url()), alerting.channel()
        for _ in range(3):
            alerting.alert(kind=Kind.PAUSED)
        Delivery.objects.filter(channel=other).delete()
        assert deliver() == 1  # the other two are given up with the first
    channel.refresh_from_db()
    assert (channel.state, channel.state_note) == (
        Channel.State.OFF, "It answered 410 Gone: it wants no more messages.",
    )  # fmt: skip
    assert set(Delivery.objects.filter(channel=channel).values_list("state", flat=True)) == {Delivery.State.FAILED}
    told = Alert.objects.get(kind=Kind.CHANNEL_OFF)
    assert told.message == f"The channel {channel} was switched off. It answered 410 Gone: it wants no more messages."
    assert list(told.deliveries.values_list("channel_id", flat=True)) == [other.pk]
    assert len(receiver.requests) == 1
    channels.resume_channel(channel_id=channel.pk, now=NOW)
    assert alerting.alert(kind=Kind.PAUSED).deliveries.filter(channel=channel).exists()


def test_a_paused_channel_gets_nothing_until_it_is_resumed() -> None:
    with receiving(answering()) as receiver:
        channel = alerting.channel(receiver.url())
        alerting.alert()
        channels.pause_channel(channel_id=channel.pk, now=NOW)
        assert deliver() == 0
        with pytest.raises(BudgetError, match="is paused; switch it on first"):
            channels.send_test(channel_id=channel.pk, now=NOW)
        channels.resume_channel(channel_id=channel.pk, now=NOW)
        assert deliver() == 1


def test_a_delivery_is_sent_again_when_a_person_asks_for_it() -> None:
    with receiving(answering()) as receiver:
        channel = alerting.channel(receiver.url())
        alerting.alert()
        deliver()
        later = NOW + timedelta(days=3)
        assert deliveries.deliver_again(delivery_ids=[only().pk], now=later) == 1
        assert deliver(later) == 1
        first, second = receiver.requests
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert Attempt.objects.count() == 2
        channels.pause_channel(channel_id=channel.pk, now=NOW)
        with pytest.raises(BudgetError, match="is paused"):
            deliveries.deliver_again(delivery_ids=[only().pk], now=later)
    assert states() == ["delivered"]


def test_what_was_told_long_ago_is_forgotten(settings: Any, gone: str) -> None:
    alerting.channel(gone)
    alerting.alert()
    deliver()
    kept = alerting.alert(kind=Kind.TOTAL_BUDGET, brand_id=factories.brand().pk)  # or it would be told again
    later = NOW + timedelta(days=settings.ALERTS_KEPT_DAYS)
    assert deliveries.forget_old(now=later) == 0
    assert deliveries.forget_old(now=later + timedelta(seconds=1)) == 1
    assert (list(Alert.objects.all()), Attempt.objects.count()) == ([kept], 0)


# --- Mail ------------------------------------------------------------------------------------


def test_a_mail_goes_over_a_real_server(settings: Any) -> None:
    with mailbox() as box:
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", box.port, False
        alerting.channel("ann@example.com, bob@example.com", type_=Channel.Type.EMAIL)
        alerting.alert(message="Acme has spent\r\nBcc: 80 % of its daily budget.")
        deliver()
    assert states() == ["delivered"], Attempt.objects.get().error
    assert len(box.recipients) == 2
    (mail,) = box.mails
    assert "Subject: Acme has spent Bcc: 80 % of its daily budget." in mail


@pytest.mark.parametrize(
    ("refusal", "error"),
    [(b"550 nobody here", "The mail server refused the addresses: ann@example.com."), (b"", "could not be reached")],
)
def test_a_mail_that_is_not_taken_is_told_in_words(settings: Any, refusal: bytes, error: str) -> None:
    with mailbox(refuses=refusal) as box:
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", box.port, False
        if not refusal:
            settings.EMAIL_PORT = 1
        alerting.channel("ann@example.com", type_=Channel.Type.EMAIL)
        alerting.alert()
        deliver()
    assert error in Attempt.objects.get().error
    assert states() == ["waiting"]


# --- Messengers ------------------------------------------------------------------------------


def test_a_messenger_is_reached_by_apprise() -> None:
    with receiving(answering()) as receiver:
        alerting.channel(f"json://127.0.0.1:{receiver.port}/", type_=Channel.Type.APPRISE)
        alert = alerting.alert()
        deliver()
        assert states() == ["delivered"]
        assert alert.message in receiver.requests[0].body.decode()


def test_a_messenger_that_redirects_to_an_inner_address_is_not_followed(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apprise follows redirects by itself: the connection itself is refused."""
    with receiving(answering(), host="127.0.0.2") as inner:
        inner_url = f"http://127.0.0.2:{inner.port}/"
        with receiving(answering("307 Temporary Redirect", f"Location: {inner_url}")) as receiver:
            address = f"json://127.0.0.1:{receiver.port}/"
            alerting.channel(address, type_=Channel.Type.APPRISE)
            alerting.alert()
            settings.WEBHOOKS_ALLOW_PRIVATE = False
            public = {"127.0.0.1"}
            monkeypatch.setattr("campaigns.gateways.addresses.is_public", lambda address: address in public)
            deliver()
            assert (len(receiver.requests), len(inner.requests)) == (1, 0)
    assert Attempt.objects.get().error != ""


# --- Several workers -------------------------------------------------------------------------


def slowly(seconds: float = 0.3) -> Any:
    def answer(connection: Any, number: int) -> None:
        time.sleep(seconds)
        answering()(connection, number)

    return answer


@pytest.mark.django_db(transaction=True)
def test_two_workers_and_a_duplicate_task_deliver_one_alert() -> None:
    now = timezone.now()
    with receiving(slowly()) as receiver:
        alerting.channel(receiver.url())
        alerting.alert(now=now)
        together(lambda: deliver(now), lambda: deliver(now), lambda: deliver(now))
        assert len(receiver.requests) == 1
    assert (states(), Attempt.objects.count()) == (["delivered"], 1)


@pytest.mark.django_db(transaction=True)
def test_without_the_claim_it_would_be_delivered_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: what the test above finds can be found."""
    now = timezone.now()
    both_have_looked = threading.Barrier(2)

    def look_only(*, now: datetime, most: int) -> list[deliveries.Claim]:
        if getattr(once, "done", False):
            return []
        once.done = True
        both_have_looked.wait(20)
        return [deliveries.Claim(channel_id, "") for channel_id in Channel.objects.values_list("pk", flat=True)]

    once = threading.local()
    monkeypatch.setattr(deliveries, "claim_channels", look_only)
    with receiving(slowly()) as receiver:
        alerting.channel(receiver.url())
        alerting.alert(now=now)
        together(lambda: deliver(now), lambda: deliver(now))
        assert len(receiver.requests) == 2


@pytest.mark.django_db(transaction=True)
def test_a_channel_is_claimed_by_one_of_many() -> None:
    alerting.channel()
    alerting.alert()
    claims = together(*[lambda: deliveries.claim_channels(now=NOW, most=8)] * 4)
    assert sorted(map(len, claims)) == [0, 0, 0, 1]


def test_a_lease_of_who_has_died_runs_out() -> None:
    alerting.channel()
    alerting.alert()
    assert len(deliveries.claim_channels(now=NOW, most=8)) == 1
    assert not deliveries.claim_channels(now=NOW + deliveries.LEASE - timedelta(seconds=1), most=8)
    assert len(deliveries.claim_channels(now=NOW + deliveries.LEASE, most=8)) == 1
    longest = webhooks.TOTAL_SECONDS * webhooks.MAX_TRIED
    assert deliveries.TURN + timedelta(seconds=longest + 60) <= deliveries.LEASE


@pytest.mark.django_db(transaction=True)
def test_who_has_lost_a_lease_sends_no_more_and_takes_nothing_from_the_next() -> None:
    with receiving(answering()) as receiver:
        alerting.channel(receiver.url())
        alerting.alert()
        (late,) = deliveries.claim_channels(now=NOW, most=8)
        (now,) = deliveries.claim_channels(now=NOW + deliveries.LEASE, most=8)
        clock = deliveries.Clock.starting(NOW + deliveries.LEASE)
        assert deliveries.work_off(late, clock=clock) == 0
        assert Channel.objects.get().lease == now.lease
        assert deliveries.work_off(now, clock=clock) == 1
        assert len(receiver.requests) == 1


@pytest.mark.django_db(transaction=True)
def test_a_slow_receiver_does_not_hold_up_the_others() -> None:
    now = timezone.now()
    let_go = threading.Event()

    def stalls(connection: Any, number: int) -> None:
        let_go.wait(30)
        answering()(connection, number)

    with receiving(stalls) as slow, receiving(answering()) as fast:
        alerting.channel(slow.url())
        alerting.channel(fast.url())
        for _ in range(5):
            alerting.alert(now=now)
        worker = threading.Thread(target=_deliver_in_a_thread, args=[now])
        worker.start()
        try:
            slow.wait_for(1)
            assert len(fast.wait_for(5)) == 5
            assert len(slow.requests) == 1  # one at a time
        finally:
            let_go.set()
            worker.join(60)
        assert len(slow.wait_for(5)) == 5
    assert states() == ["delivered"] * 10


def _deliver_in_a_thread(now: datetime) -> None:
    try:
        deliver(now)
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_a_message_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def post(url: str, **_: Any) -> webhooks.Reply:
        seen.append(connection.in_atomic_block)
        seen.append(connection.connection is not None)
        return webhooks.Reply(status=200)

    monkeypatch.setattr(webhooks, "post", post)
    alerting.channel()
    alerting.alert()
    deliver()
    assert seen == [False, False]


def test_who_is_deleted_takes_its_deliveries_along_and_leaves_the_alerts() -> None:
    channel = alerting.channel()
    alerting.alert()
    deliver()
    channels.delete_channel(channel_id=channel.pk)
    assert (Alert.objects.count(), Delivery.objects.count(), Attempt.objects.count()) == (1, 0, 0)
