"""One budget of many campaigns: computed on what whoever was first has left, or refused with a sentence."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial

import pytest

from campaigns.models import Campaign, Edit
from campaigns.rules.errors import BudgetError
from campaigns.services import bulk, catalog
from campaigns.services.bulk import BudgetChange, How
from tests import factories
from tests.factories import NOW
from tests.services.races import Meeting, meet

pytestmark = pytest.mark.django_db

RAISE = BudgetChange("daily_budget", How.RAISE, Decimal(10))


def budgets() -> list[Decimal | None]:
    return list(Campaign.objects.order_by("pk").values_list("daily_budget", flat=True))


# --- Two at once -------------------------------------------------------------------------------


def raised_twice(at: tuple[object, str], change: Callable[..., object] = bulk.change_budgets) -> Meeting:
    """A daily budget of 100 is raised by ten percent, twice at once: the second begins while the first is at work."""
    campaign = factories.campaign(daily_budget=100)
    work = partial(change, [campaign.pk], RAISE, now=NOW)
    return meet(work, work, at=at, when="before")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_both_of_two_raises_at_once_count() -> None:
    meeting = raised_twice((bulk, "_save"))
    assert meeting.waited
    assert budgets() == [Decimal(121)]


def _change_what_was_read(ids: list[int], change: BudgetChange, **who: object) -> object:
    """Read, compute, and only then lock: as nobody may."""
    rows = Campaign.objects.select_related("brand").filter(pk__in=ids)
    changes = {row.pk: {change.field: bulk._changed_budget(row, change)} for row in rows}
    return bulk.change_campaigns(changes, **who)  # type: ignore[arg-type]  # now and by, as they came


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_one_is_lost_when_they_are_read_before_the_locks() -> None:
    meeting = raised_twice((bulk, "_save"), _change_what_was_read)
    assert meeting.waited
    assert budgets() == [Decimal(110)]


# --- What is refused ---------------------------------------------------------------------------


def refused(ids: list[int], change: BudgetChange, sentence: str) -> None:
    before = budgets()
    with pytest.raises(BudgetError, match=f"^{sentence}$"):
        bulk.change_budgets(ids, change, now=NOW)
    assert budgets() == before
    assert not Edit.objects.filter(verb=Edit.Verb.CHANGED).exists()


def test_one_that_is_not_there_or_archived_keeps_all_as_they_are() -> None:
    one, old = factories.campaign(daily_budget=100), factories.campaign(name="Old", daily_budget=100)
    catalog.archive_campaign(campaign_id=old.pk, now=NOW)
    refused([one.pk, old.pk], RAISE, "Old is archived; its budgets stay as they are.")
    refused([one.pk, 987654], RAISE, "There is no campaign 987654.")
    refused([one.pk, 2**70], RAISE, f"There is no campaign {2**70}.")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("daily_budget", How.LOWER, Decimal(250)), "Give more than 0 and at most 100 percent to lower a budget by."),
        (
            ("daily_budget", How.RAISE, Decimal(1001)),
            "Give more than 0 and at most 1,000 percent to raise a budget by.",
        ),
        (("daily_budget", How.RAISE, Decimal(0)), "Give more than 0 .*"),
        (("daily_budget", How.LOWER, None), "Give more than 0 .*"),
        (("daily_budget", How.SET, Decimal(-1)), "Daily budget: A budget can't be negative.*"),
        (("name", How.REMOVE, None), "A campaign has no 'name'; name one of daily_budget, .*"),
    ],
)
def test_what_is_no_change_of_a_budget_is_refused(change: tuple[str, How, Decimal | None], sentence: str) -> None:
    refused([factories.campaign(daily_budget=100).pk], BudgetChange(*change), sentence)


def test_lowered_by_all_of_it_is_nothing_and_not_no_limit() -> None:
    campaign = factories.campaign(daily_budget=100)
    bulk.change_budgets([campaign.pk], BudgetChange("daily_budget", How.LOWER, Decimal(100)), now=NOW)
    assert budgets() == [Decimal(0)]
