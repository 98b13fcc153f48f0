"""What was done and why: status changes, roll-overs, periodic runs."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from campaigns.models.access import ApiKey
from campaigns.models.catalog import Brand, Campaign
from campaigns.models.counters import PeriodKind
from campaigns.models.fields import MoneyField, ReasonsField
from campaigns.rules import reasons


class StatusChange(models.Model):
    """One change of a campaign's status: when, from, to, why, and the figures it was judged on.

    Append-only, like the ledger. Its keys carry no database constraint (a pass may write a million rows at once).
    """

    class Cause(models.TextChoices):
        SPEND = "spend", "spend recorded"
        PASS = "pass", "periodic pass"
        ROLL_OVER = "roll_over", "a new day or month began"
        BUDGET = "budget", "budget changed"
        SCHEDULE = "schedule", "schedule changed"
        FLIGHT = "flight", "flight changed"
        SETTINGS = "settings", "settings changed"
        PERSON = "person", "a person paused or resumed it"
        CREATED = "created", "campaign created"
        ARCHIVED = "archived", "archived"
        REPAIR = "repair", "counters repaired"

    id = models.BigAutoField(primary_key=True)
    brand = models.ForeignKey(
        Brand, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="status_changes"
    )
    campaign = models.ForeignKey(
        Campaign, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="status_changes"
    )
    at = models.DateTimeField()
    from_reasons = ReasonsField(default=reasons.NONE)
    to_reasons = ReasonsField(default=reasons.NONE)
    cause = models.CharField(max_length=10, choices=Cause)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    api_key = models.ForeignKey(
        ApiKey,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="The key that did it, where no person did.",
    )
    note = models.CharField(max_length=500, default="", blank=True)
    transaction_id = models.BigIntegerField(help_text="The transaction it came with: see models/feed.py.")
    brand_daily_spent = MoneyField()
    brand_daily_budget = MoneyField(null=True)
    brand_monthly_spent = MoneyField()
    brand_monthly_budget = MoneyField(null=True)
    campaign_daily_spent = MoneyField()
    campaign_daily_budget = MoneyField(null=True)
    campaign_monthly_spent = MoneyField()
    campaign_monthly_budget = MoneyField(null=True)
    campaign_total_spent = MoneyField()
    campaign_total_budget = MoneyField(null=True)

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("campaign", "id"), name="statuschange_campaign"),
            models.Index(fields=("brand", "id"), name="statuschange_brand"),
            models.Index(fields=("transaction_id",), name="statuschange_transaction"),
        )

    def __str__(self) -> str:
        return f"{reasons.in_words(self.from_reasons)} → {reasons.in_words(self.to_reasons)}"


class CatalogChange(models.Model):
    """Something was set on a brand or a campaign: the status feed tells the campaigns concerned again.

    A change of status has its own journal; this is for what changes without one, such as a campaign that is created
    active, an external id, or a budget that moves the moment at which a campaign resumes. Append-only.
    """

    id = models.BigAutoField(primary_key=True)
    brand = models.ForeignKey(
        Brand, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="catalog_changes"
    )
    campaign = models.ForeignKey(
        Campaign,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="catalog_changes",
        help_text="Empty: all campaigns of the brand.",
    )
    at = models.DateTimeField()
    transaction_id = models.BigIntegerField(help_text="The transaction it came with: see models/feed.py.")

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=("transaction_id",), name="catalogchange_transaction"),)

    def __str__(self) -> str:
        return f"Change {self.pk}"


class Edit(models.Model):
    """Something that a person, a program or a command has set: what it was, what it became, who and when.

    Append-only. It outlives what it is about, so its keys carry no database constraint. Pauses and resumptions are
    not here: they are status changes.
    """

    class Verb(models.TextChoices):
        CREATED = "created", "created"
        CHANGED = "changed", "changed"
        ARCHIVED = "archived", "archived"
        DELETED = "deleted", "deleted"
        DIVIDED = "divided", "set from the month"

    id = models.BigAutoField(primary_key=True)
    brand = models.ForeignKey(
        Brand, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="edits"
    )
    campaign = models.ForeignKey(
        Campaign,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="edits",
        help_text="Empty: the brand itself.",
    )
    at = models.DateTimeField()
    verb = models.CharField(max_length=8, choices=Verb)
    changes = models.JSONField(default=dict, help_text="Field name to its value before and after, as text or null.")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    api_key = models.ForeignKey(
        ApiKey,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="The key that did it, where no person did.",
    )

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("brand", "id"), name="edit_brand"),
            models.Index(fields=("campaign", "id"), name="edit_campaign"),
        )

    def __str__(self) -> str:
        return f"{self.get_verb_display()}: {', '.join(self.changes)}" if self.changes else self.get_verb_display()


class RollOver(models.Model):
    """A new budget day or month of a brand has begun and its campaigns were judged for it."""

    id = models.BigAutoField(primary_key=True)
    brand = models.ForeignKey(Brand, on_delete=models.CASCADE, db_index=False, related_name="roll_overs")
    period = models.SmallIntegerField(choices=PeriodKind)
    start = models.DateField(help_text="The day that began, or the 1st of the month that began.")
    at = models.DateTimeField(help_text="When its campaigns had been judged.")

    class Meta:
        verbose_name = "roll-over"
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("brand", "period", "start"), name="rollover_once"),)

    def __str__(self) -> str:
        return f"{self.get_period_display()} {self.start}"


class PeriodicRun(models.Model):
    """One run of a periodic task: a run without an end is under way, failed or was killed."""

    class Task(models.TextChoices):
        ENFORCE = "enforce", "enforce status"
        RESET_DAILY = "reset_daily", "daily roll-over"
        RESET_MONTHLY = "reset_monthly", "monthly roll-over"
        CHECK_LEDGER = "check_ledger", "ledger check"
        PACE = "pace", "pacing"

    id = models.BigAutoField(primary_key=True)
    task = models.CharField(max_length=13, choices=Task)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    judged = models.BigIntegerField(default=0, help_text="Campaigns looked at; by a ledger check, counters.")
    changed = models.BigIntegerField(
        default=0, help_text="Campaigns whose status changed; by a ledger check, counters that differ."
    )

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=("task", "started_at"), name="periodicrun_task"),)

    def __str__(self) -> str:
        return f"{self.get_task_display()} {self.started_at:%Y-%m-%d %H:%M:%S}"
