"""The OpenAPI document: what it names is there, and what there is it names."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from django.test import Client

from campaigns.api.shapes import ReasonCode
from campaigns.rules.reasons import Reason


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = Client().get("/api/v1/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: {**operation, "path": path, "method": method}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", name), name
        assert operation["summary"] and operation["description"].endswith(".") and operation["tags"], name
        assert operation["security"], name
        assert {"401", "403", "503"} <= set(operation["responses"]), name
        assert ("404" in operation["responses"]) or "{" not in operation["path"], name


def test_every_link_leads_to_a_parameter_that_there_is(document: dict[str, Any]) -> None:
    known = operations(document)
    links = 0
    for operation in known.values():
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                links += 1
                to = known[link["operationId"]]
                there = {f"{parameter['in']}.{parameter['name']}" for parameter in to["parameters"]}
                assert set(link.get("parameters", {})) <= there
                assert "requestBody" not in link or "requestBody" in to
    assert links > 20


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(re.findall(r"'#/components/schemas/([^']+)'", str(document)))
    assert references <= set(document["components"]["schemas"])


def test_examples_of_parameters_are_no_list(document: dict[str, Any]) -> None:
    for operation in operations(document).values():
        assert not any(isinstance(parameter.get("examples"), list) for parameter in operation["parameters"])


def test_every_reason_is_in_the_documents() -> None:
    assert list(get_args(ReasonCode)) == [reason.code for reason in Reason]
