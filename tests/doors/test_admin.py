"""The admin, by real requests: what people set goes through the services, what is recorded can't be touched."""

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
import time_machine
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from unfold.admin import ModelAdmin as UnfoldModelAdmin

from campaigns.admin import base
from campaigns.models import (
    ApiKey,
    Brand,
    BrandCounter,
    Campaign,
    CampaignCounter,
    DaypartingSchedule,
    Hold,
    PeriodicRun,
    RollOver,
    Scope,
    SpendLog,
    StatusChange,
)
from campaigns.rules.reasons import Reason
from campaigns.services import catalog, reset_daily_budgets, reset_monthly_budgets
from campaigns.services.enforcement import enforce_all
from campaigns.services.holds import HoldAsk, Refused, place_holds
from campaigns.services.keys import create_key, find_callers
from campaigns.services.status import Actor
from tests import factories
from tests.factories import NOW, spend
from tests.services.reading import why

pytestmark = pytest.mark.django_db

Response = Any
"""What the test client returns: a response with the context of its templates."""

RECORDED: list[type[models.Model]] = [
    SpendLog,
    Hold,
    BrandCounter,
    CampaignCounter,
    StatusChange,
    RollOver,
    PeriodicRun,
]
SET: list[type[models.Model]] = [Brand, Campaign, User, Group]
NIGHT = {"hours": "window", "start_hour": "22", "end_hour": "6"}


@pytest.fixture(autouse=True)
def _noon() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def acme() -> Brand:
    return factories.brand(name="Acme", timezone="Europe/Paris", currency="EUR", daily_budget="100")


@pytest.fixture
def sale(acme: Brand) -> Campaign:
    return factories.campaign(acme, name="Spring sale")


def page(name: str, model: type[models.Model], *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


class _Form(HTMLParser):
    """What a browser would post of the form with an id."""

    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.form_id, self.inside, self.area, self.select = form_id, False, "", ""
        self.data: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.inside = given.get("id") == self.form_id
        name = given.get("name", "")
        if not self.inside or (not name and tag != "option"):
            return
        if tag == "textarea":
            self.area = name
            self.data[name] = [""]
        elif tag == "select":
            self.select = name
        elif tag == "option" and "selected" in given and self.select:
            self.data[self.select] = [given.get("value", "")]
        elif tag == "input" and (given.get("type") not in ("checkbox", "radio") or "checked" in given):
            self.data.setdefault(name, []).append(given.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.inside = False
        elif tag == "textarea":
            self.area = ""
        elif tag == "select":
            self.select = ""

    def handle_data(self, data: str) -> None:
        if self.inside and self.area:
            self.data[self.area][0] += data


def text(response: Response) -> str:
    return unescape(str(response.content, "utf-8"))


def shown_form(client: Client, url: str, model: type[models.Model]) -> dict[str, Any]:
    """Open a page and return its form as a browser would post it."""
    parser = _Form(f"{model._meta.model_name}_form")
    response = client.get(url)
    assert response.status_code == 200
    parser.feed(response.content.decode())
    assert parser.data
    # A browser drops the line break right after <textarea>.
    return {
        name: [value.removeprefix("\n").removeprefix("\r\n") for value in found] for name, found in parser.data.items()
    }


def save(client: Client, row: Brand | Campaign, **changes: Any) -> Response:
    """Open a row's page, change some fields, and save."""
    url = page("change", type(row), row.pk)
    response: Response = client.post(url, {**shown_form(client, url, type(row)), **changes}, follow=True)
    assert response.status_code == 200
    return response


def messages(response: Response) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def errors(response: Response) -> dict[str, list[str]]:
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found


def journal(campaign: Campaign) -> StatusChange:
    """The campaign's latest status change."""
    return StatusChange.objects.filter(campaign=campaign).latest("pk")


# --- Saving is judged --------------------------------------------------------------------------


def test_a_lower_budget_pauses_at_once_and_a_higher_one_resumes(
    client: Client, anna: User, acme: Brand, sale: Campaign
) -> None:
    spend(sale, 60)
    response = save(client, acme, daily_budget="50")
    assert why(sale) == ["brand_daily_budget"]
    assert "Paused Spring sale: daily budget of the brand spent." in messages(response)
    change = journal(sale)
    assert (change.cause, change.actor_id, change.to_reasons) == ("budget", anna.pk, Reason.BRAND_DAILY_BUDGET)
    assert "Resumed Spring sale." in messages(save(client, acme, daily_budget="60.01"))
    assert why(sale) == []


def test_a_campaigns_own_budget_is_judged_and_told_in_words(client: Client, sale: Campaign) -> None:
    spend(sale, 60)
    response = save(client, sale, daily_budget="60")
    assert why(sale) == ["campaign_daily_budget"]
    assert messages(response)[0] == (
        "Spring sale is paused: daily budget of the campaign spent; resumes 19 Jun 2025, 00:00 Europe/Paris."
    )
    assert messages(save(client, sale, daily_budget=""))[0] == "Spring sale is active."


def test_an_edit_keeps_what_somebody_else_has_changed_meanwhile(client: Client, acme: Brand, sale: Campaign) -> None:
    url = page("change", Brand, acme.pk)
    before = shown_form(client, url, Brand)
    catalog.update_brand(brand_id=acme.pk, now=NOW, daily_budget="500", name="Acme & Sons")
    client.post(url, {**before, "monthly_budget": "9000"})
    acme.refresh_from_db()
    assert (acme.name, acme.daily_budget, acme.monthly_budget) == ("Acme & Sons", Decimal(500), Decimal(9000))


def test_an_untouched_form_changes_nothing(client: Client, acme: Brand, sale: Campaign) -> None:
    before = [Brand.objects.values().get(), Campaign.objects.values().get()]
    save(client, acme)
    save(client, sale)
    assert [Brand.objects.values().get(), Campaign.objects.values().get()] == before
    assert not StatusChange.objects.exists()


def test_a_brand_and_a_campaign_are_added(client: Client) -> None:
    fields = shown_form(client, page("add", Brand), Brand)
    client.post(page("add", Brand), {**fields, "name": "Acme", "timezone": "Asia/Tokyo", "currency": "jpy"})
    brand = Brand.objects.get()
    assert (brand.timezone.key, brand.currency, brand.daily_budget) == ("Asia/Tokyo", "JPY", None)
    fields = shown_form(client, page("add", Campaign), Campaign)
    given = {"brand": brand.pk, "name": "Nights", "total_budget": "1000", **NIGHT, "weekdays": ["1", "2"]}
    response = client.post(page("add", Campaign), {**fields, **given}, follow=True)
    campaign = Campaign.objects.get()
    assert (campaign.brand, campaign.total_budget, why(campaign)) == (brand, Decimal(1000), ["schedule"])
    assert str(campaign.schedule) == "22:00–06:00, Mon–Tue"
    assert messages(response)[0] == ("Nights is paused: outside its hours; resumes 23 Jun 2025, 22:00 Asia/Tokyo.")


def test_what_a_service_refuses_is_shown_in_the_form_and_changes_nothing(
    client: Client, acme: Brand, sale: Campaign
) -> None:
    spend(sale, 60)
    response = save(client, acme, currency="USD", daily_budget="50")
    assert "Acme has spend in EUR, so its currency stays; make a new brand instead." in text(response)
    acme.refresh_from_db()
    assert (acme.currency, acme.daily_budget, why(sale)) == ("EUR", Decimal(100), [])
    assert not LogEntry.objects.exists()


def test_a_campaign_of_an_archived_brand_is_refused_in_the_form(client: Client, acme: Brand) -> None:
    catalog.archive_brand(brand_id=acme.pk, now=NOW)
    fields = shown_form(client, page("add", Campaign), Campaign)
    response = client.post(page("add", Campaign), {**fields, "brand": acme.pk, "name": "Too late"})
    assert "Acme is archived" in text(response)
    assert not Campaign.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("daily_budget", "-1", "A budget can't be negative"),
        ("daily_budget", "lots", "Enter a number."),
        ("currency", "EURO", "at most 3 characters"),
        ("currency", "XXY", "XXY is not a currency code of ISO 4217"),
        ("timezone", "Europe/Atlantis", "Select a valid choice"),
        ("name", "", "This field is required."),
    ],
)
def test_a_bad_value_is_told_at_its_field(client: Client, acme: Brand, field: str, value: str, error: str) -> None:
    assert error in " ".join(errors(save(client, acme, **{field: value}))[field])


def test_a_flight_that_ends_before_it_starts_is_told_at_its_field(client: Client, sale: Campaign) -> None:
    found = errors(save(client, sale, flight_start="2025-07-02", flight_end="2025-07-01"))
    assert found == {"flight_end": ["The last day is before the first."]}


def test_another_campaigns_external_id_is_told_at_its_field(client: Client, acme: Brand, sale: Campaign) -> None:
    factories.campaign(acme, external_id="c-1")
    assert errors(save(client, sale, external_id="c-1")) == {"external_id": ["Another campaign of Acme has this id."]}


# --- Hours ---------------------------------------------------------------------------------------


def test_hours_are_set_changed_and_removed_and_judged_each_time(client: Client, anna: User, sale: Campaign) -> None:
    save(client, sale, **NIGHT)
    assert (str(DaypartingSchedule.objects.get()), why(sale)) == ("22:00–06:00, every day", ["schedule"])
    assert (journal(sale).cause, journal(sale).actor_id) == ("schedule", anna.pk)
    grid = "\n".join(["0" * 14 + "1" + "0" * 9] * 7)  # 14:00, which it is in Paris
    save(client, sale, hours="grid", grid=grid)
    assert (str(DaypartingSchedule.objects.get()), why(sale)) == ("every day 14:00–15:00", [])
    save(client, sale, hours="always")
    assert (DaypartingSchedule.objects.count(), why(sale)) == (0, [])


@pytest.mark.parametrize(
    ("given", "field", "error"),
    [
        ({"hours": "window", "start_hour": "9", "end_hour": "9"}, "end_hour", "The start and end hour are both 9"),
        ({"hours": "window", "start_hour": "9", "end_hour": "24"}, "end_hour", "Select a valid choice"),
        ({"hours": "window", "end_hour": "9"}, "start_hour", "Choose the first hour"),
        ({"hours": "window"}, "end_hour", "Choose the last hour"),
        ({"hours": "window", "start_hour": "9", "end_hour": "17", "weekdays": []}, "weekdays", "at least one weekday"),
        ({"hours": "grid", "grid": ""}, "grid", "Fill in the grid"),
        ({"hours": "grid", "grid": "1" * 167}, "grid", "this one has 167"),
        ({"hours": "grid", "grid": "\n".join(["1" * 24] * 6 + ["1" * 23])}, "grid", "Sun has 23"),
        ({"hours": "grid", "grid": "0" * 168}, "grid", "at least one open hour"),
        ({"hours": "grid", "grid": "x" * 168}, "grid", "0 (closed) and 1 (open) only"),
        ({**NIGHT, "grid": "1" * 167 + "0"}, "hours", "filled in both the hours and the grid"),
    ],
)
def test_bad_hours_are_told_at_their_field(
    client: Client, sale: Campaign, given: dict[str, Any], field: str, error: str
) -> None:
    assert error in " ".join(errors(save(client, sale, **given))[field])
    assert not DaypartingSchedule.objects.exists()


def test_a_schedule_comes_back_into_the_form_as_it_is(client: Client, sale: Campaign) -> None:
    catalog.set_window(campaign_id=sale.pk, start_hour=22, end_hour=6, weekdays=0b0100001, now=NOW)
    before = DaypartingSchedule.objects.values().get()
    fields = shown_form(client, page("change", Campaign, sale.pk), Campaign)
    assert (fields["hours"], fields["start_hour"], fields["end_hour"]) == (["window"], ["22"], ["6"])
    assert fields["weekdays"] == ["1", "32"]
    save(client, sale, name="Autumn sale")
    assert DaypartingSchedule.objects.values().get() == before


# --- Pausing and resuming --------------------------------------------------------------------------


def test_the_buttons_pause_and_resume_with_a_note(client: Client, anna: User, sale: Campaign) -> None:
    url = page("pause", Campaign, sale.pk)
    assert "Pause this campaign?" in text(client.get(url, headers={"HX-Request": "true"}))
    assert why(sale) == []  # looking changes nothing
    response = client.post(url, {"_form_submitted": "on", "note": "Creative is being checked"}, follow=True)
    assert messages(response) == ["Spring sale is paused: paused by a person; stays paused until a person resumes it."]
    change = journal(sale)
    assert (change.cause, change.actor_id, change.note) == ("person", anna.pk, "Creative is being checked")
    assert why(sale) == ["manual"]
    client.post(page("resume", Campaign, sale.pk), {"_form_submitted": "on", "note": "Checked"})
    assert (why(sale), journal(sale).note, journal(sale).actor_id) == ([], "Checked", anna.pk)


def test_a_dialog_is_left_by_a_redirect_of_the_whole_page(client: Client, sale: Campaign) -> None:
    url = page("pause", Campaign, sale.pk)
    response = client.post(url, {"_form_submitted": "on"}, headers={"HX-Request": "true"})
    assert (response.status_code, response["HX-Redirect"]) == (200, page("overview", Campaign, sale.pk))


def test_the_button_fits_the_state(client: Client, sale: Campaign) -> None:
    def buttons() -> set[str]:
        body = client.get(page("change", Campaign, sale.pk)).content.decode()
        return {name for name in ("pause", "resume", "archive") if page(name, Campaign, sale.pk) in body}

    assert buttons() == {"pause", "archive"}
    catalog.pause(campaign_id=sale.pk, now=NOW)
    assert buttons() == {"resume", "archive"}
    catalog.archive_campaign(campaign_id=sale.pk, now=NOW)
    assert buttons() == set()


def act(client: Client, model: type[models.Model], action: str, rows: list[Any], **more: str) -> Response:
    data = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    response: Response = client.post(page("changelist", model), data, follow=True)
    return response


def test_more_rows_than_an_action_takes_are_refused(
    client: Client, acme: Brand, sale: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaigns.admin.writing.MAX_SELECTED", 1)
    response = act(client, Campaign, "archive_selected", [sale, factories.campaign(acme)])
    assert messages(response) == ["These are more than 1 campaigns; select fewer at once, for example with a filter."]
    assert why(sale) == []


def test_a_note_is_one_line_and_not_too_long(client: Client, sale: Campaign) -> None:
    url = page("pause", Campaign, sale.pk)
    response = client.post(url, {"_form_submitted": "on", "note": "x" * 501})
    assert "at most 500 characters" in text(response)
    assert why(sale) == []
    client.post(url, {"_form_submitted": "on", "note": "First line\r\nsecond"})
    assert journal(sale).note == "First line second"


@pytest.mark.parametrize("pk", ["0", "abc", "9" * 30])
def test_what_is_not_there_is_no_error(client: Client, pk: str) -> None:
    for model in (Brand, Campaign):
        assert client.get(page("change", model, pk)).status_code == 302
        assert client.get(page("delete", model, pk)).status_code == 302
        assert client.post(page("archive", model, pk), {"_form_submitted": "on"}).status_code == 404


# --- Archiving and deleting --------------------------------------------------------------------------


def test_archiving_asks_first_and_makes_read_only(client: Client, anna: User, acme: Brand, sale: Campaign) -> None:
    assert "Archive for good?" in text(client.get(page("archive", Brand, acme.pk), headers={"HX-Request": "true"}))
    client.post(page("archive", Brand, acme.pk), {"_form_submitted": "on"})
    acme.refresh_from_db()
    sale.refresh_from_db()
    assert (acme.archived_at, sale.archived_at, journal(sale).actor_id) == (NOW, NOW, anna.pk)
    edits = client.get(page("history", Brand, acme.pk), follow=True)
    assert "Brand archived" in text(edits)
    for row in (acme, sale):
        url = page("change", type(row), row.pk)
        assert "_save" not in client.get(url).content.decode()
        assert client.post(url, {"name": "Other"}).status_code == 403


def test_many_are_archived_after_a_question(client: Client, acme: Brand, sale: Campaign) -> None:
    other = factories.campaign(acme)
    assert "Archive 2 campaigns?" in text(act(client, Campaign, "archive_selected", [sale, other]))
    assert Campaign.objects.filter(archived_at=None).count() == 2
    response = act(client, Campaign, "archive_selected", [sale, other], confirmed="yes")
    assert messages(response) == ["Archived 2 campaigns."]
    assert not Campaign.objects.filter(archived_at=None).exists()


@pytest.mark.parametrize("method", ["get", "post"])
def test_deleting_what_has_spend_is_refused_with_a_sentence(
    client: Client, acme: Brand, sale: Campaign, method: str
) -> None:
    spend(sale, 1)
    for row in (sale, acme):
        response = getattr(client, method)(page("delete", type(row), row.pk), {"post": "yes"}, follow=True)
        assert messages(response) == [f"{row} has spend and can't be deleted; archive instead."]
        assert "Archive" in text(response)
    assert (Brand.objects.count(), Campaign.objects.count()) == (1, 1)


def test_deleting_many_is_all_or_nothing(client: Client, acme: Brand, sale: Campaign) -> None:
    fresh = factories.campaign(acme)
    spend(sale, 1)
    response = act(client, Campaign, "delete_selected", [sale, fresh], post="yes")
    assert messages(response) == ["Spring sale has spend and can't be deleted; archive instead."]
    assert (Campaign.objects.count(), LogEntry.objects.count()) == (2, 0)


def test_spend_that_comes_between_the_question_and_the_deletion_is_kept(
    client: Client, sale: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(sale, 1)
    monkeypatch.setattr("campaigns.queries.listing.campaigns_with_spend", lambda _: set())
    response = act(client, Campaign, "delete_selected", [sale], post="yes")
    assert messages(response) == ["Spring sale has spend and can't be deleted; archive it instead."]
    assert (Campaign.objects.count(), LogEntry.objects.count()) == (1, 0)


def test_what_never_spent_is_deleted_with_its_counters(client: Client, acme: Brand, sale: Campaign) -> None:
    save(client, sale, daily_budget="5")  # leaves counters of 0
    save(client, acme, daily_budget="5")
    question = text(client.get(page("delete", Brand, acme.pk)))
    assert "This deletes 1 brand with 1 campaign:" in " ".join(question.split())
    client.post(page("delete", Brand, acme.pk), {"post": "yes"})
    assert not Brand.objects.exists()
    other = factories.campaign()
    act(client, Campaign, "delete_selected", [other], post="yes")
    assert not Campaign.objects.exists()


# --- What is recorded can't be touched ----------------------------------------------------------------


def hold(of: Campaign) -> None:
    """Place a hold."""
    assert not isinstance(place_holds([HoldAsk(of.pk, f"hold-{of.pk}", "0.01")], now=NOW)[0], Refused)


def recorded_rows(sale: Campaign) -> None:
    """Make a row of everything that is recorded."""
    spend(sale, 100)
    reset_daily_budgets(now=NOW)
    reset_monthly_budgets(now=NOW)
    enforce_all(now=NOW)
    hold(factories.campaign())


@pytest.mark.parametrize("model", RECORDED)
def test_no_request_changes_what_is_recorded(client: Client, sale: Campaign, model: type[models.Model]) -> None:
    recorded_rows(sale)
    rows = model._default_manager.order_by("pk")
    before = list(rows.values())
    pk = before[0]["id"]
    assert client.get(page("change", model, pk)).status_code == 200
    assert client.post(page("change", model, pk), {"amount": "1", "spent": "1", "note": "x"}).status_code == 403
    assert client.get(page("add", model)).status_code == 403
    assert client.post(page("add", model), {"amount": "1"}).status_code == 403
    assert client.post(page("delete", model, pk), {"post": "yes"}).status_code == 403
    client.post(page("changelist", model), {"action": "delete_selected", "_selected_action": [pk], "post": "yes"})
    assert list(rows.values()) == before
    body = client.get(page("changelist", model)).content.decode()
    assert 'name="_selected_action"' not in body
    assert page("add", model) not in body


def test_the_journal_outlives_what_it_is_about(client: Client, anna: User, sale: Campaign) -> None:
    bert = User.objects.create_superuser("bert")
    catalog.pause(campaign_id=sale.pk, now=NOW, by=Actor(user_id=bert.pk), note="Why not")
    bert_id, sale_id, brand_id = bert.pk, sale.pk, sale.brand_id
    bert.delete()
    catalog.delete_brand(brand_id=brand_id, now=NOW)
    shown = text(client.get(page("changelist", StatusChange)))
    assert f"deleted campaign {sale_id}" in shown
    assert f"deleted brand {brand_id}" in shown
    assert f"deleted user {bert_id}" in shown
    assert client.get(page("change", StatusChange, StatusChange.objects.get().pk)).status_code == 200


# --- Lists ------------------------------------------------------------------------------------------


def fill(rows: int) -> None:
    """Make rows of every kind, in several zones."""
    for number in range(rows):
        brand = factories.brand(timezone=("UTC", "Asia/Tokyo", "America/New_York")[number % 3], daily_budget="10")
        campaign = factories.campaign(brand, daily_budget="5" if number % 2 else None)
        hold(campaign)
        if number % 2:
            catalog.set_window(campaign_id=campaign.pk, start_hour=22, end_hour=6, now=NOW)
        spend(campaign, 10)
        User.objects.create_user(f"user-{brand.pk}")
        Group.objects.create(name=f"group-{brand.pk}")
        reset_daily_budgets(now=NOW)


@pytest.mark.parametrize("model", RECORDED + SET)
def test_a_list_takes_the_same_queries_for_3_rows_and_for_30(client: Client, model: type[models.Model]) -> None:
    def cost() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as queries:
            response = client.get(page("changelist", model))
        assert response.status_code == 200
        return len(queries), len(response.context["cl"].result_list)

    fill(3)
    queries, rows = cost()
    fill(27)
    more_queries, more_rows = cost()
    assert more_queries == queries <= 10
    assert rows < 10 < 30 <= more_rows


@pytest.mark.parametrize("model", RECORDED)
def test_no_list_counts_a_table_that_grows(client: Client, sale: Campaign, model: type[models.Model]) -> None:
    recorded_rows(sale)
    with CaptureQueriesContext(connection) as queries:
        client.get(page("changelist", model))
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert len(counts) == 1
    assert f"LIMIT {base.MAX_COUNTED}" in counts[0]


def test_a_long_list_is_counted_up_to_a_bound(client: Client, sale: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(6):
        spend(sale, 1)
    monkeypatch.setattr(base, "MAX_COUNTED", 5)
    shown = " ".join(text(client.get(page("changelist", SpendLog))).split())
    assert "the newest 5 rows; filter to see older ones" in shown


def test_lists_say_amounts_in_the_currency_and_times_in_the_zone(client: Client, acme: Brand, sale: Campaign) -> None:
    spend(sale, "60.005", at=NOW - timedelta(hours=1))
    spend(sale, "40", event_id="e-2")
    campaigns = text(client.get(page("changelist", Campaign)))
    assert "100.00 EUR" in campaigns
    assert re.search(r"Daily budget of the brand spent|daily budget of the brand spent", campaigns)
    assert re.search(r"19 Jun 2025, 00:00 <[^>]*>Europe/Paris", campaigns)
    brands = text(client.get(page("changelist", Brand)))
    assert "100.00 EUR" in brands
    assert "0 of 1 active" in brands
    ledger = text(client.get(page("changelist", SpendLog)))
    assert "60.005 EUR" in ledger  # exactly
    assert re.search(r"18 Jun 2025, 13:00:00 <[^>]*>Europe/Paris", ledger)


def test_a_brand_whose_day_is_another_shows_that_days_spend(client: Client) -> None:
    tokyo = factories.campaign(factories.brand(name="Tokyo", timezone="Asia/Tokyo"))
    paris = factories.campaign(factories.brand(name="Paris", timezone="Europe/Paris"))
    evening = NOW.replace(hour=16)  # the 18th in Paris, the 19th in Tokyo
    for campaign in (tokyo, paris):
        spend(campaign, 7, now=NOW)
        spend(campaign, 5, now=evening)
    with time_machine.travel(evening, tick=False):
        rows = client.get(page("changelist", Brand)).context["cl"].result_list
        spent = {row.name: base.figures(row).day.spent // 1_000_000 for row in rows}
    assert spent == {"Tokyo": 5, "Paris": 12}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"runs", "nights", "stopped"}),
        ("status=active", {"runs"}),
        ("status=paused", {"nights", "stopped"}),
        ("reason=schedule", {"nights", "stopped"}),
        ("reason=manual", {"stopped"}),
        ("archived=yes", {"old"}),
        ("archived=all", {"runs", "nights", "stopped", "old"}),
        ("q=night", {"nights"}),
        ("q=acme", {"runs", "nights", "stopped"}),
        ("reason=nonsense", {"runs", "nights", "stopped"}),
    ],
)
def test_campaigns_are_found_by_status_reason_archive_and_words(
    client: Client, acme: Brand, query: str, found: set[str]
) -> None:
    made = {name: factories.campaign(acme, name=name) for name in ("runs", "nights", "stopped", "old")}
    for name in ("nights", "stopped"):
        catalog.set_window(campaign_id=made[name].pk, start_hour=22, end_hour=6, now=NOW)
    catalog.pause(campaign_id=made["stopped"].pk, now=NOW)
    catalog.archive_campaign(campaign_id=made["old"].pk, now=NOW)
    response = client.get(f"{page('changelist', Campaign)}?{query}")
    assert {row.name for row in response.context["cl"].result_list} == found


def test_an_event_is_found_by_its_id_with_the_key(client: Client, sale: Campaign) -> None:
    spend(sale, 1, event_id="order-4711")
    spend(sale, 1, event_id="order-4712")
    url = page("changelist", SpendLog)
    assert [row.event_id for row in client.get(f"{url}?q=order-4711").context["cl"].result_list] == ["order-4711"]
    assert "Nothing matches" in text(client.get(f"{url}?q=order"))


def test_filters_by_brand_and_campaign_are_searched_by_typing(client: Client, sale: Campaign) -> None:
    other = factories.campaign(factories.brand(name="Bolt"), name="Spring sale")
    for campaign in (sale, other):
        spend(campaign, 1)
    query = "app_label=campaigns&model_name=spendlog&field_name=campaign&term=spring"
    answer = client.get(f"{reverse('admin:campaigns_campaign_choices')}?{query}").json()
    assert [one["text"] for one in answer["results"]] == ["Acme · Spring sale", "Bolt · Spring sale"]
    for query in (f"campaign__id__exact={other.pk}", f"brand__id__exact={other.brand_id}"):
        response = client.get(f"{page('changelist', SpendLog)}?{query}")
        assert [row.campaign for row in response.context["cl"].result_list] == [other]
    response = client.get(f"{page('changelist', SpendLog)}?campaign__id__exact={other.pk}")
    assert "Bolt · Spring sale" in text(response)


@pytest.mark.parametrize("model", [Brand, Campaign, *RECORDED])
def test_an_empty_list_says_what_to_do(client: Client, model: type[models.Model]) -> None:
    body = text(client.get(page("changelist", model)))
    assert admin.site._registry[model].empty_text in body  # type: ignore[attr-defined]


# --- Doors and looks ----------------------------------------------------------------------------------


def test_every_model_is_on_unfold() -> None:
    for model in (*RECORDED, *SET):
        assert isinstance(admin.site._registry[model], UnfoldModelAdmin), model


def allow(user: User, *names: str) -> None:
    user.user_permissions.set(Permission.objects.filter(codename__in=names))


def test_staff_does_what_it_is_permitted(sale: Campaign) -> None:
    staff = User.objects.create_user("carl", is_staff=True)
    client = Client()
    client.force_login(staff)
    assert client.get(page("changelist", Campaign)).status_code == 403
    allow(staff, "view_campaign")
    body = client.get(page("change", Campaign, sale.pk)).content.decode()
    assert "at any hour" in body
    assert "_save" not in body
    assert page("pause", Campaign, sale.pk) not in body
    assert client.post(page("pause", Campaign, sale.pk), {"_form_submitted": "on"}).status_code == 403
    assert client.post(page("change", Campaign, sale.pk), {"name": "x"}).status_code == 403
    act(client, Campaign, "pause_selected", [sale])
    assert why(sale) == []
    allow(staff, "view_campaign", "change_campaign")
    client.post(page("pause", Campaign, sale.pk), {"_form_submitted": "on"})
    assert why(sale) == ["manual"]
    assert client.get(page("delete", Campaign, sale.pk)).status_code == 403


def test_deleting_a_brand_takes_the_permission_for_its_campaigns(sale: Campaign) -> None:
    staff = User.objects.create_user("carl", is_staff=True)
    allow(staff, "view_brand", "delete_brand")
    client = Client()
    client.force_login(staff)
    assert client.post(page("delete", Brand, sale.brand_id), {"post": "yes"}).status_code == 403
    assert Brand.objects.exists()


@pytest.mark.parametrize(
    "url",
    ["index", "login", *(f"{model._meta.app_label}_{model._meta.model_name}_changelist" for model in RECORDED + SET)],
)
def test_no_page_asks_another_host_for_anything(client: Client, sale: Campaign, url: str) -> None:
    recorded_rows(sale)
    if url == "login":
        client.logout()
    body = client.get(reverse(f"admin:{url}")).content.decode()
    hosts = set(re.findall(r"(?:https?:)?//([a-z0-9.-]+\.[a-z]{2,}|localhost)", body))
    assert hosts <= {"www.w3.org"}  # the name of SVG, which nobody asks for


def test_the_overview_leads_everywhere_one_may_go(client: Client, sale: Campaign) -> None:
    body = client.get(reverse("admin:index")).content.decode()
    for model in (*RECORDED, *SET):
        assert page("changelist", model) in body, model
    staff = User.objects.create_user("carl", is_staff=True)
    allow(staff, "view_brand")
    client.force_login(staff)
    body = client.get(reverse("admin:index")).content.decode()
    assert page("changelist", Brand) in body
    assert page("changelist", Campaign) not in body


def test_the_app_itself_serves_what_its_pages_need(client: Client, sale: Campaign) -> None:
    body = client.get(page("change", Campaign, sale.pk)).content.decode()
    needed = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', body))
    assert {"/static/campaigns/admin.css", "/static/campaigns/icon.svg"} < needed
    missing = {url for url in needed if client.get(url).status_code != 200}
    assert not missing


def test_logging_in_by_the_bare_address_leads_to_the_overview() -> None:
    User.objects.create_superuser("dora", password="a long enough one")
    answer = Client().post(reverse("admin:login"), {"username": "dora", "password": "a long enough one"})
    assert (answer.status_code, answer.headers["Location"]) == (302, reverse("admin:index"))


# --- API keys --------------------------------------------------------------------------------


def test_a_key_is_made_shown_once_and_revoked(client: Client, anna: User) -> None:
    acme = factories.brand(name="Acme", now=NOW)
    form = {"name": "Bidder", "may": ["1", "2"], "brands": [str(acme.pk)]}
    made = client.post("/admin/campaigns/apikey/add/", form, follow=True).content.decode()
    secret = re.findall(r"<code>(bk_[^<]+)</code>", made)[0]
    key = ApiKey.objects.get()
    assert (key.name, key.scope_codes, key.created_by, key.all_brands) == ("Bidder", ["read", "spend"], anna, False)
    assert find_callers([secret], now=NOW)[secret].brand_ids == frozenset({acme.pk})
    for page in ("/admin/campaigns/apikey/", f"/admin/campaigns/apikey/{key.pk}/change/"):
        shown = client.get(page).content.decode()
        assert key.prefix in shown
        assert secret not in shown
    client.post("/admin/campaigns/apikey/", {"action": "revoke", "_selected_action": [key.pk]})
    assert find_callers([secret], now=NOW) == {}


def test_a_key_is_neither_changed_nor_deleted(client: Client) -> None:
    key, _ = create_key(name="Bidder", scopes=[Scope.READ], now=NOW)
    assert client.post(f"/admin/campaigns/apikey/{key.pk}/change/", {"name": "Other"}).status_code == 403
    assert client.post(f"/admin/campaigns/apikey/{key.pk}/delete/", {"post": "yes"}).status_code == 403
    assert ApiKey.objects.get().name == "Bidder"


def test_a_taken_name_is_told_and_makes_no_key(client: Client) -> None:
    create_key(name="Bidder", scopes=[Scope.READ], now=NOW)
    answer = client.post("/admin/campaigns/apikey/add/", {"name": "Bidder", "may": ["1"]}, follow=True)
    assert "already exists" in answer.content.decode()
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("number", ["9" * 24, "9" * 5_000, str(2**63), "0", "-1"])
def test_an_address_with_an_impossible_id_finds_nothing(client: Client, sale: Campaign, number: str) -> None:
    for model, name in ((Campaign, "brand__id__exact"), (SpendLog, "campaign__id__exact")):
        answer = client.get(page("changelist", model), {name: number}, follow=True)
        assert answer.status_code == 200
        assert "Spring sale" not in answer.content.decode()


JUNK = ["abc", "9" * 24, "-1", "1e3", "\u0661"]


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize(
    "name", ["pause_selected", "resume_selected", "change_budgets_selected", "archive_selected", "delete_selected"]
)
def test_what_is_no_id_can_not_be_selected(client: Client, sale: Campaign, name: str, junk: str) -> None:
    data = {"action": name, "_selected_action": [junk, str(sale.pk)]}
    answer = client.post(page("changelist", Campaign), data, follow=True)
    assert answer.status_code == 200
    assert "Something was selected that is not in this list." in text(answer)
    assert why(sale) == []


@pytest.mark.parametrize("junk", JUNK)
def test_what_is_no_id_is_no_choice(client: Client, junk: str) -> None:
    answer = client.post(page("add", Campaign), {"brand": junk, "name": "New"})
    assert answer.status_code == 200
    assert "Select a valid choice." in text(answer)
    answer = client.post(page("add", User), {"username": "new", "sees": "some", "brands": junk})
    assert answer.status_code == 200
    assert not User.objects.filter(username="new").exists()


@pytest.mark.parametrize("number", ["0", "9" * 24, "abc"])
@pytest.mark.parametrize("name", ["overview", "history", "change", "delete"])
def test_a_page_of_nothing_leads_away(client: Client, name: str, number: str) -> None:
    for model in (Brand, Campaign):
        assert client.get(page(name, model, number)).status_code == 302


@pytest.mark.parametrize("number", ["0", "9" * 24, "abc"])
def test_there_is_no_dialog_about_nothing(client: Client, number: str) -> None:
    for address in (page("pause", Campaign, number), page("archive", Brand, number)):
        assert client.get(address, headers={"HX-Request": "true"}).status_code == 404
        assert client.post(address, {"_form_submitted": "on"}).status_code == 404


def test_a_dialog_by_its_address_leads_to_the_page_below_it(client: Client, sale: Campaign) -> None:
    answer = client.get(page("pause", Campaign, sale.pk))
    assert (answer.status_code, answer["Location"]) == (302, page("overview", Campaign, sale.pk))


def test_nobody_overwrites_what_they_have_not_seen(client: Client, sale: Campaign) -> None:
    address = page("change", Campaign, sale.pk)
    form = shown_form(client, address, Campaign)
    catalog.update_campaign(campaign_id=sale.pk, daily_budget="333", now=NOW)
    answer = client.post(address, {**form, "daily_budget": "444"})
    assert "Somebody else has set this to 333.00 meanwhile. Save again to set yours." in text(answer)
    sale.refresh_from_db()
    assert sale.daily_budget == 333
    again = _Form("campaign_form")
    again.feed(answer.content.decode())
    assert client.post(address, again.data).status_code == 302
    sale.refresh_from_db()
    assert sale.daily_budget == 444


def test_two_people_may_set_the_same(client: Client, sale: Campaign) -> None:
    address = page("change", Campaign, sale.pk)
    form = shown_form(client, address, Campaign)
    catalog.update_campaign(campaign_id=sale.pk, daily_budget="444", now=NOW)
    assert client.post(address, {**form, "daily_budget": "444"}).status_code == 302


def test_hours_that_were_not_sent_stay(client: Client, sale: Campaign) -> None:
    catalog.set_window(campaign_id=sale.pk, start_hour=8, end_hour=18, now=NOW)
    address = page("change", Campaign, sale.pk)
    form = shown_form(client, address, Campaign)
    del form["hours"]
    assert client.post(address, {**form, "name": "Other"}).status_code == 302
    assert DaypartingSchedule.objects.get(campaign=sale).start_hour == 8


def test_a_budget_finer_than_a_cent_is_shown_as_it_is(client: Client, sale: Campaign) -> None:
    catalog.update_campaign(campaign_id=sale.pk, total_budget="0.001", now=NOW)
    spend(sale, 5)
    shown = text(client.get(page("overview", Campaign, sale.pk)))
    assert "0.001 EUR" in shown
    assert "over 999%" in shown
