"""Holds: money reserved ahead of delivery."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from campaigns.models.catalog import Brand, Campaign
from campaigns.models.fields import MoneyField


class Hold(models.Model):
    """One reservation: placed, then settled, released, or expired. `services/holds.py` alone writes it.

    While it is open its amount is in `held` of the five counters of the budget day it was made in. Past its expiry it
    counts for nothing, whether or not a sweep has closed it and taken it out of the counters.
    """

    class State(models.IntegerChoices):
        OPEN = 0, "open"
        SETTLED = 1, "settled"
        RELEASED = 2, "released"
        EXPIRED = 3, "expired"

    id = models.BigAutoField(primary_key=True)
    # No constraint in the database, as in the ledger: the counters, written in the same transaction, carry it.
    brand = models.ForeignKey(
        Brand, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="holds"
    )
    campaign = models.ForeignKey(
        Campaign, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="holds"
    )
    key = models.CharField(max_length=128, help_text="The client's id of the request, used once within the brand.")
    day = models.DateField(help_text="The budget day whose budgets it holds: that of its making.")
    asked = MoneyField(help_text="What the client asked for.")
    minimum = MoneyField(help_text="The least that the client would have taken.")
    amount = MoneyField(help_text="What was granted and is held while it is open.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    state = models.SmallIntegerField(choices=State, default=State.OPEN)
    closed_at = models.DateTimeField(null=True)
    event_id = models.CharField(max_length=128, default="", help_text="The spend event that settled it.")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("brand", "key"), name="hold_key_once"),
            models.CheckConstraint(
                condition=Q(minimum__gt=0, amount__gte=F("minimum"), amount__lte=F("asked")),
                name="hold_amount_as_asked",
            ),
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="hold_expires_later"),
            models.CheckConstraint(
                condition=Q(state=0, closed_at=None) | Q(state__in=[1, 2, 3], closed_at__isnull=False),
                name="hold_closed_has_moment",
            ),
            models.CheckConstraint(
                condition=(Q(state=1) & ~Q(event_id="")) | (~Q(state=1) & Q(event_id="")),
                name="hold_settled_has_event",
            ),
        )
        indexes = (
            # Only what is open is looked for by its expiry, and that is little at any moment.
            models.Index(fields=("brand", "expires_at"), condition=Q(state=0), name="hold_open"),
            models.Index(fields=("campaign", "id"), name="hold_campaign"),
            models.Index(fields=("brand", "event_id"), condition=Q(state=1), name="hold_settled_by"),
        )

    def __str__(self) -> str:
        return f"Hold {self.pk}"
