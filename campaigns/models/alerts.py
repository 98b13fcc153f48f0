"""Alerts: the rules that say what is told, what was told, the channels it goes to, and each delivery."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone as clock

from campaigns.models.catalog import Brand, Campaign
from campaigns.models.fields import ReasonsField
from campaigns.rules import alerts
from campaigns.rules.alerts import Kind


class AlertKind(models.IntegerChoices):
    """The kinds as the database stores them."""

    DAILY_BUDGET = Kind.DAILY_BUDGET, alerts.LABELS[Kind.DAILY_BUDGET]
    MONTHLY_BUDGET = Kind.MONTHLY_BUDGET, alerts.LABELS[Kind.MONTHLY_BUDGET]
    TOTAL_BUDGET = Kind.TOTAL_BUDGET, alerts.LABELS[Kind.TOTAL_BUDGET]
    OVERSPEND = Kind.OVERSPEND, alerts.LABELS[Kind.OVERSPEND]
    PAUSED = Kind.PAUSED, alerts.LABELS[Kind.PAUSED]
    RESUMED = Kind.RESUMED, alerts.LABELS[Kind.RESUMED]
    RUNS_LATE = Kind.RUNS_LATE, alerts.LABELS[Kind.RUNS_LATE]
    LEDGER_DIFFERS = Kind.LEDGER_DIFFERS, alerts.LABELS[Kind.LEDGER_DIFFERS]
    CHANNEL_OFF = Kind.CHANNEL_OFF, alerts.LABELS[Kind.CHANNEL_OFF]
    TEST = Kind.TEST, alerts.LABELS[Kind.TEST]
    FORECAST_ABOVE = Kind.FORECAST_ABOVE, alerts.LABELS[Kind.FORECAST_ABOVE]
    UNDER_DELIVERY = Kind.UNDER_DELIVERY, alerts.LABELS[Kind.UNDER_DELIVERY]


class AlertRule(models.Model):
    """What is told of a campaign, of a brand, or of everything. The narrowest rule of a kind decides.

    Without a rule the defaults in `rules/alerts.py` hold, so that nobody has to make any.
    """

    class Subject(models.IntegerChoices):
        BRAND = alerts.Subject.BRAND, "the brand"
        CAMPAIGN = alerts.Subject.CAMPAIGN, "each campaign"
        PRODUCT = alerts.Subject.PRODUCT, "the installation"

    id = models.BigAutoField(primary_key=True)
    kind = models.SmallIntegerField(choices=AlertKind)
    subject = models.SmallIntegerField(choices=Subject, editable=False)
    brand = models.ForeignKey(
        Brand, null=True, blank=True, on_delete=models.CASCADE, related_name="alert_rules", help_text="Empty: all."
    )
    campaign = models.ForeignKey(
        Campaign, null=True, blank=True, on_delete=models.CASCADE, related_name="alert_rules", help_text="Empty: all."
    )
    percents = models.CharField(max_length=60, blank=True, help_text="Such as 50, 80, 100.")
    pause_reasons = ReasonsField(default=0, help_text="The reasons that are told of a pause or its end.")
    is_on = models.BooleanField(default=True, help_text="Off: nothing of this kind is told here.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        verbose_name = "alert rule"
        ordering = ("kind", "subject", "brand__name", "campaign__name")
        constraints = (
            models.UniqueConstraint(
                fields=("kind", "subject"), condition=Q(brand=None, campaign=None), name="alertrule_once_for_all"
            ),
            models.UniqueConstraint(
                fields=("brand", "kind", "subject"),
                condition=Q(brand__isnull=False, campaign=None),
                name="alertrule_once_for_brand",
            ),
            models.UniqueConstraint(
                fields=("brand", "campaign", "kind"),
                condition=Q(campaign__isnull=False),
                name="alertrule_once_for_campaign",
            ),
            models.CheckConstraint(
                condition=Q(campaign=None) | Q(brand__isnull=False, subject=1), name="alertrule_campaign_has_brand"
            ),
            models.CheckConstraint(condition=~Q(subject=2) | Q(brand=None), name="alertrule_product_has_no_brand"),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.campaign or self.brand or 'all'}"


class Channel(models.Model):
    """Where alerts go. `services/channels.py` alone writes what is set, `services/deliveries.py` the lease.

    Addresses and secrets are sealed: an address of a messenger is a password, too.
    """

    class Type(models.TextChoices):
        WEBHOOK = "webhook", "webhook"
        EMAIL = "email", "e-mail"
        APPRISE = "apprise", "messenger"

    class State(models.IntegerChoices):
        ON = 0, "on"
        PAUSED = 1, "paused"
        OFF = 2, "switched off"

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=100)
    type = models.CharField(max_length=7, choices=Type)
    brand = models.ForeignKey(
        Brand,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="alert_channels",
        help_text="Gets the alerts of this brand. Empty: those of every brand, and of the installation.",
    )
    kinds = models.SmallIntegerField(default=int(alerts.ALL), help_text="Bits: the kinds of alert it gets.")
    target = models.TextField(editable=False, help_text="The address, sealed.")
    shown = models.CharField(max_length=200, editable=False, help_text="As much of the address as may be shown.")
    secret = models.TextField(default="", editable=False, help_text="What messages are signed with, sealed.")
    old_secret = models.TextField(default="", editable=False)
    old_secret_until = models.DateTimeField(null=True, editable=False)
    state = models.SmallIntegerField(choices=State, default=State.ON, editable=False)
    state_note = models.CharField(max_length=300, default="", editable=False, help_text="Why it is not on.")
    state_since = models.DateTimeField(default=clock.now, editable=False)
    lease = models.CharField(max_length=32, default="", editable=False, help_text="Who works off its deliveries.")
    lease_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, editable=False, related_name="+"
    )

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(fields=("name",), name="channel_name_once"),
            models.CheckConstraint(condition=~Q(name=""), name="channel_has_name"),
        )

    def __str__(self) -> str:
        return self.name


class Alert(models.Model):
    """Something that was told, once: its key and threshold are the dedupe. It outlives what it is about."""

    id = models.BigAutoField(primary_key=True)
    uid = models.CharField(max_length=32, help_text="The id of its message, the same for every attempt.")
    kind = models.SmallIntegerField(choices=AlertKind)
    brand = models.ForeignKey(
        Brand, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="alerts"
    )
    campaign = models.ForeignKey(
        Campaign, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="alerts"
    )
    key = models.CharField(max_length=128, help_text="What is told once: of a budget its owner, value and period.")
    threshold = models.SmallIntegerField(default=0, help_text="Percent, where it is about a share of a budget.")
    at = models.DateTimeField()
    message = models.TextField()
    payload = models.TextField(help_text="What a webhook is sent, to the byte.")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("brand", "key", "threshold"), name="alert_once"),
            models.UniqueConstraint(
                fields=("key", "threshold"), condition=Q(brand=None), name="alert_of_the_installation_once"
            ),
        )
        indexes = (
            models.Index(fields=("brand", "id"), name="alert_brand"),
            models.Index(fields=("at",), name="alert_at"),
        )

    def __str__(self) -> str:
        return self.message


class Delivery(models.Model):
    """One alert on its way to one channel: written with the alert, worked off later."""

    class State(models.IntegerChoices):
        WAITING = 0, "waiting"
        DELIVERED = 1, "delivered"
        FAILED = 2, "given up"

    id = models.BigAutoField(primary_key=True)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, db_index=False, related_name="deliveries")
    state = models.SmallIntegerField(choices=State, default=State.WAITING)
    attempts = models.IntegerField(default=0)
    made_at = models.DateTimeField(help_text="When it was put on its way, or put there again by a person.")
    due_at = models.DateTimeField(help_text="When it is to be tried next.")
    settled_at = models.DateTimeField(null=True, help_text="When it was delivered or given up.")

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("channel", "alert"), name="delivery_once"),)
        indexes = (
            # What waits is little at any moment; what was delivered is most.
            models.Index(fields=("channel", "due_at"), condition=Q(state=0), name="delivery_due"),
            models.Index(fields=("made_at",), condition=Q(state=0), name="delivery_waiting"),
        )

    def __str__(self) -> str:
        return f"Delivery {self.pk}"


class Attempt(models.Model):
    """One try to deliver, with what came of it."""

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries")
    number = models.IntegerField()
    at = models.DateTimeField()
    milliseconds = models.IntegerField()
    status = models.SmallIntegerField(null=True, help_text="The HTTP status, where there was one.")
    answer = models.CharField(max_length=500, default="", help_text="How the answer began.")
    error = models.CharField(max_length=500, default="", help_text="Why it failed, in words; empty when it did not.")

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.error or "delivered"


class JournalPosition(models.Model):
    """How far the journal of status changes has been read for alerts. One row: see models/feed.py.

    Beside it, when alerts were last looked for in forecasts.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    position = models.TextField(default="")
    forecasts_at = models.DateTimeField(null=True, help_text="When forecasts were last looked at.")

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=1), name="journalposition_is_one"),)

    def __str__(self) -> str:
        return self.position
