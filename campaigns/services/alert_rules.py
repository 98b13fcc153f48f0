"""Rules of alerts: set for everything, for a brand or for a campaign; the narrowest decides."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from campaigns.models import AlertRule, Campaign
from campaigns.rules import alerts
from campaigns.rules.alerts import FORECASTS, STATUSES, SUBJECTS, Kind, Subject
from campaigns.rules.errors import BudgetError, InvalidFieldError
from campaigns.rules.reasons import NONE, Reason

MAX_RULES = 5_000
"""Rules of the installation: every look reads all of them."""


def create_rule(
    *,
    kind: Kind,
    subject: Subject,
    brand_id: int | None = None,
    campaign_id: int | None = None,
    percents: str = "",
    reasons: Reason = NONE,
    is_on: bool = True,
    now: datetime,
) -> AlertRule:
    """Make a rule for a campaign, for a brand, or (both None) for everything.

    percents: such as `50, 80, 100`, of a budget; of overspend and forecasts how far
    beyond. reasons: what is told of a pause; none
    is all but hours and flights. Raises BudgetError for what can't be, for a second rule of a kind for the same, and
    for more than 5,000 rules.
    """
    _insist_on_subject(kind, subject, brand_id, campaign_id)
    if campaign_id is not None:
        brand_id = _brand_of(campaign_id, brand_id)
    rule = AlertRule(
        kind=kind, subject=subject, brand_id=brand_id, campaign_id=campaign_id, is_on=is_on, created_at=now
    )
    _fill(rule, percents, reasons)
    if AlertRule.objects.count() >= MAX_RULES:
        raise BudgetError(f"There are {MAX_RULES:,} rules, which is the most; delete one, or make one for a brand.")
    try:
        with transaction.atomic():
            rule.save(force_insert=True)
    except IntegrityError as error:
        raise InvalidFieldError("kind", "There is such a rule for the same already; change that one.") from error
    return rule


def update_rule(
    *, rule_id: int, percents: str | None = None, reasons: Reason | None = None, is_on: bool | None = None
) -> AlertRule:
    """Change what a rule looks for; what it is about stays. Raises BudgetError as `create_rule`."""
    with transaction.atomic():
        rule = AlertRule.objects.select_for_update().order_by().filter(pk=rule_id).first()
        if rule is None:
            raise BudgetError(f"There is no rule {rule_id}.")
        _fill(rule, rule.percents if percents is None else percents, rule.pause_reasons if reasons is None else reasons)
        rule.is_on = rule.is_on if is_on is None else is_on
        rule.save(update_fields=["percents", "pause_reasons", "is_on"])
    return rule


def delete_rule(*, rule_id: int) -> None:
    """Delete a rule: then the wider one decides, or the default."""
    AlertRule.objects.filter(pk=rule_id).delete()


def _insist_on_subject(kind: Kind, subject: Subject, brand_id: int | None, campaign_id: int | None) -> None:
    if subject not in SUBJECTS.get(kind, ()):
        raise InvalidFieldError("kind", _NOT_ABOUT[subject].format(alerts.LABELS[kind]))
    if subject is Subject.PRODUCT and (brand_id is not None or campaign_id is not None):
        raise InvalidFieldError("brand", "This is of the installation; leave brand and campaign empty.")
    if campaign_id is not None and subject is not Subject.CAMPAIGN:
        raise InvalidFieldError("campaign", "A rule for a campaign is about that campaign; leave the campaign empty.")
    if campaign_id is None and subject is Subject.CAMPAIGN and kind in FORECASTS:
        # A forecast is made of one owner at a time, and there may be a million campaigns.
        raise InvalidFieldError("campaign", "Choose the campaign: of forecasts there is a rule for each that matters.")


_NOT_ABOUT = {
    Subject.BRAND: "There is no rule about the brand itself for {}; choose each campaign.",
    Subject.CAMPAIGN: "There is no rule about campaigns for {}.",
    Subject.PRODUCT: "There is no rule about the installation for {}.",
}


def _brand_of(campaign_id: int, brand_id: int | None) -> int:
    found = Campaign.objects.filter(pk=campaign_id).values_list("brand_id", flat=True).first()
    if found is None:
        raise InvalidFieldError("campaign", f"There is no campaign {campaign_id}.")
    if brand_id not in (None, found):
        raise InvalidFieldError("campaign", "This campaign is of another brand.")
    return found


def _fill(rule: AlertRule, percents: str, reasons: Reason) -> None:
    """Set what fits the rule's kind, and nothing else."""
    kind = Kind(rule.kind)
    if kind in alerts.WITH_PERCENTS:
        default = ", ".join(map(str, alerts.PERCENTS.get(kind, alerts.SHARES)))
        most = alerts.MAX_OVER if kind in alerts.BEYOND else alerts.MAX_SHARE
        try:
            found = alerts.parse_percents(percents.strip() or default, most=most)
        except ValueError as error:
            raise InvalidFieldError("percents", str(error)) from error
        rule.percents = ", ".join(map(str, found))
    if kind in STATUSES:
        rule.pause_reasons = reasons or alerts.TOLD_PAUSES
