"""The tables: what people set (catalog), what was spent (ledger), what that adds up to (counters), what was done
about it (journal)."""

from campaigns.models.catalog import Brand, Campaign, DaypartingSchedule
from campaigns.models.counters import BrandCounter, CampaignCounter
from campaigns.models.journal import PeriodicRun, RollOver, StatusChange
from campaigns.models.ledger import SpendLog

__all__ = [
    "Brand",
    "BrandCounter",
    "Campaign",
    "CampaignCounter",
    "DaypartingSchedule",
    "PeriodicRun",
    "RollOver",
    "SpendLog",
    "StatusChange",
]
