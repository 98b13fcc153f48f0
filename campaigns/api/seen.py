"""What a key may see: an object of another brand is, for it, not there."""

from __future__ import annotations

from django.http import HttpRequest

from campaigns.api.auth import caller
from campaigns.api.problems import not_found
from campaigns.models import Brand, Campaign
from campaigns.services.status import Actor


def seen_brand(request: HttpRequest, brand_id: int) -> Brand:
    """Return a brand; raises the problem of one that is not there for this key."""
    brand = Brand.objects.filter(pk=brand_id).first() if caller(request).sees(brand_id) else None
    if brand is None:
        raise not_found("There is no such brand, or this key does not see it.")
    return brand


def seen_campaign(request: HttpRequest, campaign_id: int) -> Campaign:
    """Return a campaign with its brand and schedule; raises the problem of one that is not there for this key."""
    campaign = Campaign.objects.select_related("brand", "schedule").filter(pk=campaign_id).first()
    if campaign is None or not caller(request).sees(campaign.brand_id):
        raise not_found("There is no such campaign, or this key does not see it.")
    return campaign


def actor(request: HttpRequest) -> Actor:
    """Return whom the journal names for what a request changes: its key."""
    return Actor(api_key_id=caller(request).key_id)
