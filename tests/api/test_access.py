"""Who may do what: every route against every kind of key, from the API's own list of routes.

A new route is in these tests as soon as it is registered: it fails them until it asks for a key, and until it is said
here how it is asked and what a key of another brand gets of it.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
from django.http import HttpResponse
from ninja.operation import Operation

from campaigns.api import api
from campaigns.api.auth import Key, SentKey
from campaigns.models import Brand, Campaign, Scope, SpendLog
from campaigns.queries.holds import HoldRow
from campaigns.services import catalog, holds, keys
from campaigns.services.holds import HoldAsk
from campaigns.services.keys import Caller
from tests import factories
from tests.api.asking import Asker, checked_problem, done
from tests.factories import NOW

pytestmark = pytest.mark.django_db

OPERATIONS: dict[str, tuple[str, str, Operation]] = {
    operation.operation_id or f"unnamed {path}": (method, f"/{path.lstrip('/')}", operation)
    for router in api._get_bound_routers()
    for path, view in router.path_operations.items()
    for operation in view.operations
    for method in operation.methods
}
"""Method, path and operation of every route by the name of its operation."""


class World(NamedTuple):
    """What there is to be asked for."""

    brand: Brand
    campaign: Campaign
    hold_id: int

    def address(self, path: str) -> str:
        """A path with this world's ids in it."""
        ids = {
            "brand_id": self.brand.pk,
            "campaign_id": self.campaign.pk,
            "hold_id": self.hold_id,
            "external_id": "e-1",
        }
        return re.sub(r"\{(?:\w+:)?(\w+)\}", lambda name: str(ids[name[1]]), path)


@pytest.fixture
def world() -> World:
    brand = factories.brand()
    campaign = factories.campaign(brand, external_id="e-1")
    (hold,) = holds.place_holds([HoldAsk(campaign.pk, "hold-1", 1, ttl_seconds=86_400)], now=NOW)
    assert isinstance(hold, HoldRow)
    return World(brand, campaign, hold.id)


JUNE = "?group_by=day&from=2025-06-01&to=2025-06-30"


def asked(w: World) -> dict[str, tuple[str, Any]]:
    """How each operation is asked so that it does something: its query and its body."""
    return {
        "recordSpend": ("", {"events": [{"event_id": "e", "campaign_id": w.campaign.pk, "amount": "1"}]}),
        "placeHold": ("", {"campaign_id": w.campaign.pk, "amount": "1", "key": "hold-2"}),
        "getHold": ("", None),
        "settleHold": ("", {"event_id": "s", "amount": "1"}),
        "releaseHold": ("", None),
        "getStatusFeed": ("", None),
        "createBrand": ("", {"name": "New"}),
        "listBrands": ("", None),
        "getBrand": ("", None),
        "updateBrand": ("", {"name": "New"}),
        "archiveBrand": ("", None),
        "createCampaign": ("", {"brand_id": w.brand.pk, "name": "New"}),
        "listCampaigns": ("", None),
        "putCampaignByExternalId": ("", {"brand_id": w.brand.pk, "name": "New"}),
        "getCampaign": ("", None),
        "updateCampaign": ("", {"name": "New"}),
        "archiveCampaign": ("", None),
        "setCampaignSchedule": ("", {"start_hour": 1, "end_hour": 2}),
        "clearCampaignSchedule": ("", None),
        "pauseCampaign": ("", {"note": "x"}),
        "resumeCampaign": ("", None),
        "getBrandStanding": ("", None),
        "getCampaignStanding": ("", None),
        "getCampaignHistory": ("", None),
        "getSpendReport": (f"{JUNE}&campaign_id={w.campaign.pk}", None),
    }


SCOPES = {
    "recordSpend": Scope.SPEND,
    "placeHold": Scope.SPEND,
    "getHold": Scope.SPEND,
    "settleHold": Scope.SPEND,
    "releaseHold": Scope.SPEND,
}
"""The scope that an operation takes, where it is not `read` for a GET and `manage` for all else."""

LISTS = {"listBrands", "listCampaigns", "getStatusFeed"}
"""What names no object: a key of another brand gets nothing of this one."""

OTHERS = {"createBrand": 403, "recordSpend": 200}
"""What else a key of another brand gets, where it is not 404."""


def ask(asker: Asker, name: str, world: World) -> HttpResponse:
    method, path, _ = OPERATIONS[name]
    query, body = asked(world)[name]
    return asker.ask(method, world.address(path) + query, body)


def everything() -> dict[str, list[Any]]:
    """What a refused request must leave as it is."""
    rows = {model.__name__: list(model._default_manager.order_by("pk").values()) for model in (Brand, Campaign)}
    return {**rows, "SpendLog": list(SpendLog.objects.values())}


def test_it_is_said_how_every_operation_is_asked(world: World) -> None:
    assert set(asked(world)) == set(OPERATIONS)
    assert len(OPERATIONS) == len({(method, path) for method, path, _ in OPERATIONS.values()})


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_asks_for_a_key(name: str) -> None:
    (auth,) = OPERATIONS[name][2].auth_callbacks
    assert isinstance(auth, Key | SentKey)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    "sent", ["none", "empty", "nonsense", "wrong secret", "revoked", "another scheme", "not ascii"]
)
def test_without_a_good_key_nothing_is_told_or_done(name: str, sent: str, world: World) -> None:
    asker = Asker()
    header = {
        "none": None,
        "empty": "Bearer ",
        "nonsense": "Bearer x",
        "wrong secret": f"Bearer {asker.secret[:-1]}{'a' if asker.secret[-1] != 'a' else 'b'}",
        "revoked": f"Bearer {asker.secret}",
        "another scheme": f"Basic {asker.secret}",
        "not ascii": "Bearer ké\udcff",
    }[sent]
    if sent == "revoked":
        keys.revoke_key(key_id=asker.key.pk, now=NOW)
    asker._client.defaults.pop("HTTP_AUTHORIZATION")
    if header is not None:
        asker._client.defaults["HTTP_AUTHORIZATION"] = header
    before = everything()
    answer = ask(asker, name, world)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert checked_problem(answer)["type"] == "unauthorized"
    assert everything() == before


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("scope", Scope)
def test_a_key_does_what_its_scope_lets_it(name: str, scope: Scope, world: World) -> None:
    takes = SCOPES.get(name, Scope.READ if OPERATIONS[name][0] == "GET" else Scope.MANAGE)
    may = Caller(0, scope, None).may(takes)
    before = everything()
    answer = ask(Asker(scope), name, world)
    if may:
        assert answer.status_code < 300, answer.content
    else:
        assert answer.status_code == 403
        problem = checked_problem(answer)
        assert (problem["type"], repr(takes.code) in problem["detail"]) == ("forbidden", True)
        assert everything() == before


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_key_of_another_brand_finds_nothing(name: str, world: World) -> None:
    other = factories.brand()
    campaign = factories.campaign(other)
    before = everything()
    answer = ask(Asker(brands=[other]), name, world)
    if name in LISTS:
        body = done(answer)
        rows = body.get("items", body.get("campaigns"))
        assert [row["id"] for row in rows] == [other.pk if name == "listBrands" else campaign.pk]
    else:
        assert answer.status_code == OTHERS.get(name, 404), answer.content
    assert everything() == before


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_key_of_no_brand_finds_nothing(name: str, world: World) -> None:
    gone = factories.brand()
    asker = Asker(brands=[gone])
    catalog.delete_brand(brand_id=gone.pk, now=NOW)
    before = everything()
    answer = ask(asker, name, world)
    if name in LISTS:
        body = done(answer)
        assert body.get("items", body.get("campaigns")) == []
    else:
        assert answer.status_code == OTHERS.get(name, 404), answer.content
    assert everything() == before


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_key_of_the_brand_finds_it(name: str, world: World) -> None:
    factories.campaign()
    answer = ask(Asker(brands=[world.brand]), name, world)
    if name == "createBrand":
        assert answer.status_code == 403
    else:
        assert answer.status_code < 300, answer.content
    if name in LISTS:
        body = done(answer)
        assert len(body.get("items", body.get("campaigns"))) == 1


@pytest.mark.parametrize("query", ["brand_id={brand}", "campaign_id={campaign}"])
@pytest.mark.parametrize("group_by", ["hour", "day", "campaign", "brand"])
def test_a_report_on_another_brand_is_not_found(query: str, group_by: str, world: World) -> None:
    asker = Asker(brands=[factories.brand()])
    filters = query.format(brand=world.brand.pk, campaign=world.campaign.pk)
    asker.problem("GET", f"/reports/spend?group_by={group_by}&from=2025-06-01&to=2025-06-02&{filters}", status=404)


def test_filters_open_no_other_brand(world: World) -> None:
    asker = Asker(brands=[factories.brand()])
    for query in (f"brand_id={world.brand.pk}", "external_id=e-1", "is_active=true"):
        assert asker.get(f"/campaigns?{query}")["items"] == []
