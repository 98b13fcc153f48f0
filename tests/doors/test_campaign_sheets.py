"""The lists as CSV, and campaigns from CSV: what a file would do is shown first, and only Apply does it."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from campaigns.models import Brand, BrandLimit, Campaign, DaypartingSchedule, Edit
from campaigns.services import catalog
from tests import factories
from tests.factories import NOW, spend
from tests.services.reading import why

pytestmark = pytest.mark.django_db

EXPORT, IMPORT = "/admin/campaigns/campaign/export_csv/", "/admin/campaigns/campaign/import_csv/"


SAME_HOURS = (
    "Column hours: The start and end hour are both 9, which could mean never or always: to run all day, remove the "
    "schedule."
)


@pytest.fixture(autouse=True)
def _noon() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def acme() -> Brand:
    return factories.brand(name="Acme", currency="EUR", timezone="Europe/Paris", daily_budget=100)


def export(client: Client, query: str = "", url: str = EXPORT) -> list[dict[str, str]]:
    response = client.get(f"{url}?{query}")
    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv"
    body = b"".join(response.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]  # a stream
    return list(csv.DictReader(io.StringIO(body)))


def upload(client: Client, content: str | bytes, name: str = "budgets.csv") -> Any:
    data = content if isinstance(content, bytes) else content.encode()
    return client.post(IMPORT, {"file": SimpleUploadedFile(name, data), "preview": ""}, follow=True)


def press(client: Client, response: Any, button: str) -> Any:
    page = response.content.decode()
    assert f'name="{button}"' in page
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
    return client.post(IMPORT, {**{name: unescape(value) for name, value in found}, button: ""}, follow=True)


def text(response: Any) -> str:
    body = re.sub(r"<[^>]*>", " ", unescape(response.content.decode()))
    return " ".join(body.split()).replace("becomes ", "")  # which is said beside the arrow


def said(response: Any) -> list[str]:
    return list(response.context["sentences"])


def errors(response: Any) -> list[tuple[int, str]]:
    return [(one.row.line.number, one.row.why) for one in response.context["rows"] if one.row.does == "error"]


def messages(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


# --- Export ------------------------------------------------------------------------------------


def test_the_list_is_exported_as_it_is_filtered_and_ordered(client: Client, acme: Brand) -> None:
    sale = factories.campaign(acme, name="=Sale", external_id="s-1", daily_budget="60.5", flight_end=date(2025, 7, 1))
    idle = factories.campaign(acme, name="Idle")
    factories.campaign(factories.brand(currency="JPY"))
    catalog.set_window(campaign_id=idle.pk, start_hour=22, end_hour=6, weekdays=31, now=NOW)
    spend(sale, 70)
    rows = export(client, "currency=EUR&o=-5")
    assert [row["campaign"] for row in rows] == ["'=Sale", "Idle"]
    assert rows[0] == {
        "id": str(sale.pk), "brand": "Acme", "campaign": "'=Sale", "external_id": "s-1", "daily_budget": "60.50",
        "monthly_budget": "", "total_budget": "", "flight_start": "", "flight_end": "2025-07-01", "hours": "",
        "status": "paused", "reasons": "campaign_daily_budget", "resumes_at": "2025-06-19T00:00+02:00",
        "spent_today": "70.00", "spent_this_month": "70.00", "currency": "EUR", "time_zone": "Europe/Paris",
    }  # fmt: skip
    assert (rows[1]["hours"], rows[1]["status"]) == ("22:00-06:00, Mon-Fri", "paused")
    assert [row["campaign"] for row in export(client, "currency=EUR&o=5")] == ["Idle", "'=Sale"]
    catalog.archive_campaign(campaign_id=idle.pk, now=NOW)
    assert [row["status"] for row in export(client, "archived=yes")] == ["archived"]


def test_the_button_exports_what_the_list_shows(client: Client, acme: Brand) -> None:
    factories.campaign(acme)
    body = unescape(client.get("/admin/campaigns/campaign/?currency=EUR&o=-5").content.decode())
    assert f"{EXPORT}?currency=EUR&o=-5" in body
    assert IMPORT in body


def test_brands_are_exported_too(client: Client, acme: Brand) -> None:
    spend(factories.campaign(acme), 7)
    (row,) = export(client, url="/admin/campaigns/brand/export_csv/")
    assert (row["brand"], row["daily_budget"], row["spent_today"], row["active_campaigns"]) == (
        "Acme", "100.00", "7.00", "1",
    )  # fmt: skip


def test_an_export_comes_in_chunks_of_a_constant_number_of_queries(
    client: Client, acme: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaigns.admin.sheets.CHUNK", 10)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            export(client)
        return len(queries)

    costs = []
    for _ in range(3):
        for _ in range(10):
            spend(factories.campaign(acme), 1)
        costs.append(cost())
    assert costs[1] - costs[0] == costs[2] - costs[1] <= 4


def test_an_export_comes_back_as_nothing_to_do(client: Client, acme: Brand) -> None:
    for name in ("=Sale", "'=Sale", "Zoë, the second", "-5%"):
        factories.campaign(
            acme, name=name, external_id=f"+{name}", daily_budget="0.000001", flight_end=date(2030, 1, 1)
        )
    grid = factories.campaign(acme, name="Grid")
    catalog.set_grid(campaign_id=grid.pk, grid="01" * 84, now=NOW)
    night = factories.campaign(acme, name="Night")
    catalog.set_window(campaign_id=night.pk, start_hour=22, end_hour=6, weekdays=5, now=NOW)
    body = b"".join(client.get(EXPORT).streaming_content)  # type: ignore[attr-defined]  # a stream
    page = upload(client, body)
    assert said(page) == ["No row changes anything.", "6 rows say what is so already."]
    assert 'name="apply"' not in page.content.decode()


@pytest.mark.parametrize("own", ["none", "None", "NONE"])
def test_an_external_id_that_reads_none_is_not_taken_for_a_removal(client: Client, acme: Brand, own: str) -> None:
    row = factories.campaign(acme, name="none", external_id=own)
    body = b"".join(client.get(EXPORT).streaming_content)  # type: ignore[attr-defined]  # a stream
    for sheet in (body, f"brand,external_id,daily_budget\nAcme,{own},\n", "brand,campaign\nAcme,none\n"):
        assert said(upload(client, sheet)) == ["No row changes anything.", "1 row says what is so already."]
    row.refresh_from_db()
    assert (row.name, row.external_id) == ("none", own)


def test_none_removes_another_external_id_also_where_one_reads_so(client: Client, acme: Brand) -> None:
    odd = factories.campaign(acme, name="Odd", external_id="none")
    sale, other = (factories.campaign(acme, name=name, external_id=name) for name in ("Sale", "Other"))
    sheet = f"id,brand,campaign,external_id\n,Acme,Sale,none\n{other.pk},,,None\n"
    press(client, upload(client, sheet), "apply")
    for row, own in ((odd, "none"), (sale, None), (other, None)):
        row.refresh_from_db()
        assert row.external_id == own


# --- Import ------------------------------------------------------------------------------------


def test_a_preview_shows_what_would_be_done_and_apply_does_it(client: Client, acme: Brand) -> None:
    old = factories.campaign(acme, name="Old", external_id="o-1")
    night = factories.campaign(acme, name="Night", daily_budget=5)
    spend(old, 50)
    spend(night, 5)
    sheet = (
        "id,brand,campaign,external_id,daily_budget,hours\n"
        ",Acme,,o-1,50,\n"
        ",Acme,Night,,none,none\n"
        ',Acme,New,n-1,10.50,"22:00-06:00, Mon-Fri"\n'
    )
    before = list(Campaign.objects.order_by("pk").values())
    page = upload(client, sheet)
    assert said(page) == ["Creates 1 campaign.", "Changes 2 campaigns.", "Pauses 2 campaigns.", "Resumes 1 campaign."]
    shown = text(page)
    assert "New Acme new External ID n-1 Daily budget 10.50 EUR Hours 22:00–06:00, Mon–Fri" in shown
    assert "Daily budget no limit → 50.00 EUR" in shown
    assert "Daily budget 5.00 EUR → no limit" in shown
    assert list(Campaign.objects.order_by("pk").values()) == before
    assert not Edit.objects.filter(verb="changed").exists()
    done = press(client, page, "apply")
    assert messages(done) == ["Created 1 campaign. Changed 2 campaigns. Paused 2 campaigns. Resumed 1 campaign."]
    new = Campaign.objects.get(name="New")
    assert (new.external_id, new.daily_budget, str(new.schedule)) == ("n-1", Decimal("10.5"), "22:00–06:00, Mon–Fri")
    assert (why(old), why(night), why(new)) == (["campaign_daily_budget"], [], ["schedule"])
    assert Edit.objects.filter(campaign=new).get().actor_id == User.objects.get().pk


def test_bad_rows_come_first_are_left_out_and_can_be_downloaded(client: Client, acme: Brand) -> None:
    one, two = factories.campaign(acme, name="One"), factories.campaign(acme, name="Two")
    factories.campaign(acme, name="Taken", external_id="taken")
    twins = [factories.campaign(acme, name="Twin") for _ in range(2)]
    old = factories.campaign(acme, name="Gone")
    catalog.archive_campaign(campaign_id=old.pk, now=NOW)
    rows = [
        (f"{one.pk},,,,5,,,", ""),
        ("987654,,,,5,,,", "There is no campaign with the id 987654; leave the id empty to name it by its brand."),
        ("x1,,,,5,,,", "There is no campaign with the id x1; leave the id empty to name it by its brand."),
        (",Acmee,One,,5,,,", "There is no brand 'Acmee'; check how it is written."),
        (",,One,,5,,,", "Give an id, or a brand with an external_id or a campaign."),
        (",Acme,,,5,,,", "Give an id, or a brand with an external_id or a campaign."),
        (f"{two.pk},,,,-5,,,",
         "Daily budget: A budget can't be negative; give 0 or more, or leave it empty for no limit."),
        (f"{two.pk},,,,a lot,,,", "Daily budget: 'a lot' is not an amount; send a decimal number such as \"12.50\"."),
        (f"{two.pk},,,,,tomorrow,,",
         "Column flight_start: 'tomorrow' is not a day; write it as 2026-03-01, or none for no limit."),
        (f"{two.pk},,,,,2025-02-02,2025-02-01,", "Flight end: give a day that is not before the flight start."),
        (f"{two.pk},,,,,,,9-9", SAME_HOURS),
        (f"{two.pk},,,taken,,,,", "External id: another campaign has this one; give another."),
        (f"{one.pk},,,,6,,,",
         "Line 2 is about the same campaign or gives the same external id; give each campaign one row."),
        (",Acme,Twin,,5,,,", "2 campaigns of Acme have this name; give the id of the one that is meant."),
        (f"{old.pk},,,,5,,,", "Gone is archived; it stays as it is."),
        (",Acme,,fresh,5,,,", "A new campaign needs a name; fill in the column campaign."),
        (f"{two.pk},,,,5", "This row has 5 cells and the header 8."),
        (f"{two.pk},,{'x' * 201},,,,,", "Name: Ensure this value has at most 200 characters (it has 201)."),
    ]  # fmt: skip
    sheet = "id,brand,campaign,external_id,daily_budget,flight_start,flight_end,hours\n" + "\n".join(r for r, _ in rows)
    page = upload(client, sheet)
    assert errors(page) == [(at, error) for at, (_, error) in enumerate(rows, start=2) if error]
    assert said(page) == ["Changes 1 campaign.", "No campaign would be paused or resumed.", "17 rows can't be taken."]
    assert "Apply the 1 good row" in text(page)
    done = press(client, page, "apply")
    one.refresh_from_db()
    assert one.daily_budget == 5
    assert Edit.objects.filter(verb="changed").count() == 1
    assert "Changed 1 campaign." in text(done)
    for answer in (page, done):
        rejects = press(client, answer, "rejects")
        found = list(csv.reader(io.StringIO(rejects.content.decode("utf-8-sig"))))
        assert found[0][:3] == ["import_line", "import_reason", "id"]
        assert [(int(row[0]), row[1]) for row in found[1:]] == errors(page)
        assert 'filename="budgets-rejected.csv"' in rejects["Content-Disposition"]
    assert twins[0].daily_budget is None


def test_a_reason_that_begins_like_a_formula_is_a_text(client: Client, acme: Brand) -> None:
    old = factories.campaign(acme, name="=HYPERLINK(1)")
    catalog.archive_campaign(campaign_id=old.pk, now=NOW)
    sheet = f"id,daily_budget\n{old.pk},5\n{old.pk},-1\n"
    rejects = press(client, upload(client, sheet), "rejects").content.decode("utf-8-sig")
    found = list(csv.reader(io.StringIO(rejects)))
    assert found[1] == ["2", "'=HYPERLINK(1) is archived; it stays as it is.", str(old.pk), "5"]
    assert found[2][-1] == "-1"  # the person's own cell, as it was


def test_mended_rejects_are_imported(client: Client, acme: Brand) -> None:
    factories.campaign(acme, name="One")
    rejects = press(client, upload(client, "brand,campaign,daily_budget\nAcme,One,-1\n"), "rejects").content
    done = press(client, upload(client, rejects.replace(b",-1", b",7")), "apply")
    assert messages(done)[0].startswith("Changed 1 campaign.")


def test_what_has_changed_meanwhile_is_shown_again(client: Client, acme: Brand) -> None:
    row = factories.campaign(acme, name="One", daily_budget=5)
    page = upload(client, f"id,daily_budget\n{row.pk},7\n")
    catalog.update_campaign(campaign_id=row.pk, daily_budget=6, now=NOW)
    again = press(client, page, "apply")
    assert "This is no longer what you were shown" in text(again)
    assert "6.00 EUR → 7.00 EUR" in text(again)
    row.refresh_from_db()
    assert row.daily_budget == 6
    press(client, again, "apply")
    row.refresh_from_db()
    assert row.daily_budget == 7


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("id,budget\n1,2\n", "budgets.csv has a column that campaigns don't have: budget."),
        (b"\x89PNG\r\n\x1a\n" + bytes(400), "budgets.csv is not text in UTF-8; save it as CSV UTF-8"),
        (b"x" * (5 * 2**20 + 1), "budgets.csv has more than 5 MB; split it."),
        (b"", "The submitted file is empty. Choose another file."),
    ],
)
def test_a_file_that_can_not_be_read_is_told(client: Client, content: str | bytes, sentence: str) -> None:
    assert sentence in text(upload(client, content))


@pytest.mark.parametrize("sent", [{}, {"content": "!"}, {"content": "", "apply": ""}, {"name": "x" * 300}])
def test_a_form_that_is_not_ours_is_no_error(client: Client, sent: dict[str, str]) -> None:
    answer = client.post(IMPORT, sent)
    assert answer.status_code == 200
    assert "Choose" in answer.context["notice"]


def test_the_page_says_how_and_gives_an_example_that_works(client: Client, acme: Brand) -> None:
    assert "How a file is read" in text(client.get(IMPORT))
    example = client.get(f"{IMPORT}?example=1")
    assert said(upload(client, example.content))[0] == "Creates 2 campaigns."


def test_a_file_is_tried_out_in_slices_and_told_as_a_whole(
    client: Client, acme: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaigns.services.rehearsal.SLICE", 2)
    for name in ("A", "B", "C"):
        spend(factories.campaign(acme, name=name), 20)
    rows = "Acme,A,10,\nAcme,B,10,\nAcme,C,30,\nAcme,D,0,x\nAcme,E,5,y\nAcme,F,5,x\n"
    page = upload(client, "brand,campaign,daily_budget,external_id\n" + rows)
    assert said(page) == [
        "Creates 2 campaigns.",
        "Changes 3 campaigns.",
        "Pauses 3 campaigns.",
        "1 row can't be taken.",
    ]
    assert not Campaign.objects.filter(name="D").exists()
    done = press(client, page, "apply")
    assert "Created 2 campaigns. Changed 3 campaigns. Paused 3 campaigns." in text(done)
    assert Campaign.objects.filter(is_active=False).count() == 3


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_after_many_new_campaigns_the_planner_knows_of_them(
    client: Client, acme: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaigns.services.sheets.MANY", 3)
    known = []
    for names in ("AB", "CDE"):
        rows = "".join(f"Acme,{name}\n" for name in names)
        press(client, upload(client, f"brand,campaign\n{rows}"), "apply")
        with connection.cursor() as cursor:
            cursor.execute("SELECT reltuples FROM pg_class WHERE relname = 'campaigns_campaign'")
            known.append(cursor.fetchone()[0])
    assert known[0] != 2
    assert known[1] == 5


def test_a_long_preview_is_cut_with_errors_first(client: Client, acme: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaigns.admin.sheets.MAX_SHOWN", 2)
    rows = "".join(f"Acme,c{number},{number}\n" for number in range(4)) + "Acme,bad,-1\n"
    page = upload(client, "brand,campaign,daily_budget\n" + rows)
    assert [one.row.does for one in page.context["rows"]] == ["error", "create"]
    assert "And 3 more rows." in text(page)


def test_a_file_of_30_rows_takes_the_queries_of_3(client: Client, acme: Brand) -> None:
    def cost(number: int) -> tuple[int, int]:
        old = [factories.campaign(factories.brand(), name="Old") for _ in range(number)]
        sheet = "brand,campaign,daily_budget,hours\n" + "".join(
            f"{row.brand.name},Old,5,none\n{row.brand.name},New,6,9-17\n" for row in old
        )
        with CaptureQueriesContext(connection) as looking:
            page = upload(client, sheet)
        with CaptureQueriesContext(connection) as applying:
            press(client, page, "apply")
        return len(looking), len(applying)

    assert cost(3) == cost(30)
    assert DaypartingSchedule.objects.count() == 33


# --- Who may -----------------------------------------------------------------------------------


def carl(*permissions: str) -> tuple[User, Client]:
    staff = User.objects.create_user("carl", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(staff)
    return staff, client


def test_whoever_may_only_look_exports_and_does_not_import(acme: Brand) -> None:
    factories.campaign(acme)
    _, client = carl("view_campaign")
    assert len(export(client)) == 1
    assert client.get(IMPORT).status_code == 403
    assert upload(client, "id,daily_budget\n1,1\n").status_code == 403
    assert IMPORT not in client.get("/admin/campaigns/campaign/").content.decode()
    assert client.get("/admin/campaigns/brand/export_csv/").status_code == 403


def test_whoever_may_change_does_not_create_or_rename(acme: Brand) -> None:
    row = factories.campaign(acme, name="One")
    _, client = carl("view_campaign", "change_campaign")
    page = upload(client, f"id,brand,campaign,daily_budget\n{row.pk},,Other,\n,Acme,New,\n")
    assert [error for _, error in errors(page)] == [
        "You may not change names and external ids; leave them as they are.",
        "Acme has no such campaign, and you may not add one.",
    ]
    press(client, upload(client, f"id,daily_budget\n{row.pk},5\n"), "apply")
    row.refresh_from_db()
    assert row.daily_budget == 5


def test_whoever_may_add_does_not_change(acme: Brand) -> None:
    row = factories.campaign(acme, name="One")
    _, client = carl("view_campaign", "add_campaign")
    page = upload(client, f"id,brand,campaign,daily_budget\n{row.pk},,,5\n,Acme,New,\n")
    assert [error for _, error in errors(page)] == ["You may not change One."]
    assert said(page)[0] == "Creates 1 campaign."


def test_whoever_sees_some_brands_exports_and_imports_only_theirs(acme: Brand) -> None:
    secret = factories.brand(name="Secret")
    foreign = factories.campaign(secret, name="Hidden", external_id="h-1")
    factories.campaign(acme, name="Ours")
    staff, client = carl("view_campaign", "change_campaign", "add_campaign", "view_brand")
    BrandLimit.objects.create(user=staff).brands.add(acme)
    assert [row["campaign"] for row in export(client)] == ["Ours"]
    assert [row["brand"] for row in export(client, url="/admin/campaigns/brand/export_csv/")] == ["Acme"]
    page = upload(client, f"id,brand,campaign,external_id\n{foreign.pk},,x,\n,Secret,Hidden,\n,Acme,New,h-1\n")
    assert [error for _, error in errors(page)] == [
        f"There is no campaign with the id {foreign.pk}; leave the id empty to name it by its brand.",
        "There is no brand 'Secret'; check how it is written.",
    ]
    assert text(page).count("Hidden") == 1  # where the file itself says it
    press(client, page, "apply")
    assert Campaign.objects.get(name="New").brand == acme
