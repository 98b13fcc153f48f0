"""The months that have left the ledger: where their rows are now, and what they add up to."""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple

from django.db import models
from django.db.models import F, Q

from campaigns.models.catalog import Brand, Campaign
from campaigns.models.fields import MoneyField


class LedgerArchive(models.Model):
    """A month of budget days on its way out of the ledger. `services/archive.py` alone writes it.

    From its closing on nothing is added to the month, or to one before it, which a trigger sees to. From its sealing
    on the file counts and the rows in the ledger don't: they may be deleted, which they may at no other time.
    """

    month = models.DateField(primary_key=True, help_text="The 1st of the month.")
    until = models.DateField(unique=True, help_text="The 1st of the month after it.")
    closed_at = models.DateTimeField()
    sealed_at = models.DateTimeField(null=True, help_text="When the file was found to hold what the ledger did.")
    removed_at = models.DateTimeField(null=True, help_text="When the last of its rows had left the ledger.")
    file = models.CharField(max_length=255, default="", help_text="The name of the Parquet file, without its folder.")
    sha256 = models.CharField(max_length=64, default="", help_text="Of the file.")
    rows = models.BigIntegerField(default=0)
    first_id = models.BigIntegerField(null=True, help_text="The lowest id of its rows; none if it has no rows.")
    last_id = models.BigIntegerField(null=True, help_text="The highest id of its rows.")
    archived_by = models.CharField(max_length=150, default="", help_text="The account that ran the command.")

    class Meta:
        verbose_name = "archived month"
        ordering = ("month",)
        constraints = (
            models.CheckConstraint(condition=Q(until__gt=F("month")), name="ledgerarchive_month_ends"),
            models.CheckConstraint(
                condition=Q(sealed_at=None, sha256="") | (Q(sealed_at__isnull=False) & ~Q(sha256="") & ~Q(file="")),
                name="ledgerarchive_sealed_has_file",
            ),
            models.CheckConstraint(
                condition=Q(removed_at=None) | Q(sealed_at__isnull=False), name="ledgerarchive_removed_is_sealed"
            ),
        )

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"


class ArchivedSpend(models.Model):
    """What a campaign's rows of one archived budget day add up to: what the counters are checked against from then on.

    Append-only, like the ledger, and without constraints of its keys for the same reason.
    """

    id = models.BigAutoField(primary_key=True)
    brand = models.ForeignKey(Brand, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    campaign = models.ForeignKey(
        Campaign, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    day = models.DateField()
    amount = MoneyField(help_text="In the brand's currency.")
    rows = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "archived spend"
        constraints = (models.UniqueConstraint(fields=("brand", "campaign", "day"), name="archivedspend_once"),)

    def __str__(self) -> str:
        return f"{self.day}"


class LedgerRow(NamedTuple):
    """One row of the ledger, with its columns in the order of the schema; times are aware."""

    id: int
    brand_id: int
    campaign_id: int
    event_id: str
    kind: int
    micros: int
    timestamp: datetime
    day: date
    recorded_at: datetime
    note: str


class DaySum(NamedTuple):
    """What a campaign's rows of one budget day add up to, in micros, and how many there are."""

    brand_id: int
    campaign_id: int
    day: date
    micros: int
    rows: int
