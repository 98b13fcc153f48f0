"""The ledger: one row per spend event, never changed, never deleted."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from campaigns.models.catalog import Brand, Campaign
from campaigns.models.fields import MoneyField


class SpendLog(models.Model):
    """One spend event as it was reported.

    Append-only: a trigger refuses UPDATE and DELETE (see `models/append_only.py`). The keys to brand and campaign
    carry no database constraint of their own, which would lock and read both rows for every event; the counters,
    written in the same transaction, carry it for them.
    """

    class Kind(models.IntegerChoices):
        SPEND = 1, "spend"
        ADJUSTMENT = 2, "adjustment"

    id = models.BigAutoField(primary_key=True)
    brand = models.ForeignKey(
        Brand, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="spend_logs"
    )
    campaign = models.ForeignKey(
        Campaign, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="spend_logs"
    )
    event_id = models.CharField(max_length=128, help_text="The reporter's id, counted once within the brand.")
    kind = models.SmallIntegerField(choices=Kind, default=Kind.SPEND)
    amount = MoneyField(help_text="In the brand's currency; negative only for an adjustment.")
    timestamp = models.DateTimeField(help_text="When it occurred, as reported.")
    day = models.DateField(help_text="The budget day it counts in: the local date of the brand when it was recorded.")
    recorded_at = models.DateTimeField(default=timezone.now)
    note = models.CharField(max_length=500, default="", blank=True)

    class Meta:
        verbose_name = "spend log row"
        verbose_name_plural = "spend log"
        ordering = ("-id",)
        constraints = (
            # The dedupe. It names the brand, so that the ledger can be split by brand.
            models.UniqueConstraint(fields=("brand", "event_id"), name="spendlog_event_once"),
            models.CheckConstraint(
                condition=Q(kind=1, amount__gt=0) | (Q(kind=2) & ~Q(amount=0) & ~Q(note="")),
                name="spendlog_amount_fits_kind",
            ),
        )
        indexes = (models.Index(fields=("campaign", "day"), name="spendlog_campaign_day"),)

    def __str__(self) -> str:
        return self.event_id
