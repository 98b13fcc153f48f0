"""Holds: money reserved ahead of delivery. Place, then settle (as a spend event), release, or let expire.

Spent + held + asked never passes a budget, at any level: the counters of all that are asked for are locked, in the
one order, before anything is read; what is read then, and decided, is what the next one finds. Many asks are decided
in one transaction, one after the other, as if each had come alone.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction

from campaigns.models import Campaign, Hold
from campaigns.models.figures import Campaigns, figures
from campaigns.models.rows import Rows, as_date
from campaigns.queries import holds
from campaigns.queries.holds import HoldRow
from campaigns.queries.lookup import MAX_ID, Home, find_homes
from campaigns.rules import money, periods, reasons
from campaigns.rules.reasons import Reason
from campaigns.rules.verdict import BudgetScope
from campaigns.services import closing, counters
from campaigns.services.counters import BudgetDay, Key
from campaigns.services.status import VERDICT

MAX_ASKS = 1_000
"""The most asks that are decided in one transaction."""

MAX_KEY = 128
MAX_TTL_SECONDS = 86_400
DEFAULT_TTL_SECONDS = 60

SWEPT_AT_ONCE = 1_000
"""Expired holds that are closed in one transaction."""


class HoldAsk(NamedTuple):
    """What a client asks for.

    amount, and the least that it would take (None: all or nothing), in the brand's currency, never a float.
    key: the client's id of this request, used once within the brand. brand_ids: the only brands it may see (None: all).
    """

    campaign_id: int
    key: str
    amount: Decimal | str | int
    minimum: Decimal | str | int | None = None
    ttl_seconds: int = DEFAULT_TTL_SECONDS
    brand_ids: frozenset[int] | None = None


class Refusal(enum.StrEnum):
    """Why a hold was not granted, or not released."""

    EXHAUSTED = "budget-exhausted"
    PAUSED = "campaign-paused"
    KEY_USED = "key-used"
    SETTLED = "hold-settled"
    UNKNOWN = "not-found"
    BUSY = "busy"
    INVALID = "invalid"


class Refused(NamedTuple):
    """A refusal in a sentence for people. `field`: what is invalid; `limit`, `left` (micros): what binds; `reasons`."""

    why: Refusal
    detail: str
    field: str = ""
    limit: Reason | None = None
    left: int | None = None
    reasons: Reason = reasons.NONE


class _Ask(NamedTuple):
    """An ask that can be decided; `at` is its place in the call, amounts in micros."""

    at: int
    budget_day: BudgetDay
    key: str
    asked: int
    minimum: int
    created_at: datetime
    expires_at: datetime


class _MovedError(Exception):
    """The budget day is not the one whose counters were locked: somebody has just moved the brand to another zone."""


def place_holds(asks: Sequence[HoldAsk], *, now: datetime) -> list[HoldRow | Refused]:
    """Decide some asks in one transaction, in their order; return for each the hold, or why it is refused.

    The same key with the same content is the same hold again, whatever has become of it. At most 1,000 asks.
    """
    assert len(asks) <= MAX_ASKS
    for _ in range(3):
        try:
            return _place_or_again(asks, now)
        except _MovedError:
            continue
    if len(asks) > 1:  # those of other brands are not to suffer from the one that is being moved
        return [answer for ask in asks for answer in place_holds([ask], now=now)]
    return [Refused(Refusal.BUSY, "The brand is being changed at this moment; ask again.")]


def release_holds(hold_ids: Sequence[int], *, now: datetime) -> dict[int, HoldRow | Refused]:
    """Release holds that are not needed any more, in one transaction; return what each of them is now.

    One that is released or expired stays so. A settled one is refused; ids of no hold are left out.
    """
    with transaction.atomic():
        locked = closing.lock(hold_ids)
        before = holds.find_holds(list(locked))
        free = [hold for hold in locked.values() if before[hold.id].state_at(now) is Hold.State.OPEN]
        counters.add(dict.fromkeys(closing.counted(free), 0))
        closing.close(free, Hold.State.RELEASED, now=now)
        rows = holds.find_holds(list(locked))
    return {key: _settled(row) if row.state is Hold.State.SETTLED else row for key, row in rows.items()}


def expire_holds(*, now: datetime) -> int:
    """Close the holds whose time is over; return how many. Housekeeping: past its expiry a hold counts for nothing."""
    swept = 0
    while some := holds.find_expired(now=now, limit=SWEPT_AT_ONCE):
        with transaction.atomic():
            locked = closing.lock(some)
            over = [hold for hold in locked.values() if hold.state is Hold.State.OPEN]
            counters.add(dict.fromkeys(closing.counted(over), 0))
            closing.close(over, Hold.State.EXPIRED, now=now)
        swept += len(over)
    return swept


def _settled(row: HoldRow) -> Refused:
    return Refused(Refusal.SETTLED, f"Hold {row.id} was settled by the event {row.event_id!r}; it can't be released.")


def _place_or_again(asks: Sequence[HoldAsk], now: datetime) -> list[HoldRow | Refused]:
    try:
        return _place(asks, now)
    except IntegrityError:
        # A campaign was deleted after we had looked it up. Nothing is held; now it is not found.
        return _place(asks, now)


def _place(asks: Sequence[HoldAsk], now: datetime) -> list[HoldRow | Refused]:
    results: list[HoldRow | Refused | None] = [None] * len(asks)
    accepted = _accept(asks, now, results)
    if accepted:
        with transaction.atomic():
            _decide(accepted, now, results)
    return [result for result in results if result is not None]


def _accept(asks: Sequence[HoldAsk], now: datetime, results: list[HoldRow | Refused | None]) -> list[_Ask]:
    """The asks that can be decided; all others get what is wrong with them."""
    homes = find_homes({ask.campaign_id for ask in asks if type(ask.campaign_id) is int})
    accepted = []
    for at, ask in enumerate(asks):
        read = _read(at, ask, homes, now)
        if isinstance(read, Refused):
            results[at] = read
        else:
            accepted.append(read)
    return accepted


def _read(at: int, ask: HoldAsk, homes: Mapping[int, Home], now: datetime) -> _Ask | Refused:
    home = homes.get(ask.campaign_id)
    if home is None or (ask.brand_ids is not None and home.brand_id not in ask.brand_ids):
        number = ask.campaign_id if 0 < ask.campaign_id <= MAX_ID else "of such an id"
        return Refused(Refusal.UNKNOWN, f"There is no campaign {number}.", "campaign_id")
    if not (0 < len(ask.key) <= MAX_KEY and ask.key.isprintable()):
        return _invalid("key", f"The key must be 1 to {MAX_KEY} printable characters.")
    if not 1 <= ask.ttl_seconds <= MAX_TTL_SECONDS:
        return _invalid("ttl_seconds", f"The ttl_seconds must be from 1 to {MAX_TTL_SECONDS:,}.")
    try:
        asked = money.parse_amount(ask.amount)
    except money.MoneyError as error:
        return _invalid("amount", str(error))
    try:
        minimum = asked if ask.minimum is None else money.parse_amount(ask.minimum)
    except money.MoneyError as error:
        return _invalid("minimum", str(error).replace("The amount", "The minimum"))
    if minimum > asked:
        return _invalid("minimum", "The minimum is above the amount; ask for at least as much as you need.")
    day = BudgetDay(home.brand_id, home.campaign_id, periods.local_date(now, home.zone))
    return _Ask(at, day, ask.key, asked, minimum, now, now + timedelta(seconds=ask.ttl_seconds))


def _invalid(field: str, detail: str) -> Refused:
    return Refused(Refusal.INVALID, detail, field)


def _decide(asks: Sequence[_Ask], now: datetime, results: list[HoldRow | Refused | None]) -> None:
    """Decide the asks one after the other with all of their counters locked, and write what is granted."""
    counters.add({key: 0 for ask in asks for key in ask.budget_day.counters()})
    known = holds.find_holds_by_key({(ask.budget_day.brand_id, ask.key) for ask in asks})
    budgets = _Budgets(asks, now)
    granted: dict[tuple[int, str], tuple[_Ask, int]] = {}
    again: list[tuple[_Ask, tuple[int, str]]] = []
    for ask in asks:
        name = ask.budget_day.brand_id, ask.key
        if name in known:
            results[ask.at] = _repeated(ask, known[name])
        elif name in granted:
            again.append((ask, name))
        else:
            amount = budgets.grant(ask)
            if isinstance(amount, Refused):
                results[ask.at] = amount
            else:
                granted[name] = ask, amount
    written = _write(granted)
    for name, (ask, _) in granted.items():
        results[ask.at] = written[name]
    for ask, name in again:
        results[ask.at] = _repeated(ask, written[name])


def _repeated(ask: _Ask, hold: HoldRow) -> HoldRow | Refused:
    """The hold that a key has made before, or the refusal of another ask under the same key."""
    same = (
        ask.budget_day.campaign_id == hold.campaign_id
        and (ask.asked, ask.minimum) == (hold.asked, hold.minimum)
        and ask.expires_at - ask.created_at == hold.expires_at - hold.created_at
    )
    if same:
        return hold
    return Refused(
        Refusal.KEY_USED,
        f"The key {ask.key!r} was used for another hold ({money.to_text(hold.asked)} for campaign "
        f"{hold.campaign_id}); take a new key for a new hold.",
        "key",
    )


class _Budgets:
    """What is left of the budgets of some campaigns while asks are decided one after the other.

    Read with the counters locked. Raises _MovedError if a budget day is another by now than the one that was locked.
    """

    def __init__(self, asks: Sequence[_Ask], now: datetime) -> None:
        ids = sorted({ask.budget_day.campaign_id for ask in asks})
        self._rows = _figures(ids, now)
        without = [campaign_id for campaign_id in ids if campaign_id not in self._rows]
        archived = Campaign.objects.filter(pk__in=without).order_by().values_list("pk", flat=True)
        self._archived = set(archived) if without else set()
        for ask in asks:
            row = self._rows.get(ask.budget_day.campaign_id)
            if row is not None and as_date(row["day"]) != ask.budget_day.day:
                raise _MovedError
        brands = sorted({ask.budget_day.brand_id for ask in asks})
        over = holds.expired(now=now, brand_ids=brands)
        self._expired = counters.spread({BudgetDay(*day): micros for day, micros in over.items()})
        self._used: dict[Key, int] = {}

    def grant(self, ask: _Ask) -> int | Refused:
        """Return how much of an ask is granted, in micros, and count it from now on; or why nothing is."""
        row = self._rows.get(ask.budget_day.campaign_id)
        if row is None:
            return self._gone(ask.budget_day.campaign_id)
        paused = reasons.of(row["verdict"])
        if paused:
            detail = f"Campaign {ask.budget_day.campaign_id} may not spend: {reasons.in_words(paused)}."
            return Refused(Refusal.PAUSED, detail, reasons=paused)
        used = self._used_by(ask.budget_day, row)
        limit, left = _tightest(row, used)
        amount = ask.asked if left is None else min(ask.asked, left)
        if amount < ask.minimum:
            return _exhausted(ask, limit, max(left or 0, 0))
        if max(used) + amount > money.MAX_COUNTER:
            return _invalid("amount", "This takes a counter past 9,000,000,000,000; check the unit of the amount.")
        for key in ask.budget_day.counters():
            self._used[key] += amount
        return amount

    def _gone(self, campaign_id: int) -> Refused:
        if campaign_id in self._archived:
            return Refused(Refusal.PAUSED, f"Campaign {campaign_id} is archived.", reasons=Reason.MANUAL)
        return Refused(Refusal.UNKNOWN, f"There is no campaign {campaign_id}.", "campaign_id")

    def _used_by(self, day: BudgetDay, row: Mapping[str, Any]) -> list[int]:
        """What is spent and held of each of the five counters, in their order."""
        for key, name in zip(day.counters(), _COUNTERS, strict=True):
            if key not in self._used:
                self._used[key] = row[f"{name}_spent"] + row[f"{name}_held"] - self._expired.get(key, 0)
        return [self._used[key] for key in day.counters()]


_COUNTERS = ("brand_daily", "brand_monthly", "campaign_daily", "campaign_monthly", "campaign_total")
"""The figures in the order of `BudgetDay.counters`."""


def _figures(campaign_ids: Sequence[int], now: datetime) -> dict[int, dict[str, Any]]:
    """The figures of some campaigns with the verdict on them; archived ones have none."""
    sql, params = figures(connection, Campaigns.with_ids(connection, campaign_ids), now)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT f.*, {VERDICT} AS verdict FROM ({sql}) f", params)
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {row["campaign_id"]: row for row in rows}


def _tightest(row: Mapping[str, Any], used: Sequence[int]) -> tuple[Reason | None, int | None]:
    """The limit of which the least is left, and how much; None if nothing limits."""
    brand_day, brand_month, day, month, total = used
    if row["budget_scope"] == BudgetScope.CAMPAIGN:
        brand_day, brand_month = day, month
    limits = (
        (Reason.BRAND_DAILY_BUDGET, row["brand_daily_budget"], brand_day),
        (Reason.BRAND_MONTHLY_BUDGET, row["brand_monthly_budget"], brand_month),
        (Reason.CAMPAIGN_DAILY_BUDGET, row["campaign_daily_budget"], day),
        (Reason.CAMPAIGN_MONTHLY_BUDGET, row["campaign_monthly_budget"], month),
        (Reason.CAMPAIGN_TOTAL_BUDGET, row["campaign_total_budget"], total),
    )
    lefts = [(budget - spent, reason) for reason, budget, spent in limits if budget is not None]
    if not lefts:
        return None, None
    left, reason = min(lefts)
    return reason, left


def _exhausted(ask: _Ask, limit: Reason | None, left: int) -> Refused:
    assert limit is not None  # where nothing limits, all is granted
    wanted = money.to_text(ask.minimum)
    detail = (
        f"{wanted} is more than what is left, {money.to_text(left)}, of the "
        f"{limit.code.replace('_', ' ')}: the rest is spent or held."
    )
    return Refused(Refusal.EXHAUSTED, detail, limit=limit, left=left)


def _write(granted: Mapping[tuple[int, str], tuple[_Ask, int]]) -> dict[tuple[int, str], HoldRow]:
    """Write holds, in the order of their keys, and what they hold in the counters.

    Around the end of a month two calls may have no counter in common and yet the same keys: in one order they wait
    for each other.
    """
    if not granted:
        return {}
    by_day: dict[BudgetDay, int] = defaultdict(int)
    for ask, amount in granted.values():
        by_day[ask.budget_day] += amount
    rows = Rows(
        connection,
        {
            "brand_id": "bigint",
            "campaign_id": "bigint",
            "day": "date",
            "key": "text",
            "asked": "bigint",
            "minimum": "bigint",
            "amount": "bigint",
            "created_at": "timestamptz",
            "expires_at": "timestamptz",
        },
        [
            *zip(
                *(
                    (*ask.budget_day, ask.key, ask.asked, ask.minimum, amount, ask.created_at, ask.expires_at)
                    for ask, amount in granted.values()
                ),
                strict=True,
            )
        ],
    )
    columns = "brand_id, campaign_id, day, key, asked, minimum, amount, created_at, expires_at"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO campaigns_hold ({columns}, state, event_id)
            SELECT {columns}, {Hold.State.OPEN:d}, '' FROM {rows.sql} WHERE true ORDER BY brand_id, key
            RETURNING brand_id, key, id
            """,
            rows.params,
        )
        ids = {(brand_id, key): hold_id for brand_id, key, hold_id in cursor.fetchall()}
    counters.hold(counters.spread(by_day))
    return {name: _row(ids[name], ask, amount) for name, (ask, amount) in granted.items()}


def _row(hold_id: int, ask: _Ask, amount: int) -> HoldRow:
    brand_id, campaign_id, day = ask.budget_day
    return HoldRow(
        hold_id,
        brand_id,
        campaign_id,
        ask.key,
        day,
        ask.asked,
        ask.minimum,
        amount,
        ask.created_at,
        ask.expires_at,
        Hold.State.OPEN,
        "",
    )
