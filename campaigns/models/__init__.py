"""The tables: what people set (catalog), what was spent (ledger), what that adds up to (counters), what was done
about it (journal), what is told of it (alerts), what is reserved (holds), and who may ask (access)."""

from campaigns.models.access import ApiKey, BrandLimit, Scope
from campaigns.models.alerts import Alert, AlertRule, Attempt, Channel, Delivery, JournalPosition
from campaigns.models.archive import ArchivedSpend, LedgerArchive
from campaigns.models.catalog import Brand, Campaign, DaypartingSchedule, Pacing
from campaigns.models.counters import BrandCounter, CampaignCounter
from campaigns.models.holds import Hold
from campaigns.models.hours import BrandHour, CampaignHour
from campaigns.models.journal import CatalogChange, Edit, PeriodicRun, RollOver, StatusChange
from campaigns.models.ledger import SpendLog
from campaigns.models.pacing import OwnerPace

__all__ = [
    "Alert",
    "AlertRule",
    "ApiKey",
    "ArchivedSpend",
    "Attempt",
    "Brand",
    "BrandCounter",
    "BrandHour",
    "BrandLimit",
    "Campaign",
    "CampaignCounter",
    "CampaignHour",
    "CatalogChange",
    "Channel",
    "DaypartingSchedule",
    "Delivery",
    "Edit",
    "Hold",
    "JournalPosition",
    "LedgerArchive",
    "OwnerPace",
    "Pacing",
    "PeriodicRun",
    "RollOver",
    "Scope",
    "SpendLog",
    "StatusChange",
]
