"""What the database refuses by itself, whoever writes: a bug, a shell, another program."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction

from campaigns.models import Brand, BrandCounter, Campaign, CampaignCounter, DaypartingSchedule, RollOver, SpendLog
from campaigns.services import catalog
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

WINDOW = {"start_hour": 9, "end_hour": 17, "weekdays": 127, "grid": None}
GRID = {"start_hour": None, "end_hour": None, "weekdays": None, "grid": "01" * 84}


def brand(**wrong: Any) -> models.Model:
    return Brand.objects.create(**{"name": "Wrong", "created_at": NOW, **wrong})


def campaign(**wrong: Any) -> models.Model:
    return Campaign.objects.create(**{"brand": factories.brand(), "name": "Wrong", "created_at": NOW, **wrong})


def schedule(**wrong: Any) -> models.Model:
    return DaypartingSchedule.objects.create(**{"campaign": factories.campaign(), **WINDOW, **wrong})


def log(**wrong: Any) -> models.Model:
    of = factories.campaign()
    row = {"campaign": of, "brand": of.brand, "event_id": "a", "amount": 1, "timestamp": NOW, "day": NOW.date()}
    return SpendLog.objects.create(**{**row, **wrong})


def brand_counter(**wrong: Any) -> models.Model:
    row = {"brand": factories.brand(), "period": 1, "start": NOW.date()}
    return BrandCounter.objects.create(**{**row, **wrong})


def campaign_counter(**wrong: Any) -> models.Model:
    of = factories.campaign()
    row = {"campaign": of, "brand": of.brand, "period": 1, "start": date(2000, 1, 1)}
    return CampaignCounter.objects.create(**{**row, **wrong})


REFUSED: list[tuple[str, Callable[..., models.Model], dict[str, Any]]] = [
    ("brand_daily_budget_not_negative", brand, {"daily_budget": Decimal("-0.000001")}),
    ("brand_monthly_budget_not_negative", brand, {"monthly_budget": -1}),
    ("brand_scope_known", brand, {"budget_scope": "both"}),
    ("brand_has_name", brand, {"name": ""}),
    ("campaign_daily_budget_not_negative", campaign, {"daily_budget": Decimal("-0.000001")}),
    ("campaign_monthly_budget_not_negative", campaign, {"monthly_budget": -1}),
    ("campaign_total_budget_not_negative", campaign, {"total_budget": -1}),
    (
        "campaign_flight_ends_after_start",
        campaign,
        {"flight_start": date(2025, 6, 2), "flight_end": date(2025, 6, 1)},
    ),
    ("campaign_has_name", campaign, {"name": ""}),
    ("campaign_active_means_no_reason", campaign, {"is_active": True, "reasons": 1}),
    ("campaign_active_means_no_reason", campaign, {"is_active": False, "reasons": 0}),
    ("campaign_reasons_known", campaign, {"is_active": False, "reasons": 512}),
    ("campaign_reasons_known", campaign, {"is_active": False, "reasons": -1}),
    *[
        case
        for kind, create in (("brand", brand), ("campaign", campaign))
        for case in (
            (f"{kind}_pacing_known", create, {"pacing": "odd"}),
            (f"{kind}_daily_least_not_negative", create, {"daily_least": Decimal("-0.000001")}),
            (f"{kind}_daily_most_not_negative", create, {"daily_most": -1}),
            (f"{kind}_daily_least_below_most", create, {"daily_least": 2, "daily_most": 1}),
        )
    ],
    ("schedule_start_hour_0_23", schedule, {"start_hour": 24}),
    ("schedule_start_hour_0_23", schedule, {"start_hour": -1}),
    ("schedule_end_hour_0_23", schedule, {"end_hour": 24}),
    ("schedule_hours_differ", schedule, {"start_hour": 5, "end_hour": 5}),
    ("schedule_weekdays_1_127", schedule, {"weekdays": 0}),
    ("schedule_weekdays_1_127", schedule, {"weekdays": 128}),
    ("schedule_exactly_one_form", schedule, {"start_hour": None, "end_hour": None, "weekdays": None}),
    ("schedule_exactly_one_form", schedule, {"grid": "1" * 168}),
    ("schedule_exactly_one_form", schedule, {"end_hour": None}),
    ("schedule_exactly_one_form", schedule, {**GRID, "weekdays": 127}),
    ("schedule_grid_168_hours", schedule, {**GRID, "grid": "1" * 167}),
    ("schedule_grid_0_or_1", schedule, {**GRID, "grid": "1" * 167 + "2"}),
    ("spendlog_amount_fits_kind", log, {"amount": 0}),
    ("spendlog_amount_fits_kind", log, {"amount": -1}),
    ("spendlog_amount_fits_kind", log, {"kind": 2, "amount": 0, "note": "why"}),
    ("spendlog_amount_fits_kind", log, {"kind": 2, "amount": -1, "note": ""}),
    ("spendlog_amount_fits_kind", log, {"kind": 3, "note": "why"}),
    ("brandcounter_spent_in_range", brand_counter, {"spent": Decimal("9000000000000.000001")}),
    ("brandcounter_spent_in_range", brand_counter, {"spent": Decimal("-9000000000000.000001")}),
    ("brandcounter_held_not_negative", brand_counter, {"held": Decimal("-0.000001")}),
    ("campaigncounter_spent_in_range", campaign_counter, {"spent": Decimal("9000000000000.000001")}),
    ("campaigncounter_held_not_negative", campaign_counter, {"held": Decimal("-0.000001")}),
]


@pytest.mark.parametrize(
    ("constraint", "create", "wrong"), REFUSED, ids=[f"{name} {wrong}" for name, _, wrong in REFUSED]
)
def test_a_row_that_cannot_be_is_refused(
    constraint: str, create: Callable[..., models.Model], wrong: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        create(**wrong)


def test_every_check_constraint_has_a_case() -> None:
    """A rule of the database that nobody has seen refuse anything may be missing from it."""
    checks = {
        constraint.name
        for model in (Brand, Campaign, DaypartingSchedule, SpendLog, BrandCounter, CampaignCounter, RollOver)
        for constraint in model._meta.constraints
        if isinstance(constraint, models.CheckConstraint)
    }
    assert checks == {row[0] for row in REFUSED}


@pytest.mark.parametrize(
    ("create", "right"),
    [
        (brand, {"daily_budget": 0, "monthly_budget": None}),
        (campaign, {"flight_start": date(2025, 6, 1), "flight_end": date(2025, 6, 1)}),
        (campaign, {"is_active": False, "reasons": 511}),
        (schedule, WINDOW),
        (schedule, {"start_hour": 23, "end_hour": 0, "weekdays": 1}),
        (schedule, GRID),
        (log, {"kind": 2, "amount": -1, "note": "why"}),
        (brand_counter, {"spent": Decimal(-9000000000000)}),
    ],
)
def test_a_row_at_the_edge_is_taken(create: Callable[..., models.Model], right: dict[str, Any]) -> None:
    create(**right)


def twice(create: Callable[..., models.Model], **fields: Any) -> None:
    create(**fields)
    create(**fields)


def two_names(**fields: Any) -> None:
    for name in ("One", "Two"):
        brand(name=name, **fields)


def test_what_is_unique_is_so_in_the_database() -> None:
    here = factories.campaign()
    brand_row, of = here.brand, {"campaign": here, "brand": here.brand}
    doubles: list[Callable[[], None]] = [
        lambda: twice(brand, name="The same"),
        lambda: two_names(external_id="x"),
        lambda: twice(campaign, brand=brand_row, external_id="x"),
        lambda: twice(log, **of, event_id="x"),
        lambda: twice(schedule, campaign=here),
        lambda: twice(brand_counter, brand=factories.brand()),
        lambda: twice(campaign_counter, **of, start=date(1999, 1, 1)),
        lambda: twice(RollOver.objects.create, brand=brand_row, period=1, start=NOW.date(), at=NOW),
    ]
    for double in doubles:
        with pytest.raises(IntegrityError, match=r"(?i)unique"), transaction.atomic():
            double()


def test_names_of_campaigns_and_missing_external_ids_may_repeat() -> None:
    of = factories.brand()
    twice(campaign, brand=of, name="The same")
    assert of.campaigns.filter(external_id=None).count() == 2


# --- What has spend stays --------------------------------------------------------------------


def refused_at_commit(statement: str) -> None:
    """Run a statement whose harm the database sees at the latest at the end of the transaction."""

    def run() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
            connection.check_constraints()

    with pytest.raises(IntegrityError):
        run()


def test_a_campaign_with_spend_cannot_be_deleted() -> None:
    here = factories.campaign()
    factories.spend(here, 1)
    refused_at_commit(f"DELETE FROM campaigns_campaign WHERE id = {here.pk}")
    with pytest.raises(models.ProtectedError):
        here.delete()
    with pytest.raises(models.ProtectedError):
        Campaign.objects.all().delete()
    assert Campaign.objects.filter(pk=here.pk).exists()


def test_a_brand_with_spend_cannot_be_deleted() -> None:
    here = factories.campaign()
    factories.spend(here, 1)
    refused_at_commit(f"DELETE FROM campaigns_brand WHERE id = {here.brand_id}")
    with pytest.raises(models.ProtectedError):
        here.brand.delete()


def test_a_campaign_cannot_leave_or_lose_its_brand() -> None:
    here = factories.campaign()
    refused_at_commit(f"UPDATE campaigns_campaign SET brand_id = 987654 WHERE id = {here.pk}")
    refused_at_commit(f"DELETE FROM campaigns_brand WHERE id = {here.brand_id}")


def test_an_archived_campaign_keeps_its_spend() -> None:
    here = factories.campaign()
    factories.spend(here, 1)
    catalog.archive_campaign(campaign_id=here.pk, now=NOW)
    refused_at_commit(f"DELETE FROM campaigns_campaign WHERE id = {here.pk}")
    assert here.spend_logs.count() == 1
