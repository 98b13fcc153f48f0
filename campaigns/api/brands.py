"""Brands over HTTP: create, list, show, change, archive."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Status
from pydantic import BaseModel, Field

from campaigns.api import documents, links, paging, values
from campaigns.api.auth import MANAGE, READ, caller
from campaigns.api.problems import Problem
from campaigns.api.seen import actor, seen_brand
from campaigns.api.shapes import BrandBody, BrandChangesBody, NewBrandBody, brand_body, refuse_unknown
from campaigns.queries.browsing import browse_brands
from campaigns.services import catalog

router = Router(tags=["Brands"])

KIND = "brands"
"""What cursors of this list begin with."""


class BrandFilters(BaseModel):
    """Which brands, and which page of them."""

    external_id: values.ExternalIdOfQuery = values.described("Only the brand with this id in your own systems.")
    archived: values.TruthOfQuery = values.described("Only those that are archived, or only those that are not.")
    limit: paging.Limit = paging.DEFAULT_LIMIT
    cursor: paging.Cursor = None


class BrandPage(BaseModel):
    """Brands in the order of their ids."""

    items: list[BrandBody]
    next: str | None = Field(description="The cursor of the next page; null when this is the last.")


@router.post(
    "/brands",
    auth=MANAGE,
    response={201: BrandBody, **documents.problems(400, 401, 403, 413, 422, 503)},
    operation_id="createBrand",
    summary="Create a brand",
    openapi_extra=links.of_brand(HTTPStatus.CREATED),
)
def create(request: HttpRequest, body: NewBrandBody) -> Status[BrandBody]:
    """Create a brand. This takes a manage key for all brands."""
    if caller(request).brand_ids is not None:
        detail = "To create a brand takes a key for all brands; yours is limited to some."
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", detail)
    fields = body.model_dump()
    if body.timezone is None:
        del fields["timezone"]
    brand = catalog.create_brand(now=timezone.now(), by=actor(request), **fields)
    return Status(HTTPStatus.CREATED, brand_body(brand))


@router.get(
    "/brands",
    auth=READ,
    response={200: BrandPage, **documents.problems(401, 403, 422, 503)},
    operation_id="listBrands",
    summary="List brands",
)
def browse(request: HttpRequest, filters: Query[BrandFilters]) -> BrandPage:
    """List the brands that the key may see, archived ones too, in the order of their ids."""
    refuse_unknown(request, BrandFilters)
    brands = browse_brands(
        after=paging.place_of(filters.cursor, KIND),
        limit=filters.limit + 1,
        brand_ids=caller(request).brand_ids,
        external_id=filters.external_id,
        archived=filters.archived,
    )
    return BrandPage(
        items=[brand_body(brand) for brand in brands[: filters.limit]],
        next=paging.next_after(KIND, [brand.pk for brand in brands], filters.limit),
    )


@router.get(
    "/brands/{int:brand_id}",
    auth=READ,
    response={200: BrandBody, **documents.problems(401, 403, 404, 503)},
    operation_id="getBrand",
    summary="Show a brand",
)
def show(request: HttpRequest, brand_id: int) -> BrandBody:
    """Show what is set on a brand."""
    return brand_body(seen_brand(request, brand_id))


@router.patch(
    "/brands/{int:brand_id}",
    auth=MANAGE,
    response={200: BrandBody, **documents.problems(400, 401, 403, 404, 413, 422, 503)},
    operation_id="updateBrand",
    summary="Change a brand",
)
def update(request: HttpRequest, brand_id: int, body: BrandChangesBody) -> BrandBody:
    """Change the fields that are sent, and judge the brand's campaigns at once; null clears a budget.

    The currency can't be changed once there is spend.
    """
    brand = seen_brand(request, brand_id)
    fields = body.model_dump(exclude_unset=True)
    if fields:
        catalog.update_brand(brand_id=brand.pk, now=timezone.now(), by=actor(request), **fields)
        brand = seen_brand(request, brand_id)
    return brand_body(brand)


@router.post(
    "/brands/{int:brand_id}/archive",
    auth=MANAGE,
    response={200: BrandBody, **documents.problems(401, 403, 404, 503)},
    operation_id="archiveBrand",
    summary="Archive a brand",
)
def archive(request: HttpRequest, brand_id: int) -> BrandBody:
    """Take a brand and all of its campaigns out of use for good; ledger, history and reports stay.

    An archived brand stays archived; to archive it again changes nothing.
    """
    brand = seen_brand(request, brand_id)
    catalog.archive_brand(brand_id=brand.pk, now=timezone.now(), by=actor(request))
    return brand_body(seen_brand(request, brand_id))
