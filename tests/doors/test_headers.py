"""What every page tells the browser: what it may load and run, and that it may do nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from tests import factories

TEMPLATES = sorted((settings.BASE_DIR / "campaigns/templates").rglob("*.html"))

POLICY = {
    "default-src 'none'",
    "script-src 'self' 'unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "object-src 'none'",
}


def pages() -> list[str]:
    """The addresses of all lists and all forms for something new, and the other pages."""
    models = [(model._meta.app_label, model._meta.model_name) for model in admin.site._registry]
    names = [f"admin:{app}_{model}_{page}" for app, model in models for page in ("changelist", "add")]
    return ["/admin/", "/admin/login/", "/admin/password_change/", "/api/v1/docs", *map(reverse, names)]


def test_every_page_carries_the_policy(client: Client) -> None:
    brand = factories.brand()
    rows = [brand, factories.campaign(brand)]
    changes = [reverse(f"admin:campaigns_{row._meta.model_name}_change", args=[row.pk]) for row in rows]
    seen = 0
    for url in [*pages(), *changes]:
        answer = client.get(url)
        if not answer.headers.get("Content-Type", "").startswith("text/html") or answer.status_code == 302:
            continue
        seen += 1
        assert set(answer["Content-Security-Policy"].split("; ")) == POLICY, url
        assert "camera=()" in answer["Permissions-Policy"], url
        assert (answer["X-Frame-Options"], answer["X-Content-Type-Options"]) == ("DENY", "nosniff"), url
        assert answer["Referrer-Policy"] == answer["Cross-Origin-Opener-Policy"] == "same-origin", url
    assert seen > 20


def test_a_visitor_s_pages_carry_it_too(db: None) -> None:
    for url in ("/admin/login/", "/api/v1/docs", "/nowhere"):
        answer = Client().get(url, headers={"accept": "text/html"})
        assert set(answer["Content-Security-Policy"].split("; ")) == POLICY, url


def test_what_is_no_page_goes_without(client: Client) -> None:
    for url in ("/healthz", "/api/v1/openapi.json", "/nowhere"):
        answer = client.get(url)
        assert not answer["Content-Type"].startswith("text/html")
        assert "Content-Security-Policy" not in answer
        assert answer["X-Content-Type-Options"] == "nosniff"  # or a browser might take it for a page


BREACHES = {
    "an inline script": r"<script(?![^>]*\b(src=|type=\"application/json\"))",
    "an on… attribute": r"\son[a-z]+=",
    "a style attribute": r"\sstyle=",
    "an address of another host": r"(src|href|action)=[\"']?(https?:)?//",
}


@pytest.mark.once
@pytest.mark.parametrize("breach", BREACHES)
def test_no_template_of_ours_needs_more_than_the_policy_gives(breach: str) -> None:
    assert len(TEMPLATES) > 5
    found = [
        f"{path.relative_to(settings.BASE_DIR)}:{number}"
        for path in TEMPLATES
        for number, line in enumerate(Path(path).read_text().splitlines(), 1)
        if re.search(BREACHES[breach], line)
    ]
    assert found == []


@pytest.mark.once
@pytest.mark.parametrize(
    ("breach", "line"),
    [
        ("an inline script", "<script>alert(1)</script>"),
        ("an inline script", "<script defer>"),
        ("an on… attribute", '<a href="#" onclick="go()">'),
        ("a style attribute", '<div class="x" style="color: red">'),
        ("an address of another host", '<img src="//cdn.example.com/x.png">'),
    ],
)
def test_each_breach_is_seen(breach: str, line: str) -> None:
    assert re.search(BREACHES[breach], line)
