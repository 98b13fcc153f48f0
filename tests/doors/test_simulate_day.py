"""`manage.py simulate_day`: what it prints, the page it writes, and what it says to a wrong trace."""

from __future__ import annotations

import io
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
import time_machine
from django.core.management import CommandError, call_command

from campaigns.models import Brand, BrandHour
from campaigns.services import catalog

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 11, 12, tzinfo=UTC)


@pytest.fixture
def brand() -> Brand:
    return catalog.create_brand(
        now=NOW, name="Acme <GmbH>", timezone="Europe/Berlin", currency="EUR", daily_budget="100"
    )


def printed(*arguments: str) -> str:
    out = io.StringIO()
    with time_machine.travel(NOW, tick=False):
        call_command("simulate_day", "--brand", "Acme <GmbH>", *arguments, stdout=out)
    return out.getvalue()


def rows(text: str) -> dict[str, str]:
    return {line[:5]: " ".join(line[5:].split()) for line in text.splitlines() if re.match(r"\d\d:00", line)}


def test_even_lasts_the_day_and_asap_does_not(brand: Brand) -> None:
    text = printed()
    assert "Acme <GmbH> on 11 Mar 2026 (Europe/Berlin), 60,000 chances, a flat profile, for want of history" in text
    by_hour = rows(text)
    assert len(by_hour) == 24
    assert by_hour["12:00"].startswith("50.00 EUR")
    assert by_hour["12:00"].endswith("daily budget of the brand spent")
    assert by_hour["01:00"].endswith("active")
    even = re.search(r"even spends (\d+\.\d+) EUR", text)
    assert even is not None
    assert 99 <= float(even[1]) <= 100.05


def test_the_same_seed_is_the_same_day(brand: Brand) -> None:
    assert printed("--seed", "7") == printed("--seed", "7")
    assert printed("--seed", "7") != printed("--seed", "8")


def test_it_learns_from_the_hours_of_the_brand(brand: Brand) -> None:
    days = [date(2026, 3, 11) - timedelta(days=back) for back in range(1, 9)]
    BrandHour.objects.bulk_create(
        BrandHour(brand=brand, day=day, hour=hour, spent=10) for day in days for hour in range(12, 20)
    )
    text = printed()
    assert "a profile of 8 days" in text
    target = float(rows(text)["12:00"].split()[0])
    assert target < 30


def test_a_day_of_a_clock_change_has_the_hours_that_it_has(brand: Brand) -> None:
    assert "02:00" in rows(printed("--date", "2026-03-28"))
    text = printed("--date", "2026-03-29", "--demand", "1")
    assert len(rows(text)) == 23


def test_a_trace_is_taken_instead(brand: Brand, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    lines = [f"{hour:02}:{minute:02}:00,0.50" for hour in range(24) for minute in range(0, 60, 5)]
    trace.write_text("\n".join(["time,price", *lines]))
    text = printed("--trace", str(trace), "--budget", "1000")
    assert "288 chances" in text
    assert text.rstrip().endswith("asap 144.00 EUR.")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "needs the heading time,price"),
        ("when,amount\n", "needs the heading time,price"),
        ("time,price\nnoon,1", "Line 2 of"),
        ("time,price\n10:00:00,-1", "The amount is negative"),
        ("time,price\n10:00:00", "Line 2 of"),
        ("time,price\n\n02:30:00,1", "this hour never comes on that day"),
    ],
)
def test_a_trace_that_can_not_be_read_is_told_by_its_line(
    brand: Brand, tmp_path: Path, content: str, says: str
) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text(content)
    with pytest.raises(CommandError, match=says):
        printed("--trace", str(trace), "--date", "2026-03-29")


def test_what_can_not_be_simulated_is_said(brand: Brand, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be read"):
        printed("--trace", str(tmp_path / "none.csv"))
    with pytest.raises(CommandError, match="is not an amount"):
        printed("--budget", "much")
    with pytest.raises(CommandError, match="can't be written"):
        printed("--html", str(tmp_path / "none" / "page.html"), "--demand", "1")
    catalog.create_brand(now=NOW, name="Other", timezone="UTC", currency="EUR")
    with pytest.raises(CommandError, match="no budget left to pace; give one with --budget"):
        call_command("simulate_day", "--brand", "Other")


def test_the_page_stands_alone(brand: Brand, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert f"The page is in {page}." in printed("--html", str(page)).replace("\n", "")
    text = page.read_text()
    assert "Acme &lt;GmbH&gt;" in text
    assert "<script" not in text
    assert "http" not in text
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    for drawing in drawings:
        ElementTree.fromstring(drawing)  # noqa: S314 - it is what we have just written
    assert text.count("<polyline") == 4 + 3
    assert text.count("<tr>") == 25
