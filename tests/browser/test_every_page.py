"""Every page of the product, light and dark, on a desk and on a phone: readable by all, and within its width."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import models
from django.urls import NoReverseMatch, reverse
from playwright.sync_api import Page

from tests.browser.barriers import assert_open_to_all, barriers
from tests.browser.product import OpensPages, person
from tests.browser.scene import set_scene

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
OF_A_ROW = ("overview", "change", "history", "delete")


def addresses(model: type[models.Model]) -> Iterator[str]:
    """The pages of a model: its list, the form for a new row, and those of its first row."""
    row = model._default_manager.first()
    assert row is not None, f"the scene has no {model._meta.verbose_name}"
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    for page in ("changelist", "add"):
        yield reverse(f"{name}_{page}")
    for page in OF_A_ROW:
        try:
            yield reverse(f"{name}_{page}", args=[row.pk])
        except NoReverseMatch:
            continue


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_the_pages_of_a_model_are_for_everybody(model: type[models.Model], open_page: OpensPages) -> None:
    ada = person("ada")
    set_scene(ada)
    page = open_page(ada)
    found: list[str] = []
    for address in addresses(model):
        answer = page.request.get(address, max_redirects=0)
        if answer.status != 200:
            assert answer.status in {302, 403}, address
            continue
        page.goto(address)
        found += barriers(page)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("address", ["/admin/", "/admin/password_change/", "/admin/campaigns/campaign/import_csv/"])
def test_the_other_pages_are_for_everybody(address: str, open_page: OpensPages) -> None:
    ada = person("ada")
    set_scene(ada)
    page = open_page(ada)
    page.goto(address)
    assert_open_to_all(page)


def test_the_empty_product_is_for_everybody(page: Page) -> None:
    found: list[str] = []
    for address in ("/admin/", "/admin/campaigns/brand/", "/admin/campaigns/campaign/", "/admin/campaigns/spendlog/"):
        page.goto(address)
        found += barriers(page)
    assert not found, "\n".join(found)


def test_the_login_is_for_everybody(open_page: OpensPages) -> None:
    User.objects.create_superuser("anna")
    page = open_page()
    page.goto("/admin/login/")
    assert_open_to_all(page)


def test_the_documents_of_the_api_are_there(open_page: OpensPages) -> None:
    page = open_page()
    page.goto("/api/v1/docs")
    page.get_by_role("heading", name="Budget management").wait_for()
    page.get_by_text("/api/v1/spend-events").first.wait_for()
