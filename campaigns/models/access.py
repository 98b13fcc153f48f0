"""Who may use the API: keys, of which only a hash is kept."""

from __future__ import annotations

import enum

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from campaigns.models.catalog import Brand


class Scope(enum.IntFlag):
    """What a key may do, as bits, which is also how the database keeps it. The values are stored: only add."""

    READ = 1
    SPEND = 2
    MANAGE = 4

    @property
    def code(self) -> str:
        """The scope's name on the wire. One scope only."""
        assert self.name is not None
        return self.name.lower()


SCOPE_LABELS = {
    Scope.READ: "see brands, campaigns, their status and reports",
    Scope.SPEND: "report spend, place and settle holds",
    Scope.MANAGE: "all that read may; change brands, campaigns and schedules, pause and resume",
}
"""Each scope in words for people."""


class ApiKey(models.Model):
    """A key of the API. `services/keys.py` alone makes and revokes it; the secret is shown once and not kept."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=100, unique=True, help_text="Who uses it, such as the name of an ad server.")
    prefix = models.CharField(max_length=16, unique=True, editable=False, help_text="How the key begins.")
    digest = models.CharField(max_length=64, editable=False, help_text="SHA-256 of the key.")
    scopes = models.SmallIntegerField(help_text="Bits: 1 read, 2 spend, 4 manage.")
    # Said apart from the list: a key whose last brand is deleted must not come to see all brands.
    all_brands = models.BooleanField(default=True, help_text="Whether it sees every brand, now and in future.")
    brands = models.ManyToManyField(
        Brand,
        blank=True,
        related_name="api_keys",
        help_text="The only brands it sees. None chosen: every brand, now and in future.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, editable=False, related_name="+"
    )
    revoked_at = models.DateTimeField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False, help_text="To within a minute.")

    class Meta:
        verbose_name = "API key"
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(condition=Q(scopes__gte=1, scopes__lte=7), name="apikey_scopes_known"),
            models.CheckConstraint(condition=~Q(name=""), name="apikey_has_name"),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def scope_codes(self) -> list[str]:
        """The names of what it may do."""
        return [scope.code for scope in Scope(self.scopes)]


class BrandLimit(models.Model):
    """Limits a person to some brands. Whoever has none sees every brand.

    The row says that there is a limit and the list says which: whose last brand is deleted sees none, and not all.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="brand_limit"
    )
    brands = models.ManyToManyField(
        Brand, blank=True, related_name="+", help_text="The only brands this person sees. None chosen: no brand at all."
    )

    def __str__(self) -> str:
        return f"Limit of {self.user}"
