"""Rules about forecasts, as people make them: their percents in words, and one campaign each."""

from __future__ import annotations

from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from campaigns.models import AlertRule
from campaigns.rules.alerts import Kind
from tests import factories

pytestmark = pytest.mark.django_db

ADD, LIST = "admin:campaigns_alertrule_add", "admin:campaigns_alertrule_changelist"


@pytest.fixture
def client() -> Client:
    found = Client()
    found.force_login(User.objects.create_superuser("anna", "anna@example.com"))
    return found


def test_rules_about_forecasts_are_made_and_told_in_words(client: Client) -> None:
    client.post(reverse(ADD), {"what": f"{Kind.FORECAST_ABOVE:d}-0", "percents": "", "is_on": "on"})
    client.post(reverse(ADD), {"what": f"{Kind.UNDER_DELIVERY:d}-0", "percents": "70", "is_on": "on"})
    assert list(AlertRule.objects.order_by("kind").values_list("percents", flat=True)) == ["10", "70"]
    shown = unescape(client.get(reverse(LIST)).content.decode())
    for words in (
        "Forecast above budget of the brand",
        "10% beyond the budget",
        "Under-delivery of the brand",
        "below 70% of the budget",
    ):
        assert words in shown


def test_a_rule_about_campaigns_asks_for_one(client: Client) -> None:
    campaign = factories.campaign()
    fields = {"what": f"{Kind.FORECAST_ABOVE:d}-1", "is_on": "on"}
    response = client.post(reverse(ADD), fields)
    assert "Choose the campaign" in response.context["adminform"].form.errors["campaign"][0]
    client.post(reverse(ADD), {**fields, "campaign": campaign.pk})
    rule = AlertRule.objects.get()
    assert (rule.campaign_id, rule.brand_id) == (campaign.pk, campaign.brand_id)
