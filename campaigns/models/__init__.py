"""The tables: what people set (catalog), what was spent (ledger), what that adds up to (counters), what was done
about it (journal), what is reserved (holds), and who may ask (access)."""

from campaigns.models.access import ApiKey, BrandLimit, Scope
from campaigns.models.catalog import Brand, Campaign, DaypartingSchedule
from campaigns.models.counters import BrandCounter, CampaignCounter
from campaigns.models.holds import Hold
from campaigns.models.hours import BrandHour
from campaigns.models.journal import CatalogChange, Edit, PeriodicRun, RollOver, StatusChange
from campaigns.models.ledger import SpendLog

__all__ = [
    "ApiKey",
    "Brand",
    "BrandCounter",
    "BrandHour",
    "BrandLimit",
    "Campaign",
    "CampaignCounter",
    "CatalogChange",
    "DaypartingSchedule",
    "Edit",
    "Hold",
    "PeriodicRun",
    "RollOver",
    "Scope",
    "SpendLog",
    "StatusChange",
]
