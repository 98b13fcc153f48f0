"""One verdict: the pure rule, a campaign judged alone and the periodic pass say the same, whatever the case.

The rule stands twice, in Python and in SQL, and is driven by two callers. Here all three meet over brands, campaigns
and spend at random, gathered around changes of the clock and turns of the month.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.models import Brand, Campaign, DaypartingSchedule
from campaigns.rules import money, reasons
from campaigns.rules.reasons import Reason
from campaigns.rules.schedules import Schedule
from campaigns.rules.verdict import BudgetScope, Spent, Terms, pause_reasons
from campaigns.services import enforce_budget
from campaigns.services.enforcement import enforce_all
from campaigns.services.spend import Outcome, record_spend
from tests.factories import event

QUARTER = timedelta(minutes=15)

MOMENTS = [
    ("Europe/Berlin", "2025-03-30T01:00"),  # 02:00 -> 03:00
    ("Europe/Berlin", "2025-10-26T01:00"),  # 03:00 -> 02:00
    ("Europe/Berlin", "2025-06-30T22:00"),  # a new month
    ("America/Sao_Paulo", "2018-11-04T03:00"),  # no midnight
    ("America/Sao_Paulo", "2018-02-18T02:00"),  # 24:00 -> 23:00
    ("Australia/Lord_Howe", "2024-10-05T15:30"),  # half an hour
    ("Australia/Lord_Howe", "2025-04-05T15:00"),
    ("Asia/Kathmandu", "2024-12-31T18:15"),  # a new year, +5:45
    ("Pacific/Apia", "2011-12-30T10:00"),  # a day left out
    ("America/St_Johns", "2009-11-01T02:31"),  # back into the month before
]
ZONES = sorted({zone for zone, _ in MOMENTS} | {"UTC"})

# --- Random worlds ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class OneSpend:
    """So much, that long before now; a negative one is an adjustment."""

    amount: Decimal
    ago: timedelta


@dataclasses.dataclass(frozen=True)
class OneCampaign:
    """What people have set for a campaign, what it has spent, and the status it happens to have."""

    daily: Decimal | None
    monthly: Decimal | None
    total: Decimal | None
    flight_start: int | None
    flight_end: int | None
    window: tuple[int, int, int] | None
    grid: str | None
    paused: bool
    spent: list[OneSpend]
    had: int

    @property
    def schedule(self) -> Schedule | None:
        """Its hours, as the pure rule takes them."""
        if self.window is not None:
            return Schedule.from_window(*self.window)
        return None if self.grid is None else Schedule.from_grid(self.grid)

    @property
    def hours(self) -> dict[str, int]:
        """Its window, as the database takes it."""
        return dict(zip(("start_hour", "end_hour", "weekdays"), self.window or (), strict=False))


@dataclasses.dataclass(frozen=True)
class OneBrand:
    """What people have set for a brand, with its campaigns."""

    zone: ZoneInfo
    scope: BudgetScope
    daily: Decimal | None
    monthly: Decimal | None
    campaigns: list[OneCampaign]


budgets = st.sampled_from([None, None, None, None, None, Decimal(0), Decimal("9.999999"), Decimal(10), Decimal(20)])
amounts = st.sampled_from([Decimal(a) for a in ("10", "5", "9.999999", "0.000001", "30", "-5", "-0.000001", "-12")])
spends = st.builds(
    OneSpend,
    amount=amounts,
    ago=st.sampled_from([0, 0, 0, 1, 6, 23, 24, 25, 15 * 24, 31 * 24, 61 * 24]).map(
        lambda hours: timedelta(hours=hours)
    ),
)
windows = st.tuples(st.integers(0, 23), st.integers(0, 23), st.integers(1, 127)).filter(lambda w: w[0] != w[1])
grids = st.integers(1, 2**168 - 1).map(lambda bits: f"{bits:0168b}")
flight_starts = st.sampled_from([None, None, None, None, -30, -1, 0, 1])
flight_lengths = st.sampled_from([None, None, None, None, 0, 1, 2, 40])


@st.composite
def campaigns(draw: st.DrawFn) -> OneCampaign:
    start, length = draw(flight_starts), draw(flight_lengths)
    form = draw(st.sampled_from(["none", "none", "window", "grid"]))
    return OneCampaign(
        daily=draw(budgets),
        monthly=draw(budgets),
        total=draw(budgets),
        flight_start=start,
        flight_end=None if length is None else (start if start is not None else -1) + length,
        window=draw(windows) if form == "window" else None,
        grid=draw(grids) if form == "grid" else None,
        paused=draw(st.sampled_from([False, False, False, False, True])),
        spent=draw(st.lists(spends, max_size=3)),
        had=draw(st.sampled_from([0, 0, 511]) | st.integers(0, 511)),
    )


@st.composite
def brands(draw: st.DrawFn, zones: st.SearchStrategy[str]) -> OneBrand:
    return OneBrand(
        zone=ZoneInfo(draw(zones)),
        scope=draw(st.sampled_from(BudgetScope)),
        daily=draw(budgets),
        monthly=draw(budgets),
        campaigns=draw(st.lists(campaigns(), min_size=2, max_size=5)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> tuple[datetime, list[OneBrand]]:
    zone, change = draw(st.sampled_from(MOMENTS))
    off = draw(st.sampled_from([0, 0, 1, -1])) * timedelta(microseconds=1)
    now = datetime.fromisoformat(change).replace(tzinfo=UTC) + draw(st.integers(-200, 200)) * QUARTER + off
    zones = st.sampled_from([zone, zone, *ZONES])
    return now, draw(st.lists(brands(zones), min_size=1, max_size=3))


# --- The facts, by the plain definition ------------------------------------------------------


def local_date(moment: datetime, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(moment.timestamp(), zone).date()


def facts(brand: OneBrand, campaign: OneCampaign, now: datetime) -> tuple[Terms, Spent]:
    today = local_date(now, brand.zone)
    terms = Terms(
        zone=brand.zone,
        budget_scope=brand.scope,
        brand_daily_budget=money.parse_budget(brand.daily),
        brand_monthly_budget=money.parse_budget(brand.monthly),
        campaign_daily_budget=money.parse_budget(campaign.daily),
        campaign_monthly_budget=money.parse_budget(campaign.monthly),
        campaign_total_budget=money.parse_budget(campaign.total),
        flight_start=_day(today, campaign.flight_start),
        flight_end=_day(today, campaign.flight_end),
        schedule=campaign.schedule,
        paused_manually=campaign.paused,
    )
    of_brand = [spent for one in brand.campaigns for spent in one.spent]
    spent = Spent(
        brand_daily=_sum(of_brand, brand.zone, now, "%Y-%m-%d"),
        brand_monthly=_sum(of_brand, brand.zone, now, "%Y-%m"),
        campaign_daily=_sum(campaign.spent, brand.zone, now, "%Y-%m-%d"),
        campaign_monthly=_sum(campaign.spent, brand.zone, now, "%Y-%m"),
        campaign_total=_sum(campaign.spent, brand.zone, now, ""),
    )
    return terms, spent


def _day(today: date, offset: int | None) -> date | None:
    return None if offset is None else today + timedelta(offset)


def _sum(spent: Sequence[OneSpend], zone: ZoneInfo, now: datetime, period: str) -> int:
    """Micros spent in the period of `now`, which is written out as text to compare."""
    current = local_date(now, zone).strftime(period)
    return sum(
        int(one.amount * 1_000_000) for one in spent if local_date(now - one.ago, zone).strftime(period) == current
    )


# --- The same world in the database ----------------------------------------------------------


def build(now: datetime, world: list[OneBrand]) -> list[tuple[Campaign, Reason]]:
    """Put a world into the database, past the services; return its campaigns with the verdicts they should get."""
    brands = [
        Brand(
            name=f"Brand {number}",
            timezone=brand.zone,
            budget_scope=brand.scope,
            daily_budget=brand.daily,
            monthly_budget=brand.monthly,
            created_at=now,
        )
        for number, brand in enumerate(world)
    ]
    Brand.objects.bulk_create(brands)
    homes = [(row, brand, one) for row, brand in zip(brands, world, strict=True) for one in brand.campaigns]
    campaigns = [
        Campaign(
            brand=row,
            name=f"Campaign {number}",
            daily_budget=one.daily,
            monthly_budget=one.monthly,
            total_budget=one.total,
            flight_start=_day(local_date(now, brand.zone), one.flight_start),
            flight_end=_day(local_date(now, brand.zone), one.flight_end),
            paused_manually=one.paused,
            reasons=one.had,
            is_active=not one.had,
            created_at=now,
        )
        for number, (row, brand, one) in enumerate(homes)
    ]
    Campaign.objects.bulk_create(campaigns)
    DaypartingSchedule.objects.bulk_create(
        DaypartingSchedule(campaign=campaign, grid=one.grid, **one.hours)
        for campaign, (_, _, one) in zip(campaigns, homes, strict=True)
        if one.schedule is not None
    )
    events = [
        event(campaign, spent.amount, at=now - spent.ago, note="less" if spent.amount < 0 else "")
        for campaign, (_, _, one) in zip(campaigns, homes, strict=True)
        for spent in one.spent
    ]
    assert record_spend(events, now=now).count(Outcome.RECORDED) == len(events)
    # What the spend changed is put back, so that both judges meet every status there is.
    for campaign, (_, _, one) in zip(campaigns, homes, strict=True):
        Campaign.objects.filter(pk=campaign.pk).exclude(reasons=one.had).update(reasons=one.had, is_active=not one.had)
    return [
        (campaign, pause_reasons(*facts(brand, one, now), now))
        for campaign, (_, brand, one) in zip(campaigns, homes, strict=True)
    ]


def stored(built: list[tuple[Campaign, Reason]]) -> list[Reason]:
    by_id = dict(Campaign.objects.values_list("pk", "reasons"))
    return [by_id[campaign.pk] for campaign, _ in built]


@pytest.mark.django_db
def test_alone_in_the_pass_and_by_the_rule_the_verdict_is_the_same() -> None:
    hit: Counter[str] = Counter()

    @settings(deadline=None, max_examples=100)
    @given(case=worlds())
    def agree(case: tuple[datetime, list[OneBrand]]) -> None:
        now, world = case
        with transaction.atomic():
            built = build(now, world)
            expected = [verdict for _, verdict in built]
            with transaction.atomic():
                for campaign, _ in built:
                    enforce_budget(campaign_id=campaign.pk, now=now)
                assert stored(built) == expected
                transaction.set_rollback(True)
            before = stored(built)
            outcome = enforce_all(now=now)
            assert stored(built) == expected
            assert outcome.judged == len(built)
            assert outcome.changed == sum(was != is_ for was, is_ in zip(before, expected, strict=True))
            assert enforce_all(now=now).changed == 0
            transaction.set_rollback(True)
        for verdict in expected:
            hit.update(reasons.codes(verdict) or ["active"])

    agree()
    # Cases that never meet a reason prove nothing about it.
    wanted = {*(reason.code for reason in Reason), "active"}
    assert {name for name in wanted if hit[name] >= 5} == wanted, hit
