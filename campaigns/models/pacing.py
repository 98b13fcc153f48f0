"""How owners are paced: one row for each brand or campaign that is paced evenly, updated in place."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from campaigns.models.catalog import Brand, Campaign
from campaigns.rules import pacing

BRAND_IS_PACED = "(b.pacing = 'even' AND b.budget_scope = 'brand')"
"""The condition that a brand `b` is paced. Where its budgets bind each campaign alone, they are paced instead."""

CAMPAIGN_IS_PACED = "(c.pacing = 'even' OR (b.pacing = 'even' AND b.budget_scope = 'campaign'))"
"""The condition that a campaign `c` of a brand `b` is paced by budgets that bind it alone."""

PACES = """
    LEFT JOIN campaigns_ownerpace p ON p.campaign_id = c.id AND p.brand_id = c.brand_id
    LEFT JOIN campaigns_ownerpace bp ON bp.brand_id = b.id AND bp.campaign_id IS NULL
"""
"""The paces of a campaign `c` (as `p`) and of its brand `b` (as `bp`), as far as there are any."""

# Until the first step, as if it had been: a tenth, and not everything.
PROBABILITIES = f"""
    CASE WHEN {CAMPAIGN_IS_PACED} THEN COALESCE(p.published, {pacing.START:d})
         ELSE {pacing.ONE:d} END AS own_probability,
    CASE WHEN {BRAND_IS_PACED} THEN COALESCE(bp.published, {pacing.START:d})
         ELSE {pacing.ONE:d} END AS brand_probability
"""
"""What `rules.pacing.effective` takes: a campaign's own probability and its brand's, 1 where they are not paced."""


class OwnerPace(models.Model):
    """What the controller knows of a brand or a campaign between two steps, and the probability that is published.

    `services/pacing.py` alone writes it. The nine numbers are those of `rules.pacing.Pace`: probabilities in
    millionths, amounts in micros, seconds of the budget day. It stays when its owner is not paced any more and counts
    for nothing then; the owner's terms decide. Its keys carry no database constraint, so that writing it asks nothing
    of the rows that recording spend waits for.
    """

    id = models.BigAutoField(primary_key=True)
    brand = models.ForeignKey(
        Brand, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="paces"
    )
    campaign = models.ForeignKey(
        Campaign,
        null=True,
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="paces",
        help_text="Empty: the brand itself.",
    )
    day = models.DateField(help_text="The budget day that the numbers are of.")
    probability = models.IntegerField()
    second = models.IntegerField()
    seen = models.BigIntegerField(help_text="What was spent and held of the day at the last step, in micros.")
    earned = models.BigIntegerField()
    exposed = models.BigIntegerField()
    silent = models.BigIntegerField()
    budget = models.BigIntegerField(null=True, help_text="Empty: no budget binds, so that nothing is paced.")
    since = models.IntegerField()
    base = models.BigIntegerField()
    published = models.IntegerField(help_text="The probability that the status feed tells, in millionths.")
    profile = models.CharField(max_length=256, help_text="The weights of the day's 24 hours, with commas between.")
    transaction_id = models.BigIntegerField(help_text="The transaction that published last: see models/feed.py.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("brand",), condition=Q(campaign=None), name="ownerpace_brand_once"),
            models.UniqueConstraint(
                fields=("campaign", "brand"), condition=Q(campaign__isnull=False), name="ownerpace_campaign_once"
            ),
            models.CheckConstraint(
                condition=Q(probability__gte=0, probability__lte=pacing.ONE), name="ownerpace_probability_0_1"
            ),
            models.CheckConstraint(
                condition=Q(published__gte=0, published__lte=pacing.ONE), name="ownerpace_published_0_1"
            ),
        )
        indexes = (models.Index(fields=("transaction_id",), name="ownerpace_transaction"),)

    def __str__(self) -> str:
        return f"Pace of {self.day}"
