"""Holds as the tests ask for them, and what they add up to, read back row by row in Python."""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from campaigns.models import BrandCounter, Campaign, CampaignCounter, Hold
from campaigns.queries.holds import HoldRow
from campaigns.rules import money
from campaigns.rules.periods import Period
from campaigns.services import audit
from campaigns.services.holds import HoldAsk, Refused, place_holds, release_holds
from campaigns.services.spend import SpendEvent, SpendResult, record_spend
from tests.factories import NOW
from tests.services.reading import Figures

_numbers = itertools.count(1)

Amount = Decimal | str | int


def ask(
    of: Campaign | int,
    amount: Amount = 1,
    *,
    minimum: Amount | None = None,
    ttl: int = 60,
    key: str | None = None,
    brand_ids: frozenset[int] | None = None,
) -> HoldAsk:
    """Build an ask, with a new key unless one is given."""
    return HoldAsk(
        of if isinstance(of, int) else of.pk,
        f"key-{next(_numbers)}" if key is None else key,
        amount,
        minimum,
        ttl,
        brand_ids,
    )


def asked(
    of: Campaign | int,
    amount: Amount = 1,
    *,
    now: datetime = NOW,
    minimum: Amount | None = None,
    ttl: int = 60,
    key: str | None = None,
    brand_ids: frozenset[int] | None = None,
) -> HoldRow | Refused:
    """Ask for one hold, whatever the answer."""
    given = ask(of, amount, minimum=minimum, ttl=ttl, key=key, brand_ids=brand_ids)
    (answer,) = place_holds([given], now=now)
    return answer


def place(
    of: Campaign,
    amount: Amount = 1,
    *,
    now: datetime = NOW,
    minimum: Amount | None = None,
    ttl: int = 60,
    key: str | None = None,
) -> HoldRow:
    """Place one hold; fail if it is refused."""
    answer = asked(of, amount, now=now, minimum=minimum, ttl=ttl, key=key)
    assert isinstance(answer, HoldRow), answer
    return answer


def refusal(of: Campaign | int, amount: Amount = 1, *, now: datetime = NOW, minimum: Amount | None = None) -> Refused:
    """Ask for one hold that is refused; fail if it is granted."""
    answer = asked(of, amount, now=now, minimum=minimum)
    assert isinstance(answer, Refused), answer
    return answer


def settlement(
    hold: HoldRow,
    amount: Amount,
    *,
    event_id: str | None = None,
    at: datetime | None = None,
    once: bool = False,
    campaign_id: int | None = None,
) -> SpendEvent:
    """Build the event that settles a hold."""
    return SpendEvent(
        event_id=f"final-{next(_numbers)}" if event_id is None else event_id,
        campaign_id=hold.campaign_id if campaign_id is None else campaign_id,
        amount=amount,
        timestamp=at,
        hold_id=hold.id,
        settles_once=once,
    )


def settle(
    hold: HoldRow,
    amount: Amount,
    *,
    now: datetime = NOW,
    at: datetime | None = None,
    event_id: str | None = None,
    once: bool = False,
) -> SpendResult:
    """Settle a hold with one event; return what became of that."""
    return record_spend([settlement(hold, amount, event_id=event_id, at=at, once=once)], now=now).results[0]


def release(hold: HoldRow, *, now: datetime = NOW) -> HoldRow | Refused:
    """Release one hold."""
    return release_holds([hold.id], now=now)[hold.id]


def stored(hold: HoldRow) -> Hold:
    """Return a hold's row as it is now."""
    return Hold.objects.get(pk=hold.id)


def granted(answers: Sequence[HoldRow | Refused]) -> list[HoldRow]:
    """Return the holds among some answers."""
    return [answer for answer in answers if isinstance(answer, HoldRow)]


def held() -> Figures:
    """Return what every counter holds, where it holds anything."""
    brands = BrandCounter.objects.values_list("brand_id", "period", "start", "held")
    campaigns = CampaignCounter.objects.values_list("brand_id", "campaign_id", "period", "start", "held")
    rows = [(brand, 0, period, start, micros) for brand, period, start, micros in brands] + list(campaigns)
    return {tuple(key): money.to_micros(micros) for *key, micros in rows if micros}  # type: ignore[misc]  # a tuple of unknown length


def sums_of_open_holds() -> Figures:
    """Return what the counters should hold: the open holds, added up one by one."""
    sums: Figures = defaultdict(int)
    for row in Hold.objects.filter(state=Hold.State.OPEN):
        micros, month = money.to_micros(row.amount), row.day.replace(day=1)
        sums[row.brand_id, 0, Period.DAY, row.day] += micros
        sums[row.brand_id, 0, Period.MONTH, month] += micros
        sums[row.brand_id, row.campaign_id, Period.DAY, row.day] += micros
        sums[row.brand_id, row.campaign_id, Period.MONTH, month] += micros
        sums[row.brand_id, row.campaign_id, Period.TOTAL, date(1970, 1, 1)] += micros
    return dict(sums)


def assert_held_is_sound() -> None:
    """Fail unless every counter holds the sum of its open holds, by this sum and by the audit's."""
    assert held() == sums_of_open_holds()
    assert audit.check_ledger() == []
