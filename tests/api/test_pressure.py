"""What a review found: large bodies, locked brands, event ids that are used twice, and what no test client sees."""

from __future__ import annotations

import contextlib
import http.client
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from campaigns.api import spend
from campaigns.api.spend import _Report
from campaigns.gateways.spend_json import WireError, WireEvent, read_body
from campaigns.models import Campaign, Hold, Scope
from campaigns.queries import status_feed
from campaigns.queries.holds import HoldRow
from campaigns.rules.errors import BudgetError
from campaigns.rules.periods import local_date
from campaigns.services import counters, holds
from campaigns.services.events import Outcome, SpendEvent
from campaigns.services.holds import HoldAsk, Refusal, Refused, place_holds
from campaigns.services.keys import create_key
from campaigns.services.spend import record_spend
from tests import factories
from tests.factories import NOW
from tests.services.races import holding

MIB = 2**20


def report(campaign: Campaign, secret: str) -> _Report:
    event = WireEvent(event_id=f"event-{campaign.pk}", amount="1", campaign_id=campaign.pk)
    return _Report(secret, [event])


# --- A locked brand ----------------------------------------------------------------------------


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_locked_brand_does_not_hold_up_the_others() -> None:
    now = timezone.now()
    locked, other = factories.campaign(now=now), factories.campaign(now=now)
    secret = create_key(name="Test", scopes=[Scope.SPEND], now=now)[1]
    reports = [report(locked, secret), report(other, secret)]
    began = time.monotonic()
    with holding(lambda: counters.lock(locked.brand_id, local_date(now, locked.brand.timezone))):
        of_locked, of_other = spend._record_past_locks(reports)
    assert time.monotonic() - began < 10
    assert isinstance(of_locked, OperationalError)
    assert not isinstance(of_other, Exception)
    assert [result.outcome for result in of_other] == [Outcome.RECORDED]
    (again,) = spend._record_past_locks(reports[:1])
    assert not isinstance(again, Exception)
    assert [result.outcome for result in again] == [Outcome.RECORDED]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_bound_goes_with_the_work() -> None:
    secret = create_key(name="Test", scopes=[Scope.SPEND], now=NOW)[1]
    spend._record_past_locks([report(factories.campaign(), secret)])
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


# --- Large bodies ------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize("element", [b"0,", b"{},", b"[],"])
def test_a_body_of_millions_is_refused_before_any_of_it_is_looked_at(element: bytes) -> None:
    body = b'{"events":[' + element * (8 * MIB // len(element)) + b"0]}"
    began = time.process_time()
    with pytest.raises(WireError, match="more than 10,000 events"):
        read_body(body, most=10_000)
    assert time.process_time() - began < 5  # it was 20


@pytest.mark.django_db(transaction=True)
def test_who_sends_too_much_gets_the_answer_and_not_a_broken_connection(live_server: Any) -> None:
    secret = create_key(name="Test", scopes=[Scope.SPEND], now=timezone.now())[1]
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    address = http.client.HTTPConnection(live_server.thread.host, live_server.thread.port, timeout=30)
    with contextlib.closing(address) as server:
        server.request("POST", "/api/v1/spend-events", b" " * (9 * MIB), headers)
        assert server.getresponse().status == 413


@pytest.mark.django_db
def test_a_large_body_of_nobody_is_not_read(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spend, "_read", lambda _: pytest.fail("it was read"))
    headers = {"Authorization": "Bearer nobody"}
    answer = client.post("/api/v1/spend-events", b" " * MIB, content_type="application/json", headers=headers)
    assert answer.status_code == 401


# --- Holds -------------------------------------------------------------------------------------


def place(campaign: Campaign, key: str) -> HoldRow:
    (placed,) = place_holds([HoldAsk(campaign.pk, key, "5")], now=NOW)
    assert isinstance(placed, HoldRow)
    return placed


@pytest.mark.django_db
@pytest.mark.parametrize("at_once", [False, True])
def test_an_event_id_settles_one_hold(at_once: bool) -> None:
    campaign = factories.campaign()
    first, second = place(campaign, "a"), place(campaign, "b")
    events = [
        SpendEvent(event_id="same", campaign_id=campaign.pk, amount="1", hold_id=hold.id, settles_once=True)
        for hold in (first, second)
    ]
    calls = [events] if at_once else [[event] for event in events]
    results = [result for call in calls for result in record_spend(call, now=NOW).results]
    assert [result.outcome for result in results] == [Outcome.RECORDED, Outcome.CONFLICT]
    assert f"has settled hold {first.id} before" in results[1].detail
    assert [Hold.objects.get(pk=hold.id).state for hold in (first, second)] == [Hold.State.SETTLED, Hold.State.OPEN]


@pytest.mark.django_db
def test_a_brand_that_moves_does_not_refuse_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    moving, still = factories.campaign(), factories.campaign()
    plain = holds._decide

    def decide(asks: Any, *args: Any) -> None:
        if any(ask.budget_day.campaign_id == moving.pk for ask in asks):
            raise holds._MovedError
        plain(asks, *args)

    monkeypatch.setattr(holds, "_decide", decide)
    asks = [HoldAsk(moving.pk, "a", "1"), HoldAsk(still.pk, "b", "1"), HoldAsk(still.pk, "", "1")]
    one, two, three = place_holds(asks, now=NOW)
    assert isinstance(one, Refused) and one.why is Refusal.BUSY
    assert isinstance(two, HoldRow)
    assert isinstance(three, Refused) and three.why is Refusal.INVALID


@pytest.mark.postgresql
@pytest.mark.django_db
def test_the_sweep_reads_what_is_open_and_not_all_there_ever_was() -> None:
    campaign = factories.campaign()
    row = {"brand_id": campaign.brand_id, "campaign": campaign, "day": NOW.date(), "created_at": NOW}
    row |= {"expires_at": NOW + timedelta(seconds=1), "asked": 1, "minimum": 1, "amount": 1}
    closed = {"state": Hold.State.RELEASED, "closed_at": NOW}
    Hold.objects.bulk_create(Hold(key=f"key-{number}", **row, **closed) for number in range(5_000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE campaigns_hold")
        plans: list[str] = []

        def explained(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.lstrip().startswith("SELECT h.id"):
                cursor.execute(f"EXPLAIN {sql}", params)
                plans.extend(line for (line,) in cursor.fetchall())
            return execute(sql, params, many, context)

        with connection.execute_wrapper(explained):
            assert holds.expire_holds(now=NOW + timedelta(days=1)) == 0
    assert any("hold_open" in line for line in plans), plans


# --- The feed ----------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("of_brand", [False, True])
def test_a_budget_spent_again_before_the_pass_is_told(of_brand: bool) -> None:
    brand = factories.brand(daily_budget=10 if of_brand else None)
    campaign = factories.campaign(brand, daily_budget=None if of_brand else 10)
    factories.spend(campaign, 10)
    seen = status_feed.whole_feed(now=NOW, brand_ids=None).position
    tomorrow = NOW + timedelta(days=1)
    factories.spend(campaign, 10, now=tomorrow)  # no pass has run: yesterday's reason is still stored
    feed = status_feed.feed_since(seen=seen, now=tomorrow, brand_ids=None)
    (told,) = [one for one in feed.campaigns if one.id == campaign.pk]
    assert told.resumes_at is not None
    assert told.resumes_at > tomorrow


@pytest.mark.postgresql
@pytest.mark.django_db
def test_a_cursor_of_another_run_of_the_server_ends() -> None:
    from campaigns.models.feed import PositionError

    position = status_feed.whole_feed(now=NOW, brand_ids=None).position
    run, _, snapshot = position.partition("/")
    assert len(run) == 8
    with pytest.raises(PositionError):
        status_feed.feed_since(seen=f"00000000/{snapshot}", now=NOW, brand_ids=None)


# --- Zones -------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["localtime", "posixrules", "Factory/x", "right/UTC", "../UTC", ""])
def test_a_zone_that_each_machine_reads_in_its_own_way_is_none(zone: str) -> None:
    with pytest.raises(BudgetError, match="give an IANA name such as"):
        factories.brand(timezone=zone)
