"""The record of edits of a brand or a campaign, page by page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db.models import F, QuerySet

from campaigns.models import Campaign, Edit
from campaigns.rules.errors import BudgetError

DEFAULT_LIMIT = 25
MAX_LIMIT = 1_000
"""The most edits of one page."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ToldEdit:
    """One edit: who set what, and when.

    campaign_id: None where the brand itself was edited. campaign: its name, None if it is gone. actor, api_key: the
    names of the user or key that did it, None where none did or it is gone. changes: field name to its value before and
    after, as the record keeps it; `admin/edit_words.py` puts it into words.
    """

    id: int
    at: datetime
    verb: Edit.Verb
    campaign_id: int | None
    campaign: str | None
    actor: str | None
    api_key: str | None
    changes: Mapping[str, tuple[str | None, str | None]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """A page of edits, the newest first, and whether there are older ones."""

    edits: Sequence[ToldEdit]
    more: bool


def edits_of(
    *,
    brand_id: int | None = None,
    campaign_id: int | None = None,
    with_campaigns: bool = False,
    before: int | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Edits:
    """Return the edits of a brand or a campaign (one of the two), the newest first, in at most two queries.

    with_campaigns: those of the brand's campaigns, too. before: only edits with a smaller id, such as that of the last
    edit of the page before. limit: 1 to 1,000. Whether the caller may see it is for the caller to find out: what there
    is not has no edits. Raises BudgetError for a limit out of bounds.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise BudgetError(f"Give a limit from 1 to {MAX_LIMIT:,}.")
    # Outer joins, as a user may be gone: the record's keys carry no constraint.
    rows = _whose(brand_id, campaign_id, with_campaigns).annotate(
        actor_name=F("actor__username"), api_key_name=F("api_key__name")
    )
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows.order_by("-pk")[: limit + 1])
    names = _campaign_names(found[:limit])
    edits = [_told(row, names, row.actor_name, row.api_key_name) for row in found[:limit]]
    return Edits(edits=edits, more=len(found) > limit)


def _whose(brand_id: int | None, campaign_id: int | None, with_campaigns: bool) -> QuerySet[Edit]:
    if campaign_id is not None and brand_id is None:
        return Edit.objects.filter(campaign__pk=campaign_id)
    if brand_id is None or campaign_id is not None:
        raise ValueError("give a brand or a campaign, and not both")
    of_brand = Edit.objects.filter(brand__pk=brand_id)
    return of_brand if with_campaigns else of_brand.filter(campaign=None)


def _campaign_names(rows: Sequence[Edit]) -> dict[int, str]:
    ids = {row.campaign_id for row in rows if row.campaign_id is not None}
    return dict(Campaign.objects.filter(pk__in=ids).order_by().values_list("pk", "name")) if ids else {}


def _told(row: Edit, names: Mapping[int, str], actor: str | None, api_key: str | None) -> ToldEdit:
    return ToldEdit(
        id=row.pk,
        at=row.at,
        verb=Edit.Verb(row.verb),
        campaign_id=row.campaign_id,
        campaign=None if row.campaign_id is None else names.get(row.campaign_id),
        actor=actor,
        api_key=api_key,
        changes={name: (was, became) for name, (was, became) in row.changes.items()},
    )
