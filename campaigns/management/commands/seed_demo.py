"""`manage.py seed_demo`: a dozen brands with a month of history, in an empty database."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from campaigns.management.console import PlainCommand
from campaigns.models import Brand, Campaign, SpendLog
from campaigns.services import demo


class Command(PlainCommand):
    """Seeds the demo; does nothing where there are brands already."""

    help = "Fill an empty database with a dozen demo brands and a month of their history."

    def handle(self, *args: Any, **options: Any) -> None:
        """Seed with a progress bar, then say what there is."""
        columns = (TextColumn("Living through a month of demo data"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.err, transient=True, disable=not self.err.is_terminal) as progress:
            task = progress.add_task("", total=None)

            def lived_through(done: int, hours: int) -> None:
                progress.update(task, completed=done, total=hours)

            seeded = demo.seed(now=timezone.now(), progress=lived_through)
        if seeded:
            brands, campaigns, rows = Brand.objects.count(), Campaign.objects.count(), SpendLog.objects.count()
            self.say(f"Demo data: {brands} brands, {campaigns} campaigns, {rows:,} spend events of the last month.")
        else:
            self.say("There are brands already; the demo data are left as they are.")
