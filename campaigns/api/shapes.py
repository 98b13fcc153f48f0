"""Brands, campaigns and schedules as they come in and go out.

What comes in is a plain BaseModel: Ninja's own Schema would also take a text or a list for an object without fields.
"""

from __future__ import annotations

from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeAlias

from django.http import HttpRequest
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

from campaigns.api import values
from campaigns.api.problems import Problem
from campaigns.api.values import Moment, MoneyOrNull
from campaigns.models import Brand, Campaign, DaypartingSchedule, Pacing
from campaigns.queries.standing import CampaignStanding
from campaigns.rules.reasons import Reason
from campaigns.rules.schedules import ALL_WEEKDAYS, DAY_HOURS, WEEK_HOURS, Schedule, ScheduleError

ReasonCode: TypeAlias = Literal[
    "manual",
    "brand_daily_budget",
    "brand_monthly_budget",
    "campaign_daily_budget",
    "campaign_monthly_budget",
    "campaign_total_budget",
    "schedule",
    "not_started",
    "ended",
]
Weekday: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_DAYS = 7


def refuse_unknown(request: HttpRequest, *known: type[BaseModel]) -> None:
    """Raise the problem of parameters that there are not: a filter that is misspelt would let everything through."""
    names = {field.alias or name for model in known for name, field in model.model_fields.items()}
    unknown = sorted(name for name in request.GET if name not in names)
    if unknown:
        detail = f"There is no such parameter; there are {', '.join(sorted(names))}."
        errors = [(name[:100], detail) for name in unknown[:100]]
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-fields", detail, errors=errors)


# --- Schedules -------------------------------------------------------------------------------


class WindowBody(BaseModel):
    """The same hours on each of some weekdays, in the brand's time zone."""

    model_config = ConfigDict(title="Window", json_schema_extra={"additionalProperties": False})

    start_hour: int = Field(ge=0, le=23, description="Included.", examples=[9])
    end_hour: int = Field(
        ge=0, le=23, description="Excluded; at or before the start it runs past midnight.", examples=[17]
    )
    weekdays: list[Weekday] = Field(description="On which it begins.", examples=[["mon", "tue"]])


class GridBody(BaseModel):
    """Hour by hour, in the brand's time zone."""

    model_config = ConfigDict(title="Grid", json_schema_extra={"additionalProperties": False})

    grid: list[str] = Field(description="Monday to Sunday: 24 hours each, 1 where the campaign may spend, 0 where not.")


def schedule_body(schedule: DaypartingSchedule) -> WindowBody | GridBody:
    """Return a schedule as it goes out, in the form that it was given in."""
    if schedule.grid is not None:
        hours = schedule.grid
        return GridBody(grid=[hours[at : at + DAY_HOURS] for at in range(0, WEEK_HOURS, DAY_HOURS)])
    assert schedule.start_hour is not None and schedule.end_hour is not None and schedule.weekdays is not None
    days = [name for at, name in enumerate(WEEKDAYS) if schedule.weekdays >> at & 1]
    return WindowBody(start_hour=schedule.start_hour, end_hour=schedule.end_hour, weekdays=days)


_HOUR = {"type": "integer", "minimum": 0, "maximum": DAY_HOURS - 1}
_WINDOW_SCHEMA = {
    "title": "WindowOfSchedule",
    "type": "object",
    "additionalProperties": False,
    "required": ["start_hour", "end_hour"],
    "properties": {
        "start_hour": {**_HOUR, "description": "Included."},
        "end_hour": {**_HOUR, "description": "Excluded; before the start it runs past midnight; not the same hour."},
        "weekdays": {
            "type": "array",
            "minItems": 1,
            "maxItems": 7,
            "items": {"type": "string", "enum": list(WEEKDAYS)},
            "description": "On which it begins; without them, every day.",
        },
    },
    "examples": [{"start_hour": 9, "end_hour": 17, "weekdays": ["mon", "tue", "wed", "thu", "fri"]}],
}
_GRID_SCHEMA = {
    "title": "GridOfSchedule",
    "type": "object",
    "additionalProperties": False,
    "required": ["grid"],
    "properties": {
        "grid": {
            "description": "The hours from Monday 00:00: 1 where the campaign may spend, 0 where not; at least one 1.",
            "oneOf": [
                {"type": "string", "minLength": WEEK_HOURS, "maxLength": WEEK_HOURS, "pattern": "^0*1[01]*$"},
                {
                    "type": "array",
                    "minItems": 7,
                    "maxItems": 7,
                    "items": {"type": "string", "pattern": "^[01]{24}$"},
                    "contains": {"pattern": "1"},
                },
            ],
        }
    },
    "examples": [{"grid": ["000000000111111110000000"] * 5 + ["0" * DAY_HOURS] * 2}],
}


def _grid(value: object) -> str:
    """A grid of 168 characters, or of 7 strings of 24, as the first; raises ValueError with a sentence."""
    if isinstance(value, list) and all(isinstance(day, str) for day in value):
        wrong = next((at for at, day in enumerate(value) if len(day) != DAY_HOURS), None)
        if len(value) != _DAYS or wrong is not None:
            raise ValueError(f"Give {_DAYS} texts of {DAY_HOURS} characters each, from Monday on.")
        value = "".join(value)
    if not isinstance(value, str) or len(value) != WEEK_HOURS:
        raise ValueError(f"Give a text of {WEEK_HOURS} characters, or a list of {_DAYS} texts of {DAY_HOURS}.")
    try:
        return Schedule(value).hours
    except ScheduleError as error:
        raise ValueError(str(error)) from None


_Hour: TypeAlias = Annotated[int | None, PlainValidator(values.number(0, DAY_HOURS - 1))]


class ScheduleBody(BaseModel):
    """The hours of the week in which a campaign may spend: a window, or a grid."""

    model_config = ConfigDict(extra="forbid", title="Schedule")

    start_hour: _Hour = None
    end_hour: _Hour = None
    weekdays: list[Weekday] = Field([], min_length=1, max_length=_DAYS)
    grid: Annotated[str | None, PlainValidator(_grid)] = None

    @model_validator(mode="after")
    def _one_form(self) -> ScheduleBody:
        sent = self.model_fields_set
        if sent == {"grid"} or {"start_hour", "end_hour"} <= sent <= {"start_hour", "end_hour", "weekdays"}:
            return self
        raise ValueError("Give either start_hour and end_hour, with weekdays if you like, or grid.")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        """Say that it has one of two forms."""
        return {"title": "Schedule", "description": cls.__doc__, "oneOf": [_WINDOW_SCHEMA, _GRID_SCHEMA]}

    @property
    def bits(self) -> int:
        """The weekdays of a window as bits; without any, all."""
        return sum(1 << WEEKDAYS.index(day) for day in set(self.weekdays)) or ALL_WEEKDAYS


# --- Brands ----------------------------------------------------------------------------------

_EXTERNAL_ID = "Its id in your own systems, unique among {}."
_SCOPE = "Whether the budgets bind the `brand`'s campaigns all together, or each `campaign` alone."
_LIMIT = "In the brand's currency. Null: no limit. 0: always spent."
_ARCHIVED = "When it was taken out of use for good; null while it is in use."


_PACING = "`asap`: serve whatever comes. `even`: spread the budget over the hours in which may be spent today."
_FROM_MONTH = "Whether the daily budget is set each day to its part of what is left of the month."
_LEAST = "The least that a day gets of the month. Null: no bound."
_MOST = "The most that a day gets of the month. Null: no bound."


class NewBrandBody(BaseModel):
    """A brand to be created."""

    model_config = ConfigDict(extra="forbid", title="NewBrand")

    name: values.Name = Field(description="Unique.", examples=["Acme"])
    external_id: values.ExternalIdOrNull = Field(None, description=_EXTERNAL_ID.format("all brands"))
    timezone: values.Zone | None = Field(
        None, description="IANA name; its midnight begins the budget day. Without it, the server's."
    )
    currency: values.Currency = Field("USD", description="ISO 4217 code.")
    daily_budget: values.Budget = Field(None, description=_LIMIT)
    monthly_budget: values.Budget = Field(None, description=_LIMIT)
    budget_scope: Literal["brand", "campaign"] = Field("brand", description=_SCOPE)
    pacing: Literal["asap", "even"] = Field("asap", description=_PACING)
    daily_from_month: bool = Field(False, strict=True, description=_FROM_MONTH)
    daily_least: values.Budget = Field(None, description=_LEAST)
    daily_most: values.Budget = Field(None, description=_MOST)


class BrandChangesBody(BaseModel):
    """What is to be changed of a brand: only the fields that are sent. Null clears a budget or the external id."""

    model_config = ConfigDict(extra="forbid", title="BrandChanges")

    name: values.Name = Field("", description="Unique.")
    external_id: values.ExternalIdOrNull = Field(None, description=_EXTERNAL_ID.format("all brands"))
    timezone: values.Zone = Field("", description="IANA name; its midnight begins the budget day.")
    currency: values.Currency = Field("", description="ISO 4217 code; it stays once there is spend.")
    daily_budget: values.Budget = Field(None, description=_LIMIT)
    monthly_budget: values.Budget = Field(None, description=_LIMIT)
    budget_scope: Literal["brand", "campaign"] = Field("brand", description=_SCOPE)
    pacing: Literal["asap", "even"] = Field("asap", description=_PACING)
    daily_from_month: bool = Field(False, strict=True, description=_FROM_MONTH)
    daily_least: values.Budget = Field(None, description=_LEAST)
    daily_most: values.Budget = Field(None, description=_MOST)


class BrandBody(BaseModel):
    """An advertiser: its time zone and currency, and the budgets that bind its campaigns."""

    model_config = ConfigDict(title="Brand")

    id: int
    name: str
    external_id: str | None = Field(description=_EXTERNAL_ID.format("all brands"))
    timezone: str = Field(description="IANA name; its midnight begins the budget day.", examples=["Europe/Berlin"])
    currency: str = Field(description="ISO 4217 code.", examples=["EUR"])
    daily_budget: MoneyOrNull = Field(description=_LIMIT)
    monthly_budget: MoneyOrNull = Field(description=_LIMIT)
    budget_scope: Literal["brand", "campaign"] = Field(description=_SCOPE)
    pacing: Literal["asap", "even"] = Field(description=_PACING)
    daily_from_month: bool = Field(description=_FROM_MONTH)
    daily_least: MoneyOrNull = Field(description=_LEAST)
    daily_most: MoneyOrNull = Field(description=_MOST)
    archived_at: Moment | None = Field(description=_ARCHIVED)
    created_at: Moment


def brand_body(brand: Brand) -> BrandBody:
    """Return a brand as it goes out."""
    return BrandBody(
        id=brand.pk,
        name=brand.name,
        external_id=brand.external_id,
        timezone=brand.timezone.key,
        currency=brand.currency,
        daily_budget=values.amount_or_null(brand.daily_budget),
        monthly_budget=values.amount_or_null(brand.monthly_budget),
        budget_scope="brand" if brand.budget_scope == Brand.BudgetScope.BRAND else "campaign",
        pacing="even" if brand.pacing == Pacing.EVEN else "asap",
        daily_from_month=brand.daily_from_month,
        daily_least=values.amount_or_null(brand.daily_least),
        daily_most=values.amount_or_null(brand.daily_most),
        archived_at=brand.archived_at,
        created_at=brand.created_at,
    )


# --- Campaigns -------------------------------------------------------------------------------

_FLIGHT_START = "The first day on which it may spend, in the brand's time zone. Null: from now on."
_FLIGHT_END = "The last day on which it may spend, in the brand's time zone. Null: without an end."
_OWN_LIMIT = "Binds beside the brand's, in its currency. Null: no limit of its own. 0: always spent."


class NewCampaignBody(BaseModel):
    """A campaign to be created."""

    model_config = ConfigDict(extra="forbid", title="NewCampaign")

    brand_id: values.ObjectId
    name: values.Name = Field(examples=["Spring sale"])
    external_id: values.ExternalIdOrNull = Field(None, description=_EXTERNAL_ID.format("the brand's campaigns"))
    daily_budget: values.Budget = Field(None, description=_OWN_LIMIT)
    monthly_budget: values.Budget = Field(None, description=_OWN_LIMIT)
    total_budget: values.Budget = Field(None, description=_OWN_LIMIT)
    flight_start: values.DayOrNull = Field(None, description=_FLIGHT_START)
    flight_end: values.DayOrNull = Field(None, description=_FLIGHT_END)
    pacing: Literal["asap", "even"] = Field("asap", description=_PACING)
    daily_from_month: bool = Field(False, strict=True, description=_FROM_MONTH)
    daily_least: values.Budget = Field(None, description=_LEAST)
    daily_most: values.Budget = Field(None, description=_MOST)


class CampaignBodyOfExternalId(BaseModel):
    """A campaign as it shall be. A budget or flight day that is left out is null: it is not kept. The four fields of
    its pacing are kept where they are left out.
    """

    model_config = ConfigDict(extra="forbid", title="CampaignOfExternalId")

    brand_id: values.ObjectId
    name: values.Name = Field(examples=["Spring sale"])
    daily_budget: values.Budget = Field(None, description=_OWN_LIMIT)
    monthly_budget: values.Budget = Field(None, description=_OWN_LIMIT)
    total_budget: values.Budget = Field(None, description=_OWN_LIMIT)
    flight_start: values.DayOrNull = Field(None, description=_FLIGHT_START)
    flight_end: values.DayOrNull = Field(None, description=_FLIGHT_END)
    pacing: Literal["asap", "even"] = Field("asap", description=_PACING)
    daily_from_month: bool = Field(False, strict=True, description=_FROM_MONTH)
    daily_least: values.Budget = Field(None, description=_LEAST)
    daily_most: values.Budget = Field(None, description=_MOST)


class CampaignChangesBody(BaseModel):
    """What is to be changed of a campaign: only the fields that are sent. Null clears all but the name."""

    model_config = ConfigDict(extra="forbid", title="CampaignChanges")

    name: values.Name = ""
    external_id: values.ExternalIdOrNull = Field(None, description=_EXTERNAL_ID.format("the brand's campaigns"))
    daily_budget: values.Budget = Field(None, description=_OWN_LIMIT)
    monthly_budget: values.Budget = Field(None, description=_OWN_LIMIT)
    total_budget: values.Budget = Field(None, description=_OWN_LIMIT)
    flight_start: values.DayOrNull = Field(None, description=_FLIGHT_START)
    flight_end: values.DayOrNull = Field(None, description=_FLIGHT_END)
    pacing: Literal["asap", "even"] = Field("asap", description=_PACING)
    daily_from_month: bool = Field(False, strict=True, description=_FROM_MONTH)
    daily_least: values.Budget = Field(None, description=_LEAST)
    daily_most: values.Budget = Field(None, description=_MOST)


class CampaignBody(BaseModel):
    """What spends, with its status."""

    model_config = ConfigDict(title="Campaign")

    id: int
    brand_id: int
    name: str
    external_id: str | None = Field(description=_EXTERNAL_ID.format("the brand's campaigns"))
    currency: str = Field(description="The brand's.", examples=["EUR"])
    daily_budget: MoneyOrNull = Field(description=_OWN_LIMIT)
    monthly_budget: MoneyOrNull = Field(description=_OWN_LIMIT)
    total_budget: MoneyOrNull = Field(description=_OWN_LIMIT)
    flight_start: date | None = Field(description=_FLIGHT_START)
    flight_end: date | None = Field(description=_FLIGHT_END)
    pacing: Literal["asap", "even"] = Field(description=_PACING)
    daily_from_month: bool = Field(description=_FROM_MONTH)
    daily_least: MoneyOrNull = Field(description=_LEAST)
    daily_most: MoneyOrNull = Field(description=_MOST)
    schedule: WindowBody | GridBody | None = Field(description="The hours of the week in which it may spend.")
    is_active: bool = Field(description="Whether it may spend.")
    reasons: list[ReasonCode] = Field(description="Every reason why it may not.", examples=[["brand_daily_budget"]])
    resumes_at: Moment | None = Field(description="When it resumes if nobody does anything; null if it does not.")
    serve_probability: values.Share = Field(description=values.SERVE)
    status_changed_at: Moment | None = Field(description="Since when; null if its status never changed.")
    archived_at: Moment | None = Field(description=_ARCHIVED)
    created_at: Moment


def campaign_body(campaign: Campaign, standing: CampaignStanding | None) -> CampaignBody:
    """Return a campaign as it goes out. standing: None if it is archived."""
    schedule = getattr(campaign, "schedule", None)
    return CampaignBody(
        id=campaign.pk,
        brand_id=campaign.brand_id,
        name=campaign.name,
        external_id=campaign.external_id,
        currency=campaign.brand.currency,
        daily_budget=values.amount_or_null(campaign.daily_budget),
        monthly_budget=values.amount_or_null(campaign.monthly_budget),
        total_budget=values.amount_or_null(campaign.total_budget),
        flight_start=campaign.flight_start,
        flight_end=campaign.flight_end,
        pacing="even" if campaign.pacing == Pacing.EVEN else "asap",
        daily_from_month=campaign.daily_from_month,
        daily_least=values.amount_or_null(campaign.daily_least),
        daily_most=values.amount_or_null(campaign.daily_most),
        schedule=None if schedule is None else schedule_body(schedule),
        is_active=campaign.is_active,
        reasons=codes(campaign.reasons),
        resumes_at=None if standing is None else standing.resumes_at,
        serve_probability=0 if standing is None else values.share(standing.probability),
        status_changed_at=campaign.status_changed_at,
        archived_at=campaign.archived_at,
        created_at=campaign.created_at,
    )


def codes(why: Reason) -> list[ReasonCode]:
    """Return the codes of a set of reasons."""
    return [_CODES[reason] for reason in why]


_CODES: dict[Reason, ReasonCode] = {reason: reason.code for reason in Reason}  # type: ignore[misc]  # test_shapes holds the two against each other
