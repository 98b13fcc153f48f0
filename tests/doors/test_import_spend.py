"""`manage.py import_spend`: every row of a file has one fate, and no row counts twice."""

import csv
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from unittest import mock

import pytest
import time_machine
from django.db import OperationalError, transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.management import importing
from campaigns.models import Brand, Campaign, SpendLog
from campaigns.rules import money
from campaigns.rules.errors import BudgetError
from campaigns.services import audit, catalog, spend
from tests import factories
from tests.doors.running import Ran, finish, manage, run, start
from tests.factories import NOW
from tests.services import reading

DAY = "2025-06-17"

Save = Callable[..., Path]


@pytest.fixture(autouse=True)
def noon(request: pytest.FixtureRequest) -> Iterator[None]:
    """Stop the clock at NOW, but not for processes of their own."""
    if request.node.get_closest_marker("processes"):
        yield
        return
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return what writes spend.csv, by default below the usual header, and gives its path."""

    def write(*rows: str, header: str = "Day,Campaign ID,Cost", encoding: str = "utf-8") -> Path:
        path = tmp_path / "spend.csv"
        path.write_bytes("\n".join([header, *rows, ""]).encode(encoding))
        return path

    return write


@pytest.fixture
def acme(db: None) -> Brand:
    """Return a brand in Berlin with the campaigns A-1 and A-2."""
    brand = factories.brand(name="Acme", timezone="Europe/Berlin", currency="EUR")
    factories.campaign(brand, name="Spring sale", external_id="A-1")
    factories.campaign(brand, name="Brand search", external_id="A-2")
    return brand


def of(external_id: str) -> Campaign:
    return Campaign.objects.get(external_id=external_id)


def ledger() -> list[tuple[str, str, str]]:
    """The ledger as it was written: event id, amount, budget day."""
    return [
        (row.event_id, money.to_text(money.to_micros(row.amount)), row.day.isoformat())
        for row in SpendLog.objects.order_by("pk")
    ]


def amounts() -> list[str]:
    return [amount for _, amount, _ in ledger()]


def figures(ran: Ran) -> dict[str, int]:
    """The numbers of the account, by their labels."""
    labels = "Recorded before|Recorded|Adjusted|In conflict|Rejected|Skipped|Read"
    found = re.findall(rf"^({labels}) +([\d,]+)", ran.out, re.MULTILINE)
    return {label: int(number.replace(",", "")) for label, number in found}


def rejects(path: Path) -> list[list[str]]:
    with path.with_name("spend.rejects.csv").open(newline="") as file:
        return list(csv.reader(file))


def reasons_of(path: Path) -> list[str]:
    return [row[1] for row in rejects(path)[1:]]


def is_sound() -> bool:
    return audit.check_ledger() == [] and reading.counters() == reading.sums_of_the_ledger()


# --- What is recorded ----------------------------------------------------------------------------


def test_a_file_is_recorded_row_by_row(acme: Brand, save: Save) -> None:
    path = save(f'{DAY},A-1,"1,234.56"', f"{DAY},A-2,0.000001", "2025-06-16,A-1,7")
    ran = run("import_spend", path)
    assert (ran.code, ran.err) == (0, "")
    assert figures(ran) == {"Recorded": 3, "Read": 3}
    assert "1,241.560001 EUR" in ran.out
    one, two = of("A-1"), of("A-2")
    assert set(ledger()) == {
        (f"csv:{one.pk}:{DAY}:1", "1234.56", DAY),
        (f"csv:{two.pk}:{DAY}:1", "0.000001", DAY),
        (f"csv:{one.pk}:2025-06-16:1", "7.00", "2025-06-16"),
    }
    assert SpendLog.objects.get(campaign=two).timestamp == datetime(2025, 6, 16, 22, tzinfo=UTC)  # Berlin's midnight
    assert not path.with_name("spend.rejects.csv").exists()
    assert is_sound()


def test_the_same_file_twice_counts_once(acme: Brand, save: Save) -> None:
    path = save(f"{DAY},A-1,5", f"{DAY},A-1,5", f"{DAY},A-2,7")
    assert figures(run("import_spend", path)) == {"Recorded": 3, "Read": 3}  # equal rows are both spend
    ran = run("import_spend", path)
    assert ran.code == 0
    assert figures(ran) == {"Recorded": 0, "Recorded before": 3, "Read": 3}
    assert sorted(amounts()) == ["5.00", "5.00", "7.00"]


def test_a_file_that_grew_adds_what_is_new(acme: Brand, save: Save) -> None:
    run("import_spend", save("2025-06-16,A-1,5"))
    ran = run("import_spend", save("2025-06-16,A-1,5", f"{DAY},A-1,6"))
    assert figures(ran) == {"Recorded": 1, "Recorded before": 1, "Read": 2}


def test_another_spelling_of_the_same_file_counts_once(acme: Brand, save: Save) -> None:
    run("import_spend", save(f"{DAY},A-1,1234.50"))
    one = of("A-1").pk
    for row, header, options in (
        (f'"1,234.50";{DAY} 00:00:00;Spring sale', "Cost;Time;Campaign name", []),
        (f"1.234,50 €\t17/06/2025\t{one}", "Spend\tDate\tCampaign ID", ["--decimal", ",", "--day-first", "--by", "id"]),
        ('"Jun 17, 2025",A-1,EUR,1234.5', "Day,External ID,Currency,Cost", []),
        ("2025-06-16T22:00:00Z,A-1,1234.500000", "Timestamp,External ID,Cost", []),
    ):
        ran = run("import_spend", save(row, header=header), *options)
        assert figures(ran) == {"Recorded": 0, "Recorded before": 1, "Read": 1}, row


def test_what_an_import_spends_is_judged_at_once(acme: Brand, save: Save) -> None:
    catalog.update_campaign(campaign_id=of("A-1").pk, now=NOW, daily_budget="10")
    ran = run("import_spend", save("2025-06-18,A-1,4", "2025-06-18,A-1,6", "2025-06-18,A-2,99"))
    assert reading.why(of("A-1")) == ["campaign_daily_budget"]
    assert reading.why(of("A-2")) == []
    assert re.search(r"Paused by this import\n +Spring sale \(Acme\) +daily budget of the campaign spent", ran.out)


def test_hours_and_times_are_of_the_brand_s_zone(acme: Brand, save: Save) -> None:
    run("import_spend", save(f"{DAY},5,A-1,1", f"{DAY},23,A-1,2", header="Day,Hour of the day,Campaign ID,Cost"))
    run("import_spend", save(f"{DAY}T23:30:00Z,A-2,3", f"{DAY} 23:30,A-2,4", header="Timestamp,Campaign ID,Cost"))
    run("import_spend", save(f"{DAY} 23:30,A-2,5", header="Time,Campaign ID,Cost"), "--timezone", "UTC")
    found = {money.to_text(money.to_micros(row.amount)): row for row in SpendLog.objects.all()}
    assert found["1.00"].timestamp == datetime(2025, 6, 17, 3, tzinfo=UTC)
    assert [found[a].day.day for a in ("1.00", "2.00", "3.00", "4.00")] == [17, 17, 18, 17]
    assert found["3.00"].event_id.endswith(":2025-06-17T23:30:00Z:1")
    assert "5.00" not in found, "the same moment as the 3, so the same row restated"


def test_an_event_id_column_is_taken_as_it_is(acme: Brand, save: Save) -> None:
    header = "Event ID,Day,Campaign ID,Cost"
    path = save(f"x1,{DAY},A-1,5", f"x1,{DAY},A-1,5", f"x1,{DAY},A-1,6", f",{DAY},A-1,7", header=header)
    ran = run("import_spend", path)
    assert figures(ran) == {"Recorded": 1, "Recorded before": 1, "In conflict": 1, "Rejected": 1, "Read": 4}
    assert ledger() == [("x1", "5.00", DAY)]
    path = save(f"{DAY},A-1,8,t9", header="Day,Campaign ID,Cost,Transaction")
    run("import_spend", path, "--event-id-column", "transaction")
    assert ledger()[1:] == [("t9", "8.00", DAY)]


def test_an_event_that_came_by_another_way_counts_once(acme: Brand, save: Save) -> None:
    factories.spend(of("A-1"), 5, event_id="x1", at=NOW)
    ran = run("import_spend", save(f"x1,{NOW.isoformat()},A-1,5", header="Event ID,Time,Campaign ID,Cost"))
    assert figures(ran) == {"Recorded": 0, "Recorded before": 1, "Read": 1}


def test_an_account_of_money_by_currency(acme: Brand, save: Save) -> None:
    other = factories.brand(name="Zeta", currency="JPY")
    factories.campaign(other, external_id="Z-1")
    ran = run("import_spend", save(f"{DAY},A-1,5.5", f"{DAY},Z-1,700", f"{DAY},A-2,1"))
    assert re.search(r"Recorded +3 +6\.50 EUR *\n +700 JPY", ran.out)


def test_many_rows_in_many_batches(acme: Brand, save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 7)
    monkeypatch.setattr(importing, "MAX_HOMES", 3)
    for number in range(10):
        factories.campaign(acme, external_id=f"B-{number}")
    rows = [f"2025-06-{1 + at % 3:02},B-{at % 10},{1 + at % 4}.{at % 7}" for at in range(200)]
    ran = run("import_spend", save(*rows))
    assert figures(ran) == {"Recorded": 200, "Read": 200}
    assert sum(map(Decimal, amounts())) == sum(Decimal(row.rpartition(",")[2]) for row in rows)
    assert figures(run("import_spend", save(*rows))) == {"Recorded": 0, "Recorded before": 200, "Read": 200}
    assert is_sound()


# --- Which campaign is meant ---------------------------------------------------------------------


def test_a_number_of_another_system_is_not_taken_for_ours(acme: Brand, save: Save) -> None:
    one, plain = of("A-1"), factories.campaign(acme, name="Plain")
    stranger = factories.campaign(acme, external_id=str(plain.pk), name="Stranger")
    path = save(f"{DAY},{one.pk},5", f"{DAY},{plain.pk},6")
    ran = run("import_spend", path)
    assert figures(ran) == {"Recorded": 0, "Rejected": 2, "Read": 2}
    guarded, doubtful = reasons_of(path)
    assert guarded == (
        f"Campaign {one.pk} has an external id, so '{one.pk}' may be the number of another system; say --by id if it "
        "is ours."
    )
    assert doubtful == (
        f"'{plain.pk}' is the external id of campaign {stranger.pk} and the id of campaign {plain.pk}; say which is "
        "meant with --by."
    )
    assert figures(run("import_spend", path, "--by", "id")) == {"Recorded": 2, "Read": 2}
    assert set(SpendLog.objects.values_list("campaign", flat=True)) == {one.pk, plain.pk}
    assert figures(run("import_spend", path, "--by", "external-id")) == {"Recorded": 1, "Rejected": 1, "Read": 2}


def test_our_own_id_is_found_where_there_is_no_external_id(acme: Brand, save: Save) -> None:
    plain = factories.campaign(acme, name="Plain")
    assert run("import_spend", save(f"{DAY},{plain.pk},5")).code == 0
    assert run("import_spend", save(f"{DAY},0{plain.pk},5", f"{DAY},{2**63},5")).code == 1
    assert amounts() == ["5.00"]


def test_a_name_that_two_campaigns_have_is_rejected(acme: Brand, save: Save) -> None:
    other = factories.brand(name="Zeta", currency="EUR")
    factories.campaign(other, name="Spring sale")
    path = save(f"{DAY},Spring sale,5", header="Day,Campaign,Cost")
    assert run("import_spend", path).code == 1
    assert "fits 2 campaigns" in reasons_of(path)[0] and "--brand" in reasons_of(path)[0]
    for brand in ("Zeta", str(other.pk)):
        assert run("import_spend", path, "--brand", brand).code == 0
    assert list(SpendLog.objects.values_list("brand", flat=True)) == [other.pk]


def test_by_name_the_column_with_names_is_read(acme: Brand, save: Save) -> None:
    path = save(f"{DAY},12345,Spring sale,5", header="Day,Campaign ID,Campaign,Cost")
    assert run("import_spend", path).code == 1
    assert run("import_spend", path, "--by", "name").code == 0
    assert amounts() == ["5.00"]


def test_an_external_id_of_two_brands_is_rejected(acme: Brand, save: Save) -> None:
    other = factories.brand(name="Zeta", currency="EUR")
    factories.campaign(other, external_id="A-1")
    path = save(f"{DAY},A-1,5")
    assert run("import_spend", path).code == 1
    assert "--brand" in reasons_of(path)[0]
    assert run("import_spend", path, "--brand", "Acme").code == 0
    assert list(SpendLog.objects.values_list("brand", flat=True)) == [acme.pk]


def test_a_brand_closes_out_the_others(acme: Brand, save: Save) -> None:
    factories.brand(name="Zeta")
    for row, header in ((f"{DAY},A-1,5", "Day,Campaign ID,Cost"), (f"{DAY},{of('A-1').pk},5", "Day,Campaign,Cost")):
        assert figures(run("import_spend", save(row, header=header), "--brand", "Zeta"))["Rejected"] == 1
    assert ledger() == []


def test_names_are_matched_to_the_letter(acme: Brand, save: Save) -> None:
    path = save(f"{DAY},spring sale,5", f"{DAY},Spring  sale,5", f"{DAY}, Spring sale ,5", header="Day,Campaign,Cost")
    assert figures(run("import_spend", path)) == {"Recorded": 1, "Rejected": 2, "Read": 3}


# --- What is not recorded ------------------------------------------------------------------------

REJECTED = [
    # row, part of the reason
    (f"{DAY},A-9,5", "no campaign with the external id or id 'A-9'"),
    (f"{DAY},A-1\x07,5", "no campaign"),
    (",A-1,5", "no day or time"),
    ("soon,A-1,5", "'soon' is not a day or a time"),
    ("17/06/2025,A-1,5", "--day-first or --month-first"),
    ("2025-06-19,A-1,5", "in the future"),
    ("2025-01-01,A-1,5", "more than 62 days ago"),
    (f"{DAY},A-1,five", "'five' is not an amount"),
    (f'{DAY},A-1,"12,50"', "say --decimal ,"),
    (f"{DAY},A-1,-5", "negative"),
    (f"{DAY},A-1,(5.00)", "negative"),
    (f"{DAY},A-1,0.0000001", "more than 6 decimals"),
    (f"{DAY},A-1,2000000000", "above 1,000,000,000"),
    (f"{DAY},A-1,$5", "in another currency, but Acme counts in EUR"),
    (f"{DAY},A-1,5 USD", "in USD, but Acme counts in EUR"),
    (f"{DAY},A-1,1,234.50", "4 columns and the header 3"),
    (f"{DAY},A-1", "2 columns and the header 3"),
    (f'{DAY},"A-1,5', "quote"),
    (f"{DAY},A-1\0,5", "NUL"),
]


@pytest.mark.parametrize(("row", "reason"), REJECTED)
def test_a_bad_row_is_rejected_and_the_rest_counts(acme: Brand, save: Save, row: str, reason: str) -> None:
    path = save(f"{DAY},A-2,1.5", row, f"{DAY},A-2,2.5")
    ran = run("import_spend", path)
    assert (ran.code, ran.err) == (
        1,
        f"1 of 3 rows were not recorded; they are in {path.with_name('spend.rejects.csv')} with the reasons.",
    )
    assert figures(ran) == {"Recorded": 2, "Rejected": 1, "Read": 3}
    assert sorted(amounts()) == ["1.50", "2.50"]
    (header, rejected) = rejects(path)
    assert header == ["import line", "import reason", "import event id", "Day", "Campaign ID", "Cost"]
    assert rejected[0] == "3"
    assert reason in rejected[1]
    assert rejected[1].isprintable()
    assert reason in " ".join(ran.out.split())


@pytest.mark.parametrize(
    ("header", "row", "fits"),
    [
        ("Day,Campaign ID,Cost (EUR)", f"{DAY},A-1,5", True),
        ("Day,Campaign ID,Cost (USD)", f"{DAY},A-1,5", False),
        ("Day,Campaign ID,cost_usd", f"{DAY},A-1,5", False),
        ("Day,Campaign ID,Amount spent (€)", f"{DAY},A-1,5", True),
        ("Day,Campaign ID,Amount spent ($)", f"{DAY},A-1,5", False),
        ("Day,Campaign ID,Cost,Currency code", f"{DAY},A-1,5,EUR", True),
        ("Day,Campaign ID,Cost,Currency code", f"{DAY},A-1,5,eur", True),
        ("Day,Campaign ID,Cost,Currency code", f"{DAY},A-1,5,", True),
        ("Day,Campaign ID,Cost,Currency code", f"{DAY},A-1,5,USD", False),
        ("Day,Campaign ID,Cost,Currency code", f"{DAY},A-1,5,bananas", False),
        ("Day,Campaign ID,Cost (EUR)", f"{DAY},A-1,5 USD", False),
    ],
)
def test_another_currency_is_rejected(acme: Brand, save: Save, header: str, row: str, fits: bool) -> None:
    assert run("import_spend", save(row, header=header)).code == (0 if fits else 1)
    assert len(ledger()) == fits


def test_rows_without_cost_and_totals_are_skipped_and_counted(acme: Brand, save: Save) -> None:
    path = save(
        f"{DAY},A-1,5", f"{DAY},A-1,0.00", f"{DAY},A-1,", f"{DAY},A-9,--", "Total: Campaigns,--,5", ",,5", "", "2025,,"
    )
    ran = run("import_spend", path)
    assert (ran.code, amounts()) == (0, ["5.00"])
    assert figures(ran) == {"Recorded": 1, "Skipped": 6, "Read": 7}
    assert "3 total rows, 3 zero-cost rows" in ran.out


def test_a_row_of_several_days_is_rejected(acme: Brand, save: Save) -> None:
    header = "Reporting starts,Reporting ends,Campaign ID,Amount spent (EUR)"
    path = save("2025-06-16,2025-06-16,A-1,5", "2025-06-16,2025-06-17,A-1,5", header=header)
    assert figures(run("import_spend", path)) == {"Recorded": 1, "Rejected": 1, "Read": 2}
    assert "export the report by day" in reasons_of(path)[0]


def test_a_batch_that_can_t_be_recorded_is_taken_apart(
    acme: Brand, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = spend.record_spend

    def refuses_seven(events: list[spend.SpendEvent], *, now: datetime) -> spend.Receipt:
        if any(event.amount == 7 for event in events):
            raise BudgetError("These amounts take a counter too far; nothing was recorded.")
        return plain(events, now=now)

    monkeypatch.setattr(spend, "record_spend", refuses_seven)
    path = save(*[f"{DAY},A-1,{number}" for number in range(1, 10)])
    assert figures(run("import_spend", path)) == {"Recorded": 8, "Rejected": 1, "Read": 9}
    assert sorted(amounts()) == [f"{number}.00" for number in range(1, 10) if number != 7]
    assert rejects(path)[1][:2] == ["8", "These amounts take a counter too far; nothing was recorded."]


# --- Restated rows -------------------------------------------------------------------------------


def test_a_restated_cost_is_a_conflict_with_both_amounts(acme: Brand, save: Save) -> None:
    run("import_spend", save(f"{DAY},A-1,5", f"{DAY},A-2,6"))
    path = save(f"{DAY},A-1,5.25", f"{DAY},A-2,6")
    ran = run("import_spend", path)
    assert ran.code == 1
    assert figures(ran) == {"Recorded": 0, "Recorded before": 1, "In conflict": 1, "Read": 2}
    line, reason, event_id, *cells = rejects(path)[1]
    assert (line, event_id, cells) == ("2", f"csv:{of('A-1').pk}:{DAY}:1", [DAY, "A-1", "5.25"])
    assert reason == (
        "This row was imported with 5.00 EUR and says 5.25 EUR now; it was not counted again. --restated adjust "
        "records the difference, 0.25 EUR."
    )
    assert sorted(amounts()) == ["5.00", "6.00"]


@pytest.mark.parametrize(
    "restatements", [["5.25"], ["4.75", "4.75"], ["5.25", "5.00"], ["7", "1", "7", "3.333333"], ["0.00"], ["--", "2"]]
)
def test_a_restated_cost_can_be_adjusted(acme: Brand, save: Save, restatements: list[str]) -> None:
    run("import_spend", save(f"{DAY},A-1,5"))
    for cost in restatements:
        assert run("import_spend", save(f"{DAY},A-1,{cost}"), "--restated", "adjust").code == 0
        wanted = Decimal(cost) if cost != "--" else Decimal(0)
        assert sum(map(Decimal, amounts())) == wanted
        before = len(ledger())
        for options in ([], ["--restated", "adjust"]):
            assert run("import_spend", save(f"{DAY},A-1,{cost}"), *options).code == 0, "known by now"
        assert len(ledger()) == before
    adjustment = SpendLog.objects.filter(kind=SpendLog.Kind.ADJUSTMENT).order_by("pk")[0]
    assert adjustment.event_id == f"csv:{of('A-1').pk}:{DAY}:1:r1"
    assert adjustment.day == date(2025, 6, 17)
    assert re.fullmatch(r"Restated from 5\.00 to \S+ by an import\.", adjustment.note)
    assert is_sound()


def test_a_cost_that_is_gone_is_a_conflict_too(acme: Brand, save: Save) -> None:
    run("import_spend", save(f"{DAY},A-1,5"))
    assert figures(run("import_spend", save(f"{DAY},A-1,0.00"))) == {"Recorded": 0, "In conflict": 1, "Read": 1}


def test_a_cost_restated_back_is_not_taken_for_the_old_row(acme: Brand, save: Save) -> None:
    run("import_spend", save(f"{DAY},A-1,5"))
    run("import_spend", save(f"{DAY},A-1,6"), "--restated", "adjust")
    assert figures(run("import_spend", save(f"{DAY},A-1,5"))) == {"Recorded": 0, "In conflict": 1, "Read": 1}


def test_a_row_that_had_no_cost_yet_keeps_the_place_of_the_others(acme: Brand, save: Save) -> None:
    run("import_spend", save(f"{DAY},A-1,0", f"{DAY},A-1,7"))
    ran = run("import_spend", save(f"{DAY},A-1,3", f"{DAY},A-1,7"))
    assert figures(ran) == {"Recorded": 1, "Recorded before": 1, "Read": 2}
    assert sorted(amounts()) == ["3.00", "7.00"]


@pytest.mark.parametrize("batch", [1, 2, 1000])
@pytest.mark.parametrize(
    ("old", "new", "more"),
    [
        ([5, 7], [3, 5, 7], 0),  # put in before: which of them is new can't be told
        ([5, 7], [5, 3, 7], 0),
        ([5, 7], [5, 7, 3], 3),  # at the end: certainly new
        ([5, 7], [7, 5], 0),
        ([5, 7], [5], 0),
        ([5, 5], [5, 5, 5], 5),
    ],
)
def test_rows_that_moved_are_never_counted_twice(
    acme: Brand, save: Save, monkeypatch: pytest.MonkeyPatch, batch: int, old: list[int], new: list[int], more: int
) -> None:
    monkeypatch.setattr(importing, "BATCH", batch)
    run("import_spend", save(*[f"{DAY},A-1,{cost}" for cost in old]))
    path = save(*[f"{DAY},A-1,{cost}" for cost in new])
    run("import_spend", path)
    assert sum(map(Decimal, amounts())) == sum(old) + more
    if len(new) >= len(old):
        assert run("import_spend", path, "--restated", "adjust").code == 0
        assert sum(map(Decimal, amounts())) == sum(new)
        assert run("import_spend", path).code == 0
    assert is_sound()


@settings(max_examples=40, deadline=None)
@given(
    versions=st.lists(
        st.lists(st.integers(0, 3), min_size=1, max_size=5),  # what each row of one campaign and day cost
        min_size=1,
        max_size=4,
    ),
    batch=st.integers(1, 4),
)
@pytest.mark.django_db
def test_with_adjustments_the_ledger_is_what_the_last_export_says(
    tmp_path_factory: pytest.TempPathFactory, versions: list[list[int]], batch: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "versions.csv"
    with transaction.atomic(), mock.patch.object(importing, "BATCH", batch):
        campaign = factories.campaign()
        rows = 0
        for version in versions:
            rows = max(rows, len(version))
            costs = version + [0] * (rows - len(version))  # a platform drops no row that had a cost, it says 0
            path.write_text("Day,Campaign,Cost\n" + "".join(f"{DAY},{campaign.pk},{cost}\n" for cost in costs))
            assert run("import_spend", path, "--restated", "adjust").code == 0
            assert sum(map(Decimal, amounts())) == sum(costs)
            assert run("import_spend", path).code == 0
            assert sum(map(Decimal, amounts())) == sum(costs)
        assert is_sound()
        transaction.set_rollback(True)


def test_a_day_whose_zone_has_changed_is_a_conflict_and_not_new(acme: Brand, save: Save) -> None:
    run("import_spend", save(f"{DAY},A-1,5"))
    catalog.update_brand(brand_id=acme.pk, now=NOW, timezone="UTC")
    path = save(f"{DAY},A-1,5")
    assert figures(run("import_spend", path)) == {"Recorded": 0, "In conflict": 1, "Read": 1}
    assert "for another time" in reasons_of(path)[0]


# --- Rejects -------------------------------------------------------------------------------------


def test_mended_rejects_are_imported_with_the_ids_they_would_have_had(acme: Brand, save: Save) -> None:
    rows = [f"{DAY},A-1,5", f"{DAY},A-1,5x", f"{DAY},A-1,7", f"{DAY},A-9,1", f"{DAY},A-9,2", f'{DAY},"A-2,3']
    path = save(*rows)
    assert run("import_spend", path).code == 1
    factories.campaign(acme, external_id="A-9")
    mended = path.with_name("spend.rejects.csv")
    mended.write_text(mended.read_text().replace("5x", "5"))
    assert figures(run("import_spend", mended)) == {"Recorded": 3, "Rejected": 1, "Read": 4}
    again = path.with_name("spend.rejects.rejects.csv")
    assert [row[0] for row in csv.reader(again.open())][1:] == ["7"], "the line in the file it came from"
    assert sorted(amounts()) == ["1.00", "2.00", "5.00", "5.00", "7.00"]
    # The mended file itself: the same rows under the same ids.
    path = save(*[row.replace("x", "").replace('"', "") for row in rows])
    assert figures(run("import_spend", path)) == {"Recorded": 1, "Recorded before": 5, "Read": 6}
    assert sorted(amounts()) == ["1.00", "2.00", "3.00", "5.00", "5.00", "7.00"]
    assert not path.with_name("spend.rejects.csv").exists(), "it had no rejects this time"


def test_a_broken_line_mended_among_the_rejects_is_a_row_of_its_own(acme: Brand, save: Save) -> None:
    path = save(f"{DAY},A-1,5", f"{DAY},A-1,5,00")
    run("import_spend", path)
    mended = path.with_name("spend.rejects.csv")
    mended.write_text(mended.read_text().replace("5,00", "5"))
    for recorded, before in ((1, 0), (0, 1)):
        ran = run("import_spend", mended)
        assert (figures(ran)["Recorded"], figures(ran).get("Recorded before", 0)) == (recorded, before)
    assert sorted(amounts()) == ["5.00", "5.00"]


def test_rejects_go_where_they_are_wanted_and_nowhere_else(acme: Brand, save: Save, tmp_path: Path) -> None:
    path, wanted = save(f"{DAY},A-9,5"), tmp_path / "bad rows.csv"
    assert str(wanted) in run("import_spend", path, "--rejects", wanted).err
    assert wanted.exists() and not path.with_name("spend.rejects.csv").exists()
    precious = tmp_path / "precious.csv"
    precious.write_text("Day,Campaign ID,Cost\n")
    for place in (precious, path, tmp_path, tmp_path / "none" / "x.csv"):
        assert run("import_spend", path, "--rejects", place).code == 2
    assert precious.read_text() == "Day,Campaign ID,Cost\n"


def test_formulas_of_the_user_s_file_stay_what_they_were(acme: Brand, save: Save) -> None:
    cell = '=HYPERLINK("http://x";"A-1")'
    path = save(f'{DAY},"{cell.replace(chr(34), chr(34) * 2)}",5', f"{DAY},+A,5", f"{DAY},@A,5")
    run("import_spend", path)
    assert [row[4] for row in rejects(path)[1:]] == [cell, "+A", "@A"]
    assert not any(added.startswith(tuple("=+-@\t")) for row in rejects(path) for added in row[:3])


# --- Dry runs, wrong arguments, ends -------------------------------------------------------------


def test_a_dry_run_tells_all_and_records_nothing(acme: Brand, save: Save) -> None:
    run("import_spend", save(f"{DAY},A-1,5", f"{DAY},A-2,6"))
    before = ledger()
    path = save(f"{DAY},A-1,5", f"{DAY},A-2,7", "2025-06-16,A-2,8", f"{DAY},A-9,5")
    for restated, fate in (("reject", "In conflict"), ("adjust", "Adjusted")):
        dry = run("import_spend", path, "--restated", restated, "--dry-run")
        assert "Dry run: nothing was recorded." in dry.out
        assert figures(dry) == {"Recorded": 1, fate: 1, "Recorded before": 1, "Rejected": 1, "Read": 4}
        assert ledger() == before
        assert is_sound()
    wet = run("import_spend", path, "--restated", "adjust")
    assert figures(wet) == {"Recorded": 1, "Adjusted": 1, "Recorded before": 1, "Rejected": 1, "Read": 4}


def test_silence_can_be_had(acme: Brand, save: Save) -> None:
    assert run("import_spend", save(f"{DAY},A-1,5"), "--verbosity", "0") == Ran(0, "", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "file"),
        (["{file}", "--bogus"], "--bogus"),
        (["{file}", "--decimal", ";"], "--decimal"),
        (["{file}", "--by", "colour"], "--by"),
        (["{file}", "--day-first", "--month-first"], "not allowed with"),
        (["{file}", "--brand", "Nobody"], "There is no brand"),
        (["{file}", "--brand", ""], "There is no brand"),
        (["{file}", "--timezone", "Mars/Olympus"], "not an IANA time zone"),
        (["{file}", "--timezone", "../../etc"], "not an IANA time zone"),
        (["{file}", "--encoding", "klingon"], "no text encoding"),
        (["{file}", "--cost-column", "Kost"], "no column 'Kost'"),
        (["{folder}"], "is a folder"),
        (["{folder}/none.csv"], "No such file"),
        (["{file}\0"], "not the name of a file"),
        ([""], "is a folder"),
    ],
)
def test_wrong_arguments_are_one_sentence(acme: Brand, save: Save, arguments: list[str], sentence: str) -> None:
    path = save(f"{DAY},A-1,5")
    given = [argument.replace("{file}", str(path)).replace("{folder}", str(path.parent)) for argument in arguments]
    ran = run("import_spend", *given)
    assert (ran.code, ran.out) == (2, "")
    assert sentence in ran.err
    assert ran.err.isprintable()
    assert ledger() == []


def test_a_brand_that_can_t_be_told_is_asked_for(acme: Brand, save: Save) -> None:
    factories.brand(name=str(acme.pk))
    assert run("import_spend", save(f"{DAY},A-1,5"), "--brand", acme.pk).code == 2


@pytest.mark.parametrize("end", [KeyboardInterrupt(), OperationalError("the server is gone")])
def test_an_import_that_ends_early_can_be_run_again(
    acme: Brand, save: Save, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    monkeypatch.setattr(importing, "BATCH", 2)
    path = save(*[f"2025-06-{day:02},A-1,{day}" for day in range(1, 8)])
    plain = spend.record_spend
    with monkeypatch.context() as patch:
        patch.setattr(spend, "record_spend", _fails_at(3, plain, end))
        ran = run("import_spend", path)
    assert ran.code == (130 if isinstance(end, KeyboardInterrupt) else 1)
    assert "run the same command again" in ran.err
    assert figures(ran) == {"Recorded": 4, "Read": 4}
    assert figures(run("import_spend", path)) == {"Recorded": 3, "Recorded before": 4, "Read": 7}
    assert sum(map(Decimal, amounts())) == sum(range(1, 8))


def _fails_at(call: int, plain: Callable[..., spend.Receipt], end: BaseException) -> Callable[..., spend.Receipt]:
    calls = iter(range(1, 100))

    def record(*args: object, **kwargs: object) -> spend.Receipt:
        if next(calls) == call:
            raise end
        return plain(*args, **kwargs)

    return record


# --- Anything ------------------------------------------------------------------------------------

_money = st.decimals("0.000001", "99999", places=6).filter(bool)
_names = st.sampled_from(["A-1", "A-2"])
_days = st.sampled_from([DAY, "2025-06-16", f"{DAY} 05:00", "Jun 17, 2025"])

# Rows with the fate that they must have, and the micros of money that they hold.
_fated = st.one_of(
    st.tuples(_days, _names, _money).map(lambda r: ("recorded", (r[0], r[1], f"{r[2]:,f}"), r[2])),
    st.tuples(_days, _names, st.sampled_from(["0", "0.00", "", "--"])).map(lambda r: ("skipped", r, Decimal(0))),
    st.tuples(st.sampled_from(["Total", "", "--"]), st.sampled_from(["", "--"]), _money).map(
        lambda r: ("skipped", (r[0], r[1], str(r[2])), Decimal(0))
    ),
    st.tuples(_days, st.sampled_from(["A-9", "Spring"]), _money).map(
        lambda r: ("rejected", (r[0], r[1], str(r[2])), r[2])
    ),
    st.tuples(st.sampled_from(["soon", "06/17/2025", "2024-01-01"]), _names, _money).map(
        lambda r: ("rejected", (r[0], r[1], str(r[2])), r[2])
    ),
    st.tuples(_days, _names, st.sampled_from(["abc", "1,5", "$", "1.2.3"])).map(lambda r: ("rejected", r, Decimal(0))),
    st.tuples(_days, _names, _money).map(lambda r: ("rejected", (r[0], r[1], f"-{r[2]}"), -r[2])),
)


@contextmanager
def watched() -> Iterator[list[importing.Account]]:
    """Yield the accounts of the imports within."""
    accounts: list[importing.Account] = []

    def account() -> importing.Account:
        accounts.append(plain())
        return accounts[-1]

    plain = importing.Account
    with mock.patch.object(importing, "Account", account):
        yield accounts


@contextmanager
def a_world(batch: int) -> Iterator[list[importing.Account]]:
    """Yield in a database of its own, with the campaigns A-1 and A-2 and batches of this size."""
    with transaction.atomic(), mock.patch.object(importing, "BATCH", batch), watched() as accounts:
        brand = factories.brand(currency="EUR", timezone="Europe/Berlin")
        for number in (1, 2):
            factories.campaign(brand, external_id=f"A-{number}")
        yield accounts
        assert is_sound()
        transaction.set_rollback(True)


def write(path: Path, rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["Day", "Campaign ID", "Cost"])
        writer.writerows(rows)


@settings(max_examples=60, deadline=None)
@given(fated=st.lists(_fated, max_size=25), batch=st.integers(1, 8))
@pytest.mark.django_db
def test_money_is_conserved(
    tmp_path_factory: pytest.TempPathFactory, fated: list[tuple[str, tuple[str, str, str], Decimal]], batch: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "fated.csv"
    write(path, [row for _, row, _ in fated])
    with a_world(batch) as accounts:
        ran = run("import_spend", path, "--decimal", ".")
        (account,) = accounts
        for fate in ("recorded", "skipped", "rejected"):
            assert account.fates[importing.Fate(fate)] == sum(name == fate for name, _, _ in fated)
            held = sum((amount for name, _, amount in fated if name == fate), Decimal(0))
            assert sum(account.sums[importing.Fate(fate)].values()) == held * 1_000_000
        assert sum(map(Decimal, amounts())) == sum(amount for name, _, amount in fated if name == "recorded")
        assert ran.code == any(name == "rejected" for name, _, _ in fated)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(
        st.one_of(
            st.lists(st.text(max_size=12), max_size=5),
            st.tuples(_days, _names, st.text("0123456789.,-$€ ", max_size=9)),
            st.tuples(st.text(max_size=9), _names, _money.map(str)),
        ),
        max_size=12,
    ),
    batch=st.integers(1, 5),
)
@pytest.mark.django_db
def test_any_text_has_one_fate_and_counts_once(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Sequence[str]], batch: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    write(path, rows)
    with a_world(batch) as accounts:
        ran = run("import_spend", path, "--decimal", ".")
        assert ran.code in (0, 1)
        assert "\x1b" not in ran.out + ran.err
        (account,) = accounts
        assert account.rows == sum(account.fates.values()) == figures(ran)["Read"]
        recorded = sum(map(Decimal, amounts()))
        assert recorded * 1_000_000 == account.sums[importing.Fate.RECORDED]["EUR"]
        assert figures(run("import_spend", path, "--decimal", "."))["Recorded"] == 0
        assert sum(map(Decimal, amounts())) == recorded


# --- The real program ----------------------------------------------------------------------------


def recent(days: int) -> str:
    return (timezone.now() - timedelta(days=days)).date().isoformat()


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_the_real_program_exits_with_its_codes(save: Save) -> None:
    now = timezone.now()
    factories.campaign(factories.brand(now=now, currency="EUR"), now=now, external_id="A-1", name="Frühling [b]")
    good = manage("import_spend", save(f"{recent(3)},A-1,5"))
    assert (good.code, good.err) == (0, "")
    assert figures(good) == {"Recorded": 1, "Read": 1}
    mixed = manage("import_spend", save(f"{recent(3)},A-1,5", f"{recent(2)},A-9,5"))
    assert mixed.code == 1
    assert mixed.err.startswith("Error: 1 of 2 rows were not recorded")
    broken = manage("import_spend", save("x", header="y"))
    assert (broken.code, broken.out) == (2, "")
    assert all(ran.err.count("\n") == 1 for ran in (mixed, broken))
    assert all(len(line) <= 100 for ran in (good, mixed) for line in ran.out.splitlines())
    assert amounts() == ["5.00"]


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_import_can_be_run_again(save: Save, sign: signal.Signals) -> None:
    now, rows = timezone.now(), 40_000
    campaign = factories.campaign(factories.brand(now=now), now=now, external_id="A-1")
    path = save(*[f"{recent(1 + at % 30)},A-1,1.01" for at in range(rows)])
    process = start("import_spend", path)
    deadline = time.monotonic() + 60
    while not SpendLog.objects.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(sign)
    ran = finish(process)
    recorded = SpendLog.objects.count()
    assert 0 < recorded < rows and recorded % importing.BATCH == 0
    if sign is signal.SIGINT:
        assert (ran.code, ran.err.count("\n")) == (130, 1)
        assert ran.err.startswith("Stopped. ")
    assert run("import_spend", path).code == 0
    assert SpendLog.objects.count() == rows
    assert reading.counted(campaign, 3, "1970-01-01") == Decimal("1.01") * rows  # type: ignore[arg-type]
    assert audit.check_ledger() == []


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_two_imports_of_one_file_at_once_count_it_once(save: Save) -> None:
    now, rows = timezone.now(), 6_000
    factories.campaign(factories.brand(now=now), now=now, external_id="A-1")
    path = save(*[f"{recent(1 + at % 30)},A-1,1.01" for at in range(rows)])
    both = [start("import_spend", path, "--rejects", f"{path}.{number}") for number in range(2)]
    ran = [finish(process) for process in both]
    assert [one.code for one in ran] == [0, 0]
    assert sum(figures(one)["Recorded"] for one in ran) == rows == SpendLog.objects.count()
    assert is_sound()
