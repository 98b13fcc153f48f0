"""Many campaigns at once: each verb is one transaction, and takes as many statements for ten thousand as for one.

The verbs of `catalog.py` about one campaign are these with one id, so that there are no two truths. The order of the
locks is everybody's: brand rows, brand counters, campaign counters, campaign rows, each by ascending id.
"""

from __future__ import annotations

import contextlib
import enum
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet

from campaigns.models import Brand, Campaign, DaypartingSchedule, Edit, StatusChange
from campaigns.models.figures import Campaigns
from campaigns.models.rows import Rows
from campaigns.rules import money, periods
from campaigns.rules.errors import BudgetError, InvalidFieldError
from campaigns.rules.texts import TextError, check_note
from campaigns.services import checks, counters, edits, enforcement, feed, months, status
from campaigns.services.checks import Changed
from campaigns.services.counters import BRAND, BRAND_PERIODS, BudgetDay, Key
from campaigns.services.edits import Edited
from campaigns.services.months import Share
from campaigns.services.status import NOBODY, Actor, Because, Change

MAX_CAMPAIGNS = 10_000
"""Campaigns that are changed at once: bounds the locks and the memory of one transaction."""

HOURS = "hours"
"""Beside the fields of a campaign: when it may spend."""

Hours = Mapping[str, int | str | None] | None
"""The columns of a schedule; None is at any hour."""

Given = Mapping[str, Any]
"""What is to be set on a campaign: its fields, and its hours."""


class NewCampaign(NamedTuple):
    """A campaign that is to be created, with its brand's id."""

    brand_id: int
    given: Given


# --- Pausing, resuming, archiving --------------------------------------------------------------


def pause_campaigns(
    campaign_ids: Collection[int], *, now: datetime, by: Actor = NOBODY, note: str = ""
) -> list[Change]:
    """Pause campaigns until a person resumes them; return what that changed: nothing where a person had before.

    Raises BudgetError, with nothing changed, for more than 10,000, and where one is not there or archived.
    """
    return _set_pauses(campaign_ids, now, by, note, paused=True)


def resume_campaigns(
    campaign_ids: Collection[int], *, now: datetime, by: Actor = NOBODY, note: str = ""
) -> list[Change]:
    """Lift a person's pause of campaigns; return what that changed. Other reasons keep them paused. Raises as above."""
    return _set_pauses(campaign_ids, now, by, note, paused=False)


def archive_campaigns(campaign_ids: Collection[int], *, now: datetime, by: Actor = NOBODY) -> None:
    """Take campaigns out of use for good; their ledger and journal stay. Raises as above."""
    _check_ids(campaign_ids)
    with transaction.atomic():
        which = Campaigns.with_ids(connection, sorted(campaign_ids))
        status.lock(which)
        rows = _fresh(campaign_ids)
        archive(which, Campaign.objects.filter(pk__in=campaign_ids), now, by)
        gone = [Edited(row.brand_id, row.pk, Edit.Verb.ARCHIVED, {}) for row in rows if row.archived_at is None]
        edits.record_all(gone, now=now, by=by)
        feed.announce_campaigns(campaign_ids, now=now)


def archive(campaigns: Campaigns, rows: QuerySet[Campaign], now: datetime, by: Actor) -> None:
    """Pause campaigns as a person's decision, then take them out of the judging, within the caller's transaction.

    rows: the same campaigns.
    """
    status.lock(campaigns)
    rows.filter(archived_at=None).update(paused_manually=True)
    status.judge(campaigns, now=now, because=Because(cause=StatusChange.Cause.ARCHIVED, by=by))
    rows.filter(archived_at=None).update(archived_at=now)


def _set_pauses(campaign_ids: Collection[int], now: datetime, by: Actor, note: str, *, paused: bool) -> list[Change]:
    _check_ids(campaign_ids)
    try:
        check_note(note)
    except TextError as error:
        raise BudgetError(str(error)) from error
    with transaction.atomic():
        status.lock(Campaigns.with_ids(connection, sorted(campaign_ids)))
        rows = _fresh(campaign_ids)  # as whoever held the locks before us has left them
        for row in rows:
            if row.archived_at is not None:
                raise BudgetError(f"{row} is archived; it can't be paused or resumed.")
        Campaign.objects.filter(pk__in=campaign_ids).update(paused_manually=paused)
        because = Because(cause=StatusChange.Cause.PERSON, by=by, note=note)
        return enforcement.judge_campaigns(sorted(campaign_ids), now=now, because=because)


# --- Changing and creating ---------------------------------------------------------------------


def change_campaigns(changes: Mapping[int, Given], *, now: datetime, by: Actor = NOBODY) -> list[Change]:
    """Set fields and hours of campaigns, by id, and judge them; return the status changes.

    Raises BudgetError, with nothing changed, for more than 10,000, where one is not there, and for what can't be: the
    sentence names the campaign where there are several.
    """
    return put_campaigns(changes=changes, now=now, by=by)


class How(enum.StrEnum):
    """What is done to a budget."""

    SET = "set"
    RAISE = "raise"
    LOWER = "lower"
    REMOVE = "remove"


MOST_PERCENT = {How.RAISE: Decimal(1_000), How.LOWER: Decimal(100)}
"""The most percent by which a budget is changed at once: to raise it by more is a slip of the finger."""


class BudgetChange(NamedTuple):
    """What is done to one budget of many campaigns. value: an amount, or percent; none where it is removed."""

    field: str
    how: How
    value: Decimal | None = None


def change_budgets(
    campaign_ids: Collection[int], change: BudgetChange, *, now: datetime, by: Actor = NOBODY
) -> list[Change]:
    """Change one budget of campaigns and judge them; return the status changes.

    Percent are of what each of them has, rounded to its currency's own decimals; one without that budget stays as it
    is. Raises as above, and where one is archived.
    """
    _check_ids(campaign_ids)
    _check_change(change)
    with transaction.atomic():
        found = _lock((), campaign_ids, now)
        changes: dict[int, Given] = {}
        for row in found.rows.values():
            if row.archived_at is not None:
                raise BudgetError(f"{row} is archived; its budgets stay as they are.")
            budget = _changed_budget(row, change)
            if budget is not KEPT:
                changes[row.pk] = {change.field: budget}
        return _put(found, (), changes, now, by)


def _check_change(change: BudgetChange) -> None:
    """Raise BudgetError for what can't be done to any campaign."""
    if change.field not in checks.BUDGETS:
        raise BudgetError(f"A campaign has no {change.field!r}; name one of {', '.join(sorted(checks.BUDGETS))}.")
    if change.how is How.SET:
        checks.read(change.field, change.value)
    check_percent(change.how, change.value)


def check_percent(how: How, value: Decimal | None) -> None:
    """Raise BudgetError for percent by which no budget is raised or lowered."""
    most = MOST_PERCENT.get(how)
    if most is not None and not (value and 0 < value <= most):
        raise BudgetError(f"Give more than 0 and at most {most:,} percent to {how} a budget by.")


KEPT = object()
"""In place of a budget: it stays as it is."""


def _changed_budget(row: Campaign, change: BudgetChange) -> object:
    was = money.parse_budget(getattr(row, change.field))
    match change.how:
        case How.SET:
            became = money.parse_budget(change.value)
        case How.REMOVE:
            became = None
        case _:
            assert change.value is not None  # as was checked
            percent = change.value if change.how is How.RAISE else -change.value
            became = None if was is None else money.by_percent(was, percent, row.brand.currency)
    if became == was:
        return KEPT
    return None if became is None else money.from_micros(became)


def put_campaigns(
    *,
    new: Sequence[NewCampaign] = (),
    changes: Mapping[int, Given],
    now: datetime,
    by: Actor = NOBODY,
) -> list[Change]:
    """Create campaigns and change others, all of it or nothing, and judge them; return the status changes.

    Raises as above.
    """
    _check_ids(changes, more=len(new))
    with transaction.atomic():
        return _put(_lock(new, changes, now), new, changes, now, by)


def _put(
    found: _Locked, new: Sequence[NewCampaign], changes: Mapping[int, Given], now: datetime, by: Actor
) -> list[Change]:
    """Create and change within the caller's transaction, which holds the locks, and judge."""
    rows = {pk: found.rows[pk] for pk in changes}
    built = _build(new, found.brands, now)
    edited = {pk: _set(row, changes[pk], named="" if len(rows) == 1 else str(row)) for pk, row in rows.items()}
    _check_external_ids(
        [row for row, _ in built] + [rows[pk] for pk, changed in edited.items() if "external_id" in changed]
    )
    with saving():
        Campaign.objects.bulk_create([row for row, _ in built])
        _save([rows[pk] for pk, changed in edited.items() if changed])
    created = {row.pk: changed for row, changed in built}
    given = {**changes, **{row.pk: one.given for (row, _), one in zip(built, new, strict=True)}}
    hours = {pk: one[HOURS] for pk, one in given.items() if HOURS in one}
    for pk, change in _write_hours(hours).items():
        (created if pk in created else edited)[pk][HOURS] = change
    record = [Edited(row.brand_id, row.pk, Edit.Verb.CREATED, created[row.pk]) for row, _ in built]
    record += [Edited(rows[pk].brand_id, pk, Edit.Verb.CHANGED, changed) for pk, changed in edited.items() if changed]
    feed.announce_campaigns({*created, *hours, *(pk for pk, changed in edited.items() if changed)}, now=now)
    edits.record_all(record, now=now, by=by)
    all_rows = [*(row for row, _ in built), *rows.values()]
    share_campaigns(sorted(row.pk for row in all_rows if row.daily_from_month), now=now)
    return _judge(created, changes, now, by)


def set_hours(hours: Mapping[int, Hours], *, now: datetime, by: Actor = NOBODY) -> list[Change]:
    """Set when campaigns may spend, by id, and judge them; return the status changes. Raises as above."""
    _check_ids(hours)
    if Campaign.objects.filter(pk__in=hours, daily_from_month=True).exists():
        # They move what the month leaves for today, and so a budget.
        return put_campaigns(changes={pk: {HOURS: form} for pk, form in hours.items()}, now=now, by=by)
    with transaction.atomic():
        # Hours are no budget, so no counters: the campaign rows are what the judging locks.
        status.lock(Campaigns.with_ids(connection, sorted(hours)))
        rows = {row.pk: row for row in _fresh(hours)}
        changed = _write_hours(hours)
        feed.announce_campaigns(hours, now=now)
        edited = [Edited(rows[pk].brand_id, pk, Edit.Verb.CHANGED, {HOURS: one}) for pk, one in changed.items()]
        edits.record_all(edited, now=now, by=by)
        return _judge((), {pk: {HOURS: None} for pk in hours}, now, by)


# --- Month to day ------------------------------------------------------------------------------


def share_months(brand_ids: Sequence[int], *, now: datetime) -> None:
    """Set the daily budgets that are set from the month, of some brands and of their campaigns; judge nothing.

    For the beginning of their day: whoever calls this judges them. In bounded transactions of its own.
    """
    brands = Brand.objects.filter(pk__in=brand_ids, daily_from_month=True).order_by("pk").values_list("pk", flat=True)
    if some := list(brands):
        with transaction.atomic():
            found = lock_brands(some)
            days = {pk: periods.local_date(now, brand.timezone) for pk, brand in found.items()}
            counters.lock_all(_brand_keys(some, days))
            share_brands(some, now=now)
    campaigns = Campaign.objects.filter(brand__in=brand_ids, daily_from_month=True, archived_at=None)
    ids = list(campaigns.order_by("pk").values_list("pk", flat=True))
    for at in range(0, len(ids), SHARED_AT_ONCE):
        with transaction.atomic():
            _lock((), ids[at : at + SHARED_AT_ONCE], now)
            share_campaigns(ids[at : at + SHARED_AT_ONCE], now=now)


SHARED_AT_ONCE = 2_000
"""Campaigns whose daily budgets are set in one transaction at the beginning of a day: spend of theirs waits for it."""


def share_brands(brand_ids: Sequence[int], *, now: datetime) -> bool:
    """Set the daily budgets of brands from the month, where that is on, within the caller's transaction and locks.

    Return whether any has changed.
    """
    shares = months.of_brands(brand_ids, now=now)
    if shares:
        sent = _as_rows([(share.brand_id, share.becomes) for share in shares])
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                UPDATE campaigns_brand SET daily_budget = rows.budget
                FROM {sent.sql} WHERE campaigns_brand.id = rows.id
                """,
                sent.params,
            )
        for_brands = [share.brand_id for share in shares]
        feed.announce_brands(for_brands, now=now)
        _record_shares(shares, now)
    return bool(shares)


def share_campaigns(campaign_ids: Sequence[int], *, now: datetime) -> bool:
    """Set the daily budgets of campaigns from the month, as above. campaign_ids: ascending."""
    shares = months.of_campaigns(campaign_ids, now=now) if campaign_ids else []
    if shares:
        sent = _as_rows([(share.campaign_id or 0, share.becomes) for share in shares])
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                UPDATE campaigns_campaign SET daily_budget = rows.budget
                FROM {sent.sql} WHERE campaigns_campaign.id = rows.id
                """,
                sent.params,
            )
        feed.announce_campaigns([share.campaign_id for share in shares if share.campaign_id], now=now)
        _record_shares(shares, now)
    return bool(shares)


def _as_rows(budgets: Sequence[tuple[int, int]]) -> Rows:
    ids, amounts = zip(*budgets, strict=True)
    return Rows(connection, {"id": "bigint", "budget": "bigint"}, [ids, amounts])


def _record_shares(shares: Sequence[Share], now: datetime) -> None:
    record = [
        Edited(
            share.brand_id,
            share.campaign_id,
            Edit.Verb.DIVIDED,
            {
                "daily_budget": (
                    None if share.was is None else money.from_micros(share.was),
                    money.from_micros(share.becomes),
                )
            },
        )
        for share in shares
    ]
    edits.record_all(record, now=now, by=NOBODY)


# --- Checking and locking ----------------------------------------------------------------------


@contextlib.contextmanager
def saving() -> Iterator[None]:
    """Give the database the last word: somebody may have taken a name since it was found free."""
    try:
        yield
    except IntegrityError as error:
        raise BudgetError("This name or external id was taken just now; give another.") from error


def cause(given: Collection[str]) -> StatusChange.Cause:
    """Return what the journal says of a change of some fields."""
    if checks.FLIGHT & set(given):
        return StatusChange.Cause.FLIGHT
    if (checks.BUDGETS | checks.PACING) & set(given):
        return StatusChange.Cause.BUDGET
    return StatusChange.Cause.SCHEDULE if set(given) == {HOURS} else StatusChange.Cause.SETTINGS


def check_number(number: int) -> None:
    """Raise BudgetError where these are more campaigns than are changed at once."""
    if number > MAX_CAMPAIGNS:
        raise BudgetError(
            f"These are {number:,} campaigns; at most {MAX_CAMPAIGNS:,} are changed at once. Take fewer, for example "
            "with a filter."
        )


def _check_ids(campaign_ids: Collection[int], *, more: int = 0) -> None:
    check_number(len(campaign_ids) + more)
    _check_all_there(campaign_ids, _POSSIBLE)


_POSSIBLE = range(1, 2**63)
"""What an id can be; a database would choke on any other."""


class _Locked(NamedTuple):
    """Brands, and campaigns as whoever held the locks before us has left them, by id."""

    brands: Mapping[int, Brand]
    rows: Mapping[int, Campaign]


def _lock(new: Sequence[NewCampaign], campaign_ids: Collection[int], now: datetime) -> _Locked:
    """Take all locks in their order, for creating campaigns and for changing some, and return what they are on."""
    owners = dict(Campaign.objects.filter(pk__in=campaign_ids).values_list("pk", "brand_id"))
    _check_all_there(campaign_ids, owners)
    brands = lock_brands({*owners.values(), *(one.brand_id for one in new)})
    days = {pk: periods.local_date(now, brand.timezone) for pk, brand in brands.items()}
    keys = {key for pk, brand_id in owners.items() for key in BudgetDay(brand_id, pk, days[brand_id]).counters()}
    for brand_id in {one.brand_id for one in new}:
        if brands[brand_id].archived_at is not None:
            raise BudgetError(f"{brands[brand_id]} is archived; no campaign can be added to it.")
        # A spend that crosses the brand's budget comes before its new campaigns or finds them.
        keys |= _brand_keys([brand_id], days)
    counters.lock_all(keys)
    status.lock(Campaigns.with_ids(connection, sorted(campaign_ids)))
    return _Locked(brands, {row.pk: row for row in _fresh(campaign_ids)})


def _brand_keys(brand_ids: Collection[int], days: Mapping[int, date]) -> set[Key]:
    """The counters that the budgets of brands are judged on in their current days."""
    return {
        Key(brand_id, BRAND, period, periods.period_start(period, days[brand_id]))
        for brand_id in brand_ids
        for period in BRAND_PERIODS
    }


def lock_brands(brand_ids: Collection[int]) -> dict[int, Brand]:
    """Lock brand rows by ascending id within the caller's transaction, and return them by id."""
    possible = [pk for pk in brand_ids if pk in _POSSIBLE]
    # NO KEY: counters and campaigns refer to the rows, and writing those must not wait for this.
    rows = Brand.objects.select_for_update(no_key=True).filter(pk__in=possible).order_by("pk")
    brands = {brand.pk: brand for brand in rows}
    for brand_id in brand_ids:
        if brand_id not in brands:
            raise BudgetError(f"There is no brand {brand_id}.")
    return brands


def _fresh(campaign_ids: Collection[int]) -> list[Campaign]:
    rows = list(Campaign.objects.select_related("brand").filter(pk__in=campaign_ids).order_by("pk"))
    _check_all_there(campaign_ids, {row.pk for row in rows})
    return rows


def _check_all_there(campaign_ids: Collection[int], found: Collection[int]) -> None:
    for pk in campaign_ids:
        if pk not in found:
            raise BudgetError(f"There is no campaign {pk}.")


def _build(new: Sequence[NewCampaign], brands: Mapping[int, Brand], now: datetime) -> list[tuple[Campaign, Changed]]:
    """Return the new campaigns, not yet saved, each with what was set on it."""
    built = []
    for one in new:
        row = Campaign(brand=brands[one.brand_id], created_at=now)
        # The name is checked also where none was given: it must have one.
        given = {"name": "", **one.given}
        built.append((row, _set(row, given, named="" if len(new) == 1 else str(given["name"]))))
    return built


def _set(row: Campaign, given: Given, *, named: str) -> Changed:
    """Set the fields, but not the hours, of a campaign in Python. named: what an error calls it, if not nothing."""
    try:
        return checks.put(row, {name: value for name, value in given.items() if name != HOURS})
    except InvalidFieldError as error:
        raise InvalidFieldError(error.field, f"{named}: {error}" if named else str(error)) from error
    except BudgetError as error:
        raise BudgetError(f"{named}: {error}" if named else str(error)) from error


def _check_external_ids(rows: Sequence[Campaign]) -> None:
    """Refuse an external id that another campaign of the brand has, one of these or any other."""
    wanted = {(row.brand_id, row.external_id): row for row in rows if row.external_id}
    if not wanted:
        return
    others = Campaign.objects.filter(
        brand__in={brand_id for brand_id, _ in wanted}, external_id__in={own for _, own in wanted}
    )
    held = {(brand_id, own): pk for pk, brand_id, own in others.values_list("pk", "brand_id", "external_id")}
    for (brand_id, external_id), row in wanted.items():
        if held.get((brand_id, external_id), row.pk) != row.pk:
            raise checks.taken(row, "external_id")
    if len(wanted) < sum(1 for row in rows if row.external_id):
        raise BudgetError("Two of these campaigns would have the same external id; give each its own.")


def _save(rows: Sequence[Campaign]) -> None:
    """Write all that people set on the campaigns, in one statement."""
    if not rows:
        return
    amounts = ([money.parse_budget(getattr(row, name)) for row in rows] for name in _AMOUNTS)
    sent = Rows(
        connection,
        {
            "id": "bigint", "name": "text", "external_id": "text", "flight_start": "date", "flight_end": "date",
            "pacing": "text", "daily_from_month": "smallint", **dict.fromkeys(_AMOUNTS, "bigint"),
        },
        [
            [row.pk for row in rows],
            [row.name for row in rows],
            [row.external_id for row in rows],
            [row.flight_start for row in rows],
            [row.flight_end for row in rows],
            [row.pacing for row in rows],
            [int(row.daily_from_month) for row in rows],
            *amounts,
        ],
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE campaigns_campaign SET name = rows.name, external_id = rows.external_id,
                flight_start = rows.flight_start, flight_end = rows.flight_end, pacing = rows.pacing,
                daily_from_month = (rows.daily_from_month = 1),
                {", ".join(f"{name} = rows.{name}" for name in _AMOUNTS)}
            FROM {sent.sql} WHERE campaigns_campaign.id = rows.id
            """,
            sent.params,
        )


_AMOUNTS = ("daily_budget", "monthly_budget", "total_budget", "daily_least", "daily_most")


def _write_hours(hours: Mapping[int, Hours]) -> dict[int, tuple[str | None, str | None]]:
    """Write schedules of campaigns whose rows are locked; return those that are others by that, in words."""
    if not hours:
        return {}
    was = {row.campaign_id: row for row in DaypartingSchedule.objects.filter(campaign__in=hours)}
    cleared = [pk for pk, form in hours.items() if form is None and pk in was]
    if cleared:
        DaypartingSchedule.objects.filter(campaign__in=cleared).delete()
    rows = {pk: DaypartingSchedule(campaign_id=pk, **form) for pk, form in hours.items() if form is not None}
    DaypartingSchedule.objects.bulk_create(
        rows.values(),
        update_conflicts=True,
        unique_fields=["campaign"],
        update_fields=["start_hour", "end_hour", "weekdays", "grid"],
    )
    found = {pk: (hours_text(was.get(pk)), hours_text(rows.get(pk))) for pk in hours}
    return {pk: change for pk, change in found.items() if change[0] != change[1]}


def hours_text(schedule: DaypartingSchedule | None) -> str | None:
    """Return a schedule as the record of edits keeps it: in words, or as the grid that it is."""
    if schedule is None:
        return None
    return schedule.grid if schedule.grid is not None else str(schedule)


def _judge(created: Collection[int], changes: Mapping[int, Given], now: datetime, by: Actor) -> list[Change]:
    """Judge the campaigns, those of one cause together."""
    by_cause: dict[StatusChange.Cause, list[int]] = defaultdict(list)
    for pk, given in changes.items():
        by_cause[cause(given)].append(pk)
    by_cause[StatusChange.Cause.CREATED] += created
    found: list[Change] = []
    for why, ids in sorted(by_cause.items()):
        if ids:
            found += enforcement.judge_campaigns(sorted(ids), now=now, because=Because(cause=why, by=by))
    return found
