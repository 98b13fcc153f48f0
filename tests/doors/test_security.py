"""What docs/security.md claims and no other test shows."""

from __future__ import annotations

import ast
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from budget_management import bodies
from campaigns.models import Campaign
from tests import factories
from tests.doors.test_compose import DOT_ENV, compose
from tests.doors.test_entrance import pages_of

ROOT = Path(__file__).parent.parent.parent
COOKIES = ("NAME", "SECURE", "HTTPONLY", "SAMESITE", "AGE", "DOMAIN", "PATH")
PRINTED = f"""
import django; django.setup()
from django.conf import settings as s
print(*(getattr(s, "SESSION_COOKIE_" + name) for name in {COOKIES}))
print(s.CSRF_COOKIE_NAME, s.CSRF_COOKIE_SECURE, s.DEBUG, s.REQUIRE_SECOND_FACTOR, s.SECURE_HSTS_SECONDS)
"""


def in_production(tmp_path: Path, *command: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the web service of docker-compose.yml, with its environment."""
    environment = {"PATH": os.environ["PATH"], **compose(DOT_ENV)["web"]["environment"]}
    environment |= {"DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "budget_management.settings", **changes}
    command = (sys.executable, *command)
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.once
@pytest.mark.processes
def test_the_services_of_compose_are_clean_by_django_s_list(tmp_path: Path) -> None:
    ran = in_production(tmp_path, "manage.py", "check", "--deploy", "--fail-level", "INFO")
    assert (ran.returncode, "no issues (0 silenced)" in ran.stdout) == (0, True), ran.stderr


@pytest.mark.once
@pytest.mark.processes
def test_cookies_of_production_are_of_this_host_only_and_unseen_by_scripts(tmp_path: Path) -> None:
    ran = in_production(tmp_path, "-c", PRINTED)
    assert ran.stdout.splitlines() == [
        "__Host-sessionid True True Lax 43200 None /",
        "__Host-csrftoken True False True 31536000",
    ], ran.stderr


@pytest.mark.once
@pytest.mark.processes
def test_who_chooses_http_gets_cookies_that_work_there(tmp_path: Path) -> None:
    ran = in_production(tmp_path, "-c", PRINTED, HTTPS_ONLY="false", REQUIRE_SECOND_FACTOR="false", SESSION_HOURS="1")
    assert ran.stdout.splitlines() == [
        "sessionid False True Lax 3600 None /",
        "csrftoken False False False 0",
    ], ran.stderr


@pytest.mark.once
@pytest.mark.processes
def test_the_folder_of_the_data_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    code = "from budget_management import environment as e; e.read().signing_key()"
    variables = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", code], env=variables, cwd=ROOT, check=True, timeout=120)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]


@pytest.mark.django_db
def test_every_address_refuses_a_form_without_its_token() -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_superuser("anna"))
    from django.urls import get_resolver

    asked = refused = 0
    for address in sorted(set(pages_of(get_resolver().url_patterns))):
        if address.startswith("/admin/"):
            asked += 1
            status = strict.post(address).status_code
            # No row has the id 1: what looks for it first leads away, or says so, and has done nothing.
            assert status in {403, 302, 404, 405}, (address, status)
            refused += status == 403
    assert asked > 80
    assert refused > asked * 0.9


@pytest.mark.django_db
@pytest.mark.parametrize(
    "host", ["evil.example.com", "localhost.evil.example.com", "localhost:80@evil.example.com", ""]
)
def test_another_host_is_refused(host: str) -> None:
    answer = Client(raise_request_exception=False).get("/admin/login/", HTTP_HOST=host)
    assert answer.status_code == 400
    assert "evil" not in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text", ["' OR '1'='1", "'; DROP TABLE campaigns_campaign; --", "%s %(x)s", '"x', "\\", "_", "%"]
)
def test_what_is_searched_for_is_a_value(client: Client, text: str) -> None:
    factories.campaign(factories.brand(name="Acme"), name="Spring sale")
    for model in admin.site._registry:
        page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        assert client.get(page, {"q": text}).status_code == 200, page
    assert client.get("/admin/campaigns/campaign/", {"q": text}).context["cl"].result_count == 0
    odd = factories.campaign(name=f"Sale {text}")
    assert Campaign.objects.get(name=f"Sale {text}") == odd


@pytest.mark.django_db
def test_what_people_name_is_text_on_every_page(client: Client) -> None:
    odd = "<script>alert(1)</script>\"'{{ 7*7 }}"
    brand = factories.brand(name=odd)
    campaign = factories.campaign(brand, name=odd)
    factories.spend(campaign, 5, event_id="<script>alert(2)</script>")
    User.objects.create_user("<img>", first_name=odd)
    addresses = [reverse(f"admin:{m._meta.app_label}_{m._meta.model_name}_changelist") for m in admin.site._registry]
    addresses += [
        "/admin/",
        f"/admin/campaigns/campaign/{campaign.pk}/change/",
        f"/admin/campaigns/brand/{brand.pk}/change/",
    ]
    shown = [client.get(address, follow=True).content.decode() for address in addresses]
    assert sum("&lt;script&gt;" in body for body in shown) > 5
    assert not [address for address, body in zip(addresses, shown, strict=True) if "<script>alert" in body]


class Unread:
    """A body that must not be read."""

    def read(self, *_: object) -> bytes:
        """Fail."""
        raise AssertionError("the body was read")

    readline = read


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/admin/login/", "/admin/campaigns/campaign/import/", "/healthz", "/nowhere"])
def test_a_large_body_is_refused_before_it_is_read(address: str) -> None:
    for length in (bodies.MOST_BYTES + 1, 10**18):
        said: dict[str, Any] = {"CONTENT_LENGTH": str(length), "wsgi.input": Unread()}
        answer = Client().generic("POST", address, **said)
        assert answer.status_code == 413
        assert answer.content.decode().startswith("This is more than 8 MB")


@pytest.mark.django_db
def test_a_visitor_writes_nothing() -> None:
    client = Client()
    with CaptureQueriesContext(connection) as queries:
        for address in ("/", "/admin/", "/admin/login/", "/admin/login/code/", "/admin/login/set-up/", "/nowhere"):
            client.get(address)
    assert [query["sql"] for query in queries if not query["sql"].startswith("SELECT")] == []
    assert "sessionid" not in client.cookies


# --- What the code does nowhere ------------------------------------------------------------------

SOURCES = [*(ROOT / "campaigns").rglob("*.py"), *(ROOT / "budget_management").rglob("*.py")]
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "xml", "lxml", "zipfile", "tarfile", "yaml", "telnetlib"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "csrf_exempt", "xframe_options_exempt"}


def unsafe(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                yield from (alias.name for alias in aliases if alias.name.partition(".")[0] in UNSAFE_MODULES)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in UNSAFE_MODULES:
                yield module
            case ast.Name(id=name) if name in UNSAFE_CALLS:
                yield name
            case ast.Call():
                yield from unsafe_calls(node)


def unsafe_calls(call: ast.Call) -> Iterator[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in {"mark_safe", "SafeString"} and not all(isinstance(one, ast.Constant) for one in call.args):
        yield name
    if name in {"extra", "raw", "RawSQL", "system", "popen"}:
        yield name
    yield from (keyword.arg for keyword in call.keywords if keyword.arg == "shell")


@pytest.mark.once
def test_no_code_of_ours_reads_what_can_run_or_unpack() -> None:
    found = {f"{path.relative_to(ROOT)}: {what}" for path in SOURCES for what in unsafe(ast.parse(path.read_text()))}
    assert len(SOURCES) > 100
    assert found == set()


@pytest.mark.once
@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from xml.etree import ElementTree",
        "import zipfile",
        "eval(text)",
        "mark_safe(name)",
        "mark_safe(f'<b>{name}</b>')",
        "rows.extra(where=[text])",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "@csrf_exempt\ndef page(request): ...",
    ],
)
def test_what_is_unsafe_is_seen(source: str) -> None:
    assert list(unsafe(ast.parse(source)))


@pytest.mark.once
def test_no_template_lets_text_through_as_markup() -> None:
    templates = list((ROOT / "campaigns/templates").rglob("*.html"))
    assert len(templates) > 20
    found = [path.name for path in templates if "|safe" in path.read_text() or "autoescape off" in path.read_text()]
    assert found == []
