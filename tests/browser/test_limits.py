"""Somebody who may see some brands only, in the browser: another brand is nowhere, whatever one types or clicks."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.product import OpensPages, person
from tests.browser.scene import set_scene


@pytest.mark.parametrize("role", ["Viewer", "Operator", "Administrator"])
def test_another_brand_is_out_of_reach(role: str, open_page: OpensPages) -> None:
    scene = set_scene()
    page = open_page(person("lena", role=role, brands=[scene.acme]))
    foreign = [scene.globex.name, scene.launch.name]
    seen = [
        "/admin/",
        "/admin/campaigns/brand/",
        "/admin/campaigns/campaign/",
        f"/admin/campaigns/campaign/?brand__id__exact={scene.globex.pk}",
        "/admin/campaigns/campaign/?q=Launch",
        "/admin/campaigns/spendlog/",
        "/admin/campaigns/statuschange/",
        f"/admin/campaigns/brand/{scene.acme.pk}/overview/",
    ]
    for address in seen:
        page.goto(address)
        expect(page.get_by_role("main")).to_be_visible()
        for name in foreign:
            expect(page.locator("body")).not_to_contain_text(name)
    expect(page.get_by_role("main")).to_contain_text(scene.sale.name)


@pytest.mark.parametrize("page_of_row", ["overview", "change", "history", "delete", "budgets"])
def test_the_address_of_a_foreign_row_leads_nowhere(page_of_row: str, open_page: OpensPages) -> None:
    scene = set_scene()
    page = open_page(person("lena", role="Operator", brands=[scene.acme]))
    for model, row in (("brand", scene.globex), ("campaign", scene.launch)):
        answer = page.request.get(f"/admin/campaigns/{model}/{row.pk}/{page_of_row}/")
        assert row.name not in answer.text()
        assert answer.status in {403, 404} or not answer.url.endswith(f"/{page_of_row}/")
