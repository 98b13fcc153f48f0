"""Counters: what one owner has spent and holds in one period.

A period is a key, so a new day is a new row: no code ever zeroes one. `services/counters.py` alone writes them.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import Q

from campaigns.models.fields import MoneyField
from campaigns.rules import money, periods
from campaigns.rules.periods import Period


class PeriodKind(models.IntegerChoices):
    """The periods as the database stores them."""

    DAY = Period.DAY, "day"
    MONTH = Period.MONTH, "month"
    TOTAL = Period.TOTAL, "total"


# On SQLite a sum past 64 bits would silently become a float; here it is refused.
_IN_RANGE = Q(spent__gte=-money.from_micros(money.MAX_COUNTER), spent__lte=money.from_micros(money.MAX_COUNTER))


class Counter(models.Model):
    """What brand and campaign counters have in common."""

    id = models.BigAutoField(primary_key=True)
    period = models.SmallIntegerField(choices=PeriodKind)
    start = models.DateField(help_text="The day, the 1st of the month, or 1970-01-01 for the total.")
    spent = MoneyField(default=Decimal(0))
    held = MoneyField(default=Decimal(0))

    class Meta:
        abstract = True


class BrandCounter(Counter):
    """What all campaigns of a brand have spent in one budget day or month."""

    brand = models.ForeignKey("campaigns.Brand", on_delete=models.PROTECT, db_index=False, related_name="counters")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("period", "start", "brand"), name="brandcounter_once"),
            models.CheckConstraint(condition=_IN_RANGE, name="brandcounter_spent_in_range"),
            models.CheckConstraint(condition=Q(held__gte=0), name="brandcounter_held_not_negative"),
        )

    def __str__(self) -> str:
        return f"{self.get_period_display()} {self.start}"


class CampaignCounter(Counter):
    """What a campaign has spent in one budget day, one budget month, or in all."""

    brand = models.ForeignKey("campaigns.Brand", on_delete=models.PROTECT, db_index=False, related_name="+")
    campaign = models.ForeignKey(
        "campaigns.Campaign", on_delete=models.PROTECT, db_index=False, related_name="counters"
    )

    class Meta:
        constraints = (
            # The period leads, so that what is current lies together, whatever the history behind it; then the
            # campaign, so that a pass reads a range of campaigns as a range of counters. The brand is in it because
            # a key without it could not be kept where the tables are split by brand.
            models.UniqueConstraint(fields=("period", "start", "campaign", "brand"), name="campaigncounter_once"),
            models.CheckConstraint(condition=_IN_RANGE, name="campaigncounter_spent_in_range"),
            models.CheckConstraint(condition=Q(held__gte=0), name="campaigncounter_held_not_negative"),
        )

    def __str__(self) -> str:
        return f"{self.get_period_display()} {self.start}"


def spent(counters: models.QuerySet[Any], period: Period, day: date) -> Decimal:
    """Return what one owner's counters say for the period that contains `day`; 0 where nothing was spent yet."""
    row = counters.filter(period=period, start=periods.period_start(period, day)).values_list("spent", flat=True)
    return row.first() or Decimal(0)
