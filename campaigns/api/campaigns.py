"""Campaigns over HTTP: create, list, show, change, archive, their hours, and a person's pause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus

from django.http import HttpRequest
from django.utils import timezone
from ninja import Body, Query, Router, Status
from pydantic import BaseModel, ConfigDict, Field

from campaigns.api import documents, links, paging, values
from campaigns.api.auth import MANAGE, READ, caller
from campaigns.api.problems import invalid
from campaigns.api.seen import actor, seen_brand, seen_campaign
from campaigns.api.shapes import (
    CampaignBody,
    CampaignBodyOfExternalId,
    CampaignChangesBody,
    NewCampaignBody,
    ScheduleBody,
    campaign_body,
    refuse_unknown,
)
from campaigns.models import Campaign
from campaigns.queries.browsing import browse_campaigns
from campaigns.queries.listing import campaign_standings
from campaigns.services import catalog

router = Router(tags=["Campaigns"])

KIND = "campaigns"
"""What cursors of this list begin with."""

PACING = {"pacing", "daily_from_month", "daily_least", "daily_most"}
"""The fields of a campaign's pacing."""


class CampaignFilters(BaseModel):
    """Which campaigns, and which page of them."""

    brand_id: values.IdOfQuery = values.described("Only those of this brand.")
    external_id: values.ExternalIdOfQuery = values.described("Only those with this id in your own systems.")
    is_active: values.TruthOfQuery = values.described("Only those that may spend, or only those that may not.")
    reason: values.ReasonOfQuery = values.described("Only those that may not spend for this reason, among others.")
    archived: values.TruthOfQuery = values.described("Only those that are archived, or only those that are not.")
    limit: paging.Limit = paging.DEFAULT_LIMIT
    cursor: paging.Cursor = None


class CampaignPage(BaseModel):
    """Campaigns in the order of their ids."""

    items: list[CampaignBody]
    next: str | None = Field(description="The cursor of the next page; null when this is the last.")


class PauseBody(BaseModel):
    """Why, for the campaign's history."""

    model_config = ConfigDict(extra="forbid", title="Pause")

    note: values.Note = ""


@router.post(
    "/campaigns",
    auth=MANAGE,
    response={201: CampaignBody, **documents.problems(400, 401, 403, 404, 413, 422, 503)},
    operation_id="createCampaign",
    summary="Create a campaign",
    openapi_extra=links.of_campaign(HTTPStatus.CREATED),
)
def create(request: HttpRequest, body: NewCampaignBody) -> Status[CampaignBody]:
    """Create a campaign of a brand and judge it: the answer says whether it may spend."""
    now = timezone.now()
    seen_brand(request, body.brand_id)
    campaign = catalog.create_campaign(now=now, by=actor(request), **body.model_dump())
    return Status(HTTPStatus.CREATED, _now(request, campaign.pk, now))


@router.get(
    "/campaigns",
    auth=READ,
    response={200: CampaignPage, **documents.problems(401, 403, 422, 503)},
    operation_id="listCampaigns",
    summary="List campaigns",
)
def browse(request: HttpRequest, filters: Query[CampaignFilters]) -> CampaignPage:
    """List the campaigns that the key may see, archived ones too, in the order of their ids.

    A brand or an external id that there is not gives an empty list. For a copy that is kept up to date, follow the
    status feed instead.
    """
    refuse_unknown(request, CampaignFilters)
    campaigns = browse_campaigns(
        after=paging.place_of(filters.cursor, KIND),
        limit=filters.limit + 1,
        brand_ids=caller(request).brand_ids,
        brand_id=filters.brand_id,
        external_id=filters.external_id,
        is_active=filters.is_active,
        reason=filters.reason,
        archived=filters.archived,
    )
    return CampaignPage(
        items=_shown(campaigns[: filters.limit], timezone.now()),
        next=paging.next_after(KIND, [campaign.pk for campaign in campaigns], filters.limit),
    )


@router.put(
    "/campaigns/by-external-id/{path:external_id}",
    auth=MANAGE,
    response={200: CampaignBody, 201: CampaignBody, **documents.problems(400, 401, 403, 404, 413, 422, 503)},
    operation_id="putCampaignByExternalId",
    summary="Create or change a campaign by your own id",
    openapi_extra=links.of_campaign(HTTPStatus.OK, HTTPStatus.CREATED),
)
def put(request: HttpRequest, external_id: values.ExternalId, body: CampaignBodyOfExternalId) -> Status[CampaignBody]:
    """Create the brand's campaign with this external id (201), or set all that can be set on it (200).

    It is as the body says then: a budget or a flight day that the body leaves out is null, also where it was set
    before. To change single fields, use PATCH. Its pacing stays where the body does not name it; its schedule and a
    person's pause are not part of it and stay. Sent again, or by two at once, it makes one campaign. An archived
    campaign is changed and stays archived.
    """
    now = timezone.now()
    seen_brand(request, body.brand_id)
    # A program that knows of no pacing must not end what a person has set.
    kept = PACING - body.model_fields_set
    campaign, created = catalog.upsert_campaign(
        now=now, by=actor(request), external_id=external_id, **body.model_dump(exclude=kept)
    )
    status = HTTPStatus.CREATED if created else HTTPStatus.OK
    return Status(status, _now(request, campaign.pk, now))


@router.get(
    "/campaigns/{int:campaign_id}",
    auth=READ,
    response={200: CampaignBody, **documents.problems(401, 403, 404, 503)},
    operation_id="getCampaign",
    summary="Show a campaign",
)
def show(request: HttpRequest, campaign_id: int) -> CampaignBody:
    """Show what is set on a campaign, its hours and its status."""
    return _now(request, campaign_id, timezone.now())


@router.patch(
    "/campaigns/{int:campaign_id}",
    auth=MANAGE,
    response={200: CampaignBody, **documents.problems(400, 401, 403, 404, 413, 422, 503)},
    operation_id="updateCampaign",
    summary="Change a campaign",
)
def update(request: HttpRequest, campaign_id: int, body: CampaignChangesBody) -> CampaignBody:
    """Change the fields that are sent, and judge the campaign at once; null clears a field."""
    now = timezone.now()
    seen_campaign(request, campaign_id)
    fields = body.model_dump(exclude_unset=True)
    if fields:
        catalog.update_campaign(campaign_id=campaign_id, now=now, by=actor(request), **fields)
    return _now(request, campaign_id, now)


@router.post(
    "/campaigns/{int:campaign_id}/archive",
    auth=MANAGE,
    response={200: CampaignBody, **documents.problems(401, 403, 404, 503)},
    operation_id="archiveCampaign",
    summary="Archive a campaign",
)
def archive(request: HttpRequest, campaign_id: int) -> CampaignBody:
    """Take a campaign out of use for good; ledger, history and reports stay.

    Spend for it is still recorded: it happened. To archive it again changes nothing.
    """
    now = timezone.now()
    seen_campaign(request, campaign_id)
    catalog.archive_campaign(campaign_id=campaign_id, now=now, by=actor(request))
    return _now(request, campaign_id, now)


@router.put(
    "/campaigns/{int:campaign_id}/schedule",
    auth=MANAGE,
    response={200: CampaignBody, **documents.problems(400, 401, 403, 404, 413, 422, 503)},
    operation_id="setCampaignSchedule",
    summary="Set the hours of a campaign",
)
def set_schedule(request: HttpRequest, campaign_id: int, body: ScheduleBody) -> CampaignBody:
    """Let the campaign spend in these hours of the week only, in the brand's time zone, and judge it at once.

    Either a window (`start_hour`, `end_hour` and, if not every day, `weekdays`) or a `grid`. It takes the place of the
    schedule before. A window whose end is not after its start runs past midnight and belongs to the weekday that it
    began on: 22 to 0 is the last two hours of the day.
    """
    now = timezone.now()
    seen_campaign(request, campaign_id)
    if body.grid is not None:
        catalog.set_grid(campaign_id=campaign_id, grid=body.grid, now=now, by=actor(request))
    else:
        assert body.start_hour is not None and body.end_hour is not None  # exactly one form
        if body.start_hour == body.end_hour:
            raise invalid("end_hour", "It is the start_hour, too; to run all day, delete the schedule.")
        catalog.set_window(
            campaign_id=campaign_id,
            start_hour=body.start_hour,
            end_hour=body.end_hour,
            weekdays=body.bits,
            now=now,
            by=actor(request),
        )
    return _now(request, campaign_id, now)


@router.delete(
    "/campaigns/{int:campaign_id}/schedule",
    auth=MANAGE,
    response={200: CampaignBody, **documents.problems(401, 403, 404, 503)},
    operation_id="clearCampaignSchedule",
    summary="Remove the hours of a campaign",
)
def clear_schedule(request: HttpRequest, campaign_id: int) -> CampaignBody:
    """Let the campaign spend at any hour, and judge it at once; one without a schedule stays as it is."""
    now = timezone.now()
    seen_campaign(request, campaign_id)
    catalog.clear_schedule(campaign_id=campaign_id, now=now, by=actor(request))
    return _now(request, campaign_id, now)


@router.post(
    "/campaigns/{int:campaign_id}/pause",
    auth=MANAGE,
    response={200: CampaignBody, **documents.problems(400, 401, 403, 404, 413, 422, 503)},
    operation_id="pauseCampaign",
    summary="Pause a campaign",
)
def pause(request: HttpRequest, campaign_id: int, body: PauseBody = Body(PauseBody())) -> CampaignBody:  # type: ignore[type-arg]  # noqa: B008 - how Ninja is told of a body that may be left out
    """Pause the campaign until it is resumed: nothing else lifts this pause. One that is paused stays paused."""
    return _pause(request, campaign_id, body, catalog.pause)


@router.post(
    "/campaigns/{int:campaign_id}/resume",
    auth=MANAGE,
    response={200: CampaignBody, **documents.problems(400, 401, 403, 404, 413, 422, 503)},
    operation_id="resumeCampaign",
    summary="Resume a campaign",
)
def resume(request: HttpRequest, campaign_id: int, body: PauseBody = Body(PauseBody())) -> CampaignBody:  # type: ignore[type-arg]  # noqa: B008 - how Ninja is told of a body that may be left out
    """Lift the pause. The answer says whether the campaign may spend: other reasons are not lifted with it."""
    return _pause(request, campaign_id, body, catalog.resume)


def _pause(request: HttpRequest, campaign_id: int, body: PauseBody, act: Callable[..., object]) -> CampaignBody:
    now = timezone.now()
    seen_campaign(request, campaign_id)
    act(campaign_id=campaign_id, now=now, by=actor(request), note=body.note)
    return _now(request, campaign_id, now)


def _now(request: HttpRequest, campaign_id: int, now: datetime) -> CampaignBody:
    """The campaign as it is now, whatever was changed just before."""
    return _shown([seen_campaign(request, campaign_id)], now)[0]


def _shown(campaigns: Sequence[Campaign], now: datetime) -> list[CampaignBody]:
    standings = campaign_standings([campaign.pk for campaign in campaigns], now=now)
    return [campaign_body(campaign, standings.get(campaign.pk)) for campaign in campaigns]
