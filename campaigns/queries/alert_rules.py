"""The rules of alerts as they hold: which shares and pauses are told of whom. The narrowest rule decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from campaigns.models import AlertRule
from campaigns.rules import alerts
from campaigns.rules.alerts import Kind, Subject
from campaigns.rules.periods import Period


class Percent(NamedTuple):
    """A share to look for. owner: the brand or campaign it is about, 0 for all that have no narrower rule."""

    owner: int
    kind: Kind
    period: Period
    percent: int


class Forecasts(NamedTuple):
    """The percents that are looked for in forecasts: of all, and of those with a rule of their own, by id."""

    of_all: Sequence[int]
    owned: Mapping[int, Sequence[int]]

    def of(self, owner_id: int) -> Sequence[int]:
        """Return those of one owner; none if nothing is told of it."""
        return self.owned.get(owner_id, self.of_all)


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """All rules, and the defaults where there is none. The narrowest decides, also if it is off."""

    rows: Sequence[AlertRule]

    @classmethod
    def read(cls) -> Rules:
        """Read the rules of everything: there are at most 5,000."""
        return cls(list(AlertRule.objects.order_by("pk")))

    def of_all(self, subject: Subject, kind: Kind) -> AlertRule | None:
        """The rule for everything, if there is one."""
        return next((one for one in self._of(subject, kind) if one.brand_id is None), None)

    def general(self, subject: Subject) -> list[Percent]:
        """The shares that are looked for where no narrower rule says otherwise."""
        found: list[Percent] = []
        for kind in _SHARES:
            rule = self.of_all(subject, kind)
            default = alerts.DEFAULTS.get((subject, kind), ())
            found += _percents(0, kind, subject, default if rule is None else percents_of(rule))
        return found

    def of_brands(self, subject: Subject) -> list[Percent]:
        """The shares that brands have rules of their own for."""
        return self._narrow(subject, lambda rule: rule.brand_id if rule.campaign_id is None else None)

    def of_campaigns(self) -> list[Percent]:
        """The shares that campaigns have rules of their own for."""
        return self._narrow(Subject.CAMPAIGN, lambda rule: rule.campaign_id)

    def narrower(self, subject: Subject, level: str) -> list[tuple[int, int]]:
        """The owners (`brand_id` or `campaign_id`) with a rule of their own, on or off, with its kind."""
        rows = (one for one in self.rows if one.subject == subject and one.kind in _SHARES)
        if level == "brand_id":
            return [(one.brand_id, one.kind) for one in rows if one.brand_id is not None and one.campaign_id is None]
        return [(one.campaign_id, one.kind) for one in rows if one.campaign_id is not None]

    def masks(self, kind: Kind) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
        """The reasons that are told of a pause or its end: of all, of brands and of campaigns by id."""
        rule = self.of_all(Subject.CAMPAIGN, kind)
        rows = self._of(Subject.CAMPAIGN, kind)
        brands = [(one.brand_id, mask_of(one)) for one in rows if one.brand_id is not None and one.campaign_id is None]
        campaigns = [(one.campaign_id, mask_of(one)) for one in rows if one.campaign_id is not None]
        return (0 if rule is None else mask_of(rule)), brands, campaigns

    def forecasts(self, kind: Kind, subject: Subject) -> Forecasts:
        """The percents that are looked for in forecasts."""
        rule = self.of_all(subject, kind)
        rows = self._of(subject, kind)
        if subject is Subject.CAMPAIGN:
            owned = {one.campaign_id: percents_of(one) for one in rows if one.campaign_id is not None}
        else:
            owned = {one.brand_id: percents_of(one) for one in rows if one.brand_id is not None}
        return Forecasts(() if rule is None else percents_of(rule), owned)

    def tells(self, kind: Kind) -> bool:
        """Whether something of the installation is told: unless a rule is off."""
        rule = self.of_all(Subject.PRODUCT, kind)
        return rule is None or rule.is_on

    def _of(self, subject: Subject, kind: Kind) -> list[AlertRule]:
        return [one for one in self.rows if one.subject == subject and one.kind == kind]

    def _narrow(self, subject: Subject, owner: Callable[[AlertRule], int | None]) -> list[Percent]:
        found: list[Percent] = []
        for rule in self.rows:
            owned = owner(rule)
            if owned is not None and rule.subject == subject and rule.kind in _SHARES:
                found += _percents(owned, Kind(rule.kind), subject, percents_of(rule))
        return found


_SHARES = (Kind.DAILY_BUDGET, Kind.MONTHLY_BUDGET, Kind.TOTAL_BUDGET, Kind.OVERSPEND)


def percents_of(rule: AlertRule) -> tuple[int, ...]:
    """Return the percents that a rule looks for; none where it is off."""
    return tuple(int(part) for part in rule.percents.split(",")) if rule.is_on and rule.percents else ()


def mask_of(rule: AlertRule) -> int:
    """Return the reasons that a rule tells; none where it is off."""
    return int(rule.pause_reasons) if rule.is_on else 0


def _percents(owner: int, kind: Kind, subject: Subject, percents: Sequence[int]) -> list[Percent]:
    """The shares of a rule; overspend is one beyond 100 % of each budget there is."""
    if kind is not Kind.OVERSPEND:
        return [Percent(owner, kind, alerts.PERIODS[kind], percent) for percent in percents]
    periods = (Period.DAY, Period.MONTH, *((Period.TOTAL,) if subject is Subject.CAMPAIGN else ()))
    return [Percent(owner, kind, period, 100 + percent) for period in periods for percent in percents]
