"""A process that is frozen in a transaction loses it, and with it the locks that others wait for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from campaigns.models import Scope, SpendLog
from campaigns.services import audit, spend
from tests import factories
from tests.api.asking import BASE, Asker


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_was_slept_away_is_told_and_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    campaign, asker = factories.campaign(now=now), Asker(Scope.SPEND)
    body = {"events": [{"event_id": "e", "campaign_id": campaign.pk, "amount": "1"}]}
    insert = spend._insert_new

    def insert_and_sleep(entries: Sequence[Any]) -> list[tuple[int, str]]:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 100")
        found = insert(entries)
        time.sleep(1)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(spend, "_insert_new", insert_and_sleep)
        headers = {"authorization": f"Bearer {asker.secret}"}
        answer = Client().post(f"{BASE}/spend-events", body, content_type="application/json", headers=headers)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    connection.close()  # as it is after each request that is not a test's
    assert not SpendLog.objects.exists()

    assert asker.post("/spend-events", body)["recorded"] == 1
    assert SpendLog.objects.count() == 1
    assert audit.check_ledger() == []
