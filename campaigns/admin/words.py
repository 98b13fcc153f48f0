"""How the admin says things: amounts, moments, statuses. Everything is text or escaped HTML."""

from __future__ import annotations

from datetime import date as datetime_date
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from campaigns.models import Brand, Campaign, Pacing
from campaigns.queries.standing import CampaignStanding, Limit
from campaigns.rules import money, reasons
from campaigns.rules.pacing import ONE
from campaigns.rules.reasons import Reason

NONE = "–"
"""Stands where there is nothing to show."""

NO_LIMIT = "no limit"

# How serious a reason is to the people who own the budgets.
_TONES = {
    Reason.MANUAL: "amber",
    Reason.SCHEDULE: "blue",
    Reason.NOT_STARTED: "gray",
    Reason.ENDED: "gray",
}
_SPENT_TONE = "red"


TONE_NAMES = {
    "green": "active",
    "amber": "paused by a person",
    "red": "budget spent",
    "blue": "outside its hours",
    "gray": "not in flight",
}
"""What the tones of a status mean."""


def tone(why: Reason) -> str:
    """Return the tone of a status as a whole: that of its most serious reason, green when it is active."""
    tones = {_TONES.get(reason, _SPENT_TONE) for reason in why}
    return next((one for one in ("amber", _SPENT_TONE, "gray", "blue") if one in tones), "green")


def amount(micros: int, currency: str) -> str:
    """Return an amount as people read it in a budget or a total."""
    return money.format_money(micros, currency)


def budget(value: Decimal | int | str | None, currency: str) -> str:
    """Return a budget in currency units with its currency; no budget is no limit."""
    micros = money.parse_budget(value)
    return NO_LIMIT if micros is None else whole(micros, currency)


def whole(micros: int, currency: str) -> str:
    """Return a budget in micros as people set it: to its last digit, where it is finer than the currency."""
    return exact(money.from_micros(micros), currency)


def about(micros: int, currency: str) -> str:
    """Return an amount as an estimate is told: to three digits, without decimals from a hundred on."""
    step = 10 ** max(len(str(abs(micros))) - 3, 0)
    rounded = (abs(micros) + step // 2) // step * step
    shown = amount(rounded if micros >= 0 else -rounded, currency)
    digits, _, unit = shown.partition(" ")
    return shown if rounded < 100 * money.MICROS else f"{digits.partition('.')[0]} {unit}"


def chances(millionths: int) -> str:
    """Return a probability as the share of chances at which something is served, never rounded up: `42%`."""
    if millionths >= ONE:
        return "all"
    hundredths = millionths * 10_000 // ONE
    if hundredths < 1:
        return "less than 0.01%"
    return f"{hundredths // 100}%" if hundredths >= 1_000 else f"{Decimal(hundredths).scaleb(-2).normalize():f}%"


def serves(probability: int) -> SafeString:
    """Return what a paced campaign serves of its chances, for a table; nothing where it serves all, or none."""
    if not 0 < probability < ONE:
        return SafeString("")
    return format_html('<span class="bm-serves">serves {} of its chances</span>', chances(probability))


def percentage(percent: int) -> str:
    """Return a share for people; beyond ten times a budget its size says nothing more."""
    return f"{percent:,}%" if percent < 1_000 else "over 999%"


def pacing(value: str) -> str:
    """Return how a budget is spent over the day."""
    return Pacing(value).label.capitalize()


def from_month(owner: Brand | Campaign, currency: str) -> str:
    """Return whether a daily budget is set from the month, with the bounds that there are."""
    if not owner.daily_from_month:
        return "No"
    bounds = (("at least", owner.daily_least), ("at most", owner.daily_most))
    given = [f"{which} {exact(bound, currency)}" for which, bound in bounds if bound is not None]
    return f"Yes, {' and '.join(given)}" if given else "Yes"


def exact(value: Decimal | int | str, currency: str) -> str:
    """Return an amount of the ledger to its last digit: an impression may cost a fraction of a cent."""
    micros = money.to_micros(value)
    shown = money.format_money(micros, currency)
    digits, _, unit = shown.partition(" ")
    if money.to_micros(digits.replace(",", "")) == micros:
        return shown
    return f"{money.from_micros(micros).normalize():,f} {unit}".rstrip()


def when(moment: datetime, zone: ZoneInfo) -> str:
    """Return a moment on the clock of a zone, which is named: `22 Nov 2026, 14:02 Europe/Paris`."""
    local = moment.astimezone(zone)
    return f"{date(local)}, {local:%H:%M} {zone.key}"


def near(moment: datetime, zone: ZoneInfo, now: datetime) -> str:
    """Return a moment without its zone, which stands near by: the time, with the day where it is not today's."""
    local, today = moment.astimezone(zone), now.astimezone(zone).date()
    return f"{local:%H:%M}" if local.date() == today else f"{date(local)}, {local:%H:%M}"


def clock(moment: datetime | None, zone: ZoneInfo, *, seconds: bool = False) -> SafeString | str:
    """Return a moment for a list: the zone stands beside it, smaller."""
    if moment is None:
        return NONE
    local = moment.astimezone(zone)
    text = f"{date(local)}, {local:%H:%M:%S}" if seconds else f"{date(local)}, {local:%H:%M}"
    return format_html(
        '<time class="bm-when" datetime="{}">{} <span class="bm-subtle">{}</span></time>',
        moment.isoformat(),
        text,
        zone.key,
    )


def label(text: str, tone: str) -> SafeString:
    """Return a small coloured label: green, red, amber, blue or gray."""
    return format_html('<span class="bm-label bm-{}">{}</span>', tone, text)


def status_labels(why: Reason, *, archived: bool = False) -> SafeString:
    """Return a status as labels: active, or every reason in words."""
    if archived:
        return label("archived", "gray")
    if not why:
        return label("active", "green")
    labels = ((label(reasons.LABELS[reason], _TONES.get(reason, _SPENT_TONE)),) for reason in why)
    return format_html('<span class="bm-labels">{}</span>', format_html_join("", "{}", labels))


def resumption(standing: CampaignStanding, zone: ZoneInfo, now: datetime) -> str:
    """Return when a paused campaign resumes, as the end of a sentence."""
    if standing.resumes_at is None:
        if Reason.MANUAL in standing.reasons:
            return "stays paused until a person resumes it"
        return "does not resume by itself"
    if standing.resumes_at <= now:
        return "resumes with the next pass"
    return f"resumes {when(standing.resumes_at, zone)}"


def resumes(why: Reason, at: datetime | None, zone: ZoneInfo, now: datetime) -> SafeString | str:
    """Return when a campaign resumes, for a table."""
    if not why:
        return NONE
    if at is None:
        return format_html('<span class="bm-subtle">{}</span>', "not by itself")
    return "now" if at <= now else clock(at, zone)


def status_sentence(name: str, standing: CampaignStanding, zone: ZoneInfo, now: datetime) -> str:
    """Return a campaign's status as a sentence with every reason and when it resumes."""
    if standing.is_active:
        return f"{name} is active."
    return f"{name} is paused: {reasons.in_words(standing.reasons)}; {resumption(standing, zone, now)}."


def share(limit: Limit) -> int | None:
    """Return how much of a budget is spent, in whole percent, never rounded up; None without a limit."""
    if limit.budget is None:
        return None
    return 100 if limit.budget == 0 else max(limit.spent, 0) * 100 // limit.budget


def spent_of(limit: Limit, currency: str, *, of_budget: bool = False) -> SafeString:
    """Return what was spent, with a bar where there is a budget, which can be named, too."""
    shown, percent = amount(limit.spent, currency), share(limit)
    if percent is None:
        return format_html("{}", shown)
    if of_budget:
        digits = shown.removesuffix(f" {currency}")
        budget_text = whole(limit.budget or 0, currency)
        shown = format_html('<span>{} <span class="bm-subtle">of {}</span></span>', digits, budget_text)
    return format_html('<span class="bm-spent">{}{}</span>', shown, _bar(limit, currency))


def _bar(limit: Limit, currency: str) -> SafeString:
    percent = share(limit) or 0
    tone = "red" if percent >= 100 else "amber" if percent >= 80 else "green"
    of = f"{percentage(percent)} of {whole(limit.budget or 0, currency)}"
    return format_html(
        '<progress class="bm-bar bm-{}" max="100" value="{}" aria-label="{}" title="{}"></progress>',
        tone,
        min(percent, 100),
        of,
        of,
    )


def share_of(limit: Limit, which: str, currency: str) -> SafeString:
    """Return how much of a budget is spent, of which one in words, above a bar."""
    return format_html(
        '<span class="bm-spent bm-share"><span>{}% <span class="bm-subtle">of {}</span></span>{}</span>',
        f"{share(limit) or 0:,}",
        which,
        _bar(limit, currency),
    )


def gauge(limit: Limit, currency: str) -> SafeString | str:
    """Return a bar with the share of a budget that is spent beside it."""
    percent = share(limit)
    if percent is None:
        return NONE
    return format_html('<span class="bm-gauge">{}<span>{}</span></span>', _bar(limit, currency), percentage(percent))


def meter(limit: Limit, currency: str, *, without: str = "no budget") -> SafeString:
    """Return what was spent of a budget above a bar. without: what stands in place of the bar where there is none."""
    if limit.budget is None:
        return format_html(
            '<span class="bm-meter">{}<span class="bm-subtle">{}</span></span>', amount(limit.spent, currency), without
        )
    digits = amount(limit.spent, currency).removesuffix(f" {currency}")
    return format_html(
        '<span class="bm-meter"><span>{} <span class="bm-subtle">of {}</span></span>{}</span>',
        digits,
        whole(limit.budget, currency),
        _bar(limit, currency),
    )


def date(day: datetime_date) -> str:
    """Return a day: `22 Nov 2026`."""
    return f"{day.day} {day:%b %Y}"


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 campaign`, `2 campaigns`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def named(names: list[str], most: int) -> str:
    """Return names as a list in a sentence: `A`, `A and B`, `A, B and 3 more`."""
    if len(names) > most:
        names = [*names[:most], f"{len(names) - most:,} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
