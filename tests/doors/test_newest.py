"""Paging through what grows without end, for people who see little of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns.admin import base, newest
from campaigns.admin.ledger import SpendLogAdmin
from campaigns.models import Brand, SpendLog
from campaigns.services import roles
from campaigns.services.roles import Role
from tests import factories
from tests.factories import NOW, spend

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(newest, "LOOKED_AT", 10)
    monkeypatch.setattr(base, "MAX_COUNTED", 8)
    monkeypatch.setattr(SpendLogAdmin, "list_per_page", 5)
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def quiet() -> Brand:
    """A brand with three rows, older than the newest ten."""
    campaign = factories.campaign()
    for number in range(3):
        spend(campaign, 1, event_id=f"old-{number}")
    return campaign.brand


@pytest.fixture
def busy(quiet: Brand) -> Brand:
    """A brand with the newest twelve rows."""
    campaign = factories.campaign()
    for number in range(12):
        spend(campaign, 1, event_id=f"new-{number}")
    return campaign.brand


def ledger(client: Client, query: str = "") -> Any:
    return client.get(f"{reverse('admin:campaigns_spendlog_changelist')}?{query}")


def ids(response: Any) -> list[str]:
    return [row.event_id for row in response.context["cl"].result_list]


def limited(brand: Brand) -> Client:
    client = Client()
    person = roles.create_person(name="vera", role=Role.VIEWER, password="a long one", brand_ids=[brand.pk])
    client.force_login(person)
    return client


def test_the_newest_rows_of_a_brand_are_found_among_the_newest_of_all(busy: Brand) -> None:
    response = ledger(limited(busy))
    assert ids(response) == [f"new-{number}" for number in (11, 10, 9, 8, 7)]
    assert b"filter to see older ones" in response.content


def test_few_older_rows_are_shown_in_full(quiet: Brand, busy: Brand) -> None:
    response = ledger(limited(quiet))
    assert ids(response) == ["old-2", "old-1", "old-0"]
    assert b"filter to see older ones" not in response.content
    assert b"3 spend log" in response.content


def test_a_filter_looks_in_the_same_way(quiet: Brand, busy: Brand) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("anna"))
    assert len(ids(ledger(client))) == 5
    assert ids(ledger(client, f"brand__id__exact={quiet.pk}")) == ["old-2", "old-1", "old-0"]
    assert ids(ledger(client, "q=old-1")) == ["old-1"]


def test_what_is_read_of_the_ledger_is_bounded(busy: Brand) -> None:
    client = limited(busy)
    with CaptureQueriesContext(connection) as queries:
        ledger(client)
    reading = [query["sql"] for query in queries if f'FROM "{SpendLog._meta.db_table}"' in query["sql"]]
    assert len(reading) == 3
    assert all("LIMIT" in sql for sql in reading)
    assert all(f'"id" > {SpendLog.objects.latest("pk").pk - 10}' in sql for sql in reading[1:])
