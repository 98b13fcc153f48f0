"""What people set: brands, campaigns, schedules. Every change is judged in the transaction that makes it.

Everything here raises BudgetError, with nothing changed, for what can't be; the sentence names the field, and where
it is about one field only the error does, too (InvalidFieldError).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, TypedDict, Unpack
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet

from campaigns.models import Brand, Campaign, DaypartingSchedule, Edit, Hold, SpendLog, StatusChange
from campaigns.models.figures import Campaigns
from campaigns.rules import money, periods
from campaigns.rules.errors import BudgetError, InvalidFieldError
from campaigns.rules.schedules import ALL_WEEKDAYS, Schedule, ScheduleError
from campaigns.rules.texts import TextError, check_note
from campaigns.services import counters, edits, enforcement, feed, status
from campaigns.services.status import NOBODY, Actor, Because, Change

Budget = Decimal | str | int | None
"""A budget as callers give it, in currency units; None is no limit."""

DELETED_AT_ONCE = 10_000
"""Campaigns without spend that are deleted in one statement, with their brand."""

_BUDGETS = {"daily_budget", "monthly_budget", "total_budget"}
_FLIGHT = {"flight_start", "flight_end"}


class BrandFields(TypedDict, total=False):
    """What can be set on a brand."""

    name: str
    external_id: str | None
    timezone: ZoneInfo | str
    currency: str
    daily_budget: Budget
    monthly_budget: Budget
    budget_scope: str


class CampaignFields(TypedDict, total=False):
    """What can be set on a campaign."""

    name: str
    external_id: str | None
    daily_budget: Budget
    monthly_budget: Budget
    total_budget: Budget
    flight_start: date | None
    flight_end: date | None


def create_brand(*, now: datetime, by: Actor = NOBODY, **fields: Unpack[BrandFields]) -> Brand:
    """Create a brand. Without a time zone it gets the server's, without a currency US dollars."""
    brand = Brand(created_at=now)
    changes = _set(brand, fields)
    with transaction.atomic():
        with _saving():
            brand.save(force_insert=True)
        edits.record(brand_id=brand.pk, verb=Edit.Verb.CREATED, changes=changes, now=now, by=by)
    return brand


def update_brand(*, brand_id: int, now: datetime, by: Actor = NOBODY, **fields: Unpack[BrandFields]) -> list[Change]:
    """Change a brand and judge its campaigns; return the status changes."""
    with transaction.atomic():
        brand = _locked_brand(brand_id)
        currency, zone = brand.currency, brand.timezone
        changed = _set(brand, fields)
        counters.lock(brand.pk, periods.local_date(now, zone), periods.local_date(now, brand.timezone))
        if brand.currency != currency and SpendLog.objects.filter(brand=brand).exists():
            raise BudgetError(f"{brand} has spend in {currency}, so its currency stays; make a new brand instead.")
        # Before the brand: a new name locks its row against the spend that has locked one of these and waits for it.
        status.lock(Campaigns.of_brands(connection, [brand.pk]))
        if changed:
            with _saving():
                brand.save(update_fields=list(changed))
            feed.announce(brand_id=brand.pk, now=now)
            edits.record(brand_id=brand.pk, verb=Edit.Verb.CHANGED, changes=changed, now=now, by=by)
        because = Because(cause=_cause(set(fields)), by=by)
        return enforcement.judge_brands([brand.pk], now=now, because=because)


def create_campaign(*, brand_id: int, now: datetime, by: Actor = NOBODY, **fields: Unpack[CampaignFields]) -> Campaign:
    """Create a campaign of a brand and judge it."""
    with transaction.atomic():
        brand = _locked_brand(brand_id)
        if brand.archived_at is not None:
            raise BudgetError(f"{brand} is archived; no campaign can be added to it.")
        # Held until the commit: a spend that crosses the brand's budget comes before this campaign or finds it.
        counters.lock(brand.pk, periods.local_date(now, brand.timezone))
        campaign = Campaign(brand=brand, created_at=now)
        changes = _set(campaign, fields)
        with _saving():
            campaign.save(force_insert=True)
        feed.announce(brand_id=brand.pk, campaign_id=campaign.pk, now=now)
        edits.record(
            brand_id=brand.pk, campaign_id=campaign.pk, verb=Edit.Verb.CREATED, changes=changes, now=now, by=by
        )
        because = Because(cause=StatusChange.Cause.CREATED, by=by)
        enforcement.judge_campaigns([campaign.pk], now=now, because=because)
    campaign.refresh_from_db()
    return campaign


def update_campaign(
    *, campaign_id: int, now: datetime, by: Actor = NOBODY, **fields: Unpack[CampaignFields]
) -> list[Change]:
    """Change a campaign and judge it; return its status change, if any."""
    with transaction.atomic():
        brand = _locked_brand(_campaign(campaign_id).brand_id)
        counters.lock(brand.pk, periods.local_date(now, brand.timezone), campaign_id=campaign_id)
        status.lock(Campaigns.with_ids(connection, [campaign_id]))
        campaign = _campaign(campaign_id)  # as whoever held the locks before us has left it
        changed = _set(campaign, fields)
        if changed:
            with _saving():
                campaign.save(update_fields=list(changed))
            feed.announce(brand_id=brand.pk, campaign_id=campaign.pk, now=now)
            edits.record(
                brand_id=brand.pk, campaign_id=campaign.pk, verb=Edit.Verb.CHANGED, changes=changed, now=now, by=by
            )
        because = Because(cause=_cause(set(fields)), by=by)
        return enforcement.judge_campaigns([campaign.pk], now=now, because=because)


def upsert_campaign(
    *, brand_id: int, now: datetime, by: Actor = NOBODY, **fields: Unpack[CampaignFields]
) -> tuple[Campaign, bool]:
    """Create the campaign of a brand with an external id or, if there is one, change it; judge it either way.

    fields: must have the external id; what they leave out keeps its value, or gets its default where it is created.
    Returns the campaign as it now is, and whether it was created. Two at once make one campaign: whoever creates or
    changes a campaign holds its brand's lock, so that the second finds what the first has made.
    """
    external_id = str(_read("external_id", fields.get("external_id") or ""))
    if not external_id:
        raise InvalidFieldError("external_id", "External id: give one; the campaign is looked up by it.")
    with transaction.atomic():
        brand = _locked_brand(brand_id)
        campaign = Campaign.objects.filter(brand=brand, external_id=external_id).first()
        if campaign is None:
            return create_campaign(brand_id=brand.pk, now=now, by=by, **fields), True
        update_campaign(campaign_id=campaign.pk, now=now, by=by, **fields)
    campaign.refresh_from_db()
    return campaign, False


def set_window(
    *,
    campaign_id: int,
    start_hour: int,
    end_hour: int,
    weekdays: int = ALL_WEEKDAYS,
    now: datetime,
    by: Actor = NOBODY,
) -> list[Change]:
    """Let a campaign spend from start_hour to before end_hour on some weekdays (bits, Monday is 1), and judge it."""
    try:
        Schedule.from_window(start_hour, end_hour, weekdays)
    except ScheduleError as error:
        raise BudgetError(str(error)) from error
    form = {"start_hour": start_hour, "end_hour": end_hour, "weekdays": weekdays, "grid": None}
    return _put_schedule(campaign_id, form, now, by)


def set_grid(*, campaign_id: int, grid: str, now: datetime, by: Actor = NOBODY) -> list[Change]:
    """Let a campaign spend in the hours of the week that are 1 in the grid (168 from Monday 00:00), and judge it."""
    try:
        hours = Schedule.from_grid(grid).hours
    except ScheduleError as error:
        raise BudgetError(str(error)) from error
    form = {"start_hour": None, "end_hour": None, "weekdays": None, "grid": hours}
    return _put_schedule(campaign_id, form, now, by)


def clear_schedule(*, campaign_id: int, now: datetime, by: Actor = NOBODY) -> list[Change]:
    """Let a campaign spend at any hour, and judge it."""
    return _put_schedule(campaign_id, None, now, by)


def pause(*, campaign_id: int, now: datetime, by: Actor = NOBODY, note: str = "") -> Change | None:
    """Pause a campaign until a person resumes it; return the change, None if a person had paused it before."""
    return _set_pause(campaign_id, now, by, note, paused=True)


def resume(*, campaign_id: int, now: datetime, by: Actor = NOBODY, note: str = "") -> Change | None:
    """Lift a person's pause; return the change, None if there was none. Other reasons keep it paused."""
    return _set_pause(campaign_id, now, by, note, paused=False)


def archive_brand(*, brand_id: int, now: datetime, by: Actor = NOBODY) -> None:
    """Take a brand and its campaigns out of use for good; their ledger and journal stay."""
    with transaction.atomic():
        brand = _locked_brand(brand_id)
        _archive(Campaigns.of_brands(connection, [brand.pk]), brand.campaigns.all(), now, by)
        if Brand.objects.filter(pk=brand.pk, archived_at=None).update(archived_at=now):
            edits.record(brand_id=brand.pk, verb=Edit.Verb.ARCHIVED, now=now, by=by)
        feed.announce(brand_id=brand.pk, now=now)


def archive_campaign(*, campaign_id: int, now: datetime, by: Actor = NOBODY) -> None:
    """Take a campaign out of use for good; its ledger and journal stay."""
    with transaction.atomic():
        campaign = _campaign(campaign_id)
        _archive(Campaigns.with_ids(connection, [campaign.pk]), Campaign.objects.filter(pk=campaign.pk), now, by)
        if campaign.archived_at is None:
            edits.record(brand_id=campaign.brand_id, campaign_id=campaign.pk, verb=Edit.Verb.ARCHIVED, now=now, by=by)
        feed.announce(brand_id=campaign.brand_id, campaign_id=campaign.pk, now=now)


def delete_brand(*, brand_id: int, now: datetime, by: Actor = NOBODY) -> None:
    """Delete a brand that never had a campaign with spend, with its campaigns."""
    with _deleting(), transaction.atomic():
        brand = _locked_brand(brand_id)
        if SpendLog.objects.filter(brand=brand).exists():
            raise BudgetError(f"{brand} has spend and can't be deleted; archive it instead.")
        if Hold.objects.filter(brand=brand).exists():
            raise BudgetError(f"{brand} has holds and can't be deleted; archive it instead.")
        counters.remove_empty(brand_id=brand.pk)
        feed.announce_each(brand_id=brand.pk, now=now)
        edits.record(brand_id=brand.pk, verb=Edit.Verb.DELETED, changes={"name": (brand.name, None)}, now=now, by=by)
        ids = brand.campaigns.order_by("pk").values_list("pk", flat=True)
        while some := list(ids[:DELETED_AT_ONCE]):
            Campaign.objects.filter(pk__in=some).delete()
        brand.delete()


def delete_campaign(*, campaign_id: int, now: datetime, by: Actor = NOBODY) -> None:
    """Delete a campaign that never had spend."""
    with _deleting(), transaction.atomic():
        campaign = _campaign(campaign_id)
        if SpendLog.objects.filter(campaign=campaign).exists():
            raise BudgetError(f"{campaign} has spend and can't be deleted; archive it instead.")
        if Hold.objects.filter(campaign=campaign).exists():
            raise BudgetError(f"{campaign} has holds and can't be deleted; archive it instead.")
        counters.remove_empty(campaign_id=campaign.pk)
        feed.announce(brand_id=campaign.brand_id, campaign_id=campaign.pk, now=now)
        gone = {"name": (campaign.name, None)}
        edits.record(
            brand_id=campaign.brand_id, campaign_id=campaign.pk, verb=Edit.Verb.DELETED, changes=gone, now=now, by=by
        )
        campaign.delete()


@contextlib.contextmanager
def _deleting() -> Iterator[None]:
    """The database has the last word: spend that came after we looked keeps what it belongs to."""
    try:
        yield
    except IntegrityError as error:
        raise BudgetError("Spend came in just now, so this can't be deleted; archive it instead.") from error


@contextlib.contextmanager
def _saving() -> Iterator[None]:
    """The database has the last word: somebody may have taken a name since it was found free."""
    try:
        yield
    except IntegrityError as error:
        raise BudgetError("This name or external id was taken just now; give another.") from error


def _cause(fields: set[str]) -> StatusChange.Cause:
    if fields & _FLIGHT:
        return StatusChange.Cause.FLIGHT
    return StatusChange.Cause.BUDGET if fields & _BUDGETS else StatusChange.Cause.SETTINGS


def _locked_brand(brand_id: int) -> Brand:
    # NO KEY: counters and campaigns refer to the row, and writing those must not wait for this.
    brand = Brand.objects.select_for_update(no_key=True).filter(pk=brand_id).first()
    if brand is None:
        raise BudgetError(f"There is no brand {brand_id}.")
    return brand


def _campaign(campaign_id: int) -> Campaign:
    campaign = Campaign.objects.select_related("brand").filter(pk=campaign_id).first()
    if campaign is None:
        raise BudgetError(f"There is no campaign {campaign_id}.")
    return campaign


def _set(row: Brand | Campaign, fields: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Set some fields of a row, checked as a whole; return those that are another value by that: was and is."""
    before = {name: getattr(row, name) for name in fields}
    for name, value in fields.items():
        setattr(row, name, _read(name, value))
    if row.external_id == "":
        row.external_id = None  # many rows may have none, only one may have an empty one
    try:
        row.full_clean()
    except ValidationError as error:
        raise _invalid(error, row, fields) from error
    return {name: (was, getattr(row, name)) for name, was in before.items() if getattr(row, name) != was}


def _read(field: str, value: Any) -> Any:
    """The value of a field as the row keeps it, where that is stricter than what the row itself would take."""
    if isinstance(value, str):
        value = value.strip()
        if not value.isprintable():
            raise InvalidFieldError(field, f"{_label(field)}: plain text only, without control characters.")
    if field in _BUDGETS and value is not None:
        try:
            money.parse_budget(value)
        except money.MoneyError as error:
            raise InvalidFieldError(field, f"{_label(field)}: {error}") from error
    if field == "timezone" and not isinstance(value, ZoneInfo):
        # Not all that can be opened is a zone of the database: some names are of another zone on each machine.
        if not isinstance(value, str) or value not in _zones():
            sentence = f"Timezone: {value!r} is none; give an IANA name such as Europe/Berlin."
            raise InvalidFieldError(field, sentence)
        return ZoneInfo(value)
    return value


@cache
def _zones() -> frozenset[str]:
    """The names of the time zone database, which begin with a capital; what a machine adds of its own does not."""
    return frozenset(name for name in available_timezones() if name[0].isupper() and name != "Factory")


def _label(field: str) -> str:
    return field.replace("_", " ").capitalize()


def _invalid(error: ValidationError, row: Brand | Campaign, fields: Mapping[str, Any]) -> BudgetError:
    """The first thing that is wrong, with the field it is about."""
    field, (first, *_) = next(iter(error.error_dict.items()))
    sentence = first.messages[0]
    if field == NON_FIELD_ERRORS:
        # A rule about several fields: that one is to blame which its sentence names and which was set.
        named = next((name for name in fields if _label(name) in sentence), None)
        if named is None:
            return BudgetError(sentence)
        field, sentence = named, sentence.removeprefix(f"{_label(named)}: ")
    if first.code in {"unique", "unique_together"}:
        sentence = f"another {type(row).__name__.lower()} has this one; give another."
    return InvalidFieldError(field, f"{_label(field)}: {sentence}")


def _put_schedule(
    campaign_id: int, form: Mapping[str, int | str | None] | None, now: datetime, by: Actor
) -> list[Change]:
    with transaction.atomic():
        campaign = _campaign(campaign_id)
        was = DaypartingSchedule.objects.filter(campaign=campaign).first()
        if form is None:
            became = None
            DaypartingSchedule.objects.filter(campaign=campaign).delete()
        else:
            became, _ = DaypartingSchedule.objects.update_or_create(campaign=campaign, defaults=form)
        feed.announce(brand_id=campaign.brand_id, campaign_id=campaign.pk, now=now)
        hours = (_hours(was), _hours(became))
        if hours[0] != hours[1]:
            edits.record(
                brand_id=campaign.brand_id,
                campaign_id=campaign.pk,
                verb=Edit.Verb.CHANGED,
                changes={"hours": hours},
                now=now,
                by=by,
            )
        because = Because(cause=StatusChange.Cause.SCHEDULE, by=by)
        return enforcement.judge_campaigns([campaign.pk], now=now, because=because)


def _hours(schedule: DaypartingSchedule | None) -> str | None:
    """A schedule as the record of edits keeps it: in words, or as the grid that it is."""
    if schedule is None:
        return None
    return schedule.grid if schedule.grid is not None else str(schedule)


def _set_pause(campaign_id: int, now: datetime, by: Actor, note: str, *, paused: bool) -> Change | None:
    try:
        check_note(note)
    except TextError as error:
        raise BudgetError(str(error)) from error
    with transaction.atomic():
        status.lock(Campaigns.with_ids(connection, [_campaign(campaign_id).pk]))
        campaign = _campaign(campaign_id)  # as whoever held the lock before us has left it
        if campaign.archived_at is not None:
            raise BudgetError(f"{campaign} is archived; it can't be paused or resumed.")
        Campaign.objects.filter(pk=campaign.pk).update(paused_manually=paused)
        because = Because(cause=StatusChange.Cause.PERSON, by=by, note=note)
        changes = enforcement.judge_campaigns([campaign.pk], now=now, because=because)
    return changes[0] if changes else None


def _archive(campaigns: Campaigns, rows: QuerySet[Campaign], now: datetime, by: Actor) -> None:
    """Pause the campaigns as a person's decision, then take them out of the judging. rows: the same campaigns."""
    status.lock(campaigns)
    rows.filter(archived_at=None).update(paused_manually=True)
    status.judge(campaigns, now=now, because=Because(cause=StatusChange.Cause.ARCHIVED, by=by))
    rows.filter(archived_at=None).update(archived_at=now)
