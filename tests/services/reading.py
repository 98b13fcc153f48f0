"""What the tests read back, by ways of their own: not through the statements that the services judge with."""

from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal

from campaigns.models import Brand, BrandCounter, Campaign, CampaignCounter, DaypartingSchedule, SpendLog, StatusChange
from campaigns.rules import money, reasons
from campaigns.rules.periods import Period, local_date
from campaigns.rules.reasons import Reason
from campaigns.rules.schedules import Schedule
from campaigns.rules.verdict import BudgetScope, Spent, Terms, pause_reasons

Figures = dict[tuple[int, int, int, date], int]
"""Micros by brand, campaign (0: the brand itself), period and its start."""


def why(campaign: Campaign) -> list[str]:
    """Return the codes of the stored pause reasons; an active campaign has none."""
    row = Campaign.objects.values("is_active", "reasons").get(pk=campaign.pk)
    codes = reasons.codes(row["reasons"])
    assert row["is_active"] is not bool(codes)
    return codes


def counted(owner: Brand | Campaign, period: Period, start: date | str) -> Decimal | None:
    """Return what a counter row says; None if there is no such row."""
    rows = (
        BrandCounter.objects.filter(brand=owner)
        if isinstance(owner, Brand)
        else CampaignCounter.objects.filter(campaign=owner)
    )
    return rows.filter(period=period, start=start).values_list("spent", flat=True).first()


def counters() -> Figures:
    """Return every counter that is not 0."""
    brands = BrandCounter.objects.values_list("brand_id", "period", "start", "spent")
    campaigns = CampaignCounter.objects.values_list("brand_id", "campaign_id", "period", "start", "spent")
    rows = [(brand, 0, period, start, spent) for brand, period, start, spent in brands] + list(campaigns)
    return {tuple(key): money.to_micros(spent) for *key, spent in rows if spent}  # type: ignore[misc]


def sums_of_the_ledger() -> Figures:
    """Return what the counters should be: the ledger's rows, added up one by one in Python."""
    sums: Figures = defaultdict(int)
    for row in SpendLog.objects.all():
        micros, month = money.to_micros(row.amount), row.day.replace(day=1)
        sums[row.brand_id, 0, Period.DAY, row.day] += micros
        sums[row.brand_id, 0, Period.MONTH, month] += micros
        sums[row.brand_id, row.campaign_id, Period.DAY, row.day] += micros
        sums[row.brand_id, row.campaign_id, Period.MONTH, month] += micros
        sums[row.brand_id, row.campaign_id, Period.TOTAL, date(1970, 1, 1)] += micros
    return {key: micros for key, micros in sums.items() if micros}


def verdicts_on_the_ledger(now: datetime) -> dict[int, Reason]:
    """Return the reasons that each campaign should have, by the pure rule on what the ledger says."""
    ledger = [(r.brand_id, r.campaign_id, r.day, money.to_micros(r.amount)) for r in SpendLog.objects.all()]
    schedules = {schedule.campaign_id: schedule.as_rule() for schedule in DaypartingSchedule.objects.all()}
    return {
        campaign.pk: pause_reasons(
            _terms(campaign, schedules.get(campaign.pk)),
            _spent(ledger, campaign, local_date(now, campaign.brand.timezone)),
            now,
        )
        for campaign in Campaign.objects.select_related("brand").filter(archived_at=None)
    }


def _terms(campaign: Campaign, schedule: Schedule | None) -> Terms:
    brand = campaign.brand
    return Terms(
        zone=brand.timezone,
        budget_scope=BudgetScope(brand.budget_scope),
        brand_daily_budget=money.parse_budget(brand.daily_budget),
        brand_monthly_budget=money.parse_budget(brand.monthly_budget),
        campaign_daily_budget=money.parse_budget(campaign.daily_budget),
        campaign_monthly_budget=money.parse_budget(campaign.monthly_budget),
        campaign_total_budget=money.parse_budget(campaign.total_budget),
        flight_start=campaign.flight_start,
        flight_end=campaign.flight_end,
        schedule=schedule,
        paused_manually=campaign.paused_manually,
    )


def _spent(ledger: list[tuple[int, int, date, int]], campaign: Campaign, today: date) -> Spent:
    spent: dict[str, int] = defaultdict(int)
    for brand_id, campaign_id, day, micros in ledger:
        names = ["brand"] * (brand_id == campaign.brand_id) + ["campaign"] * (campaign_id == campaign.pk)
        for name in names:
            spent[f"{name}_daily"] += micros * (day == today)
            spent[f"{name}_monthly"] += micros * ((day.year, day.month) == (today.year, today.month))
        spent["campaign_total"] += micros * (campaign_id == campaign.pk)
    return Spent(**spent)


def journal(campaign: Campaign) -> list[StatusChange]:
    """Return a campaign's status changes, oldest first."""
    return list(StatusChange.objects.filter(campaign=campaign).order_by("id"))


def steps(campaign: Campaign) -> list[str]:
    """Return a campaign's status changes as text, such as `spend: active -> brand_daily_budget`, oldest first."""
    return [f"{c.cause}: {_codes(c.from_reasons)} -> {_codes(c.to_reasons)}" for c in journal(campaign)]


def assert_journal_unbroken(campaign: Campaign) -> None:
    """Fail unless the journal leads from active, change by change, to the status that is stored."""
    _assert_chain(journal(campaign), Campaign.objects.get(pk=campaign.pk).reasons)


def assert_all_is_sound(now: datetime) -> None:
    """Fail unless counters are the sums of the ledger, statuses the verdicts at `now`, and the journal unbroken."""
    assert counters() == sums_of_the_ledger()
    expected = verdicts_on_the_ledger(now)
    changes: dict[int, list[StatusChange]] = defaultdict(list)
    for change in StatusChange.objects.order_by("id"):
        changes[change.campaign_id].append(change)
    for campaign in Campaign.objects.filter(archived_at=None):
        assert reasons.codes(campaign.reasons) == reasons.codes(expected[campaign.pk])
        assert campaign.is_active is not bool(campaign.reasons)
        _assert_chain(changes[campaign.pk], campaign.reasons)


def _assert_chain(changes: list[StatusChange], ends: Reason) -> None:
    status = reasons.NONE
    for change in changes:
        assert change.from_reasons == status
        assert change.to_reasons != status
        status = change.to_reasons
    assert status == ends


def _codes(why: Reason) -> str:
    return " ".join(reasons.codes(why)) or "active"
