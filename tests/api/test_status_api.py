"""The status feed over HTTP: cursors, tags, and what a key of some brands is told."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign, Scope
from campaigns.services import catalog
from campaigns.services.enforcement import enforce_all
from tests import factories
from tests.api.asking import Asker, done
from tests.factories import NOW, spend
from tests.services.test_status_feed import Writer

pytestmark = pytest.mark.django_db(transaction=True)  # on PostgreSQL a change is behind a cursor once it is committed

PATH = "/campaigns/status"


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    """It is noon, until a test moves on."""
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def asker() -> Asker:
    return Asker(Scope.READ)


def since(asker: Asker, cursor: str) -> Any:
    return asker.get(f"{PATH}?changed_since={cursor}")


def ids(feed: dict[str, Any]) -> list[int]:
    return [campaign["id"] for campaign in feed["campaigns"]]


def pause(campaign: Campaign) -> None:
    catalog.pause(campaign_id=campaign.pk, now=NOW)


def test_everything_that_is_told_of_a_campaign(asker: Asker) -> None:
    brand = factories.brand(daily_budget=10, timezone="Europe/Berlin")
    spent, free = factories.campaign(brand, external_id="x"), factories.campaign()
    stopped = factories.campaign(flight_end=NOW.date() - timedelta(days=1))
    gone = factories.campaign()
    catalog.archive_campaign(campaign_id=gone.pk, now=NOW)
    spend(spent, 10)
    pause(stopped)
    feed = asker.get(PATH)
    assert feed["campaigns"] == [
        {
            "id": spent.pk,
            "brand_id": brand.pk,
            "external_id": "x",
            "is_active": False,
            "reasons": ["brand_daily_budget"],
            "resumes_at": "2025-06-18T22:00:00Z",
            "serve_probability": 0,
        },
        {
            "id": free.pk,
            "brand_id": free.brand_id,
            "external_id": None,
            "is_active": True,
            "reasons": [],
            "resumes_at": None,
            "serve_probability": 1,
        },
        {
            "id": stopped.pk,
            "brand_id": stopped.brand_id,
            "external_id": None,
            "is_active": False,
            "reasons": ["manual", "ended"],
            "resumes_at": None,
            "serve_probability": 0,
        },
    ]
    assert feed["removed"] == []
    assert set(feed) == {"cursor", "campaigns", "removed"}


def test_following_the_cursor(asker: Asker, clock: time_machine.Traveller) -> None:
    one, two = factories.campaign(), factories.campaign(flight_end=NOW.date())
    cursor = asker.get(PATH)["cursor"]
    assert since(asker, cursor)["campaigns"] == []
    pause(one)
    feed = since(asker, cursor)
    assert ids(feed) == [one.pk]
    assert ids(since(asker, cursor)) == [one.pk]  # the old one still tells it: an answer may have been lost
    assert ids(since(asker, feed["cursor"])) == []
    tomorrow = NOW + timedelta(days=1)
    clock.move_to(tomorrow)
    enforce_all(now=tomorrow)
    catalog.archive_campaign(campaign_id=one.pk, now=tomorrow)
    later = since(asker, feed["cursor"])
    assert (ids(later), later["removed"]) == ([two.pk], [one.pk])
    assert later["campaigns"][0]["reasons"] == ["ended"]


@pytest.mark.postgresql
def test_a_change_that_is_committed_after_the_cursor(asker: Asker) -> None:
    one, two = factories.campaign(), factories.campaign()
    slow = Writer(lambda: pause(one))
    pause(two)
    cursor = asker.get(PATH)["cursor"]
    assert ids(since(asker, cursor)) == []
    slow.commit()
    assert ids(since(asker, cursor)) == [one.pk]


# --- Tags ------------------------------------------------------------------------------------


def test_who_has_what_would_be_told_gets_no_body(asker: Asker) -> None:
    campaign = factories.campaign()
    first = asker.ask("GET", PATH)
    tag = first["ETag"]
    assert tag == f'"{done(first)["cursor"]}"'
    for sent in (tag, f"W/{tag}"):
        answer = asker.ask("GET", PATH, **{"If-None-Match": sent})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer["ETag"] == sent
    pause(campaign)
    answer = asker.ask("GET", PATH, **{"If-None-Match": tag})
    assert answer.status_code == 200
    assert answer["ETag"] != tag
    assert asker.ask("GET", PATH, **{"If-None-Match": answer["ETag"]}).status_code == 304


def test_what_was_rolled_back_leaves_the_tag_as_it_is(asker: Asker) -> None:
    campaign = factories.campaign()
    tag = asker.ask("GET", PATH)["ETag"]
    with transaction.atomic():
        pause(campaign)
        transaction.set_rollback(True)
    assert asker.ask("GET", PATH, **{"If-None-Match": tag}).status_code == 304


NO_TAGS = ["*", '""', "x", '"x", "y"', 'W/"', "\x00", "é", "=" * 5_000, '"MTpifGFsbA"', "A" * 20_001]


def test_a_tag_that_is_not_ours_is_no_tag_of_this_answer(asker: Asker) -> None:
    for sent in NO_TAGS:
        assert asker.ask("GET", PATH, **{"If-None-Match": sent}).status_code == 200, sent


def test_the_answer_is_for_this_key_and_is_asked_for_each_time(asker: Asker) -> None:
    first = asker.ask("GET", PATH)
    for answer in (first, asker.ask("GET", PATH, **{"If-None-Match": first["ETag"]})):
        assert answer["Cache-Control"] == "private, no-cache"
        assert "Authorization" in answer["Vary"]


def test_a_tag_costs_few_statements(asker: Asker) -> None:
    factories.campaign()
    tag = asker.ask("GET", PATH)["ETag"]
    with CaptureQueriesContext(connection) as seen:
        assert asker.ask("GET", PATH, **{"If-None-Match": tag}).status_code == 304
    assert len(seen) <= 3


# --- Cursors that are none -------------------------------------------------------------------


def as_cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


NONE = ["", "x", "===", "a" * 39_999, "a" * 40_001, "%00", "%C3%A9", "%ED%A0%BD", "null", "0", "-1"]
NONE += [as_cursor(one) for one in ("", "|", "|all", "x|all", "1", "1|", "1|some", "0:0:|all", "5:1:|all")]
NONE += [as_cursor(f"{one}|all") for one in (10**17, f"1:{10**17}:", "-1", "\u0661", "1:9:3,2")]


def test_a_cursor_that_is_none_is_gone(asker: Asker) -> None:
    factories.campaign()
    for cursor in NONE:
        problem = asker.problem("GET", f"{PATH}?changed_since={cursor}", status=410)
        assert problem["type"] == "cursor-unknown", cursor
        assert "without changed_since" in problem["detail"]


# --- Keys of some brands ---------------------------------------------------------------------


def test_a_key_of_some_brands_is_told_of_those() -> None:
    mine, other = factories.campaign(), factories.campaign()
    limited = Asker(Scope.READ, brands=[mine.brand])
    feed = limited.get(PATH)
    assert ids(feed) == [mine.pk]
    pause(other)
    catalog.archive_brand(brand_id=other.brand_id, now=NOW)
    answer = limited.ask("GET", PATH, **{"If-None-Match": f'"{feed["cursor"]}"'})
    assert answer.status_code == 304
    news = since(limited, feed["cursor"])
    assert (news["campaigns"], news["removed"]) == ([], [])
    pause(mine)
    assert ids(since(limited, feed["cursor"])) == [mine.pk]


def test_a_key_that_is_given_another_brand_begins_anew() -> None:
    """Its cursor says nothing of what that brand's campaigns were."""
    mine, other = factories.campaign(), factories.campaign()
    limited = Asker(Scope.READ, brands=[mine.brand])
    answer = limited.ask("GET", PATH)
    cursor = done(answer)["cursor"]
    limited.key.brands.add(other.brand)
    assert limited.problem("GET", f"{PATH}?changed_since={cursor}", status=410)["type"] == "cursor-unknown"
    assert limited.ask("GET", PATH, **{"If-None-Match": answer["ETag"]}).status_code == 200
    assert ids(limited.get(PATH)) == [mine.pk, other.pk]


def test_a_cursor_of_another_key_is_good_for_one_that_sees_the_same(asker: Asker) -> None:
    campaign = factories.campaign()
    cursor = asker.get(PATH)["cursor"]
    pause(campaign)
    assert ids(since(Asker(Scope.READ), cursor)) == [campaign.pk]
    limited = Asker(Scope.READ, brands=[campaign.brand])
    limited.problem("GET", f"{PATH}?changed_since={cursor}", status=410)
    assert ids(since(Asker(Scope.READ, brands=[campaign.brand]), limited.get(PATH)["cursor"])) == []


def test_a_key_whose_last_brand_is_deleted_is_told_nothing() -> None:
    brand = factories.brand()
    factories.campaign()
    limited = Asker(Scope.READ, brands=[brand])
    cursor = limited.get(PATH)["cursor"]
    catalog.delete_brand(brand_id=brand.pk, now=NOW)
    limited.problem("GET", f"{PATH}?changed_since={cursor}", status=410)
    assert limited.get(PATH)["campaigns"] == []


def test_statements_do_not_grow_with_the_campaigns(asker: Asker) -> None:
    def statements(path: str) -> int:
        with CaptureQueriesContext(connection) as seen:
            asker.get(path)
        return len(seen)

    brand = factories.brand(daily_budget=0)
    factories.campaign(brand)
    cursor = asker.get(PATH)["cursor"]
    few = statements(PATH), statements(f"{PATH}?changed_since={cursor}")
    for _ in range(30):
        pause(factories.campaign(brand))
    many = statements(PATH), statements(f"{PATH}?changed_since={cursor}")
    assert many[0] == few[0] <= 6
    assert many[1] <= 8
