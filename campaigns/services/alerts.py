"""Looking for what is to be told: shares of budgets, overspend, pauses, late runs, a failed check, forecasts.

Each look reads the state as it is and writes what was not told yet, so that it may run late, twice or side by side: the
outbox keeps what was told. Another kind of alert is another line of `look`.
"""

from __future__ import annotations

from datetime import datetime

from campaigns.models import PeriodicRun
from campaigns.queries import health
from campaigns.queries.alert_rules import Rules
from campaigns.queries.health import Intervals
from campaigns.rules.alerts import Kind
from campaigns.services import alert_forecasts, alert_pauses, alert_shares, outbox
from campaigns.services.outbox import Draft


def look(*, now: datetime, intervals: Intervals, broker_url: str) -> int:
    """Look for everything that is to be told at `now` and write it; return how many alerts are new.

    intervals, broker_url: as `queries.health.health` takes them.
    """
    rules = Rules.read()
    told = alert_shares.tell_of_brands(rules, now=now)
    told += alert_shares.tell_of_campaigns(rules, now=now)
    told += alert_pauses.tell_of_pauses(rules, now=now)
    of_product = _late_runs(rules, now, intervals, broker_url) + _ledger(rules)
    told += len(outbox.write(of_product, now=now))
    return told + alert_forecasts.tell_of_forecasts(rules, now=now)


def _late_runs(rules: Rules, now: datetime, intervals: Intervals, broker_url: str) -> list[Draft]:
    """One alert for each time that the passes or the roll-overs have stopped, when a look finds it."""
    if not rules.tells(Kind.RUNS_LATE):
        return []
    found = health.health(now=now, intervals=intervals, broker_url=broker_url)
    items = {item.key: item for item in found.items}
    last_runs = {"pass": found.last_pass, "roll_overs": found.daily}
    return [
        Draft(
            kind=Kind.RUNS_LATE,
            key=f"late.{key}.{last.started_at.isoformat()}",
            message=f"{items[key].name}: {items[key].sentence}",
            data={"what": key, "last_run_at": last.started_at.isoformat(timespec="seconds")},
        )
        for key, last in last_runs.items()
        if last is not None and items[key].state is health.State.BAD
    ]


def _ledger(rules: Rules) -> list[Draft]:
    """One alert when a check finds differences, and another when it finds another number of them."""
    if not rules.tells(Kind.LEDGER_DIFFERS):
        return []
    checks = PeriodicRun.objects.filter(task=PeriodicRun.Task.CHECK_LEDGER, finished_at__isnull=False)
    last = checks.order_by("-started_at").first()
    if last is None or not last.changed:
        return []
    # Since this one it has been the same, however many checks came before a look.
    other = checks.exclude(changed=last.changed).order_by("-started_at").values_list("pk", flat=True).first()
    differ = f"{last.changed:,} {'counter differs' if last.changed == 1 else 'counters differ'}"
    return [
        Draft(
            kind=Kind.LEDGER_DIFFERS,
            key=f"ledger.{other or 0}.{last.changed}",
            message=f"{differ} from the ledger; run check_ledger, which names them.",
            data={"differences": last.changed, "checked_at": last.started_at.isoformat(timespec="seconds")},
        )
    ]
