"""Links of the OpenAPI document: which operations can go on from an answer, and with what of it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

_ID = "$response.body#/id"

_OF_BRAND = {
    "getBrand": {"path.brand_id": _ID},
    "updateBrand": {"path.brand_id": _ID},
    "archiveBrand": {"path.brand_id": _ID},
    "getBrandStanding": {"path.brand_id": _ID},
    "listCampaigns": {"query.brand_id": _ID},
    "getSpendReport": {"query.brand_id": _ID},
}
_OF_CAMPAIGN = {
    "getCampaign": {"path.campaign_id": _ID},
    "updateCampaign": {"path.campaign_id": _ID},
    "archiveCampaign": {"path.campaign_id": _ID},
    "setCampaignSchedule": {"path.campaign_id": _ID},
    "clearCampaignSchedule": {"path.campaign_id": _ID},
    "pauseCampaign": {"path.campaign_id": _ID},
    "resumeCampaign": {"path.campaign_id": _ID},
    "getCampaignStanding": {"path.campaign_id": _ID},
    "getCampaignHistory": {"path.campaign_id": _ID},
    "getSpendReport": {"query.campaign_id": _ID},
}


def of_brand(*statuses: HTTPStatus) -> dict[str, Any]:
    """Return the links of answers that are a brand, for `openapi_extra`."""
    bodies = {"createCampaign": {"brand_id": _ID}, "putCampaignByExternalId": {"brand_id": _ID}}
    return _responses(statuses, _OF_BRAND, bodies)


def of_campaign(*statuses: HTTPStatus) -> dict[str, Any]:
    """Return the links of answers that are a campaign, for `openapi_extra`."""
    return _responses(statuses, _OF_CAMPAIGN, {})


def _responses(
    statuses: tuple[HTTPStatus, ...], parameters: Mapping[str, Mapping[str, str]], bodies: Mapping[str, Any]
) -> dict[str, Any]:
    links: dict[str, Any] = {to: {"operationId": to, "parameters": dict(how)} for to, how in parameters.items()}
    links |= {to: {"operationId": to, "requestBody": body} for to, body in bodies.items()}
    return {"responses": {int(status): {"links": links} for status in statuses}}
