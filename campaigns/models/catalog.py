"""What people set: brands, their campaigns, and the hours in which these may spend.

Rows here are written through `services/catalog.py`, which judges the campaigns in the same transaction.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length, Replace
from django.db.models.lookups import Exact
from django.utils import timezone as clock
from timezone_field import TimeZoneField

from campaigns.models import counters
from campaigns.models.fields import MoneyField, ReasonsField, validate_budget, validate_currency
from campaigns.rules import periods, reasons, schedules, verdict
from campaigns.rules.periods import Period


def default_timezone() -> str:
    """The server's zone: what the brief calls local time is only where a new brand starts from."""
    return settings.TIME_ZONE


_FLIGHT_YEARS = (
    MinValueValidator(date(2000, 1, 1), "Give a day from 2000-01-01 on."),
    MaxValueValidator(date(2199, 12, 31), "Give a day until 2199-12-31, or leave it empty."),
)


class Pacing(models.TextChoices):
    """How a budget is spent over the day."""

    ASAP = "asap", "as fast as it comes"
    EVEN = "even", "evenly over the day"


class Brand(models.Model):
    """An advertiser: its time zone and currency, and the budgets that bind its campaigns."""

    class BudgetScope(models.TextChoices):
        BRAND = verdict.BudgetScope.BRAND, "all campaigns together"
        CAMPAIGN = verdict.BudgetScope.CAMPAIGN, "each campaign alone"

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=200, unique=True)
    external_id = models.CharField(
        max_length=128, null=True, blank=True, unique=True, help_text="The id of this brand in your own systems."
    )
    timezone: models.Field[ZoneInfo | str, ZoneInfo] = TimeZoneField(
        default=default_timezone, help_text="Its midnight begins the budget day."
    )
    currency = models.CharField(
        max_length=3, default="USD", validators=[validate_currency], help_text="ISO 4217 code, such as EUR."
    )
    daily_budget = MoneyField(
        null=True, blank=True, validators=[validate_budget], help_text="Empty: no limit. 0: always spent."
    )
    monthly_budget = MoneyField(
        null=True, blank=True, validators=[validate_budget], help_text="Empty: no limit. 0: always spent."
    )
    budget_scope = models.CharField(
        max_length=8,
        choices=BudgetScope,
        default=BudgetScope.BRAND,
        help_text="Whether the budgets bind the sum of the brand's campaigns or each campaign alone.",
    )
    pacing = models.CharField(
        max_length=4,
        choices=Pacing,
        default=Pacing.ASAP,
        db_default=Pacing.ASAP,
        help_text="Evenly: the budget is spread over the hours in which may be spent today.",
    )
    daily_from_month = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Set the daily budget each day to what is left of the month, divided by its days.",
    )
    daily_least = MoneyField(
        null=True, blank=True, validators=[validate_budget], help_text="The least that a day gets of the month."
    )
    daily_most = MoneyField(
        null=True, blank=True, validators=[validate_budget], help_text="The most that a day gets of the month."
    )
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(condition=Q(daily_budget__gte=Decimal(0)), name="brand_daily_budget_not_negative"),
            models.CheckConstraint(
                condition=Q(monthly_budget__gte=Decimal(0)), name="brand_monthly_budget_not_negative"
            ),
            models.CheckConstraint(condition=Q(budget_scope__in=["brand", "campaign"]), name="brand_scope_known"),
            models.CheckConstraint(condition=Q(pacing__in=["asap", "even"]), name="brand_pacing_known"),
            models.CheckConstraint(condition=Q(daily_least__gte=Decimal(0)), name="brand_daily_least_not_negative"),
            models.CheckConstraint(condition=Q(daily_most__gte=Decimal(0)), name="brand_daily_most_not_negative"),
            models.CheckConstraint(
                condition=Q(daily_most__gte=models.F("daily_least")),
                name="brand_daily_least_below_most",
                violation_error_message="Daily most: give an amount that is not below the daily least.",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="brand_has_name"),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def current_daily_spend(self) -> Decimal:
        """What its campaigns have spent in the current budget day, by the counter."""
        return self._current_spend(Period.DAY)

    @property
    def current_monthly_spend(self) -> Decimal:
        """What its campaigns have spent in the current budget month, by the counter."""
        return self._current_spend(Period.MONTH)

    def _current_spend(self, period: Period) -> Decimal:
        # A property is a door of its own (admin lists, templates, the shell), so it reads the clock itself.
        today = periods.local_date(clock.now(), self.timezone)
        return counters.spent(counters.BrandCounter.objects.filter(brand=self), period, today)


class Campaign(models.Model):
    """What spends. Its status is derived: `services/status.py` alone writes `is_active` and `reasons`."""

    id = models.BigAutoField(primary_key=True)
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="campaigns")
    name = models.CharField(max_length=200)
    external_id = models.CharField(
        max_length=128, null=True, blank=True, help_text="The id of this campaign in your own systems."
    )
    daily_budget = MoneyField(
        null=True,
        blank=True,
        validators=[validate_budget],
        help_text="Binds beside the brand's. Empty: no limit of its own.",
    )
    monthly_budget = MoneyField(
        null=True,
        blank=True,
        validators=[validate_budget],
        help_text="Binds beside the brand's. Empty: no limit of its own.",
    )
    total_budget = MoneyField(
        null=True, blank=True, validators=[validate_budget], help_text="For its whole life. Empty: no limit."
    )
    pacing = models.CharField(
        max_length=4,
        choices=Pacing,
        default=Pacing.ASAP,
        db_default=Pacing.ASAP,
        help_text="Evenly: the budget is spread over the hours in which may be spent today.",
    )
    daily_from_month = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Set the daily budget each day to what is left of the month, divided by its days.",
    )
    daily_least = MoneyField(
        null=True, blank=True, validators=[validate_budget], help_text="The least that a day gets of the month."
    )
    daily_most = MoneyField(
        null=True, blank=True, validators=[validate_budget], help_text="The most that a day gets of the month."
    )
    flight_start = models.DateField(
        null=True, blank=True, validators=_FLIGHT_YEARS, help_text="First day, in the brand's time zone."
    )
    flight_end = models.DateField(
        null=True, blank=True, validators=_FLIGHT_YEARS, help_text="Last day, in the brand's time zone."
    )
    paused_manually = models.BooleanField(
        default=False, editable=False, help_text="A person's pause; only a person lifts it."
    )
    is_active = models.BooleanField(default=True, editable=False, help_text="True exactly when nothing pauses it.")
    reasons = ReasonsField(default=reasons.NONE, editable=False, help_text="Every reason why it may not spend.")
    status_changed_at = models.DateTimeField(null=True, blank=True, editable=False)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ("brand__name", "name")
        indexes = (models.Index(fields=("external_id",), name="campaign_external_id"),)
        constraints = (
            models.UniqueConstraint(fields=("brand", "external_id"), name="campaign_external_id_unique"),
            models.CheckConstraint(
                condition=Q(is_active=True, reasons=0) | (Q(is_active=False) & ~Q(reasons=0)),
                name="campaign_active_means_no_reason",
            ),
            models.CheckConstraint(condition=Q(reasons__gte=0, reasons__lte=511), name="campaign_reasons_known"),
            models.CheckConstraint(
                condition=Q(daily_budget__gte=Decimal(0)), name="campaign_daily_budget_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(monthly_budget__gte=Decimal(0)), name="campaign_monthly_budget_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(total_budget__gte=Decimal(0)), name="campaign_total_budget_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(flight_end__gte=models.F("flight_start")),
                name="campaign_flight_ends_after_start",
                violation_error_message="Flight end: give a day that is not before the flight start.",
            ),
            models.CheckConstraint(condition=Q(pacing__in=["asap", "even"]), name="campaign_pacing_known"),
            models.CheckConstraint(condition=Q(daily_least__gte=Decimal(0)), name="campaign_daily_least_not_negative"),
            models.CheckConstraint(condition=Q(daily_most__gte=Decimal(0)), name="campaign_daily_most_not_negative"),
            models.CheckConstraint(
                condition=Q(daily_most__gte=models.F("daily_least")),
                name="campaign_daily_least_below_most",
                violation_error_message="Daily most: give an amount that is not below the daily least.",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="campaign_has_name"),
        )

    if TYPE_CHECKING:  # the reverse side of a one-to-one relation, which the type checker can't see
        schedule: DaypartingSchedule

    def __str__(self) -> str:
        return self.name

    @property
    def current_daily_spend(self) -> Decimal:
        """What it has spent in the current budget day, by the counter."""
        return self._current_spend(Period.DAY)

    @property
    def current_monthly_spend(self) -> Decimal:
        """What it has spent in the current budget month, by the counter."""
        return self._current_spend(Period.MONTH)

    @property
    def reason_codes(self) -> list[str]:
        """The codes of the reasons why it may not spend; empty when it is active."""
        return reasons.codes(self.reasons)

    def _current_spend(self, period: Period) -> Decimal:
        today = periods.local_date(clock.now(), self.brand.timezone)
        return counters.spent(counters.CampaignCounter.objects.filter(campaign=self), period, today)


_WINDOW = Q(start_hour__isnull=False, end_hour__isnull=False, weekdays__isnull=False, grid=None)
_GRID = Q(start_hour=None, end_hour=None, weekdays=None, grid__isnull=False)
_GRID_REST = Replace(Replace("grid", models.Value("0"), models.Value("")), models.Value("1"), models.Value(""))


class DaypartingSchedule(models.Model):
    """The hours of the week in which a campaign may spend: a window (with weekdays) or a 7×24 grid, never both."""

    campaign = models.OneToOneField(Campaign, on_delete=models.CASCADE, related_name="schedule")
    start_hour = models.SmallIntegerField(null=True, blank=True, help_text="0–23, included.")
    end_hour = models.SmallIntegerField(
        null=True, blank=True, help_text="0–23, excluded; at or before the start it runs past midnight."
    )
    weekdays = models.SmallIntegerField(
        null=True, blank=True, help_text="Bits, Monday is 1; a window past midnight belongs to the day it began on."
    )
    grid = models.CharField(
        max_length=168, null=True, blank=True, help_text="168 hours from Monday 00:00, 1 where it may spend."
    )

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(start_hour=None) | Q(start_hour__gte=0, start_hour__lte=23), name="schedule_start_hour_0_23"
            ),
            models.CheckConstraint(
                condition=Q(end_hour=None) | Q(end_hour__gte=0, end_hour__lte=23), name="schedule_end_hour_0_23"
            ),
            models.CheckConstraint(
                condition=Q(start_hour=None) | ~Q(start_hour=models.F("end_hour")), name="schedule_hours_differ"
            ),
            models.CheckConstraint(
                condition=Q(weekdays=None) | Q(weekdays__gte=1, weekdays__lte=127), name="schedule_weekdays_1_127"
            ),
            models.CheckConstraint(condition=_WINDOW | _GRID, name="schedule_exactly_one_form"),
            models.CheckConstraint(
                condition=Q(grid=None) | Q(Exact(Length("grid"), 168)), name="schedule_grid_168_hours"
            ),
            models.CheckConstraint(
                condition=Q(grid=None) | Q(Exact(_GRID_REST, models.Value(""))), name="schedule_grid_0_or_1"
            ),
        )

    def __str__(self) -> str:
        if self.grid is not None:
            return schedules.describe_grid(self.grid)
        assert self.start_hour is not None and self.end_hour is not None and self.weekdays is not None
        return schedules.describe(self.start_hour, self.end_hour, self.weekdays)

    def as_rule(self) -> schedules.Schedule:
        """Return the schedule as the pure rule judges it."""
        if self.grid is not None:
            return schedules.Schedule.from_grid(self.grid)
        assert self.start_hour is not None and self.end_hour is not None and self.weekdays is not None
        return schedules.Schedule.from_window(self.start_hour, self.end_hour, self.weekdays)
