"""What brands and paced campaigns have spent by hour: added up from the ledger, so that nobody needs to read it."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import Q

from campaigns.models.catalog import Brand, Campaign
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


class CampaignHour(models.Model):
    """What a campaign has spent in one local hour of one budget day that is over, if it is paced by itself.

    Derived in the same way. It stays when its campaign is not paced any more and counts for nothing then. Its keys
    carry no database constraint: the counters that it is added up to have one.
    """

    id = models.BigAutoField(primary_key=True)
    brand = models.ForeignKey(Brand, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+")
    campaign = models.ForeignKey(
        Campaign, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="hours"
    )
    day = models.DateField()
    hour = models.SmallIntegerField(help_text="0–23, on the clock of the brand's time zone.")
    spent = MoneyField(default=Decimal(0))

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("day", "campaign", "hour", "brand"), name="campaignhour_once"),
            models.CheckConstraint(condition=Q(hour__gte=0, hour__lte=23), name="campaignhour_hour_0_23"),
        )

    def __str__(self) -> str:
        return f"{self.day} {self.hour:02}:00"
