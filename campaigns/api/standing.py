"""Standing and history over HTTP: what is left of which budget, and why a campaign has stopped."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router
from pydantic import BaseModel, ConfigDict, Field

from campaigns.api import documents, paging, values
from campaigns.api.auth import READ
from campaigns.api.problems import not_found
from campaigns.api.seen import seen_brand, seen_campaign
from campaigns.api.shapes import ReasonCode, codes, refuse_unknown
from campaigns.models import Brand, Campaign, StatusChange
from campaigns.queries import standing
from campaigns.queries.browsing import browse_campaigns
from campaigns.queries.forecasts import OwnerForecast, brand_forecast, campaign_forecast
from campaigns.queries.history import HistoricChange, status_history
from campaigns.queries.listing import brand_figures, campaign_standings
from campaigns.queries.pacing import PaceNow, brand_pace, campaign_pace
from campaigns.queries.standing import CampaignStanding, Limit
from campaigns.rules import money, periods, reasons
from campaigns.rules.forecast import Forecast
from campaigns.rules.verdict import BudgetScope

router = Router(tags=["Standing"])

HISTORY = "history"
BRAND_CAMPAIGNS = "standing"
"""What cursors of these lists begin with."""


class LimitBody(BaseModel):
    """A budget, and what has become of it."""

    model_config = ConfigDict(title="Limit")

    budget: values.MoneyOrNull = Field(description="Null: no limit.")
    spent: values.Money = Field(description="Recorded for the current period; below zero after a large adjustment.")
    held: values.Money = Field(description="Reserved by open holds.")
    left: values.MoneyOrNull = Field(description="What may still be spent or held; null without a limit.")
    overspend: values.MoneyOrNull = Field(description="What was spent beyond the budget; null without a limit.")


class LimitsBody(BaseModel):
    """Everything that a campaign is held against.

    `brand_day` and `brand_month` are the brand's budgets with what counts against them for this campaign: the spend of
    all of the brand's campaigns or, with the budget scope `campaign`, its own.
    """

    model_config = ConfigDict(title="Limits")

    brand_day: LimitBody
    brand_month: LimitBody
    campaign_day: LimitBody
    campaign_month: LimitBody
    campaign_total: LimitBody


class ReasonBody(BaseModel):
    """A reason why a campaign may not spend."""

    model_config = ConfigDict(title="Reason")

    code: ReasonCode
    text: str = Field(description="In words.", examples=["daily budget of the brand spent"])


class CampaignStandingBody(BaseModel):
    """Where a campaign stands, now."""

    model_config = ConfigDict(title="CampaignStanding")

    campaign_id: int
    brand_id: int
    name: str
    external_id: str | None
    currency: str = Field(description="Of all amounts.", examples=["EUR"])
    today: date = Field(description="The current budget day, in the brand's time zone.")
    is_active: bool = Field(description="Whether it may spend.")
    reasons: list[ReasonBody] = Field(description="Every reason why it may not.")
    resumes_at: values.Moment | None = Field(
        description="When it resumes if nobody does anything; null if it does not, or if it is active."
    )
    serve_probability: values.Share = Field(description=values.SERVE)
    left: values.MoneyOrNull = Field(description="The least that is left of its limits; null if nothing limits it.")
    limits: LimitsBody


class CampaignStandingPage(BaseModel):
    """Campaigns in the order of their ids."""

    items: list[CampaignStandingBody]
    next: str | None = Field(description="The cursor of the next page; null when this is the last.")


class RangeBody(BaseModel):
    """A sum to come. Eight times of ten it lies between `low` and `high`, which are null where too little is known."""

    model_config = ConfigDict(title="Range")

    likely: values.Money
    low: values.MoneyOrNull
    high: values.MoneyOrNull


class ForecastBody(BaseModel):
    """What is to come, as far as it can be told; null where too little is known to tell."""

    model_config = ConfigDict(title="Forecast")

    day: RangeBody | None = Field(description="What will have been spent at the end of today, under the budgets.")
    month: RangeBody | None = Field(description="What will have been spent at the end of the month.")
    wanted_today: values.MoneyOrNull = Field(description="What today would come to without budgets.")
    runs_out_at: values.Moment | None = Field(
        description="When what the budgets leave for today will be spent; null if it lasts."
    )
    lasting_daily_budget: values.MoneyOrNull = Field(
        description="The daily budget that would just last the month; null without a monthly budget."
    )


class CampaignStandingAloneBody(CampaignStandingBody):
    """Where a campaign stands, now, and what is to come."""

    model_config = ConfigDict(title="CampaignStandingAlone")

    target: values.MoneyOrNull = Field(
        description="What should be spent of today by now, by its own pacing or else its brand's; null without."
    )
    forecast: ForecastBody


class BrandStandingBody(BaseModel):
    """Where a brand stands, now, with its campaigns that are not archived."""

    model_config = ConfigDict(title="BrandStanding")

    brand_id: int
    name: str
    external_id: str | None
    currency: str = Field(description="Of all amounts.", examples=["EUR"])
    timezone: str = Field(examples=["Europe/Berlin"])
    today: date = Field(description="The current budget day, in the brand's time zone.")
    budget_scope: Literal["brand", "campaign"] = Field(
        description="With `campaign` the budgets bind each campaign alone: `spent` and `held` are still the sums, but "
        "`left` and `overspend` are null, since there is no such sum. Look at the campaigns."
    )
    day: LimitBody
    month: LimitBody
    active: int = Field(description="Campaigns that may spend.")
    paused: int = Field(description="Campaigns that may not.")
    target: values.MoneyOrNull = Field(description="What should be spent of today by now; null if it is not paced.")
    forecast: ForecastBody
    campaigns: CampaignStandingPage


class JudgedLimitBody(BaseModel):
    """A budget and what was spent of it when a status was judged."""

    model_config = ConfigDict(title="JudgedLimit")

    budget: values.MoneyOrNull = Field(description="Null: no limit.")
    spent: values.Money


class JudgedLimitsBody(BaseModel):
    """What a status was judged on. The brand's figures are always of all of its campaigns together."""

    model_config = ConfigDict(title="JudgedLimits")

    brand_day: JudgedLimitBody
    brand_month: JudgedLimitBody
    campaign_day: JudgedLimitBody
    campaign_month: JudgedLimitBody
    campaign_total: JudgedLimitBody


class StatusChangeBody(BaseModel):
    """A change of a campaign's status."""

    model_config = ConfigDict(title="StatusChange")

    id: int
    at: values.Moment
    from_reasons: list[ReasonCode] = Field(description="Why it might not spend before; empty if it was active.")
    to_reasons: list[ReasonCode] = Field(description="Why it may not spend since; empty if it became active.")
    cause: StatusChange.Cause = Field(description="What it was judged for.")
    user: str | None = Field(description="The user who did it, by name.")
    api_key: str | None = Field(description="The API key that did it, by name.")
    note: str
    limits: JudgedLimitsBody


class HistoryPage(BaseModel):
    """Changes of status, the newest first."""

    items: list[StatusChangeBody]
    next: str | None = Field(description="The cursor of the next page, with older ones; null when this is the last.")


class PageOf(BaseModel):
    """Which page."""

    limit: paging.Limit = paging.DEFAULT_LIMIT
    cursor: paging.Cursor = None


@router.get(
    "/brands/{int:brand_id}/standing",
    auth=READ,
    response={200: BrandStandingBody, **documents.problems(401, 403, 404, 422, 503)},
    operation_id="getBrandStanding",
    summary="Show where a brand stands",
)
def of_brand(request: HttpRequest, brand_id: int, page: Query[PageOf]) -> BrandStandingBody:
    """Show the brand's limits now, and those of its campaigns page by page. An archived brand has no standing."""
    refuse_unknown(request, PageOf)
    brand, now = seen_brand(request, brand_id), timezone.now()
    found = standing.brand_standing(brand_id=brand.pk, now=now)
    if found is None:
        raise not_found("The brand is archived, so it has no standing; its history and reports are there.")
    counts = brand_figures([brand], now=now)[brand.pk]
    together = found.scope is BudgetScope.BRAND
    return BrandStandingBody(
        brand_id=found.id,
        name=found.name,
        external_id=found.external_id,
        currency=found.currency,
        timezone=found.zone.key,
        today=found.today,
        budget_scope="brand" if together else "campaign",
        day=_limit(found.day, binds=together),
        month=_limit(found.month, binds=together),
        active=counts.active,
        paused=counts.campaigns - counts.active,
        target=_target(brand_pace(brand_id=brand.pk, now=now)),
        forecast=_forecast(brand_forecast(brand_id=brand.pk, now=now)),
        campaigns=_campaigns(brand, found.today, page, now),
    )


@router.get(
    "/campaigns/{int:campaign_id}/standing",
    auth=READ,
    response={200: CampaignStandingAloneBody, **documents.problems(401, 403, 404, 503)},
    operation_id="getCampaignStanding",
    summary="Show where a campaign stands",
)
def of_campaign(request: HttpRequest, campaign_id: int) -> CampaignStandingAloneBody:
    """Show every limit that the campaign is held against, what is left, and why it may not spend if it may not.

    With how likely it should serve now, and how the day and the month will end.

    An archived campaign has no standing.
    """
    campaign, now = seen_campaign(request, campaign_id), timezone.now()
    found = campaign_standings([campaign.pk], now=now).get(campaign.pk)
    if found is None:
        raise not_found("The campaign is archived, so it has no standing; its history and reports are there.")
    body = _campaign(found, campaign.brand.currency, periods.local_date(now, campaign.brand.timezone))
    return CampaignStandingAloneBody(
        **dict(body),
        target=_target(campaign_pace(campaign_id=campaign.pk, now=now)),
        forecast=_forecast(campaign_forecast(campaign_id=campaign.pk, now=now)),
    )


@router.get(
    "/campaigns/{int:campaign_id}/history",
    auth=READ,
    response={200: HistoryPage, **documents.problems(401, 403, 404, 422, 503)},
    operation_id="getCampaignHistory",
    summary="Show how the status of a campaign has changed",
)
def history(request: HttpRequest, campaign_id: int, page: Query[PageOf]) -> HistoryPage:
    """Show every change of status, the newest first: when, why, by whom, and the figures that it was judged on."""
    refuse_unknown(request, PageOf)
    campaign = seen_campaign(request, campaign_id)
    before = None if page.cursor is None else paging.read_cursor(page.cursor, HISTORY)[0]
    found = status_history(campaign_id=campaign.pk, before=before, limit=page.limit)
    return HistoryPage(
        items=[_change(change) for change in found.changes],
        next=paging.write_cursor(HISTORY, found.changes[-1].id) if found.more else None,
    )


def _campaigns(brand: Brand, today: date, page: PageOf, now: datetime) -> CampaignStandingPage:
    campaigns: list[Campaign] = list(
        browse_campaigns(
            after=paging.place_of(page.cursor, BRAND_CAMPAIGNS),
            limit=page.limit + 1,
            brand_id=brand.pk,
            archived=False,
        )
    )
    ids = [campaign.pk for campaign in campaigns]
    found = campaign_standings(ids[: page.limit], now=now)
    return CampaignStandingPage(
        # One that was archived just now has none.
        items=[_campaign(found[pk], brand.currency, today) for pk in ids if pk in found],
        next=paging.next_after(BRAND_CAMPAIGNS, ids, page.limit),
    )


def _campaign(found: CampaignStanding, currency: str, today: date) -> CampaignStandingBody:
    return CampaignStandingBody(
        campaign_id=found.id,
        brand_id=found.brand_id,
        name=found.name,
        external_id=found.external_id,
        currency=currency,
        today=today,
        is_active=found.is_active,
        reasons=[
            ReasonBody(code=code, text=reasons.LABELS[reason])
            for code, reason in zip(codes(found.reasons), found.reasons, strict=True)
        ],
        resumes_at=found.resumes_at,
        serve_probability=values.share(found.probability),
        left=values.micros_or_null(found.left),
        limits=LimitsBody(
            brand_day=_limit(found.brand_day),
            brand_month=_limit(found.brand_month),
            campaign_day=_limit(found.day),
            campaign_month=_limit(found.month),
            campaign_total=_limit(found.total),
        ),
    )


def _target(pace: PaceNow | None) -> str | None:
    return None if pace is None else values.micros_or_null(pace.target)


def _forecast(found: OwnerForecast) -> ForecastBody:
    return ForecastBody(
        day=None if found.day is None else _range(found.day.spend),
        month=None if found.month is None else _range(found.month),
        wanted_today=None if found.day is None else money.to_text(found.day.wanted),
        runs_out_at=found.runs_out_at,
        lasting_daily_budget=values.micros_or_null(found.lasting),
    )


def _range(forecast: Forecast) -> RangeBody:
    return RangeBody(
        likely=money.to_text(forecast.likely),
        low=values.micros_or_null(forecast.low),
        high=values.micros_or_null(forecast.high),
    )


def _limit(limit: Limit, *, binds: bool = True) -> LimitBody:
    bound = binds and limit.budget is not None
    return LimitBody(
        budget=values.micros_or_null(limit.budget),
        spent=money.to_text(limit.spent),
        held=money.to_text(limit.held),
        left=values.micros_or_null(limit.left) if bound else None,
        overspend=money.to_text(limit.overspend) if bound else None,
    )


def _change(change: HistoricChange) -> StatusChangeBody:
    return StatusChangeBody(
        id=change.id,
        at=change.at,
        from_reasons=codes(change.from_reasons),
        to_reasons=codes(change.to_reasons),
        cause=change.cause,
        user=change.actor,
        api_key=change.api_key,
        note=change.note,
        limits=JudgedLimitsBody(
            brand_day=_judged(change.brand_daily),
            brand_month=_judged(change.brand_monthly),
            campaign_day=_judged(change.campaign_daily),
            campaign_month=_judged(change.campaign_monthly),
            campaign_total=_judged(change.campaign_total),
        ),
    )


def _judged(limit: Limit) -> JudgedLimitBody:
    return JudgedLimitBody(budget=values.micros_or_null(limit.budget), spent=money.to_text(limit.spent))
