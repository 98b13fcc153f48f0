"""A pass over many campaigns judges its batches side by side, and comes to the same as one after the other."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from campaigns.models import Campaign
from campaigns.services import catalog, enforcement, status
from campaigns.services.enforcement import enforce_all
from tests import factories
from tests.factories import NOW
from tests.services import reading

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

NIGHT = NOW + timedelta(hours=10)


@pytest.fixture
def campaigns(monkeypatch: pytest.MonkeyPatch) -> list[Campaign]:
    """Twenty campaigns in batches of three, every second one closed at night."""
    monkeypatch.setattr(enforcement, "BATCH", 3)
    made = [factories.campaign() for _ in range(20)]
    for campaign in made[::2]:
        catalog.set_window(campaign_id=campaign.pk, start_hour=8, end_hour=20, now=NOW)
    return made


def test_all_are_judged_once_by_several_threads(campaigns: list[Campaign], monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    plain = status.judge

    def judge(*args: Any, **kwargs: Any) -> Any:
        threads.append(threading.current_thread().name)
        return plain(*args, **kwargs)

    monkeypatch.setattr(status, "judge", judge)
    outcome = enforce_all(now=NIGHT)
    assert (outcome.judged, outcome.changed) == (20, 10)
    assert {name.rpartition("_")[0] for name in threads} == {"judge"}
    reading.assert_all_is_sound(NIGHT)
    assert enforce_all(now=NIGHT).changed == 0


def test_the_threads_give_their_connections_back(campaigns: list[Campaign]) -> None:
    def at_work() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
            return int(cursor.fetchone()[0])

    for hours in range(6):
        enforce_all(now=NOW + timedelta(hours=10 * hours))
    assert at_work() == 0


def test_what_goes_wrong_in_a_thread_is_told(campaigns: list[Campaign], monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(*_: Any, **__: Any) -> None:
        raise RuntimeError("the third batch")

    monkeypatch.setattr(status, "judge", judge)
    with pytest.raises(RuntimeError, match="the third batch"):
        enforce_all(now=NIGHT)
