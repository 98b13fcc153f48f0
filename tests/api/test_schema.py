"""The API against its own document: generated requests, good and bad, alone and in sequence, find nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from campaigns.models import Brand, Scope, StatusChange
from campaigns.services import keys
from tests import factories

CONFIG = """
# Each event has a result of its own: a wrong one is rejected in an answer of 200. A cursor that never was is 410.
[[operations]]
include-operation-id = ["recordSpend", "getStatusFeed"]
[operations.checks]
negative_data_rejection.enabled = false

[checks]
# A schema can't say that a name is taken, a cursor was never given out, or a campaign is archived.
positive_data_acceptance.enabled = false
"""


@pytest.fixture
def secret(live_server: Any) -> str:
    """A key that may do everything, and something there for the requests to meet."""
    now = timezone.now()
    for number in range(2):
        brand = factories.brand(now=now, external_id=f"brand-{number}", daily_budget=100)
        factories.campaign(brand, now=now, external_id=f"campaign-{number}")
    return keys.create_key(name="Generated requests", scopes=list(Scope), now=now)[1]


@pytest.mark.processes
def test_generated_requests_find_nothing(live_server: Any, secret: str, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(config), "run", "--no-color"]
    command += ["--phases", "examples,fuzzing,stateful", "--max-examples", "15", "--seed", "1"]
    command += ["-H", f"Authorization: Bearer {secret}", f"{live_server.url}/api/v1/openapi.json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout[-8_000:] + ran.stderr[-2_000:]
    made = Brand.objects.count() - 2, StatusChange.objects.count()
    assert min(made) > 0, f"{made}: the requests did not get far"
