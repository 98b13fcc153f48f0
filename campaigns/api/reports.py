"""Reports over HTTP: what was spent, as JSON or CSV."""

from __future__ import annotations

from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from ninja import Query, Router
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from campaigns.api import documents, paging, values
from campaigns.api.auth import READ, caller
from campaigns.api.problems import Problem
from campaigns.api.seen import seen_brand, seen_campaign
from campaigns.api.shapes import refuse_unknown
from campaigns.gateways.sheets import write_csv
from campaigns.queries import reports
from campaigns.queries.reports import BrandSpend, CampaignSpend, DaySpend, GroupBy, HourSpend, Place, SpendReport
from campaigns.rules import money
from campaigns.rules.errors import BudgetError, InvalidFieldError

router = Router(tags=["Reports"])

JSON, CSV = "application/json", "text/csv"

Limit: TypeAlias = Annotated[
    int,
    PlainValidator(values.number_of_query(1, reports.MAX_LIMIT)),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": reports.MAX_LIMIT, "default": reports.DEFAULT_LIMIT}),
    Field(description="How many campaigns or brands at most; a report by hour or day is always whole."),
]


def _format(value: object) -> str:
    if value not in ("json", "csv"):
        raise ValueError("Give json or csv.")
    return str(value)


Format: TypeAlias = Annotated[
    str | None, PlainValidator(_format), WithJsonSchema({"type": "string", "enum": ["json", "csv"]})
]


class ReportFilters(BaseModel):
    """What to report."""

    group_by: Literal["hour", "day", "campaign", "brand"] = Field(
        description="What there is a row for. `hour` is for one brand or campaign, and 31 days at most."
    )
    first: values.Day = Field(alias="from", description="The first budget day; each brand's in its time zone.")
    last: values.Day = Field(alias="to", description="The last budget day, included; 366 days at most.")
    brand_id: values.IdOfQuery = values.described("Only the spend of this brand.")
    campaign_id: values.IdOfQuery = values.described("Only the spend of this campaign.")
    limit: Limit = reports.DEFAULT_LIMIT
    cursor: paging.Cursor = None
    format: Format = values.described("Without it, what the `Accept` header prefers.")


class HourRow(BaseModel):
    """What was spent in one hour of the brand's wall clock. An hour that comes twice in autumn is two rows."""

    model_config = ConfigDict(title="SpendOfHour")

    hour: values.Moment = Field(description="Its first instant.", examples=["2026-01-31T09:00:00+01:00"])
    currency: str
    spent: values.Money


class DayRow(BaseModel):
    """What was spent in one budget day in one currency."""

    model_config = ConfigDict(title="SpendOfDay")

    day: date
    currency: str
    spent: values.Money


class CampaignRow(BaseModel):
    """What one campaign has spent."""

    model_config = ConfigDict(title="SpendOfCampaign")

    campaign_id: int
    name: str
    external_id: str | None
    brand_id: int
    currency: str
    spent: values.Money


class BrandRow(BaseModel):
    """What the campaigns of one brand have spent."""

    model_config = ConfigDict(title="SpendOfBrand")

    brand_id: int
    name: str
    external_id: str | None
    currency: str
    spent: values.Money


Row: TypeAlias = HourRow | DayRow | CampaignRow | BrandRow


class ReportBody(BaseModel):
    """What was spent, all rows of the kind that was asked for. Nothing spent, no row."""

    model_config = ConfigDict(title="SpendReport", populate_by_name=True)

    group_by: Literal["hour", "day", "campaign", "brand"]
    items: list[HourRow] | list[DayRow] | list[CampaignRow] | list[BrandRow]
    next: str | None = Field(description="The cursor of the next page; null when this is the last.")


COLUMNS: dict[str, type[BaseModel]] = {"hour": HourRow, "day": DayRow, "campaign": CampaignRow, "brand": BrandRow}
"""What a row is, by what is grouped by; its fields are the columns of the CSV."""

_VARY = ("Accept", "Authorization")
_TEXTS = frozenset({"name", "external_id"})

_AS_CSV: dict[str, Any] = {
    "responses": {
        int(HTTPStatus.OK): {
            "content": {
                CSV: {
                    "schema": {"type": "string", "description": "A header and a line for each row."},
                    "example": "day,currency,spent\r\n2026-01-31,EUR,120.50\r\n",
                }
            },
            "headers": {
                "Link": {
                    "schema": {"type": "string"},
                    "description": 'The next page of a CSV, as `<...>; rel="next"`; none on the last.',
                }
            },
        }
    }
}


@router.get(
    "/reports/spend",
    auth=READ,
    response={200: ReportBody, **documents.problems(401, 403, 404, 422, 503)},
    operation_id="getSpendReport",
    summary="Report what was spent",
    openapi_extra=_AS_CSV,
)
def spend(request: HttpRequest, response: HttpResponse, filters: Query[ReportFilters]) -> HttpResponse | ReportBody:
    """Report what was spent by hour, budget day, campaign or brand, adjustments included.

    Hours and days come in ascending order; campaigns and brands by what they spent, the most first, page by page. The
    same as CSV with `format=csv` or `Accept: text/csv`; the next page is in the `Link` header then, and a name that a
    spreadsheet would take for a formula begins with an apostrophe.
    """
    refuse_unknown(request, ReportFilters)
    report = _report(request, filters)
    rows = [_row(row) for row in report.rows]
    following = None if report.after is None else paging.write_cursor(_kind(filters), *report.after)
    if _wants_csv(request, filters):
        return _sheet(request, filters, rows, following)
    patch_vary_headers(response, _VARY)
    return ReportBody.model_validate({"group_by": filters.group_by, "items": rows, "next": following})


def _report(request: HttpRequest, filters: ReportFilters) -> SpendReport:
    if filters.brand_id is not None:
        seen_brand(request, filters.brand_id)
    if filters.campaign_id is not None:
        seen_campaign(request, filters.campaign_id)
    brand_ids = caller(request).brand_ids
    after = None if filters.cursor is None else Place(*paging.read_cursor(filters.cursor, _kind(filters), 2))
    try:
        return reports.spend_report(
            group_by=GroupBy(filters.group_by),
            first=filters.first,
            last=filters.last,
            brand_id=filters.brand_id,
            campaign_id=filters.campaign_id,
            brand_ids=None if brand_ids is None else sorted(brand_ids),
            limit=filters.limit,
            after=after,
        )
    except BudgetError as error:
        field = error.field if isinstance(error, InvalidFieldError) else "group_by"
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-fields", str(error), errors=[(field, str(error))]
        ) from None


def _kind(filters: ReportFilters) -> str:
    return f"spend-by-{filters.group_by}"


def _wants_csv(request: HttpRequest, filters: ReportFilters) -> bool:
    if filters.format is not None:
        return filters.format == "csv"
    return request.get_preferred_type([JSON, CSV]) == CSV


def _row(row: HourSpend | DaySpend | CampaignSpend | BrandSpend) -> Row:
    spent = money.to_text(row.spent)
    match row:
        case HourSpend():
            return HourRow(hour=row.start, currency=row.currency, spent=spent)
        case DaySpend():
            return DayRow(day=row.day, currency=row.currency, spent=spent)
        case CampaignSpend():
            return CampaignRow(
                campaign_id=row.id,
                name=row.name,
                external_id=row.external_id,
                brand_id=row.brand_id,
                currency=row.currency,
                spent=spent,
            )
        case BrandSpend():
            return BrandRow(
                brand_id=row.id, name=row.name, external_id=row.external_id, currency=row.currency, spent=spent
            )


def _sheet(request: HttpRequest, filters: ReportFilters, rows: list[Row], following: str | None) -> HttpResponse:
    header = list(COLUMNS[filters.group_by].model_fields)
    cells = ([_cell(value) for value in row.model_dump().values()] for row in rows)
    name = f"spend-by-{filters.group_by}-{filters.first}-{filters.last}.csv"
    response = HttpResponse(
        write_csv(header, cells, texts=_TEXTS),
        content_type=f"{CSV}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
    if following is not None:
        query = urlencode({**request.GET.dict(), "format": "csv", "cursor": following})
        response["Link"] = f'<{request.build_absolute_uri(f"{request.path}?{query}")}>; rel="next"'
    patch_vary_headers(response, _VARY)
    return response


def _cell(value: object) -> str:
    return "" if value is None else str(value)
