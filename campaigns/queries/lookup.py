"""Finding campaigns by what other systems call them, and spend events by their ids, many at once."""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Q

from campaigns.models import Brand, SpendLog
from campaigns.models.rows import Rows
from campaigns.rules.errors import BudgetError

MAX_ID = 2**63 - 1
"""The largest id that the database can have."""


class By(enum.StrEnum):
    """What a reference to a campaign is."""

    ID = "id"
    EXTERNAL_ID = "external-id"
    NAME = "name"


_LABELS = {By.ID: "id", By.EXTERNAL_ID: "external id", By.NAME: "name"}
# How a campaign is met, and by which of the columns of the references.
_MATCH = {By.ID: ("c.id", "number"), By.EXTERNAL_ID: ("c.external_id", "reference"), By.NAME: ("c.name", "reference")}


class Home(NamedTuple):
    """A campaign that was found, with what reading its spend takes."""

    campaign_id: int
    external_id: str | None
    brand_id: int
    brand: str
    zone: ZoneInfo
    currency: str


class Recorded(NamedTuple):
    """What the ledger has under an event id: whose spend, of which kind, how much in micros."""

    campaign_id: int
    kind: SpendLog.Kind
    micros: int


def find_brand(reference: str) -> Brand:
    """Return the brand with this id, external id or name; raises BudgetError if there is none, or more than one.

    Upper and lower case matter only between brands that differ in nothing else.
    """
    reference = reference.strip()
    exactly = Q(name=reference) | Q(external_id=reference) | Q(pk=_as_id(reference) or 0)
    roughly = Q(name__iexact=reference) | Q(external_id__iexact=reference)
    found: list[Brand] = []
    if reference.isprintable():
        found = list(Brand.objects.filter(exactly).order_by("pk")) or list(Brand.objects.filter(roughly).order_by("pk"))
    if not found:
        raise BudgetError(f"There is no brand with the id, external id or name {_shown(reference)}.")
    if len(found) > 1:
        brands = " and ".join(f"brand {brand.pk} ({brand})" for brand in found)
        raise BudgetError(f"{_shown(reference)} may be {brands}; give what only one of them has.")
    return found[0]


def find_campaigns(
    references: Collection[str], *, by: Sequence[By], brand: Brand | None = None
) -> dict[str, Home | str]:
    """Return for each reference the campaign it means or, as one sentence, why that can't be told.

    by: the ways in which a reference may be meant; one that means two campaigns in two ways means neither. Where an
    external id is one of the ways, a campaign that has one is not found by our own id, which the number of another
    system may equal by chance. brand: only its campaigns are looked at. A constant number of statements.
    """
    matches: dict[str, list[_Match]] = {reference: [] for reference in references}
    for match in _matches([reference for reference in references if reference.isprintable()], by, brand):
        matches[match.reference].append(match)
    homes = find_homes({match.campaign_id for found in matches.values() for match in found})
    return {reference: _verdict(reference, found, homes, by, brand) for reference, found in matches.items()}


def find_homes(campaign_ids: Collection[int]) -> dict[int, Home]:
    """Return the campaigns that there are of these ids."""
    rows = Rows(connection, {"id": "bigint"}, [[number for number in campaign_ids if 0 < number <= MAX_ID]])
    return {home.campaign_id: home for home in _homes(rows, "c.id = rows.id")}


def find_homes_by_external_id(references: Collection[tuple[int, str]]) -> dict[tuple[int, str], Home]:
    """Return the campaigns that there are of these brands and external ids."""
    known = [reference for reference in references if 0 < reference[0] <= MAX_ID and reference[1].isprintable()]
    rows = Rows(
        connection,
        {"brand_id": "bigint", "external_id": "text"},
        [[brand_id for brand_id, _ in known], [external_id for _, external_id in known]],
    )
    homes = _homes(rows, "c.brand_id = rows.brand_id AND c.external_id = rows.external_id")
    return {(home.brand_id, home.external_id): home for home in homes if home.external_id is not None}


def find_recorded(events: Collection[tuple[int, str]]) -> dict[tuple[int, str], Recorded]:
    """Return what the ledger has under these brands and event ids."""
    rows = Rows(
        connection,
        {"brand_id": "bigint", "event_id": "text"},
        [[brand_id for brand_id, _ in events], [event_id for _, event_id in events]],
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT l.brand_id, l.event_id, l.campaign_id, l.kind, l.amount FROM {rows.sql}
            JOIN campaigns_spendlog l ON l.brand_id = rows.brand_id AND l.event_id = rows.event_id
            """,
            rows.params,
        )
        return {
            (brand_id, event_id): Recorded(campaign_id, SpendLog.Kind(kind), micros)
            for brand_id, event_id, campaign_id, kind, micros in cursor.fetchall()
        }


def _homes(rows: Rows, match: str) -> list[Home]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT c.id, c.external_id, b.id, b.name, b.timezone, b.currency FROM {rows.sql}
            JOIN campaigns_campaign c ON {match} JOIN campaigns_brand b ON b.id = c.brand_id
            """,
            rows.params,
        )
        return [
            Home(campaign_id, external_id, brand_id, brand, ZoneInfo(zone), currency)
            for campaign_id, external_id, brand_id, brand, zone, currency in cursor.fetchall()
        ]


class _Match(NamedTuple):
    """The campaigns that a reference means in one way: how many, one of them, and whether that has an external id."""

    reference: str
    way: By
    size: int
    campaign_id: int
    has_external_id: bool


def _matches(references: Sequence[str], by: Sequence[By], brand: Brand | None) -> list[_Match]:
    if not references:
        return []
    numbers = [_as_id(reference) for reference in references]
    rows = Rows(connection, {"reference": "text", "number": "bigint"}, [references, numbers])
    of_brand, brand_params = ("", []) if brand is None else ("AND c.brand_id = %s", [brand.pk])
    # IN and not a join: without an index on what is asked for, the campaigns are gone through once for all references.
    ways = [
        f"""
        SELECT {column}, '{way}', count(*), min(c.id), count(c.external_id) FROM campaigns_campaign c
        WHERE {column} IN (SELECT {given} FROM {rows.sql}) {of_brand} GROUP BY {column}
        """
        for way, (column, given) in ((way, _MATCH[way]) for way in by)
    ]
    with connection.cursor() as cursor:
        matches = []
        for statement in ways:  # one by one: a number and a text are no columns of one union
            cursor.execute(statement, [*rows.params, *brand_params])
            matches += [_Match(str(row[0]), By(row[1]), row[2], row[3], bool(row[4])) for row in cursor.fetchall()]
        return matches


def _verdict(
    reference: str, found: Sequence[_Match], homes: dict[int, Home], by: Sequence[By], brand: Brand | None
) -> Home | str:
    safe = [match for match in found if not (match.way is By.ID and match.has_external_id and By.EXTERNAL_ID in by)]
    meant = {match.campaign_id for match in safe}
    for match in safe:
        if match.size > 1:
            return (
                f"The {_LABELS[match.way]} {_shown(reference)} fits {match.size} campaigns; {_narrower(match, brand)}."
            )
    if len(meant) > 1:
        ways = " and the ".join(f"{_LABELS[match.way]} of campaign {match.campaign_id}" for match in safe)
        return f"{_shown(reference)} is the {ways}; say which is meant with --by."
    if meant:
        return homes[meant.pop()]
    if any(match.way is By.ID for match in found):
        return (
            f"Campaign {reference} has an external id, so {_shown(reference)} may be the number of another system; "
            "say --by id if it is ours."
        )
    ways = " or ".join(_LABELS[way] for way in by)
    return f"There is no campaign with the {ways} {_shown(reference)}{f' in {brand}' if brand else ''}."


def _narrower(match: _Match, brand: Brand | None) -> str:
    if match.way is By.EXTERNAL_ID:
        return "say of which brand with --brand"
    return "use a column with ids" if brand else "use a column with ids, or say of which brand with --brand"


def _as_id(reference: str) -> int | None:
    """The number that a reference is, written as we write ids."""
    if not (reference.isascii() and reference.isdigit() and len(reference) <= 19 and reference[0] != "0"):
        return None
    number = int(reference)
    return number if number <= MAX_ID else None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
