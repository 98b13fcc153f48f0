"""`manage.py log_spend`: record one spend event by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from campaigns.gateways import cells
from campaigns.gateways.cells import CellError
from campaigns.management.commands.standing import short_words
from campaigns.management.console import PlainCommand, misused, row_id
from campaigns.models import Campaign, CampaignCounter, counters
from campaigns.rules import money, periods
from campaigns.rules.errors import BudgetError
from campaigns.rules.periods import Period
from campaigns.services import spend
from campaigns.services.spend import KINDS, Outcome


class Command(PlainCommand):
    """Records one event and says what it changed."""

    help = "Record one spend event of a campaign and judge what it changes."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("campaign_id", type=row_id, help="the id of the campaign")
        parser.add_argument("amount", help="in the currency of the brand, such as 12.50")
        parser.add_argument(
            "--timestamp",
            metavar="TIME",
            help="when it occurred, such as 2026-03-01T17:30:00+01:00; without an offset in the time zone of the "
            "brand; default: now",
        )
        parser.add_argument(
            "--event-id", metavar="ID", help="counted once within the brand, however often it is recorded"
        )
        parser.add_argument(
            "--kind", choices=KINDS, default="spend", help="an adjustment may be negative and needs a note"
        )
        parser.add_argument("--note", default="", help="why; kept in the ledger")

    def handle(
        self,
        *args: Any,
        campaign_id: int,
        amount: str,
        timestamp: str | None,
        event_id: str | None,
        kind: str,
        note: str,
        **options: Any,
    ) -> None:
        """Record the event and print one line."""
        now = timezone.now()
        campaign = _campaign(campaign_id)
        moment = None if timestamp is None else _moment(timestamp, campaign)
        result = spend.log_spend(
            campaign_id=campaign_id,
            amount=amount,
            now=now,
            timestamp=moment,
            event_id=event_id,
            kind=kind,
            note=note,
        )
        if options["verbosity"] == 0:
            return
        campaign.refresh_from_db()
        if result.outcome is Outcome.DUPLICATE:
            self.say(f"Recorded before, so not counted again: event {result.event_id}. {_standing(campaign, now)}")
        else:
            self.say(f"Recorded {_amount(amount, campaign)}{_day(moment, campaign, now)}. {_standing(campaign, now)}")


def _campaign(campaign_id: int) -> Campaign:
    campaign = Campaign.objects.select_related("brand").filter(pk=campaign_id).first()
    if campaign is None:
        raise BudgetError(f"There is no campaign {campaign_id}.")
    return campaign


def _moment(text: str, campaign: Campaign) -> datetime:
    try:
        return cells.read_moment(text, None, campaign.brand.timezone, None)
    except CellError as error:
        raise misused(f"argument --timestamp: {error}") from error


def _amount(amount: str, campaign: Campaign) -> str:
    return f"{money.to_text(money.to_micros(amount))} {campaign.brand.currency}"


def _day(moment: datetime | None, campaign: Campaign, now: datetime) -> str:
    """The budget day it counts in, where that is not today."""
    zone = campaign.brand.timezone
    day = periods.local_date(moment or now, zone)
    return "" if day == periods.local_date(now, zone) else f" for {day}"


def _standing(campaign: Campaign, now: datetime) -> str:
    """The campaign's status and what it has spent, as one sentence."""
    today = periods.local_date(now, campaign.brand.timezone)
    own, currency = CampaignCounter.objects.filter(campaign=campaign), campaign.brand.currency
    day, month = (
        money.format_money(money.to_micros(counters.spent(own, period, today)), currency)
        for period in (Period.DAY, Period.MONTH)
    )
    status = "active" if campaign.is_active else f"paused ({short_words(campaign.reasons)})"
    name = f"{campaign} (campaign {campaign.pk} of {campaign.brand})"
    return f"{name} is {status}; spent today {day}, this month {month}."
