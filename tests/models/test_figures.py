"""What a brand or campaign says of itself: current spend by the counter of the current period, reasons, names."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.core.exceptions import ValidationError

from campaigns.models import Brand, BrandCounter, Campaign, CampaignCounter, RollOver, SpendLog, StatusChange
from campaigns.models.fields import MoneyField, ReasonsField
from campaigns.rules.reasons import Reason
from campaigns.services import catalog, reset_daily_budgets, reset_monthly_budgets
from tests import factories
from tests.factories import NOW, spend

pytestmark = pytest.mark.django_db


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def shown(owner: Brand | Campaign, at: str) -> tuple[object, object]:
    with time_machine.travel(utc(at), tick=False):
        return owner.current_daily_spend, owner.current_monthly_spend


@pytest.mark.parametrize("resets", [0, 1, 5])
@pytest.mark.parametrize(
    ("zone", "last", "first"),
    [
        ("UTC", "2025-06-30T23:59:59.999999", "2025-07-01T00:00"),
        ("Europe/Berlin", "2025-06-30T21:59:59.999999", "2025-06-30T22:00"),
        ("Asia/Kathmandu", "2025-06-30T18:14:59.999999", "2025-06-30T18:15"),
        ("Australia/Lord_Howe", "2025-06-30T13:29:59.999999", "2025-06-30T13:30"),
        ("America/Sao_Paulo", "2018-10-31T02:59:59.999999", "2018-11-01T03:00"),
    ],
)
def test_current_spend_turns_with_the_brands_midnight_and_needs_no_reset(
    zone: str, last: str, first: str, resets: int
) -> None:
    brand = factories.brand(timezone=zone)
    campaign = factories.campaign(brand)
    spend(campaign, "3.5", now=utc(last))
    for _ in range(resets):
        reset_daily_budgets(now=utc(first))
        reset_monthly_budgets(now=utc(first))
    for owner in (brand, campaign):
        assert shown(owner, last) == (Decimal("3.5"), Decimal("3.5"))
        assert shown(owner, first) == (0, 0)
    spend(campaign, 1, now=utc(first))
    for owner in (brand, campaign):
        assert shown(owner, first) == (1, 1)
        assert shown(owner, last) == (Decimal("3.5"), Decimal("3.5"))


def test_the_day_turns_within_the_month() -> None:
    campaign = factories.campaign()
    spend(campaign, 2, now=NOW)
    spend(campaign, 3, now=NOW, at=NOW - timedelta(days=1))
    for owner in (campaign, campaign.brand):
        assert shown(owner, "2025-06-18T12:00") == (2, 5)
        assert shown(owner, "2025-06-19T00:00") == (0, 5)
        assert shown(owner, "2025-07-18T12:00") == (0, 0)


def test_apia_went_from_the_29th_to_the_31st() -> None:
    campaign = factories.campaign(factories.brand(timezone="Pacific/Apia"))
    spend(campaign, 1, now=utc("2011-12-30T09:59:59"))
    spend(campaign, 2, now=utc("2011-12-30T10:00"))
    assert shown(campaign, "2011-12-30T09:59:59") == (1, 3)
    assert shown(campaign, "2011-12-30T10:00") == (2, 3)
    starts = CampaignCounter.objects.filter(period=1).order_by("start").values_list("start", flat=True)
    assert [str(start) for start in starts] == ["2011-12-29", "2011-12-31"]


def test_spend_of_a_campaign_is_not_its_siblings() -> None:
    brand = factories.brand()
    one, two = factories.campaign(brand), factories.campaign(brand)
    spend(one, 1)
    spend(two, 2)
    assert [shown(owner, "2025-06-18T12:00")[0] for owner in (one, two, brand)] == [1, 2, 3]


def test_reasons_by_name() -> None:
    campaign = factories.campaign(total_budget=0)
    assert campaign.reason_codes == ["campaign_total_budget"]
    catalog.pause(campaign_id=campaign.pk, now=NOW)
    campaign.refresh_from_db()
    assert campaign.reasons == Reason.MANUAL | Reason.CAMPAIGN_TOTAL_BUDGET
    assert campaign.reason_codes == ["manual", "campaign_total_budget"]
    assert str(StatusChange.objects.latest("id")) == (
        "total budget of the campaign spent → paused by a person, total budget of the campaign spent"
    )


def test_rows_name_themselves() -> None:
    campaign = factories.campaign(factories.brand(name="Acme"), name="Summer")
    spend(campaign, 1, event_id="e1")
    catalog.set_window(campaign_id=campaign.pk, start_hour=9, end_hour=17, now=NOW)
    reset_daily_budgets(now=NOW)
    assert (str(campaign.brand), str(campaign), str(SpendLog.objects.get())) == ("Acme", "Summer", "e1")
    assert str(BrandCounter.objects.get(period=2)) == "month 2025-06-01"
    assert str(RollOver.objects.get()) == "day 2025-06-18"
    campaign.refresh_from_db()
    assert str(campaign.schedule) == "09:00–17:00, every day"
    catalog.set_grid(campaign_id=campaign.pk, grid="1" * 168, now=NOW)
    assert str(Campaign.objects.get(pk=campaign.pk).schedule) == "every day, all hours"


# --- Fields ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0.000001", "9007199254.740993", "1000000000000", "0"])
def test_money_goes_through_the_database_unchanged(text: str) -> None:
    brand = factories.brand(daily_budget=text)
    brand.refresh_from_db()
    assert brand.daily_budget == Decimal(text)
    assert Brand.objects.filter(daily_budget=Decimal(text)).exists()
    assert not Brand.objects.filter(daily_budget__gt=Decimal(text)).exists()


def test_money_refuses_a_float_wherever_it_comes_in() -> None:
    field: MoneyField[Decimal | int | str, Decimal] = MoneyField()
    with pytest.raises(ValidationError, match="floating-point"):
        field.to_python(0.1)
    with pytest.raises(ValueError, match="floating-point"):
        Brand.objects.filter(daily_budget=0.1).exists()
    with pytest.raises(ValueError, match="floating-point"):
        Brand.objects.create(name="Floats", daily_budget=0.1)  # type: ignore[misc]


def test_fields_serialize_to_text_and_back() -> None:
    campaign = factories.campaign(total_budget="0.5")
    money, why = (Campaign._meta.get_field(name) for name in ("total_budget", "reasons"))
    assert isinstance(money, MoneyField)
    assert isinstance(why, ReasonsField)
    assert money.to_python(money.value_to_string(campaign)) == Decimal("0.5")
    campaign.reasons = Reason.MANUAL | Reason.ENDED
    assert why.to_python(why.value_to_string(campaign)) == Reason.MANUAL | Reason.ENDED
