"""What each brand has spent by hour: added up from the ledger, so that a chart needs not read it."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import Q

from campaigns.models.catalog import Brand
from campaigns.models.fields import MoneyField


class BrandHour(models.Model):
    """What the campaigns of a brand have spent in one local hour of one budget day.

    Derived: the ledger and the day's counter have the last word, and `services/hours.py` alone writes it. In autumn
    the hour that comes twice is one row.
    """

    id = models.BigAutoField(primary_key=True)
    brand = models.ForeignKey(Brand, on_delete=models.CASCADE, db_index=False, related_name="hours")
    day = models.DateField()
    hour = models.SmallIntegerField(help_text="0–23, on the clock of the brand's time zone.")
    spent = MoneyField(default=Decimal(0))

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("day", "brand", "hour"), name="brandhour_once"),
            models.CheckConstraint(condition=Q(hour__gte=0, hour__lte=23), name="brandhour_hour_0_23"),
        )

    def __str__(self) -> str:
        return f"{self.day} {self.hour:02}:00"
