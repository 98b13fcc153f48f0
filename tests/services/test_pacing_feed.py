"""What the status feed tells of pacing: each change that is published, of a campaign and of its brand, and no other."""

from __future__ import annotations

from datetime import timedelta

import pytest

from campaigns.models import OwnerPace
from campaigns.queries.status_feed import whole_feed
from campaigns.rules.pacing import ONE, START
from campaigns.services import catalog
from campaigns.services import pacing as service
from campaigns.services.pacing import pace_all
from tests import factories
from tests.factories import NOW
from tests.services.test_status_feed import Reader

# On PostgreSQL nothing is behind a position before it is committed: so each change is in a transaction of its own.
pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)


def test_it_is_1_unless_something_is_paced_and_0_while_paused() -> None:
    plain = factories.campaign()
    even = factories.campaign(daily_budget=10, pacing="even")
    told = {one.id: one.probability for one in whole_feed(now=NOW, brand_ids=None).campaigns}
    assert told == {plain.pk: ONE, even.pk: START}  # before the first step as if it had been
    pace_all(now=NOW)
    catalog.pause(campaign_id=plain.pk, now=NOW)
    catalog.pause(campaign_id=even.pk, now=NOW)
    told = {one.id: one.probability for one in whole_feed(now=NOW, brand_ids=None).campaigns}
    assert told == {plain.pk: 0, even.pk: 0}


def test_a_campaign_is_told_again_when_its_own_probability_is_published() -> None:
    campaign = factories.campaign(daily_budget=10, pacing="even")
    factories.campaign(daily_budget=10)
    pace_all(now=NOW)
    reader = Reader()
    assert not reader.changed()
    OwnerPace.objects.filter(campaign=campaign).update(probability=600_000, earned=1)  # so that it rises
    pace_all(now=NOW + MINUTE)
    published = OwnerPace.objects.get(campaign=campaign).published
    assert published > START
    assert reader.changed()
    assert reader.follow() == {campaign.pk}
    assert reader.known[campaign.pk].probability == published


def test_all_campaigns_are_told_again_when_their_brands_is() -> None:
    brand = factories.brand(daily_budget=100, pacing="even")
    campaigns = [factories.campaign(brand) for _ in range(3)]
    factories.campaign()
    pace_all(now=NOW)
    reader = Reader(brand_ids=frozenset({brand.pk}))
    elsewhere = Reader(brand_ids=frozenset())
    OwnerPace.objects.filter(brand=brand).update(probability=600_000, earned=1)
    pace_all(now=NOW + MINUTE)
    assert reader.changed()
    assert not elsewhere.changed()
    assert reader.follow() == {campaign.pk for campaign in campaigns}
    assert {one.probability for one in reader.known.values()} == {OwnerPace.objects.get(brand=brand).published}


def test_a_step_that_is_not_published_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = factories.campaign(daily_budget=10, pacing="even")
    pace_all(now=NOW)
    reader = Reader()
    monkeypatch.setattr(service, "_published", lambda *numbers: numbers[0])
    OwnerPace.objects.filter(campaign=campaign).update(probability=600_000, earned=1)
    assert pace_all(now=NOW + MINUTE).changed == 0
    assert OwnerPace.objects.get(campaign=campaign).second == 43_260
    assert not reader.changed()
    assert reader.follow() == set()


def test_to_end_pacing_is_told_and_leaves_nothing_behind() -> None:
    campaign = factories.campaign(daily_budget=10, pacing="even")
    pace_all(now=NOW)
    reader = Reader()
    catalog.update_campaign(campaign_id=campaign.pk, pacing="asap", now=NOW)
    assert reader.follow() == {campaign.pk}
    assert reader.known[campaign.pk].probability == ONE
    assert pace_all(now=NOW + MINUTE).judged == 0


def test_a_cursor_goes_on_after_a_paced_campaign_is_deleted() -> None:
    other = factories.campaign()
    campaign = factories.campaign(other.brand, daily_budget=10, pacing="even")
    pace_all(now=NOW)
    reader = Reader()
    catalog.delete_campaign(campaign_id=campaign.pk, now=NOW)
    assert OwnerPace.objects.count() == 0
    assert reader.follow() == {-campaign.pk}
    catalog.pause(campaign_id=other.pk, now=NOW)
    assert reader.follow() == {other.pk}
