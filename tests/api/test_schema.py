"""The API against its own document: generated requests, good and bad, alone and in sequence, find nothing."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
import schemathesis
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode

from campaigns.api import api
from campaigns.models import Scope
from campaigns.services import keys
from tests import factories

SETTINGS = hypothesis.settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def api_schema(live_server: Any) -> schemathesis.BaseSchema:
    """The document of a running API, with something there for the requests to meet."""
    now = timezone.now()
    for number in range(2):
        brand = factories.brand(now=now, external_id=f"brand-{number}", daily_budget=100)
        factories.campaign(brand, now=now, external_id=f"campaign-{number}")
    secret = keys.create_key(name="Generated requests", scopes=list(Scope), now=now)[1]
    url = f"{live_server.url}/api/v1/openapi.json"
    return schemathesis.openapi.from_url(url, headers={"Authorization": f"Bearer {secret}"})


OPERATIONS = [
    (path, method)
    for path, methods in api.get_openapi_schema(path_prefix="/api/v1/")["paths"].items()
    for method in methods
]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda part: part)
def test_an_operation_keeps_its_word(
    path: str, method: str, mode: GenerationMode, api_schema: schemathesis.BaseSchema
) -> None:
    operation = api_schema[path][method]

    @SETTINGS
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate()

    check()


def test_sequences_of_operations_keep_their_word(api_schema: schemathesis.BaseSchema) -> None:
    machine = api_schema.as_state_machine()
    machine.run(settings=hypothesis.settings(SETTINGS, max_examples=40, stateful_step_count=8))
