"""What a person may see."""

from __future__ import annotations

from campaigns.models import BrandLimit


def visible_brands(user_id: int) -> list[int] | None:
    """Return the ids of the only brands that a person sees, in ascending order; None if there is no limit."""
    limit = BrandLimit.objects.filter(user=user_id).first()
    return None if limit is None else list(limit.brands.order_by("pk").values_list("pk", flat=True))
