"""Pacing and forecasts on the pages: what they tell, how they are set, found and written down."""

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns.models import Brand, Campaign, Edit, Pacing
from campaigns.services import catalog, edits, hours
from campaigns.services.pacing import pace_all
from campaigns.services.status import NOBODY
from tests import factories
from tests.doors.test_admin import errors, page, save
from tests.doors.test_overview_pages import text, url
from tests.factories import NOW, spend

pytestmark = pytest.mark.django_db

EARLY = NOW - timedelta(days=40)


@pytest.fixture(autouse=True)
def _noon() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def acme() -> Brand:
    return factories.brand(
        now=EARLY, name="Acme", timezone="Europe/Paris", currency="EUR", daily_budget="1000", monthly_budget="30000"
    )


@pytest.fixture
def sale(acme: Brand) -> Campaign:
    return factories.campaign(acme, name="Spring sale", now=EARLY)


def usually(campaign: Campaign, amount: int, *, days: int = 12) -> None:
    """Let a campaign have spent this much on each of some days before, from early to late, and half of it today."""
    for ago in range(1, days + 1):
        for hour in (1, 5, 9, 13, 17, 21):
            at = NOW - timedelta(days=ago, hours=NOW.hour - hour)
            spend(campaign, Decimal(amount) / 6, now=at)
    spend(campaign, Decimal(amount) / 2, now=NOW)
    for minute in range(30):  # a run looks at some of the older days
        hours.sum_hours(now=NOW + timedelta(minutes=minute))


def pace(owner: Brand | Campaign) -> None:
    """Let a brand or a campaign be paced evenly, since an hour ago."""
    if isinstance(owner, Brand):
        catalog.update_brand(brand_id=owner.pk, now=EARLY, pacing=Pacing.EVEN)
    else:
        catalog.update_campaign(campaign_id=owner.pk, now=EARLY, pacing=Pacing.EVEN)
    for ago in (60, 59, 58):
        pace_all(now=NOW - timedelta(minutes=ago))


def body(client: Client, address: str) -> str:
    """The HTML of a page."""
    found: str = client.get(address).content.decode()
    return found


class TestForecast:
    def test_without_a_history_it_says_so_at_once(self, client: Client, acme: Brand) -> None:
        with time_machine.travel(NOW.replace(hour=22, minute=30), tick=False):  # half past midnight in Paris
            assert "Too little is known yet to tell." in text(client, url(acme))
            assert "bm-forecast" not in body(client, url(acme))

    def test_how_the_day_and_the_month_will_end(self, client: Client, acme: Brand, sale: Campaign) -> None:
        usually(sale, 600)
        shown = text(client, url(acme))
        assert re.search(
            r"Will have spent about \d{3} EUR \(\d{3} to \d{3}\), of 1,000\.00 EUR, by midnight Europe/Paris\.", shown
        ), shown
        assert re.search(
            r"About 15,000 EUR, of 30,000\.00 EUR, by the end of June; "
            r"[\d,]+\.\d\d EUR a day would use it up\.",
            shown,
        ), shown
        assert re.search(r"Forecast, 24:00: \d{3} EUR, between \d{3} EUR and \d{3} EUR eight times of ten", shown)

    def test_when_a_budget_will_be_spent_is_drawn_and_told(self, client: Client, acme: Brand, sale: Campaign) -> None:
        usually(sale, 900)
        catalog.update_brand(brand_id=acme.pk, now=NOW, daily_budget="600")
        found = re.search(
            r"The daily budget of 600\.00 EUR will be spent at about (\d\d:\d[05]) Europe/Paris\.",
            text(client, url(acme)),
        )
        assert found is not None
        drawn = body(client, url(acme))
        assert 'class="bm-trace bm-forecast"' in drawn
        assert f"<td>Spent at about {found[1]}</td>" in drawn
        index = text(client, reverse("admin:index"))
        assert f"spent at about {found[1]} Europe/Paris" in index

    def test_most_of_a_budget_that_stays_unspent_is_told_on_the_first_page(
        self, client: Client, sale: Campaign
    ) -> None:
        usually(sale, 60)
        assert re.search(r"about 9\d\d EUR will stay unspent", text(client, reverse("admin:index")))

    def test_of_a_campaign_under_its_own_budget(self, client: Client, sale: Campaign) -> None:
        usually(sale, 600)
        catalog.update_campaign(campaign_id=sale.pk, now=NOW, total_budget="10000")
        assert "without a daily budget, by midnight Europe/Paris." in text(client, url(sale))

    def test_a_page_in_which_nothing_happens_stays_still(self, client: Client, acme: Brand, sale: Campaign) -> None:
        usually(sale, 600)
        # Not the moment's own mark, which the chart had before: the words and the end of the line.
        said = re.findall(r'<p class="bm-ahead">(.*?)</p>', body(client, url(acme)))
        with time_machine.travel(NOW + timedelta(seconds=5), tick=False):
            assert re.findall(r'<p class="bm-ahead">(.*?)</p>', body(client, url(acme))) == said

    def test_an_archived_one_has_none(self, client: Client, sale: Campaign) -> None:
        usually(sale, 600)
        catalog.archive_campaign(campaign_id=sale.pk, now=NOW)
        assert "bm-forecast" not in body(client, url(sale))
        assert "bm-ahead" not in body(client, url(sale))

    def test_the_first_page_asks_the_same_of_one_brand_and_of_ten(self, client: Client, sale: Campaign) -> None:
        def cost() -> int:
            client.get(reverse("admin:index"))
            with CaptureQueriesContext(connection) as queries:
                client.get(reverse("admin:index"))
            return len(queries)

        usually(sale, 60)
        one = cost()
        for number in range(9):
            other = factories.brand(now=EARLY, name=f"Brand {number} of many", daily_budget="1000")
            usually(factories.campaign(other, now=EARLY), 60, days=4)
        assert cost() == one
        assert len(re.findall("will stay unspent", text(client, reverse("admin:index")))) == 10


class TestPace:
    def test_a_paced_campaign_says_what_it_serves(self, client: Client, acme: Brand, sale: Campaign) -> None:
        catalog.update_campaign(campaign_id=sale.pk, now=EARLY, daily_budget="500")
        usually(sale, 400)
        pace(sale)
        shown = text(client, url(sale))
        assert re.search(r"Serves [\d.]+% of its chances: pacing evenly\.", shown), shown
        assert re.search(r"About \d+(\.\d\d)? EUR should be spent by now; 200\.00 EUR is\.", shown), shown
        assert 'class="bm-trace bm-target"' in body(client, url(sale))
        assert re.search(r"Target of pacing, .*24:00: 500 EUR", shown)
        assert re.search(r"serves [\d.]+% of its chances", text(client, page("changelist", Campaign)))
        assert re.search(r"serves [\d.]+% of its chances", text(client, url(acme)))

    def test_a_campaign_of_a_paced_brand_says_so(self, client: Client, acme: Brand, sale: Campaign) -> None:
        usually(sale, 600)
        pace(acme)
        shown = text(client, url(sale))
        assert re.search(r"Serves [\d.]+% of its chances: its brand is paced evenly\.", shown), shown
        assert "should be spent by now" not in shown, "the brand's target is not the campaign's"
        assert re.search(
            r"Paced evenly: its campaigns serve at most [\d.]+% of their chances, so that its budget lasts until mid",
            text(client, url(acme)),
        )

    def test_a_paced_budget_is_not_said_to_run_out(self, client: Client, acme: Brand, sale: Campaign) -> None:
        usually(sale, 900)
        catalog.update_brand(brand_id=acme.pk, now=NOW, daily_budget="600")
        pace(acme)
        assert "will be spent at about" not in text(client, url(acme))
        assert "spent at about" not in text(client, reverse("admin:index"))

    def test_a_paused_one_serves_nothing(self, client: Client, sale: Campaign) -> None:
        catalog.update_campaign(campaign_id=sale.pk, now=EARLY, daily_budget="500")
        pace(sale)
        catalog.pause(campaign_id=sale.pk, now=NOW)
        assert "it serves none of its chances while it is paused" in text(client, url(sale))
        assert "serves" not in text(client, page("changelist", Campaign))

    def test_who_is_not_paced_reads_nothing_of_it(self, client: Client, acme: Brand, sale: Campaign) -> None:
        usually(sale, 600)
        for shown in (text(client, url(acme)), text(client, url(sale)), text(client, page("changelist", Campaign))):
            assert "chances" not in shown
            assert "should be spent" not in shown


class TestForm:
    def test_pacing_is_set_told_and_written_down(self, client: Client, acme: Brand) -> None:
        save(client, acme, pacing="even", daily_from_month="on", daily_least="100", daily_most="2000")
        acme.refresh_from_db()
        assert (acme.pacing, acme.daily_from_month) == (Pacing.EVEN, True)
        assert (acme.daily_least, acme.daily_most) == (Decimal(100), Decimal(2000))
        shown = text(client, url(acme))
        assert "Spends: As fast as it comes → Evenly over the day" in shown
        assert "Daily budget from the month: no → yes" in shown
        assert "Least daily budget from the month: – → 100.00 EUR" in shown
        assert "Most daily budget from the month: – → 2,000.00 EUR" in shown
        assert "Daily budget, set from the month" in shown
        assert "Set each day from the monthly budget." in text(client, page("change", Brand, acme.pk))

    def test_of_a_campaign_too(self, client: Client, sale: Campaign) -> None:
        save(client, sale, daily_budget="100", pacing="even")
        sale.refresh_from_db()
        assert sale.pacing == Pacing.EVEN
        assert "Spends: As fast as it comes → Evenly over the day" in text(client, url(sale))

    def test_what_can_not_be_is_told_in_a_sentence(self, client: Client, sale: Campaign) -> None:
        assert errors(save(client, sale, pacing="even"))
        assert errors(save(client, sale, daily_from_month="on"))
        assert errors(save(client, sale, monthly_budget="900", daily_from_month="on", daily_least="5", daily_most="4"))
        sale.refresh_from_db()
        assert (sale.pacing, sale.daily_from_month) == (Pacing.ASAP, False)

    def test_the_effect_is_told_before_it_is_saved(self, client: Client, acme: Brand) -> None:
        form = client.get(page("change", Brand, acme.pk)).context["adminform"].form
        data = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
        posted = {name: value for name, value in data.items() if value not in (None, False)}
        for pacing, told in (("even", "No campaign would be paused or resumed."), ("slowly", "Spends:")):
            answer = client.post(
                page("effect", Brand, acme.pk), {**posted, "pacing": pacing}, headers={"HX-Request": "true"}
            )
            assert told in answer.content.decode()
        acme.refresh_from_db()
        assert acme.pacing == Pacing.ASAP

    def test_who_may_only_look_reads_it_in_words(self, acme: Brand, sale: Campaign) -> None:
        catalog.update_brand(
            brand_id=acme.pk, now=NOW, pacing=Pacing.EVEN, daily_from_month=True, daily_least="100", daily_most="2000"
        )
        ben = User.objects.create_user("ben", is_staff=True)
        ben.groups.add(Group.objects.get(name="Viewer"))
        looking = Client()
        looking.force_login(ben)
        shown = text(looking, page("change", Brand, acme.pk))
        assert "Evenly over the day" in shown
        assert "Yes, at least 100.00 EUR and at most 2,000.00 EUR" in shown
        assert "As fast as it comes" in text(looking, page("change", Campaign, sale.pk))

    def test_a_daily_budget_out_of_the_month_says_who_set_it(self, client: Client, acme: Brand) -> None:
        changes = {"daily_budget": (Decimal(1000), Decimal("1012.40"))}
        edits.record(brand_id=acme.pk, verb=Edit.Verb.DIVIDED, changes=changes, now=NOW, by=NOBODY)
        shown = text(client, url(acme))
        assert "Month to day set the daily budget of the brand" in shown
        assert "Daily budget: 1,000.00 EUR → 1,012.40 EUR" in shown


def test_lists_are_narrowed_by_pacing(client: Client, acme: Brand, sale: Campaign) -> None:
    own = factories.campaign(factories.brand(name="Globex"), name="Own pace", daily_budget=5, pacing=Pacing.EVEN)
    factories.campaign(own.brand, name="No pace")
    pace(acme)

    def found(model: type[Brand | Campaign], pacing: str) -> set[str]:
        return {str(row) for row in client.get(page("changelist", model), {"pacing": pacing}).context["cl"].result_list}

    assert found(Brand, "even") == {"Acme"}
    assert found(Brand, "asap") == {"Globex"}
    assert found(Campaign, "even") == {"Spring sale", "Own pace"}
    assert found(Campaign, "asap") == {"No pace"}
    assert len(found(Campaign, "slowly")) == 3
