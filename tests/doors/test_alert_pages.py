"""The pages of alerts: rules and channels through the services, secrets once, nothing of other brands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns.gateways import addresses, sealing
from campaigns.models import Alert, AlertRule, Brand, Channel, Delivery
from campaigns.rules import alerts as rules
from campaigns.rules.alerts import Kind, Subject
from campaigns.rules.reasons import Reason
from campaigns.services import catalog, deliveries, roles
from campaigns.services.roles import Role
from tests import factories
from tests.factories import NOW
from tests.services import alerting
from tests.services.alerting import rule

pytestmark = pytest.mark.django_db

ALL = [int(kind) for kind in rules.ALL if kind not in Kind.TEST | Kind.CHANNEL_OFF]


@pytest.fixture(autouse=True)
def _noon() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(autouse=True)
def _public_names(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"hooks.example": ["8.8.8.8"], "inner.example": ["10.0.0.7"]}
    monkeypatch.setattr(addresses, "resolve", lambda host, _: known.get(host, []))


def address(page: str, *args: object, model: str = "channel") -> str:
    return reverse(f"admin:campaigns_{model}_{page}", args=args)


def text(response: Any) -> str:
    return unescape(response.content.decode())


def messages(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def errors(response: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found


def new(**fields: Any) -> dict[str, Any]:
    return {"name": "Ops", "type": "webhook", "address": "https://hooks.example/T0KEN", "gets": ALL, **fields}


def logged_in(role: Role, brands: list[Brand] | None = None) -> Client:
    person = User.objects.create_user(f"{role}-{brands is None}", is_staff=True)
    person.groups.add(Group.objects.get(name=role))
    roles.set_limit(user_id=person.pk, brand_ids=None if brands is None else [brand.pk for brand in brands])
    client = Client()
    client.force_login(person)
    return client


# --- Channels --------------------------------------------------------------------------------


def test_a_channel_is_made_and_its_secret_is_shown_once(client: Client, anna: User) -> None:
    response = client.post(address("add"), new(), follow=True)
    channel = Channel.objects.get()
    secret = sealing.unseal(channel.secret)
    assert secret.startswith("whsec_")
    assert any(secret in message for message in messages(response))
    assert (channel.created_by_id, channel.shown) == (anna.pk, "https://hooks.example/…")
    assert sealing.unseal(channel.target) == "https://hooks.example/T0KEN"
    for page in (address("changelist"), address("change", channel.pk), address("history", channel.pk)):
        body = text(client.get(page))
        assert secret not in body
        assert "T0KEN" not in body


@pytest.mark.parametrize(
    ("fields", "field", "error"),
    [
        ({"address": "https://inner.example/"}, "address", "leads to 10.0.0.7, which is not a public address"),
        ({"address": "https://nowhere.example/"}, "address", "could not be found"),
        ({"address": "http://hooks.example/"}, "address", "begins with https://"),
        ({"address": ""}, "address", "Give the address"),
        ({"type": "email", "address": "ann@example.com"}, "address", "have its operator set EMAIL_HOST"),
        ({"type": "apprise", "address": "json://inner.example/"}, "address", "leads to 10.0.0.7"),
        ({"type": "apprise", "address": "syslog://"}, "address", "shows messages on the server itself"),
        ({"type": "apprise", "address": "nonsense://x"}, "address", "Apprise does not know such an address"),
        ({"gets": []}, "gets", "required"),
        ({"name": ""}, "name", "required"),
        ({"brand": "99999"}, "brand", "valid choice"),
    ],
)
def test_what_can_not_be_is_told_at_its_field(client: Client, fields: dict[str, Any], field: str, error: str) -> None:
    response = client.post(address("add"), new(**fields))
    assert error in " ".join(errors(response)[field])
    assert not Channel.objects.exists()


def test_a_name_that_is_taken_is_told_at_its_field(client: Client) -> None:
    client.post(address("add"), new())
    response = client.post(address("add"), new())
    assert errors(response)["name"] == ["There is a channel named Ops; give another name."]
    assert Channel.objects.count() == 1


def test_a_type_that_is_none_is_told(client: Client) -> None:
    assert "type" in errors(client.post(address("add"), new(type="pigeon")))


def test_no_transaction_is_open_while_a_host_is_looked_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = connection.savepoint_ids.copy()
    seen: list[list[str]] = []

    def resolve(host: str, port: int) -> list[str]:
        seen.append(connection.savepoint_ids.copy())
        return ["8.8.8.8"]

    monkeypatch.setattr(addresses, "resolve", resolve)
    client.post(address("add"), new())
    assert seen == [outside]


def test_a_channel_is_changed_and_keeps_what_is_left_empty(client: Client) -> None:
    channel = alerting.channel()
    client.post(address("change", channel.pk), {"name": "New", "address": "", "gets": [int(Kind.PAUSED)]})
    channel.refresh_from_db()
    assert (channel.name, sealing.unseal(channel.target)) == ("New", "https://hooks.example/budget")
    assert channel.kinds == Kind.PAUSED | Kind.TEST | Kind.CHANNEL_OFF
    client.post(address("change", channel.pk), {"name": "New", "address": "https://hooks.example/2", "gets": ALL})
    channel.refresh_from_db()
    assert sealing.unseal(channel.target) == "https://hooks.example/2"


def test_the_buttons_do_what_they_say(client: Client) -> None:
    channel = alerting.channel()

    def press(name: str) -> list[str]:
        return messages(client.post(address(name, channel.pk), {"_form_submitted": "on"}, follow=True))

    old = alerting.secret_of(channel)
    (shown,) = press("roll_secret")
    assert alerting.secret_of(channel) in shown
    assert alerting.secret_of(channel) != old
    assert "on its way" in press("send_test")[0]
    assert Alert.objects.get().kind == Kind.TEST
    assert press("pause") == [f"{channel} is paused."]
    assert press("send_test") == [f"{channel} is paused; switch it on first."]
    assert press("resume") == [f"{channel} is on."]
    assert client.post(address("pause", 999), {"_form_submitted": "on"}).status_code == 404


def test_a_channel_is_deleted_after_a_question_that_counts_nothing(client: Client) -> None:
    channel = alerting.channel()
    alerting.alert()
    question = text(client.get(address("delete", channel.pk)))
    assert "the alerts themselves stay" in question
    client.post(address("delete", channel.pk), {"post": "yes"})
    assert (Channel.objects.count(), Alert.objects.count()) == (0, 1)


# --- Rules -----------------------------------------------------------------------------------


def test_a_rule_is_made_changed_and_deleted(client: Client) -> None:
    brand = factories.brand(name="Acme")
    add = address("add", model="alertrule")
    client.post(add, {"what": "1-0", "brand": brand.pk, "percents": "90%, 25", "is_on": "on"})
    made = AlertRule.objects.get()
    assert (made.kind, made.subject, made.brand, made.percents) == (Kind.DAILY_BUDGET, Subject.BRAND, brand, "25, 90")
    change = address("change", made.pk, model="alertrule")
    assert "25 and 90%" in text(client.get(address("changelist", model="alertrule")))
    client.post(change, {"percents": "10"})
    made.refresh_from_db()
    assert (made.percents, made.is_on) == ("10", False)
    assert "Give percents from 1 to 100." in errors(client.post(change, {"percents": "0", "is_on": "on"}))["percents"]
    client.post(address("delete", made.pk, model="alertrule"), {"post": "yes"})
    assert not AlertRule.objects.exists()


def test_a_rule_about_pauses_has_reasons(client: Client) -> None:
    campaign = factories.campaign()
    fields = {"what": "16-1", "campaign": campaign.pk, "why": [int(Reason.MANUAL)], "percents": "5", "is_on": "on"}
    client.post(address("add", model="alertrule"), fields)
    made = AlertRule.objects.get()
    assert (made.campaign, made.brand_id, made.pause_reasons) == (campaign, campaign.brand_id, Reason.MANUAL)
    assert made.percents == ""
    client.post(address("change", made.pk, model="alertrule"), {"why": [int(Reason.SCHEDULE)], "is_on": "on"})
    made.refresh_from_db()
    assert made.pause_reasons == Reason.SCHEDULE


def test_what_a_choice_hides_is_not_taken(client: Client) -> None:
    campaign = factories.campaign()
    fields = {"what": "64-2", "brand": campaign.brand_id, "campaign": campaign.pk, "percents": "x", "is_on": "on"}
    client.post(address("add", model="alertrule"), fields)
    made = AlertRule.objects.get()
    assert (made.brand, made.campaign, made.percents) == (None, None, "")


def test_a_second_rule_for_the_same_is_refused_in_the_form(client: Client) -> None:
    rule(Kind.DAILY_BUDGET)
    response = client.post(address("add", model="alertrule"), {"what": "1-0", "is_on": "on"})
    assert "There is such a rule for the same already; change that one." in text(response)
    assert AlertRule.objects.count() == 1


# --- What was told ---------------------------------------------------------------------------


def test_alerts_say_what_where_and_when(client: Client) -> None:
    brand = factories.brand(name="Acme", timezone="Europe/Paris", daily_budget=100)
    channel = alerting.channel()
    factories.spend(factories.campaign(brand), 85)
    alerting.look()
    body = text(client.get(address("changelist", model="alert")))
    assert "Acme has spent 85% of its daily budget of 18 Jun 2025: 85.00 EUR".replace("EUR", brand.currency) in body
    assert re.search(r"18 Jun 2025, 14:00:00 <[^>]*>Europe/Paris", body)
    assert channel.name in body
    detail = text(client.get(address("change", Alert.objects.get().pk, model="alert")))
    assert '"threshold_percent": 80' in detail


def test_alerts_outlive_what_they_are_about(client: Client) -> None:
    brand = factories.brand()
    alert = alerting.alert(brand_id=brand.pk, campaign_id=factories.campaign(brand).pk)
    catalog.delete_brand(brand_id=brand.pk, now=NOW)
    assert f"deleted brand {alert.brand_id}" in text(client.get(address("changelist", model="alert")))
    assert client.get(address("change", alert.pk, model="alert")).status_code == 200


def test_a_delivery_shows_its_log_and_can_be_repeated(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from campaigns.gateways import webhooks
    from campaigns.gateways.webhooks import Reply

    replies = iter([Reply(status=500, answer="<b>oh no</b>", error="It answered 500."), Reply(status=200)])
    monkeypatch.setattr(webhooks, "post", lambda *_, **__: next(replies))
    alerting.channel()
    alerting.alert()
    deliveries.deliver_due(now=NOW)
    row = Delivery.objects.get()
    page = address("change", row.pk, model="delivery")
    body = client.get(page).content.decode()
    assert "It answered 500." in body
    assert "&lt;b&gt;oh no&lt;/b&gt;" in body
    response = client.post(address("deliver_again", row.pk, model="delivery"), {"_form_submitted": "on"}, follow=True)
    assert messages(response) == ["1 delivery is on the way again."]
    deliveries.deliver_due(now=NOW)
    row.refresh_from_db()
    assert row.state == Delivery.State.DELIVERED
    listed = address("changelist", model="delivery")
    response = client.post(listed, {"action": "deliver_again_selected", "_selected_action": [row.pk]}, follow=True)
    assert messages(response) == ["1 delivery is on the way again."]


@pytest.mark.parametrize("model", ["alert", "delivery", "alertrule", "channel"])
def test_a_list_takes_the_same_queries_for_3_rows_and_for_30(client: Client, model: str) -> None:
    def fill(rows: int) -> None:
        for _ in range(rows):
            brand = factories.brand()
            alerting.channel(brand=brand)
            rule(Kind.DAILY_BUDGET, brand_id=brand.pk)
            alerting.alert(brand_id=brand.pk, campaign_id=factories.campaign(brand).pk)
        deliveries.deliver_due(now=NOW)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address("changelist", model=model)).status_code == 200
        return len(queries)

    fill(3)
    few = cost()
    fill(27)
    assert cost() == few <= 10


# --- Who may ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.VIEWER, {"alert": "v", "alertrule": "v", "channel": "", "delivery": ""}),
        (Role.OPERATOR, {"alert": "v", "alertrule": "vac", "channel": "v", "delivery": "v"}),
        (Role.ADMINISTRATOR, {"alert": "v", "alertrule": "vac", "channel": "vac", "delivery": "v"}),
    ],
)
def test_roles_do_what_they_may(role: Role, may: dict[str, str]) -> None:
    client = logged_in(role)
    alerting.channel()
    alerting.alert()
    rule(Kind.DAILY_BUDGET)
    rows: dict[str, Any] = {"alert": Alert, "alertrule": AlertRule, "channel": Channel, "delivery": Delivery}
    for model, letters in may.items():
        row = rows[model].objects.get()
        listed = client.get(address("changelist", model=model)).status_code
        assert listed == (200 if "v" in letters else 403), model
        added = client.get(address("add", model=model)).status_code
        assert added == (200 if "a" in letters else 403), model
        page = address("change", row.pk, model=model)
        assert ("_save" in client.get(page).content.decode()) == ("c" in letters), model
    for action in ("send_test", "roll_secret", "pause"):
        pressed = client.post(address(action, Channel.objects.get().pk), {"_form_submitted": "on"})
        assert (pressed.status_code == 403) == (role is not Role.ADMINISTRATOR)
    again = client.post(address("deliver_again", Delivery.objects.first().pk, model="delivery"))  # type: ignore[union-attr]  # there is one
    assert (again.status_code == 403) == (role is Role.VIEWER)


def test_who_is_limited_sees_and_sets_only_their_brands() -> None:
    acme, bolt = factories.brand(name="Acme"), factories.brand(name="Bolt")
    client = logged_in(Role.ADMINISTRATOR, [acme])
    of_acme, of_bolt, of_all = alerting.channel(brand=acme), alerting.channel(brand=bolt), alerting.channel()
    rule(Kind.DAILY_BUDGET, brand_id=bolt.pk)
    rule(Kind.DAILY_BUDGET)
    alerting.alert(brand_id=acme.pk, message="About Acme.")
    alerting.alert(brand_id=bolt.pk, message="About Bolt.")
    alerting.alert(message="About everything.")
    lists = {model: text(client.get(address("changelist", model=model))) for model in ("alert", "delivery", "channel")}
    for body in lists.values():
        assert "About Bolt" not in body
        assert "About everything" not in body
        assert of_all.name not in body
    assert of_acme.name in lists["alert"]
    for channel in (of_bolt, of_all):
        assert client.get(address("change", channel.pk)).status_code == 302
        assert client.post(address("pause", channel.pk), {"_form_submitted": "on"}).status_code == 404
    response = client.post(address("add"), new(brand=""))
    assert errors(response)["brand"] == ["Choose a brand: you see only some of them."]
    assert "brand" in errors(client.post(address("add"), new(brand=bolt.pk)))
    assert client.post(address("add"), new(brand=acme.pk)).status_code == 302
    response = client.post(address("add", model="alertrule"), {"what": "1-0", "is_on": "on"})
    assert "Choose a brand" in text(response)
    response = client.post(address("add", model="alertrule"), {"what": "64-2", "brand": acme.pk, "is_on": "on"})
    assert "you see only some brands" in errors(response)["what"][0]
    assert AlertRule.objects.count() == 2
