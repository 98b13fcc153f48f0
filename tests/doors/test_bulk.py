"""Many campaigns from the list: a review shows what would be done, and only Apply does it."""

import re
from collections.abc import Iterator
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns.models import Brand, BrandLimit, Campaign, Edit, StatusChange
from campaigns.services import bulk, catalog, reviews
from tests import factories
from tests.factories import NOW, spend
from tests.services.reading import why

pytestmark = pytest.mark.django_db

LIST = "/admin/campaigns/campaign/"


@pytest.fixture(autouse=True)
def _noon() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def acme() -> Brand:
    return factories.brand(name="Acme", currency="EUR")


def select(client: Client, action: str, rows: list[Campaign], query: str = "", **more: str) -> Any:
    """Choose an action for some rows of the list; return the first page of it."""
    data = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    return client.post(f"{LIST}?{query}", data, follow=True)


def text(response: Any) -> str:
    return " ".join(unescape(response.content.decode()).split())


def hidden(response: Any) -> dict[str, str]:
    """What a page sends along."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', response.content.decode())
    return {name: unescape(value) for name, value in found}


def press(client: Client, response: Any, button: str, **fields: str) -> Any:
    """Fill in the form of a page and press one of its buttons."""
    url = re.findall(r'<form method="post" action="([^"]+)" class="bm-review', response.content.decode())[0]
    assert f'name="{button}"' in response.content.decode()
    return client.post(url, {**hidden(response), **fields, button: ""}, follow=True)


def sentences(response: Any) -> list[str]:
    return list(response.context["sentences"])


def messages(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def test_a_review_shows_before_and_after_and_apply_does_it(client: Client, anna: User, acme: Brand) -> None:
    one, two, three = (factories.campaign(acme, name=name) for name in ("Runs", "Nights", "Stopped"))
    catalog.set_window(campaign_id=two.pk, start_hour=22, end_hour=6, now=NOW)
    catalog.pause(campaign_id=three.pk, now=NOW)
    review = select(client, "pause_selected", [one, two, three], "currency=EUR")
    assert sentences(review) == [
        "Pauses 1 campaign.",
        "1 campaign: paused for other reasons, and from now on also by a person.",
        "1 campaign stays as it is: paused by a person before.",
    ]
    assert [why(row) for row in (one, two, three)] == [[], ["schedule"], ["manual"]]
    assert re.search(r"Runs.*?active.*?→.*?paused by a person.*?Nights.*?→.*?Stopped.*?stays", text(review))
    done = press(client, review, "apply", note="Stock is\n out")
    assert [why(row) for row in (one, two, three)] == [["manual"], ["manual", "schedule"], ["manual"]]
    assert messages(done)[0] == "Paused 1 campaign."
    assert done.redirect_chain == [(f"{LIST}?currency=EUR", 302)]
    change = StatusChange.objects.filter(campaign=one).latest("pk")
    assert (change.cause, change.note, change.actor_id) == ("person", "Stock is out", anna.pk)
    review = select(client, "resume_selected", [one, two, three])
    assert sentences(review) == [
        "Resumes 2 campaigns.",
        "1 campaign no longer paused by a person, but still for other reasons.",
    ]
    press(client, review, "apply")
    assert [why(row) for row in (one, two, three)] == [[], ["schedule"], []]


def test_a_note_that_is_too_long_is_told_at_its_field(client: Client, acme: Brand) -> None:
    row = factories.campaign(acme)
    answer = press(client, select(client, "pause_selected", [row]), "apply", note="x" * 501)
    assert "at most 500 characters" in text(answer)
    assert why(row) == []


CHANGES: dict[str, tuple[dict[str, str], dict[str, str | None], list[str]]] = {
    "set": (
        {"field": "daily_budget", "how": "set", "value": "10"},
        {"one": "10", "two": "10", "three": "10"},
        ["Changes the daily budget of 2 campaigns.", "Pauses 1 campaign.",
         "1 campaign stays as it is: this daily budget already."],
    ),
    "raise": (
        {"field": "daily_budget", "how": "raise", "value": "12.5 %"},
        {"one": "37.51", "two": "11.25", "three": None},
        ["Changes the daily budget of 2 campaigns.", "No campaign would be paused or resumed.",
         "1 campaign stays as it is: no daily budget."],
    ),
    "lower": (
        {"field": "daily_budget", "how": "lower", "value": "70"},
        {"one": "10.00", "two": "3.00", "three": None},
        ["Changes the daily budget of 2 campaigns.", "Pauses 1 campaign.",
         "1 campaign stays as it is: no daily budget."],
    ),
    "remove": (
        {"field": "daily_budget", "how": "remove"},
        {"one": None, "two": None, "three": None},
        ["Changes the daily budget of 2 campaigns.", "No campaign would be paused or resumed.",
         "1 campaign stays as it is: no daily budget."],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_budgets_are_set_changed_by_percent_and_removed(client: Client, acme: Brand, kind: str) -> None:
    fields, expected, said = CHANGES[kind]
    one = factories.campaign(acme, name="one", daily_budget="33.34")
    two = factories.campaign(acme, name="two", daily_budget="10")
    three = factories.campaign(acme, name="three")
    spend(one, "10")
    page = select(client, "change_budgets_selected", [one, two, three])
    assert 'name="apply"' not in page.content.decode()
    review = press(client, page, "review", **fields)
    assert sentences(review) == said
    assert not Edit.objects.filter(verb=Edit.Verb.CHANGED).exists()
    press(client, review, "apply", **fields)
    found = {row.name: row.daily_budget for row in Campaign.objects.all()}
    assert found == {name: None if value is None else Decimal(value) for name, value in expected.items()}


@pytest.mark.parametrize(
    ("how", "value", "error"),
    [
        ("set", "", "Give an amount."),
        ("set", "-1", "A budget can't be negative"),
        ("set", "lots", "is not an amount"),
        ("set", "1e30", "out of range"),
        ("raise", "", "Give how many percent."),
        ("raise", "0", "Give more than 0 and at most 1,000 percent to raise a budget by."),
        ("raise", "1001", "Give more than 0 and at most 1,000 percent"),
        ("lower", "-5", "Give more than 0 and at most 100 percent to lower a budget by."),
        ("lower", "100.01", "Give more than 0 and at most 100 percent"),
        ("double", "1", "Select a valid choice"),
    ],
)
def test_a_bad_value_is_told_at_its_field(client: Client, acme: Brand, how: str, value: str, error: str) -> None:
    page = select(client, "change_budgets_selected", [factories.campaign(acme)])
    assert error in text(press(client, page, "review", field="daily_budget", how=how, value=value))


def test_a_raise_past_all_reason_is_told_with_the_campaign(client: Client, acme: Brand) -> None:
    rows = [factories.campaign(acme, name=name, daily_budget="900000000000") for name in ("Sale", "Other")]
    page = select(client, "change_budgets_selected", rows)
    answer = press(client, page, "review", field="daily_budget", how="raise", value="50")
    assert "Sale: Daily budget: A budget can't be above 1,000,000,000,000" in text(answer)


def test_an_amount_in_several_currencies_is_said_to_be_in_each(client: Client, acme: Brand) -> None:
    rows = [factories.campaign(acme), factories.campaign(acme), factories.campaign(factories.brand(currency="JPY"))]
    page = select(client, "change_budgets_selected", rows)
    review = press(client, page, "review", field="total_budget", how="set", value="100")
    assert sentences(review)[-1] == (
        "These campaigns spend in 2 currencies, and the amount is in each one's own: 100.00 EUR for 2 campaigns, "
        "100 JPY for 1 campaign."
    )


def test_what_somebody_has_changed_meanwhile_is_shown_again(client: Client, acme: Brand) -> None:
    row = factories.campaign(acme, daily_budget=10)
    fields = {"field": "daily_budget", "how": "raise", "value": "50"}
    review = press(client, select(client, "change_budgets_selected", [row]), "review", **fields)
    catalog.update_campaign(campaign_id=row.pk, daily_budget=20, now=NOW)
    again = press(client, review, "apply", **fields)
    assert "This is no longer what you were shown" in text(again)
    shown = " ".join(re.sub(r"<[^>]*>", " ", text(again)).split())
    assert "20.00 EUR → becomes 30.00 EUR" in shown
    row.refresh_from_db()
    assert row.daily_budget == 20
    press(client, again, "apply", **fields)
    row.refresh_from_db()
    assert row.daily_budget == 30


def test_all_that_match_the_filter_are_taken(client: Client, acme: Brand) -> None:
    ours = [factories.campaign(acme) for _ in range(3)]
    other = factories.campaign(factories.brand(currency="JPY"))
    press(client, select(client, "pause_selected", ours[:1], "currency=EUR", select_across="1"), "apply")
    assert [why(row) for row in [*ours, other]] == [["manual"]] * 3 + [[]]


def test_too_many_and_archived_ones_are_said_so(client: Client, acme: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = factories.campaign(acme), factories.campaign(acme)
    monkeypatch.setattr(bulk, "MAX_CAMPAIGNS", 1)
    answer = select(client, "pause_selected", [one, two])
    assert messages(answer) == ["These are more than 1 campaigns; select fewer at once, for example with a filter."]
    catalog.archive_campaign(campaign_id=one.pk, now=NOW)
    answer = select(client, "pause_selected", [one], "archived=all")
    assert messages(answer) == ["These are archived and stay as they are."]


def test_a_review_takes_the_same_queries_for_3_and_for_30(client: Client, acme: Brand) -> None:
    def cost(rows: list[Campaign]) -> tuple[int, int]:
        with CaptureQueriesContext(connection) as looking:
            review = select(client, "pause_selected", rows)
        with CaptureQueriesContext(connection) as applying:
            press(client, review, "apply")
        return len(looking), len(applying)

    few = cost([factories.campaign(acme) for _ in range(3)])
    assert cost([factories.campaign() for _ in range(30)]) == few


def test_a_review_in_slices_says_what_one_does(client: Client, acme: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [factories.campaign(acme, name=f"{number}", daily_budget=100) for number in range(7)]
    for row in rows[::2]:
        spend(row, 60)
    fields = {"field": "daily_budget", "how": "lower", "value": "50"}
    page = select(client, "change_budgets_selected", rows)
    whole = press(client, page, "review", **fields)
    monkeypatch.setattr("campaigns.services.rehearsal.SLICE", 2)
    sliced = press(client, page, "review", **fields)
    assert sentences(sliced) == sentences(whole) == ["Changes the daily budget of 7 campaigns.", "Pauses 4 campaigns."]
    assert sliced.context["outcome"] == whole.context["outcome"]
    press(client, sliced, "apply", **fields)
    assert sorted(bool(why(row)) for row in rows) == [False] * 3 + [True] * 4


def test_a_long_review_is_cut_and_counts_the_rest(client: Client, acme: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaigns.admin.bulk.MAX_SHOWN", 2)
    rows = [factories.campaign(acme) for _ in range(5)]
    catalog.pause(campaign_id=rows[0].pk, now=NOW)
    review = select(client, "pause_selected", rows)
    assert "And 3 more campaigns" in text(review)
    assert [row.campaign for row in review.context["rows"]] == rows[1:3]  # what changes comes first


def carl(*permissions: str) -> tuple[User, Client]:
    staff = User.objects.create_user("carl", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(staff)
    return staff, client


def test_it_takes_the_permission_to_change(acme: Brand) -> None:
    row = factories.campaign(acme)
    _, client = carl("view_campaign")
    assert 'value="pause_selected"' not in client.get(LIST).content.decode()
    select(client, "pause_selected", [row])
    url = reverse("admin:campaigns_campaign_bulk", args=["pause"])
    assert client.post(url, {"ids": str(row.pk), "apply": "", "seal": ""}).status_code == 403
    assert why(row) == []


def test_whoever_sees_some_brands_changes_only_theirs(acme: Brand) -> None:
    ours, foreign = factories.campaign(acme), factories.campaign(factories.brand(name="Secret"), name="Hidden")
    staff, client = carl("view_campaign", "change_campaign")
    BrandLimit.objects.create(user=staff).brands.add(acme)
    url = reverse("admin:campaigns_campaign_bulk", args=["pause"])
    answer = client.post(url, {"ids": f"{ours.pk},{foreign.pk}", "review": ""})
    assert "Hidden" not in text(answer)
    assert "Secret" not in text(answer)
    press(client, answer, "apply")
    client.post(url, {"ids": f"{foreign.pk}", "apply": "", "seal": reviews.Outcome({}, {}).seal})
    assert (why(ours), why(foreign)) == (["manual"], [])


@pytest.mark.parametrize("ids", ["", "x", "1,", "-1", "9" * 30, "1;2"])
def test_odd_ids_and_addresses_are_no_error(client: Client, ids: str) -> None:
    url = reverse("admin:campaigns_campaign_bulk", args=["pause"])
    assert "Select the campaigns in the list again." in messages(client.post(url, {"ids": ids}, follow=True))
    assert client.get(url).status_code == 302
    assert client.post(reverse("admin:campaigns_campaign_bulk", args=["explode"])).status_code == 302
