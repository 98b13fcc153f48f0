"""The hours of a campaign over HTTP: two forms, exactly one of them, judged at once."""

from __future__ import annotations

from typing import Any

import pytest
import time_machine

from campaigns.models import Campaign, Scope
from tests import factories
from tests.api.asking import Asker, pointers
from tests.factories import NOW
from tests.services import reading

pytestmark = pytest.mark.django_db

OFFICE = ["000000000111111110000000"] * 5 + ["0" * 24] * 2
EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@pytest.fixture
def asker() -> Asker:
    return Asker(Scope.MANAGE)


@pytest.fixture
def campaign() -> Campaign:
    return factories.campaign(factories.brand(timezone="Europe/Berlin"))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"start_hour": 9, "end_hour": 17}, {"start_hour": 9, "end_hour": 17, "weekdays": EVERY_DAY}),
        (
            {"start_hour": 22, "end_hour": 0, "weekdays": ["sun", "mon", "sun"]},
            {"start_hour": 22, "end_hour": 0, "weekdays": ["mon", "sun"]},
        ),
        (
            {"start_hour": 0, "end_hour": 23, "weekdays": ["sat"]},
            {"start_hour": 0, "end_hour": 23, "weekdays": ["sat"]},
        ),
        ({"grid": OFFICE}, {"grid": OFFICE}),
        ({"grid": "".join(OFFICE)}, {"grid": OFFICE}),
        ({"grid": "1" * 168}, {"grid": ["1" * 24] * 7}),
    ],
    ids=repr,
)
def test_a_schedule_is_kept_as_it_is_sent(
    asker: Asker, campaign: Campaign, sent: dict[str, Any], kept: dict[str, Any]
) -> None:
    path = f"/campaigns/{campaign.pk}"
    assert asker.put(f"{path}/schedule", {"grid": ["0" * 23 + "1"] * 7})["schedule"] == {"grid": ["0" * 23 + "1"] * 7}
    assert asker.put(f"{path}/schedule", sent)["schedule"] == kept
    assert asker.get(path)["schedule"] == kept
    assert asker.put(f"{path}/schedule", kept)["schedule"] == kept


def test_it_is_judged_at_once(asker: Asker, campaign: Campaign) -> None:
    path = f"/campaigns/{campaign.pk}/schedule"
    with time_machine.travel(NOW, tick=False):  # Wednesday, 14:00 in Berlin
        closed = asker.put(path, {"start_hour": 15, "end_hour": 16})
        assert (closed["reasons"], closed["resumes_at"]) == (["schedule"], "2025-06-18T13:00:00+00:00")
        assert asker.put(path, {"start_hour": 14, "end_hour": 15, "weekdays": ["wed"]})["is_active"] is True
        assert asker.put(path, {"grid": ["0" * 24] * 6 + ["1" * 24]})["resumes_at"] == "2025-06-21T22:00:00+00:00"
        opened = asker.delete(path)
        assert (opened["is_active"], opened["schedule"]) == (True, None)
        assert asker.delete(path) == opened
    assert {change.api_key_id for change in reading.journal(campaign)} == {asker.key.pk}


WRONG: list[tuple[Any, list[str]]] = [
    ({}, [""]),
    ({"start_hour": 1}, [""]),
    ({"end_hour": 1}, [""]),
    ({"weekdays": ["mon"]}, [""]),
    ({"start_hour": 1, "end_hour": 2, "grid": OFFICE}, [""]),
    ({"weekdays": ["mon"], "grid": OFFICE}, [""]),
    ({"start_hour": 1, "end_hour": 1}, ["/end_hour"]),
    ({"start_hour": 24, "end_hour": 1}, ["/start_hour"]),
    ({"start_hour": -1, "end_hour": 24}, ["/start_hour", "/end_hour"]),
    ({"start_hour": "9", "end_hour": 17}, ["/start_hour"]),
    ({"start_hour": 9.0, "end_hour": 17}, ["/start_hour"]),
    ({"start_hour": True, "end_hour": 17}, ["/start_hour"]),
    ({"start_hour": None, "end_hour": 17}, ["/start_hour"]),
    ({"start_hour": 2**80, "end_hour": 17}, ["/start_hour"]),
    ({"start_hour": 9, "end_hour": 17, "weekdays": []}, ["/weekdays"]),
    ({"start_hour": 9, "end_hour": 17, "weekdays": None}, ["/weekdays"]),
    ({"start_hour": 9, "end_hour": 17, "weekdays": "mon"}, ["/weekdays"]),
    ({"start_hour": 9, "end_hour": 17, "weekdays": ["mon"] * 8}, ["/weekdays"]),
    ({"start_hour": 9, "end_hour": 17, "weekdays": ["mon", "Monday"]}, ["/weekdays/1"]),
    ({"start_hour": 9, "end_hour": 17, "weekdays": [1]}, ["/weekdays/0"]),
    ({"start_hour": 9, "end_hour": 17, "zone": "UTC"}, ["/zone"]),
    ({"grid": None}, ["/grid"]),
    ({"grid": 1}, ["/grid"]),
    ({"grid": "1" * 167}, ["/grid"]),
    ({"grid": "1" * 169}, ["/grid"]),
    ({"grid": "1" * 167 + "2"}, ["/grid"]),
    ({"grid": "1" * 167 + "\u0661"}, ["/grid"]),
    ({"grid": "0" * 168}, ["/grid"]),
    ({"grid": []}, ["/grid"]),
    ({"grid": ["1" * 24] * 6}, ["/grid"]),
    ({"grid": ["1" * 24] * 8}, ["/grid"]),
    ({"grid": ["1" * 23, "1" * 25, *["1" * 24] * 5]}, ["/grid"]),
    ({"grid": [["1"] * 24] * 7}, ["/grid"]),
    ({"grid": [1] * 7}, ["/grid"]),
]


@pytest.mark.parametrize(("body", "where"), WRONG, ids=[repr(row[0])[:60] for row in WRONG])
def test_a_wrong_schedule_is_pointed_at(asker: Asker, campaign: Campaign, body: Any, where: list[str]) -> None:
    problem = asker.problem("PUT", f"/campaigns/{campaign.pk}/schedule", body)
    assert (problem["type"], pointers(problem)) == ("invalid-fields", where)
    assert asker.get(f"/campaigns/{campaign.pk}")["schedule"] is None
