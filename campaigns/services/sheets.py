"""Campaigns out of a sheet: what each row would do, and then all that is good in one transaction.

A row finds its campaign by id, by brand and external id, or by brand and name. The whole sheet takes a constant number
of queries.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from django.core.exceptions import ObjectDoesNotExist
from django.db import connection, transaction
from django.db.models import QuerySet

from campaigns.gateways import campaigns_csv
from campaigns.gateways.campaigns_csv import Line
from campaigns.gateways.sheets import defused, plain
from campaigns.models import Brand, Campaign, DaypartingSchedule
from campaigns.rules.errors import BudgetError
from campaigns.services import bulk, checks, rehearsal, reviews
from campaigns.services.bulk import HOURS, NewCampaign
from campaigns.services.checks import Changed
from campaigns.services.reviews import ChangedMeanwhileError
from campaigns.services.status import Actor, Change

MANY = 500
"""New campaigns from which on what the database knows of its tables is no longer true."""


class Does(enum.StrEnum):
    """What a row does."""

    ERROR = "error"
    CREATE = "create"
    CHANGE = "change"
    NOTHING = "nothing"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What the person may do. brand_ids: the only brands that the person sees, None for all."""

    brand_ids: Sequence[int] | None
    may_add: bool
    may_change: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a row of the sheet would do."""

    line: Line
    does: Does
    brand: Brand | None = None
    campaign: Campaign | None = None
    """As it is before; None where it is to be created."""
    name: str = ""
    changes: Changed = dataclasses.field(default_factory=dict)
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    why: str = ""
    """Of an error: one sentence."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What a sheet would do, row by row."""

    rows: Sequence[Planned]

    def of(self, does: Does) -> list[Planned]:
        """Return the rows that do this."""
        return [row for row in self.rows if row.does is does]

    @property
    def doing(self) -> list[Planned]:
        """The rows that create or change a campaign."""
        return [row for row in self.rows if row.does in (Does.CREATE, Does.CHANGE)]

    @property
    def good(self) -> int:
        """How many they are."""
        return len(self.doing)

    @property
    def brand_ids(self) -> set[int]:
        """The brands whose campaigns are created or changed."""
        return {row.brand.pk for row in self.doing if row.brand is not None}

    @property
    def seal(self) -> str:
        """A short text that is another one where the sheet would do something else."""
        return reviews.seal(
            [
                [row.line.number, row.does, row.campaign and row.campaign.pk, row.brand and row.brand.pk, row.changes]
                for row in self.rows
            ]
        )


class Imported(NamedTuple):
    """What a sheet did, or would do."""

    plan: Plan
    changes: Sequence[Change]


def rehearse(lines: Sequence[Line], rights: Rights, *, now: datetime, by: Actor) -> Imported:
    """Return what a sheet would do now: do it a slice at a time, and take all of it back.

    The rows are read and checked before anything is locked. Raises BudgetError where it can't be tried.
    """
    found = plan(lines, rights)
    work = partial(_carry_out, now=now, by=by)
    changes = rehearsal.rehearse_in_slices(work, sorted(found.doing, key=_place))
    return Imported(found, [change for some in changes for change in some])


def _place(row: Planned) -> tuple[int, int]:
    """Where the locks of a row are: what lies side by side is rehearsed together, and locks few brands."""
    return (row.brand.pk if row.brand else 0, row.campaign.pk if row.campaign else 0)


def apply(lines: Sequence[Line], rights: Rights, *, seen: str, now: datetime, by: Actor) -> Imported:
    """Create and change what the good rows of a sheet say. seen: the seal of the plan that the person has seen.

    Raises ChangedMeanwhileError, with nothing changed, where it would now do something else.
    """
    with transaction.atomic():
        bulk.lock_brands(plan(lines, rights).brand_ids)  # first in the order; from here on nobody else sets anything
        found = plan(lines, rights)
        if found.seal != seen:
            raise ChangedMeanwhileError
        done = Imported(found, _carry_out(found.doing, now, by))
    if len(found.of(Does.CREATE)) >= MANY:
        _count_rows()
    return done


def _count_rows() -> None:
    """Have PostgreSQL count its rows now, not in a minute: a planner that takes thousands for one joins them by loops.

    For the next import of the same campaigns that is the difference between a second and half a minute.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "ANALYZE (SKIP_LOCKED) campaigns_campaign, campaigns_campaigncounter, campaigns_daypartingschedule"
            )


def _carry_out(rows: Sequence[Planned], now: datetime, by: Actor) -> list[Change]:
    new = [NewCampaign(row.brand.pk, row.given) for row in rows if row.does is Does.CREATE and row.brand is not None]
    changes = {row.campaign.pk: row.given for row in rows if row.does is Does.CHANGE and row.campaign is not None}
    return bulk.put_campaigns(new=new, changes=changes, now=now, by=by) if rows else []


def plan(lines: Sequence[Line], rights: Rights) -> Plan:
    """Return what each row of a sheet would do; changes nothing."""
    known = _Known(lines, rights)
    rows = [_plan_row(line, known, rights) for line in lines]
    return Plan(_without_clashes(rows))


class _Known:
    """The brands and campaigns that a sheet names, among those that the person sees."""

    def __init__(self, lines: Sequence[Line], rights: Rights) -> None:
        brands = Brand.objects.all() if rights.brand_ids is None else Brand.objects.filter(pk__in=rights.brand_ids)
        campaigns = Campaign.objects.select_related("brand", "schedule")
        if rights.brand_ids is not None:
            campaigns = campaigns.filter(brand__in=rights.brand_ids)
        self.brands = {brand.name: brand for brand in brands.filter(name__in=_texts(lines, "brand"))}
        ids = {int(cell) for cell in _cells(lines, "id") if _is_id(cell)}
        self.by_id = {row.pk: row for row in campaigns.filter(pk__in=ids)}
        of_brands = campaigns.filter(brand__in=[brand.pk for brand in self.brands.values()])
        self.by_external_id: dict[tuple[int, str | None], Campaign] = {
            (row.brand_id, row.external_id): row for row in _named(of_brands, "external_id", lines)
        }
        self.by_name: dict[tuple[int, str], list[Campaign]] = defaultdict(list)
        for row in _named(of_brands, "name", lines, column="campaign"):
            self.by_name[row.brand_id, row.name].append(row)
        others = Campaign.objects.filter(external_id__in=_texts(lines, "external_id"))
        self.taken = {
            (brand_id, external_id): pk
            for pk, brand_id, external_id in others.values_list("pk", "brand_id", "external_id")
        }


def _named(rows: QuerySet[Campaign], field: str, lines: Sequence[Line], column: str = "") -> Iterable[Campaign]:
    return rows.filter(**{f"{field}__in": _texts(lines, column or field)}).order_by("pk")


def _cells(lines: Sequence[Line], column: str) -> set[str]:
    return {cell for line in lines if (cell := line.values.get(column, ""))}


def _texts(lines: Sequence[Line], column: str) -> set[str]:
    """The texts of a column, as they stand and without what keeps a spreadsheet from taking them for a formula."""
    cells = {cell for cell in _cells(lines, column) if cell.isprintable()}
    return cells | {plain(cell) for cell in cells}


def _is_id(cell: str) -> bool:
    return cell.isascii() and cell.isdigit() and 0 < int(cell[:20]) < 2**63


def _plan_row(line: Line, known: _Known, rights: Rights) -> Planned:
    brand = campaign = None
    try:
        if line.problem:
            raise BudgetError(line.problem)
        brand, campaign = _find(line.values, known)
        given = campaigns_csv.read_values(line.values) | _names(line.values, campaign)
        row = _new(line, brand, given, rights) if campaign is None else _changed(line, campaign, given, rights)
        _check_external_id(row, known)
        return row
    except BudgetError as error:
        name = line.values.get("campaign", "") if campaign is None else campaign.name
        return Planned(line=line, does=Does.ERROR, why=str(error), brand=brand, name=name)


def _find(values: Mapping[str, str], known: _Known) -> tuple[Brand, Campaign | None]:
    """The brand and the campaign that a row is about; no campaign where it is to be created."""
    id_, brand_name = values.get("id", ""), values.get("brand", "")
    brand = known.brands.get(brand_name) or known.brands.get(plain(brand_name))
    if id_:
        campaign = known.by_id.get(int(id_)) if _is_id(id_) else None
        if campaign is None:
            raise BudgetError(
                f"There is no campaign with the id {id_[:20]}; leave the id empty to name it by its brand."
            )
        if brand_name and (brand is None or brand.pk != campaign.brand_id):
            raise BudgetError(
                f"Campaign {campaign.pk} is of {campaign.brand}; a campaign does not move to another brand."
            )
        return campaign.brand, campaign
    if not brand_name:
        raise BudgetError("Give an id, or a brand with an external_id or a campaign.")
    if brand is None:
        raise BudgetError(f"There is no brand {brand_name[:60]!r}; check how it is written.")
    return brand, _find_by_name(values, brand, known)


def _find_by_name(values: Mapping[str, str], brand: Brand, known: _Known) -> Campaign | None:
    own, name = values.get("external_id", ""), values.get("campaign", "")
    if own:
        found_by_own = known.by_external_id.get((brand.pk, own)) or known.by_external_id.get((brand.pk, plain(own)))
        if own.lower() != campaigns_csv.NONE:
            return found_by_own
        # The word may also be the very external id; but of a campaign by another name it is to be removed.
        if found_by_own is not None and (not name or _is_kept(name, found_by_own.name)):
            return found_by_own
    if not name:
        raise BudgetError("Give an id, or a brand with an external_id or a campaign.")
    found = known.by_name.get((brand.pk, name)) or known.by_name.get((brand.pk, plain(name))) or []
    if len(found) > 1:
        raise BudgetError(f"{len(found)} campaigns of {brand} have this name; give the id of the one that is meant.")
    return found[0] if found else None


def _names(values: Mapping[str, str], campaign: Campaign | None) -> dict[str, Any]:
    """The name and the external id that a row gives. One that is the present one, as an export has it, is kept."""
    given: dict[str, Any] = {}
    for column, field in (("campaign", "name"), ("external_id", "external_id")):
        cell = values.get(column, "")
        current = getattr(campaign, field, None) or ""
        if not cell:
            continue
        if _is_kept(cell, current):
            given[field] = current
        elif cell.lower() == campaigns_csv.NONE and field == "external_id":
            given[field] = None
        else:
            given[field] = plain(cell)
    return given


def _is_kept(cell: str, current: str) -> bool:
    """Whether a cell is what there is, as it stands or as an export has it."""
    return cell in (current, defused(current))


def _new(line: Line, brand: Brand, given: dict[str, Any], rights: Rights) -> Planned:
    if not rights.may_add:
        raise BudgetError(f"{brand} has no such campaign, and you may not add one.")
    if brand.archived_at is not None:
        raise BudgetError(f"{brand} is archived; no campaign can be added to it.")
    if not given.get("name"):
        raise BudgetError("A new campaign needs a name; fill in the column campaign.")
    given = {name: value for name, value in given.items() if value is not None}
    row = Campaign(brand=brand)
    changes = _put(row, given)
    if HOURS in given:
        changes[HOURS] = (None, bulk.hours_text(DaypartingSchedule(**given[HOURS])))
    return Planned(line=line, does=Does.CREATE, brand=brand, name=row.name, changes=changes, given=given)


def _changed(line: Line, campaign: Campaign, given: dict[str, Any], rights: Rights) -> Planned:
    changes = _put(copy.copy(campaign), given)
    if HOURS in given:
        hours = (_hours(campaign), _as_text(given[HOURS]))
        changes |= {HOURS: hours} if hours[0] != hours[1] else {}
    if changes and campaign.archived_at is not None:
        raise BudgetError(f"{campaign} is archived; it stays as it is.")
    if changes and not rights.may_change:
        raise BudgetError(f"You may not change {campaign}.")
    if changes.keys() & {"name", "external_id"} and not rights.may_add:
        raise BudgetError("You may not change names and external ids; leave them as they are.")
    return Planned(
        line=line,
        does=Does.CHANGE if changes else Does.NOTHING,
        brand=campaign.brand,
        campaign=campaign,
        name=campaign.name,
        changes=changes,
        given={name: value for name, value in given.items() if name in changes},
    )


def _check_external_id(row: Planned, known: _Known) -> None:
    own = row.given.get("external_id")
    if row.brand is not None and own and "external_id" in row.changes:
        holder = known.taken.get((row.brand.pk, own))
        if holder is not None and (row.campaign is None or holder != row.campaign.pk):
            raise checks.taken(Campaign(), "external_id")


def _put(row: Campaign, given: Mapping[str, Any]) -> Changed:
    return checks.put(row, {name: value for name, value in given.items() if name != HOURS})


def _hours(campaign: Campaign) -> str | None:
    try:
        return bulk.hours_text(campaign.schedule)
    except ObjectDoesNotExist:
        return None


def _as_text(form: Mapping[str, Any] | None) -> str | None:
    return None if form is None else bulk.hours_text(DaypartingSchedule(**form))


def _without_clashes(rows: Sequence[Planned]) -> list[Planned]:
    """Refuse rows about a campaign, or with an external id, that a row above is about or has."""
    seen: dict[object, int] = {}
    found = []
    for row in rows:
        about = _about(row)
        clash = next((seen[key] for key in about if key in seen), None)
        if clash is not None:
            why = f"Line {clash} is about the same campaign or gives the same external id; give each campaign one row."
            found.append(dataclasses.replace(row, does=Does.ERROR, why=why))
            continue
        seen |= dict.fromkeys(about, row.line.number)
        found.append(row)
    return found


def _about(row: Planned) -> list[object]:
    """What a row must have for itself, as long as it is good."""
    if row.does is Does.ERROR or row.brand is None:
        return []
    own = row.given.get("external_id")
    keys: list[object] = [("external id", row.brand.pk, own)] if own else []
    if row.campaign is not None:
        return [*keys, row.campaign.pk]
    return keys or [("name", row.brand.pk, row.name)]
