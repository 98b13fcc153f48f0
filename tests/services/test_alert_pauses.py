"""Pauses and resumptions as alerts: out of the journal, each once, whenever its transaction ends."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from django.db import connection, transaction

from campaigns.models import Alert, Brand, Campaign, JournalPosition
from campaigns.rules.alerts import Kind, Subject
from campaigns.rules.reasons import Reason
from campaigns.services import alert_pauses, catalog, outbox
from tests import factories
from tests.factories import NOW, spend
from tests.services.alerting import look, rule
from tests.services.races import Worker, _until

pytestmark = pytest.mark.django_db(transaction=True)  # what is news is told by transactions


@pytest.fixture
def acme() -> Brand:
    return factories.brand(name="Acme", currency="EUR", timezone="Europe/Paris", daily_budget="100")


@pytest.fixture
def sale(acme: Brand) -> Campaign:
    return factories.campaign(acme, name="Spring sale")


def payload() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Alert.objects.latest("pk").payload)
    return found


@pytest.fixture
def told_of_pauses() -> None:
    rule(Kind.PAUSED, Subject.CAMPAIGN)
    rule(Kind.RESUMED, Subject.CAMPAIGN)
    look()


@pytest.mark.usefixtures("told_of_pauses")
def test_a_pause_and_its_end_are_told_once(sale: Campaign, acme: Brand) -> None:
    catalog.pause(campaign_id=sale.pk, now=NOW)
    assert look() == ["Spring sale (Acme) was paused: paused by a person."]
    sent = payload()["data"]
    assert (sent["campaigns"], sent["reasons"], sent["at"]) == (1, ["manual"], "2025-06-18T14:00:00+02:00")
    assert Alert.objects.get().campaign_id == sale.pk
    assert look() == []
    catalog.resume(campaign_id=sale.pk, now=NOW)
    assert look() == ["Spring sale (Acme) was resumed: was paused by a person."]
    assert look() == []


@pytest.mark.usefixtures("told_of_pauses")
def test_many_that_one_event_pauses_are_one_alert(acme: Brand) -> None:
    campaigns = [factories.campaign(acme, name=f"C{at}") for at in range(8)]
    spend(campaigns[0], 100)
    assert look() == [
        "Acme has spent its daily budget of 18 Jun 2025: 100.00 EUR of 100.00 EUR.",
        "8 campaigns of Acme (C0, C1, C2, C3, C4 and 3 more) were paused: daily budget of the brand spent.",
    ]
    sent = payload()["data"]
    assert (sent["campaigns"], sent["campaign"], len(sent["first_campaigns"])) == (8, None, 5)


def test_only_the_reasons_of_the_narrowest_rule_are_told(acme: Brand) -> None:
    one, two, three = (factories.campaign(acme, name=name) for name in ("One", "Two", "Three"))
    rule(Kind.PAUSED, Subject.CAMPAIGN, reasons=Reason.SCHEDULE)
    rule(Kind.PAUSED, Subject.CAMPAIGN, campaign_id=two.pk, reasons=Reason.MANUAL)
    rule(Kind.PAUSED, Subject.CAMPAIGN, campaign_id=three.pk, is_on=False)
    look()
    for campaign in (one, two, three):
        catalog.pause(campaign_id=campaign.pk, now=NOW)
    assert look() == ["Two (Acme) was paused: paused by a person."]
    for campaign in (one, two, three):
        catalog.resume(campaign_id=campaign.pk, now=NOW)
        catalog.set_window(campaign_id=campaign.pk, start_hour=22, end_hour=6, now=NOW)
    assert look() == ["One (Acme) was paused: outside its hours."]


def test_what_was_before_the_first_look_is_not_told(sale: Campaign) -> None:
    rule(Kind.PAUSED, Subject.CAMPAIGN)
    catalog.pause(campaign_id=sale.pk, now=NOW)
    assert look() == []


def test_a_rule_that_is_made_later_tells_what_comes_after_it(sale: Campaign) -> None:
    look()
    catalog.pause(campaign_id=sale.pk, now=NOW)
    look()
    rule(Kind.RESUMED, Subject.CAMPAIGN)
    catalog.resume(campaign_id=sale.pk, now=NOW)
    assert look() == ["Spring sale (Acme) was resumed: was paused by a person."]


@pytest.mark.usefixtures("told_of_pauses")
def test_after_a_restart_of_the_database_it_goes_on_where_it_was(sale: Campaign) -> None:
    position = JournalPosition.objects.get()
    _, slash, snapshot = position.position.partition("/")
    if slash:
        JournalPosition.objects.update(position=f"00000000/{snapshot}")
    catalog.pause(campaign_id=sale.pk, now=NOW)
    assert len(look()) == 1


@pytest.mark.usefixtures("told_of_pauses")
def test_after_a_restore_it_begins_anew(sale: Campaign, caplog: pytest.LogCaptureFixture) -> None:
    ahead = "00000000/99999999999:99999999999:" if connection.vendor == "postgresql" else "99999999999"
    JournalPosition.objects.update(position=ahead)
    catalog.pause(campaign_id=sale.pk, now=NOW)
    with caplog.at_level("WARNING"):
        assert look() == []
    assert "not told" in caplog.text
    catalog.resume(campaign_id=sale.pk, now=NOW)
    assert len(look()) == 1


@pytest.mark.postgresql
def test_a_change_that_is_committed_late_is_told_all_the_same() -> None:
    """The transaction of the first pause is older than that of the second, and ends after a look has been."""
    one, two = factories.campaign(name="One"), factories.campaign(name="Two")
    rule(Kind.PAUSED, Subject.CAMPAIGN)
    look()
    paused, go_on = threading.Event(), threading.Event()

    def late() -> None:
        with transaction.atomic():
            catalog.pause(campaign_id=one.pk, now=NOW)
            paused.set()
            assert go_on.wait(20)

    worker = Worker(late)
    worker.start()
    _until(paused.is_set)
    try:
        catalog.pause(campaign_id=two.pk, now=NOW)
        assert ["Two" in told for told in look()] == [True]
        assert look() == []
    finally:
        go_on.set()
        worker.result()
    assert ["One" in told for told in look()] == [True]


@pytest.mark.usefixtures("told_of_pauses")
def test_a_look_that_fails_tells_its_pauses_the_next_time(sale: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.pause(campaign_id=sale.pk, now=NOW)
    plain = outbox._send_out
    monkeypatch.setattr(outbox, "_send_out", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        look()
    monkeypatch.setattr(outbox, "_send_out", plain)
    assert len(look()) == 1


def test_the_pauses_of_the_night_are_not_told_by_default(sale: Campaign) -> None:
    rule(Kind.PAUSED, Subject.CAMPAIGN)
    look()
    catalog.set_window(campaign_id=sale.pk, start_hour=22, end_hour=6, now=NOW)
    assert look() == []
    assert alert_pauses.NAMED == 5
