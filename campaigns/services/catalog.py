"""What people set: brands, campaigns, schedules. Every change is judged in the transaction that makes it.

Everything here raises BudgetError, with nothing changed, for what can't be; the sentence names the field, and where
it is about one field only the error does, too (InvalidFieldError).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypedDict, Unpack
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from campaigns.models import Brand, BrandHour, Campaign, CampaignHour, Edit, Hold, StatusChange
from campaigns.models.figures import Campaigns
from campaigns.queries.archive import has_spend
from campaigns.rules import periods
from campaigns.rules.errors import BudgetError, InvalidFieldError
from campaigns.rules.schedules import ALL_WEEKDAYS, Schedule, ScheduleError
from campaigns.services import bulk, checks, counters, edits, enforcement, feed, status
from campaigns.services.status import NOBODY, Actor, Because, Change

Budget = Decimal | str | int | None
"""A budget as callers give it, in currency units; None is no limit."""

DELETED_AT_ONCE = 10_000
"""Campaigns without spend that are deleted in one statement, with their brand."""


class BrandFields(TypedDict, total=False):
    """What can be set on a brand."""

    name: str
    external_id: str | None
    timezone: ZoneInfo | str
    currency: str
    daily_budget: Budget
    monthly_budget: Budget
    budget_scope: str
    pacing: str
    daily_from_month: bool
    daily_least: Budget
    daily_most: Budget


class CampaignFields(TypedDict, total=False):
    """What can be set on a campaign."""

    name: str
    external_id: str | None
    daily_budget: Budget
    monthly_budget: Budget
    total_budget: Budget
    flight_start: date | None
    flight_end: date | None
    pacing: str
    daily_from_month: bool
    daily_least: Budget
    daily_most: Budget


def create_brand(*, now: datetime, by: Actor = NOBODY, **fields: Unpack[BrandFields]) -> Brand:
    """Create a brand. Without a time zone it gets the server's, without a currency US dollars."""
    brand = Brand(created_at=now)
    changes = _set(brand, fields)
    with transaction.atomic():
        with bulk.saving():
            brand.save(force_insert=True)
        edits.record(brand_id=brand.pk, verb=Edit.Verb.CREATED, changes=changes, now=now, by=by)
        if brand.daily_from_month and bulk.share_brands([brand.pk], now=now):
            brand.refresh_from_db(fields=["daily_budget"])
    return brand


def update_brand(*, brand_id: int, now: datetime, by: Actor = NOBODY, **fields: Unpack[BrandFields]) -> list[Change]:
    """Change a brand and judge its campaigns; return the status changes."""
    with transaction.atomic():
        brand = _locked_brand(brand_id)
        currency, zone = brand.currency, brand.timezone
        changed = _set(brand, fields)
        counters.lock(brand.pk, periods.local_date(now, zone), periods.local_date(now, brand.timezone))
        if brand.currency != currency and has_spend(brand_id=brand.pk):
            raise BudgetError(f"{brand} has spend in {currency}, so its currency stays; make a new brand instead.")
        # Before the brand: a new name locks its row against the spend that has locked one of these and waits for it.
        status.lock(Campaigns.of_brands(connection, [brand.pk]))
        if changed:
            with bulk.saving():
                brand.save(update_fields=list(changed))
            if "timezone" in changed:
                BrandHour.objects.filter(brand=brand).delete()  # they are of another clock; the next run adds them up
                CampaignHour.objects.filter(brand=brand).delete()
            feed.announce(brand_id=brand.pk, now=now)
            edits.record(brand_id=brand.pk, verb=Edit.Verb.CHANGED, changes=changed, now=now, by=by)
            if brand.daily_from_month:
                bulk.share_brands([brand.pk], now=now)
        because = Because(cause=bulk.cause(fields), by=by)
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
        with bulk.saving():
            campaign.save(force_insert=True)
        feed.announce(brand_id=brand.pk, campaign_id=campaign.pk, now=now)
        edits.record(
            brand_id=brand.pk, campaign_id=campaign.pk, verb=Edit.Verb.CREATED, changes=changes, now=now, by=by
        )
        if campaign.daily_from_month:
            bulk.share_campaigns([campaign.pk], now=now)
        because = Because(cause=StatusChange.Cause.CREATED, by=by)
        enforcement.judge_campaigns([campaign.pk], now=now, because=because)
    campaign.refresh_from_db()
    return campaign


def update_campaign(
    *, campaign_id: int, now: datetime, by: Actor = NOBODY, **fields: Unpack[CampaignFields]
) -> list[Change]:
    """Change a campaign and judge it; return its status change, if any."""
    return bulk.change_campaigns({campaign_id: fields}, now=now, by=by)


def upsert_campaign(
    *, brand_id: int, now: datetime, by: Actor = NOBODY, **fields: Unpack[CampaignFields]
) -> tuple[Campaign, bool]:
    """Create the campaign of a brand with an external id or, if there is one, change it; judge it either way.

    fields: must have the external id; what they leave out keeps its value, or gets its default where it is created.
    Returns the campaign as it now is, and whether it was created. Two at once make one campaign: whoever creates or
    changes a campaign holds its brand's lock, so that the second finds what the first has made.
    """
    external_id = str(checks.read("external_id", fields.get("external_id") or ""))
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
    return bulk.set_hours({campaign_id: form}, now=now, by=by)


def set_grid(*, campaign_id: int, grid: str, now: datetime, by: Actor = NOBODY) -> list[Change]:
    """Let a campaign spend in the hours of the week that are 1 in the grid (168 from Monday 00:00), and judge it."""
    try:
        hours = Schedule.from_grid(grid).hours
    except ScheduleError as error:
        raise BudgetError(str(error)) from error
    form = {"start_hour": None, "end_hour": None, "weekdays": None, "grid": hours}
    return bulk.set_hours({campaign_id: form}, now=now, by=by)


def clear_schedule(*, campaign_id: int, now: datetime, by: Actor = NOBODY) -> list[Change]:
    """Let a campaign spend at any hour, and judge it."""
    return bulk.set_hours({campaign_id: None}, now=now, by=by)


def pause(*, campaign_id: int, now: datetime, by: Actor = NOBODY, note: str = "") -> Change | None:
    """Pause a campaign until a person resumes it; return the change, None if a person had paused it before."""
    return next(iter(bulk.pause_campaigns([campaign_id], now=now, by=by, note=note)), None)


def resume(*, campaign_id: int, now: datetime, by: Actor = NOBODY, note: str = "") -> Change | None:
    """Lift a person's pause; return the change, None if there was none. Other reasons keep it paused."""
    return next(iter(bulk.resume_campaigns([campaign_id], now=now, by=by, note=note)), None)


def archive_brand(*, brand_id: int, now: datetime, by: Actor = NOBODY) -> None:
    """Take a brand and its campaigns out of use for good; their ledger and journal stay."""
    with transaction.atomic():
        brand = _locked_brand(brand_id)
        bulk.archive(Campaigns.of_brands(connection, [brand.pk]), brand.campaigns.all(), now, by)
        if Brand.objects.filter(pk=brand.pk, archived_at=None).update(archived_at=now):
            edits.record(brand_id=brand.pk, verb=Edit.Verb.ARCHIVED, now=now, by=by)
        feed.announce(brand_id=brand.pk, now=now)


def archive_campaign(*, campaign_id: int, now: datetime, by: Actor = NOBODY) -> None:
    """Take a campaign out of use for good; its ledger and journal stay."""
    bulk.archive_campaigns([campaign_id], now=now, by=by)


def delete_brand(*, brand_id: int, now: datetime, by: Actor = NOBODY) -> None:
    """Delete a brand that never had a campaign with spend, with its campaigns."""
    with _deleting(), transaction.atomic():
        brand = _locked_brand(brand_id)
        if has_spend(brand_id=brand.pk):
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
        if has_spend(brand_id=campaign.brand_id, campaign_id=campaign.pk):
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


def _locked_brand(brand_id: int) -> Brand:
    return bulk.lock_brands([brand_id])[brand_id]


def _campaign(campaign_id: int) -> Campaign:
    campaign = Campaign.objects.select_related("brand").filter(pk=campaign_id).first()
    if campaign is None:
        raise BudgetError(f"There is no campaign {campaign_id}.")
    return campaign


def _set(row: Brand | Campaign, given: Mapping[str, Any]) -> checks.Changed:
    """Set some fields of a row, checked as a whole; return those that are another value by that: was and is."""
    before = checks.assign(row, given)
    try:
        row.full_clean(validate_constraints=False)
        checks.check_pacing(row, given)
        row.validate_constraints()
    except ValidationError as error:
        raise checks.invalid(error, row, given) from error
    change = checks.changed(row, before)
    checks.check_daily_budget(row, change)
    return change
