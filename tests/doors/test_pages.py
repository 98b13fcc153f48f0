"""The pages that belong to nobody in particular."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import Error, InterfaceError, OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from budget_management.settings import database
from budget_management.urls import handler400, handler403, handler404, handler500  # noqa: F401 - Django looks for them here
from budget_management.urls import urlpatterns as site
from campaigns.management import probe


def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a secret detail")


urlpatterns = [*site, path("fails", fails)]


@pytest.fixture
def visitor() -> Client:
    return Client(raise_request_exception=False)


@pytest.mark.django_db
def test_healthz_answers_when_all_is_well(visitor: Client) -> None:
    answer = visitor.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_healthz_tells_of_missing_migrations(visitor: Client) -> None:
    [last] = MigrationLoader(None).graph.leaf_nodes("campaigns")
    MigrationRecorder(connection).record_unapplied(*last)
    answer = visitor.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["reason"] == "Migrations are missing: run manage.py migrate."


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_healthz_tells_of_a_dead_database(visitor: Client, monkeypatch: pytest.MonkeyPatch, error: type[Error]) -> None:
    def dead() -> Iterator[None]:
        raise error("could not connect to 10.0.0.1, password x")

    monkeypatch.setattr(connection, "cursor", dead)
    answer = visitor.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "reason": "The database does not answer."}


def test_healthz_answers_before_a_probe_gives_up() -> None:
    pool = database("postgresql://nobody@127.0.0.1:1/none")["OPTIONS"]["pool"]
    assert pool["timeout"] < probe.TIMEOUT_SECONDS


def test_healthz_changes_nothing(visitor: Client) -> None:
    assert visitor.post("/healthz").status_code == 405


def test_the_root_leads_to_the_admin(visitor: Client) -> None:
    answer = visitor.get("/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")


@pytest.mark.django_db
def test_the_login_page_and_what_it_links_to_are_there(visitor: Client) -> None:
    page = visitor.get("/admin/login/")
    assert page.status_code == 200
    assert visitor.get("/static/unfold/css/styles.css").status_code == 200


def test_an_unknown_page_is_one_sentence(visitor: Client) -> None:
    answer = visitor.get("/nowhere")
    assert (answer.status_code, answer.content) == (404, b"There is no such page.\n")


@pytest.mark.urls(__name__)
def test_a_failure_tells_the_visitor_nothing(visitor: Client) -> None:
    answer = visitor.get("/fails")
    assert answer.status_code == 500
    assert answer.content == b"Something went wrong on our side; it has been logged.\n"


BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.django_db
@pytest.mark.urls("tests.doors.test_pages")
@pytest.mark.parametrize(
    ("path_", "status", "sentence"),
    [("/nothing", 404, "There is no such page."), ("/fails", 500, "Something went wrong on our side")],
)
def test_a_browser_gets_a_page_for_an_error(visitor: Client, path_: str, status: int, sentence: str) -> None:
    answer = visitor.get(path_, headers=BROWSER)
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")
    assert sentence in answer.content.decode()
    assert "a secret detail" not in answer.content.decode()


@pytest.mark.django_db
def test_who_may_not_see_a_page_is_told_whom_to_ask(visitor: Client) -> None:
    visitor.force_login(User.objects.create_user("carl", is_staff=True))
    answer = visitor.get("/admin/campaigns/brand/", headers=BROWSER)
    assert answer.status_code == 403
    assert "Ask an administrator" in answer.content.decode()
