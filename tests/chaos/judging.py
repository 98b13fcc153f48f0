"""What must hold after every fault, each as a sentence where it does not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from campaigns.models import Brand, BrandCounter, Campaign, Hold, PeriodicRun, SpendLog, StatusChange
from campaigns.models.figures import Campaigns
from campaigns.services import audit, enforcement, holds, status
from tests.chaos.load import CENT, Book

MOST_NAMED = 3


@dataclass
class Judgement:
    """What was found: how many of each, and a sentence for each thing that must not be."""

    answered: int = 0
    recorded: int = 0
    twice: int = 0
    lost: int = 0
    forfeited: int = 0
    differences: int = 0
    wrong: list[str] = field(default_factory=list)


def judge(book: Book, *, now: datetime) -> Judgement:
    """Hold the book against ledger, counters, statuses, journal and holds."""
    found = Judgement(answered=len(book.answered) + len(book.streamed), recorded=SpendLog.objects.count())
    _events(book, found)
    _ledger(found)
    _statuses(found, now)
    _holds(book, found, now)
    _budget(book, found)
    found.wrong += _few("A client was told something wrong", book.wrong)
    return found


def _events(book: Book, found: Judgement) -> None:
    """Every answered deed is in the ledger once; what was refused is not, nor what nobody has sent."""
    rows = Counter(SpendLog.objects.values_list("event_id", flat=True))
    deeds: Counter[str] = Counter()
    for event_id, number in rows.items():
        deeds[book.sent.get(event_id, "")] += number
    unknown = [event_id for event_id in rows if event_id not in book.sent]
    twice = [deed for deed, number in deeds.items() if deed and number > 1]
    promised = {*book.answered, *book.streamed}
    missing = [deed for deed in promised if not deeds[deed]]
    forfeited = [deed for deed in missing if deed in book.forfeited and deed not in book.answered]
    lost = [deed for deed in missing if deed not in forfeited]
    found.twice, found.lost, found.forfeited = len(twice), len(lost), len(forfeited)
    found.wrong += _few("In the ledger, but sent by nobody", unknown)
    found.wrong += _few("In the ledger more than once", twice)
    found.wrong += _few("Answered, but not in the ledger", lost)
    found.wrong += _few("Refused, but in the ledger", sorted(book.refused & rows.keys()))
    others = SpendLog.objects.exclude(amount=Decimal(CENT)).values_list("event_id", flat=True)
    found.wrong += _few("In the ledger with another amount", list(others[:MOST_NAMED]))


def _ledger(found: Judgement) -> None:
    """The counters are the sums of the ledger, now and at every check that the product made by itself."""
    differences = audit.check_ledger()
    found.differences = len(differences)
    found.wrong += _few("check_ledger found", differences)
    checks = PeriodicRun.objects.filter(task=PeriodicRun.Task.CHECK_LEDGER, changed__gt=0)
    found.wrong += _few("A check during the run found differences", list(checks.values_list("pk", flat=True)))


def _statuses(found: Judgement, now: datetime) -> None:
    """Each status is the verdict, and no pass ever had anything to mend: whoever spent or changed a budget judged."""
    stale = status.find_stale(Campaigns.everywhere(), now=now)
    found.wrong += _few("The stored status is not the verdict, of campaign", stale)
    passes = PeriodicRun.objects.exclude(task=PeriodicRun.Task.CHECK_LEDGER).filter(changed__gt=0)
    found.wrong += _few("A pass had to mend statuses, run", list(passes.values_list("pk", flat=True)))
    if changed := enforcement.enforce_all(now=now).changed:
        found.wrong.append(f"A pass after all was over changed {changed} statuses.")
    stored = dict(Campaign.objects.values_list("pk", "reasons"))
    last: dict[int, int] = {}
    for campaign_id, was, became in StatusChange.objects.order_by("pk").values_list(
        "campaign_id", "from_reasons", "to_reasons"
    ):
        if last.get(campaign_id, was) != was:
            found.wrong.append(f"The journal of campaign {campaign_id} is no chain.")
        last[campaign_id] = became
    torn = [campaign_id for campaign_id, became in last.items() if stored[campaign_id] != became]
    found.wrong += _few("The journal does not end in the stored status, of campaign", torn)


def _holds(book: Book, found: Judgement, now: datetime) -> None:
    """Settled, released or expired, as was answered; and nothing is held by what is over."""
    holds.expire_holds(now=now)
    states = {pk: (Hold.State(state), event_id) for pk, state, event_id in Hold.objects.values_list(
        "pk", "state", "event_id"
    )}  # fmt: skip
    settled = [pk for pk, event_id in book.settled.items() if states.get(pk) != (Hold.State.SETTLED, event_id)]
    released = [pk for pk in book.released if states.get(pk, (None,))[0] is not Hold.State.RELEASED]
    left = [pk for pk in book.left if states.get(pk, (None,))[0] is not Hold.State.EXPIRED]
    found.wrong += _few("Answered as settled, but it is not, hold", settled)
    found.wrong += _few("Answered as released, but it is not, hold", released)
    found.wrong += _few("Left to expire, but it has not, hold", left)
    keys = Counter(Hold.objects.values_list("key", flat=True))
    found.wrong += _few("Placed more than once, key", [key for key, number in keys.items() if number > 1])
    open_ = [pk for pk, (state, _) in states.items() if state is Hold.State.OPEN]
    found.wrong += _few("Still open, hold", open_)
    holding = BrandCounter.objects.exclude(held=0).values_list("pk", flat=True)
    found.wrong += _few("Something is held by nobody in the counter", list(holding))


def _budget(book: Book, found: Judgement) -> None:
    """A budget is what was answered last."""
    if book.budgets and not Brand.objects.filter(daily_budget=Decimal(book.budgets[-1])).exists():
        found.wrong.append(f"No brand has the daily budget {book.budgets[-1]} that was answered last.")


def _few(what: str, cases: Sequence[object]) -> list[str]:
    if not cases:
        return []
    named = ", ".join(str(case) for case in cases[:MOST_NAMED])
    return [f"{what}: {named}{f' and {len(cases) - MOST_NAMED} more' if len(cases) > MOST_NAMED else ''}."]


# --- What programs have printed --------------------------------------------------------------


_TRACEBACK = re.compile(
    r"Traceback \(most recent call last\).*?\n(?P<last>[\w.]*(?:Error|Exception|Exit)\b[^\n]*)", re.DOTALL
)


def tracebacks(output: str) -> Iterator[str]:
    """Give the last line of each traceback in what a program has printed."""
    for match in _TRACEBACK.finditer(output):
        yield match["last"][:200]
    if "Traceback" in output and not _TRACEBACK.search(output):
        yield "one that does not end"
