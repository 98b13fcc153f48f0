"""The status feed for ad servers: everything once, then only what changed."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection
from datetime import datetime
from http import HTTPStatus

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from campaigns.api import bodies, documents, values
from campaigns.api.auth import READ, caller
from campaigns.api.problems import Problem
from campaigns.models.feed import PositionError
from campaigns.queries import status_feed
from campaigns.queries.status_feed import Feed
from campaigns.rules import reasons

router = Router(tags=["Status"])


class CampaignStatusBody(Schema):
    """Whether a campaign may spend."""

    id: int
    brand_id: int
    external_id: str | None = Field(description="The campaign's id in your own systems.")
    is_active: bool = Field(description="Whether it may spend now.")
    reasons: list[str] = Field(description="Every reason why it may not.", examples=[["brand_daily_budget"]])
    resumes_at: datetime | None = Field(description="When it resumes if nobody does anything; null if it does not.")
    serve_probability: values.Share = Field(description=values.SERVE)


class StatusFeedBody(Schema):
    """Campaigns, and where to go on from."""

    cursor: str = Field(description="Send it as `changed_since` to get only what has changed after this answer.")
    campaigns: list[CampaignStatusBody]
    removed: list[int] = Field(description="Ids of campaigns that were archived or deleted: they may not spend.")


class _Status(msgspec.Struct, gc=False):
    id: int
    brand_id: int
    external_id: str | None
    is_active: bool
    reasons: list[str]
    resumes_at: datetime | None
    serve_probability: float


class _Feed(msgspec.Struct):
    cursor: str
    campaigns: list[_Status]
    removed: list[int]


@router.get(
    "/campaigns/status",
    auth=READ,
    response={200: StatusFeedBody, 304: None, **documents.problems(401, 403, 410, 422, 503)},
    operation_id="getStatusFeed",
    summary="Which campaigns may spend",
    openapi_extra=documents.CONDITIONAL,
)
def status(
    request: HttpRequest,
    changed_since: str | None = Query(None, description="The `cursor` of an earlier answer."),  # type: ignore[type-arg]  # generic for mypy only
) -> HttpResponse:
    """Tell every campaign that the key may see, or with `changed_since` only those that have changed.

    No change is missed between two cursors, however many write at the same time; one may be told twice. With the
    `ETag` of an earlier answer in `If-None-Match`, an answer that would be the same is 304 without a body.
    """
    brand_ids = caller(request).brand_ids
    sent = request.headers.get("If-None-Match", "")
    if sent and _is_current(sent, brand_ids):
        return _headed(HttpResponse(status=HTTPStatus.NOT_MODIFIED), sent)
    now = timezone.now()
    if changed_since is None:
        feed = status_feed.whole_feed(now=now, brand_ids=brand_ids)
    else:
        feed = _since(changed_since, now, brand_ids)
    cursor = cursor_of(feed.position, brand_ids)
    return _headed(bodies.answer(_shown(feed, cursor)), f'"{cursor}"')


def _since(changed_since: str, now: datetime, brand_ids: Collection[int] | None) -> Feed:
    try:
        return status_feed.feed_since(seen=_position(changed_since, brand_ids), now=now, brand_ids=brand_ids)
    except PositionError as error:
        raise Problem(HTTPStatus.GONE, "cursor-unknown", str(error)) from None


def _is_current(etag: str, brand_ids: Collection[int] | None) -> bool:
    """Whether nothing has changed since an answer with this tag. One that is not ours is no tag of this answer."""
    try:
        seen = _position(etag.removeprefix("W/").strip('"'), brand_ids)
        return not status_feed.has_changed(seen=seen, brand_ids=brand_ids)
    except PositionError:
        return False


def _headed(response: HttpResponse, etag: str) -> HttpResponse:
    response["ETag"] = etag
    # To be asked for each time, and never to be given to another key.
    response["Cache-Control"] = "private, no-cache"
    response["Vary"] = "Authorization"
    return response


def cursor_of(position: str, brand_ids: Collection[int] | None) -> str:
    """Return a position as it goes over the wire, with the brands that were seen there.

    A key that is given another brand has not seen that brand's campaigns, so its old cursors end.
    """
    return base64.urlsafe_b64encode(f"{position}|{_fingerprint(brand_ids)}".encode()).decode().rstrip("=")


def _position(cursor: str, brand_ids: Collection[int] | None) -> str:
    try:
        decoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        decoded = ""
    position, _, fingerprint = decoded.partition("|")
    if fingerprint != _fingerprint(brand_ids):
        raise PositionError("This cursor is not one of this key; fetch the feed without changed_since.")
    return position


def _fingerprint(brand_ids: Collection[int] | None) -> str:
    if brand_ids is None:
        return "all"
    return hashlib.sha256(",".join(map(str, sorted(brand_ids))).encode()).hexdigest()[:12]


def _shown(feed: Feed, cursor: str) -> _Feed:
    codes = {bits: reasons.codes(bits) for bits in {campaign.reasons for campaign in feed.campaigns}}
    campaigns = [
        _Status(key, brand_id, external_id, not why, codes[why], resumes_at, values.share(probability))
        for key, brand_id, external_id, why, resumes_at, probability in feed.campaigns
    ]
    return _Feed(cursor, campaigns, feed.removed)
