"""The forms of brands and campaigns. What they accept goes to the services as it is."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from unfold import widgets

from campaigns.admin.base import DialogForm
from campaigns.admin.writing import ServiceForm
from campaigns.models import Brand, Campaign, DaypartingSchedule
from campaigns.rules import money
from campaigns.rules.schedules import ALL_WEEKDAYS, DAY_HOURS, WEEK_HOURS, Schedule, ScheduleError
from campaigns.rules.texts import MAX_NOTE, TextError, check_note
from campaigns.services.catalog import BrandFields, CampaignFields

ALWAYS, WINDOW, GRID = "always", "window", "grid"
"""The forms of a schedule."""

_WEEKDAYS = tuple((str(1 << day), name) for day, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")))
_HOURS = tuple((str(hour), f"{hour:02}:00") for hour in range(DAY_HOURS))
_WINDOW_FIELDS = {"start_hour", "end_hour", "weekdays"}

_PAINTED = "grid_painted"
"""Sent by the grid's script: the person saw only the form of hours that is chosen, and can't have mixed them up."""


class NoteField(forms.CharField):
    """A note that need not be given, taken as one line; refuses what the service would."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=MAX_NOTE, **kwargs)

    def clean(self, value: Any) -> str:
        """Read it."""
        note = one_line(super().clean(value))
        try:
            check_note(note)
        except TextError as error:
            raise ValidationError(str(error)) from error
        return note


class NoteForm(DialogForm):
    """Asks for a note in a dialog."""

    note = NoteField(
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Optional. Kept in the journal with your name.",
    )


PACING_FIELDS = ("pacing", "daily_from_month", "daily_least", "daily_most")
"""How a budget is spread: the same of a brand and of a campaign."""

_PACING_LABELS = {
    "pacing": "Spends",
    "daily_from_month": "Daily budget from the month",
    "daily_least": "At least, a day",
    "daily_most": "At most, a day",
}
_PACING_HELP = {
    "pacing": "Evenly: it serves a share of its chances, so that the day's budget lasts until its hours end.",
    "daily_from_month": "At midnight each day gets its share of what is left of the monthly budget. "
    "The daily budget can't be set by hand meanwhile.",
    "daily_least": "Empty: no least amount. Never more than what is left of the month.",
    "daily_most": "Empty: no most amount.",
}
_PACING_WIDGETS = {
    "pacing": widgets.UnfoldAdminRadioSelectWidget(),
    "daily_from_month": widgets.UnfoldBooleanSwitchWidget(),
}

PACING_CONDITIONS = {"daily_least": "daily_from_month", "daily_most": "daily_from_month"}
"""The bounds are asked for only where the daily budget is set from the month."""

FROM_MONTH = "Set each day from the monthly budget."


class _BudgetForm(ServiceForm[Any]):
    """Shows budgets as short as they are exact, and checks what both models have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self._budgets():
            value = self.initial.get(name)
            if isinstance(value, Decimal):
                self.initial[name] = Decimal(money.to_text(money.to_micros(value)))
        if getattr(self.instance, "daily_from_month", False) and "daily_budget" in self.fields:
            self.fields["daily_budget"].help_text = FROM_MONTH

    def clean(self) -> dict[str, Any] | None:
        """Refuse an impossible budget at its field, in the words of the rule."""
        data = super().clean() or self.cleaned_data
        for name in self._budgets():
            try:
                money.parse_budget(data.get(name))
            except money.MoneyError as error:
                self.add_error(name, str(error))
        return data

    def show_currency(self, currency: str) -> None:
        """Show the currency in the budget fields."""
        for name in self._budgets():
            self.fields[name].widget.attrs["suffix"] = currency

    def _budgets(self) -> list[str]:
        return [name for name, field in self.fields.items() if isinstance(field, forms.DecimalField)]


class BrandForm(_BudgetForm):
    """A brand."""

    stored = frozenset(BrandFields.__annotations__)

    class Meta:
        model = Brand
        fields = (
            "name",
            "external_id",
            "timezone",
            "currency",
            "daily_budget",
            "monthly_budget",
            "budget_scope",
            *PACING_FIELDS,
        )
        labels: ClassVar = {
            "external_id": "External ID",
            "timezone": "Time zone",
            "budget_scope": "Budgets bind",
            **_PACING_LABELS,
        }
        help_texts: ClassVar = {
            **_PACING_HELP,
            "timezone": "The brand's days and months begin at midnight here.",
            "budget_scope": "Together: the sum of the campaigns may spend the budgets. "
            "Alone: every single campaign may spend them.",
        }
        widgets: ClassVar = {"timezone": widgets.UnfoldAdminSelect2Widget(), **_PACING_WIDGETS}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None:
            self.show_currency(self.instance.currency)

    def clean_currency(self) -> str:
        """Take the code in small letters, too."""
        return str(self.cleaned_data["currency"]).upper()


class BudgetsForm(_BudgetForm):
    """The budgets of a brand, and nothing else of it."""

    stored = frozenset({"daily_budget", "monthly_budget"})

    class Meta:
        model = Brand
        fields = ("daily_budget", "monthly_budget")
        widgets: ClassVar = {
            name: widgets.UnfoldAdminTextInputWidget(
                attrs={"inputmode": "decimal", "aria-describedby": f"id_{name}_spent"}
            )
            for name in fields
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.show_currency(self.instance.currency)
        first = next((name for name in self.fields if name in self.errors), "daily_budget")
        self.fields[first].widget.attrs["autofocus"] = True


class GridWidget(widgets.UnfoldAdminTextareaWidget):  # type: ignore[misc]  # Unfold ships without types
    """A week as seven lines of 24 characters, which a script shows as a grid to paint."""

    template_name = "campaigns/admin/grid.html"
    zone = "the brand's time zone"
    """Whose hours these are."""

    class Media:
        js = ("campaigns/grid.js",)

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Add the names of the days, and the clock."""
        context: dict[str, Any] = super().get_context(name, value, attrs)
        return {**context, "days": [day for _, day in _WEEKDAYS], "zone": self.zone}


class CampaignForm(_BudgetForm):
    """A campaign with its schedule."""

    stored = frozenset(CampaignFields.__annotations__)

    hours = forms.ChoiceField(
        label="May spend",
        choices=(
            (ALWAYS, "at any hour"),
            (WINDOW, "from one hour to another, on some weekdays"),
            (GRID, "hour by hour, as painted in the week"),
        ),
        initial=ALWAYS,
        required=False,
        widget=widgets.UnfoldAdminRadioSelectWidget(),
    )
    start_hour = forms.TypedChoiceField(
        label="From",
        choices=(("", "Select an hour"), *_HOURS),
        coerce=int,
        empty_value=None,
        required=False,
        widget=widgets.UnfoldAdminSelectWidget(),
    )
    end_hour = forms.TypedChoiceField(
        label="To",
        choices=(("", "Select an hour"), *_HOURS),
        coerce=int,
        empty_value=None,
        required=False,
        widget=widgets.UnfoldAdminSelectWidget(),
    )
    weekdays = forms.TypedMultipleChoiceField(
        label="On",
        choices=_WEEKDAYS,
        coerce=int,
        initial=[value for value, _ in _WEEKDAYS],
        required=False,
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget(attrs={"class": "bm-weekday"}),
        help_text="The last hour is not included. 22:00 to 06:00 is a night: it belongs to the day it begins on.",
    )
    grid = forms.CharField(
        label="Hours of the week",
        required=False,
        strip=False,
        widget=GridWidget(attrs={"rows": 7, "cols": DAY_HOURS, "spellcheck": "false", "autocomplete": "off"}),
    )

    class Meta:
        model = Campaign
        fields = (
            "brand",
            "name",
            "external_id",
            "daily_budget",
            "monthly_budget",
            "total_budget",
            "flight_start",
            "flight_end",
            *PACING_FIELDS,
        )
        labels: ClassVar = {
            "external_id": "External ID",
            "flight_start": "First day",
            "flight_end": "Last day",
            **_PACING_LABELS,
        }
        widgets: ClassVar = _PACING_WIDGETS
        help_texts: ClassVar = {
            **_PACING_HELP,
            "flight_start": "Empty: it may spend from now on.",
            "flight_end": "This day included. Empty: no end.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        schedule = None
        if self.instance.pk is not None:
            self.show_currency(self.instance.brand.currency)
            self.fields["grid"].widget.zone = self.instance.brand.timezone.key
            schedule = DaypartingSchedule.objects.filter(campaign=self.instance).first()
        self.initial = {**_schedule_initial(schedule), **self.initial}

    def clean_external_id(self) -> str | None:
        """Refuse an id that another campaign of the brand has, at the field."""
        external_id: str | None = self.cleaned_data["external_id"] or None
        brand = self.cleaned_data.get("brand") or (self.instance.brand if self.instance.pk else None)
        if external_id and brand:
            others = Campaign.objects.filter(brand=brand, external_id=external_id.strip()).exclude(pk=self.instance.pk)
            if others.exists():
                raise ValidationError(f"Another campaign of {brand} has this id.")
        return external_id

    def clean(self) -> dict[str, Any] | None:
        """Check what concerns two fields at once."""
        data = super().clean() or self.cleaned_data
        start, end = data.get("flight_start"), data.get("flight_end")
        if start and end and end < start:
            self.add_error("flight_end", "The last day is before the first.")
        try:
            self._check_schedule(data)
        except ScheduleError as error:
            self.add_error("grid" if data.get("hours") == GRID else "end_hour", str(error))
        return data

    def _check_schedule(self, data: dict[str, Any]) -> None:
        form, changed = data.get("hours") or ALWAYS, set(self.changed_data)
        if form != ALWAYS and changed & _WINDOW_FIELDS and "grid" in changed and _PAINTED not in self.data:
            self.add_error(
                "hours", "You have filled in both the hours and the grid. Choose one and leave the other as it was."
            )
        elif form == WINDOW:
            self._check_window(data)
        elif form == GRID:
            if not data.get("grid", "").strip():
                self.add_error("grid", "Fill in the grid, or choose another way to give the hours.")
            else:
                data["grid"] = Schedule.from_grid(data["grid"]).hours

    def _check_window(self, data: dict[str, Any]) -> None:
        for name, which in (("start_hour", "first"), ("end_hour", "last")):
            if data.get(name) is None and name not in self.errors:
                self.add_error(name, f"Choose the {which} hour, or another way to give the hours.")
        if not data.get("weekdays") and "weekdays" not in self.errors:
            self.add_error("weekdays", "Choose at least one weekday.")
        if not self.errors.keys() & _WINDOW_FIELDS:
            Schedule.from_window(data["start_hour"], data["end_hour"], weekday_bits(data["weekdays"]))

    def schedule_changed(self) -> bool:
        """Whether the person has chosen other hours than there were."""
        changed, form = set(self.changed_data), self.cleaned_data["hours"]
        if not form:
            return False  # nothing was chosen, not even "at any hour"
        touched = {WINDOW: _WINDOW_FIELDS, GRID: {"grid"}}.get(form, set())
        return "hours" in changed or bool(changed & touched)


def one_line(note: str) -> str:
    """Return a note without line breaks, as the journal keeps it."""
    return " ".join(note.split())


def weekday_bits(chosen: Iterable[int]) -> int:
    """Return chosen weekdays as the bit mask that the rules take."""
    return sum(set(chosen))


def _schedule_initial(schedule: DaypartingSchedule | None) -> dict[str, Any]:
    """What the schedule's fields show. The grid shows every schedule, so that one can go on from there."""
    hours = "1" * WEEK_HOURS if schedule is None else schedule.as_rule().hours
    lines = (hours[day : day + DAY_HOURS] for day in range(0, WEEK_HOURS, DAY_HOURS))
    initial: dict[str, Any] = {"hours": ALWAYS, "grid": "\n".join(lines)}
    if schedule is None:
        return initial
    if schedule.grid is not None:
        return {**initial, "hours": GRID}
    bits = schedule.weekdays or ALL_WEEKDAYS
    weekdays = [1 << day for day in range(7) if bits >> day & 1]
    return {
        **initial,
        "hours": WINDOW,
        "start_hour": schedule.start_hour,
        "end_hour": schedule.end_hour,
        "weekdays": weekdays,
    }
