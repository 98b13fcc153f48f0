"""What the OpenAPI document says beyond what follows from the schemas."""

from __future__ import annotations

from typing import Any

from campaigns.api.problems import ProblemBody

DESCRIPTION = """
Report spend, reserve money ahead of delivery, and ask at any moment which campaigns may spend and, if not, why.

- **Keys**: `Authorization: Bearer KEY`, made by `manage.py create_api_key`. A key has scopes (`read`, `spend`,
  `manage`) and may be limited to some brands; what it may not see does not exist for it.
- **Amounts** are decimal strings in the brand's currency (`"12.50"`, at most 6 decimals), **times** RFC 3339 with an
  offset.
- **Errors** are `application/problem+json`: `type` for programs, `detail` a sentence that says what to do.
- **Lists** come in pages: send `next` of one page as `cursor` for the one after it.
"""


def problems(*statuses: int) -> dict[int, type[ProblemBody]]:
    """Return the problems that an operation may answer with, for `response=`."""
    return dict.fromkeys(statuses, ProblemBody)


_AMOUNT = {"type": "string", "pattern": r"^-?[0-9]{1,10}(\.[0-9]{1,6})?$", "examples": ["1.25"]}

_SPEND_EVENT: dict[str, Any] = {
    "title": "SpendEvent",
    "type": "object",
    "additionalProperties": False,
    "required": ["event_id", "amount"],
    "properties": {
        "event_id": {
            "type": "string",
            "minLength": 1,
            "maxLength": 128,
            "description": "Your id of the event, unique within the brand. Sent again, it counts once.",
        },
        "campaign_id": {"type": "integer", "description": "Our id of the campaign."},
        "campaign_external_id": {"type": "string", "description": "Your id of the campaign, together with brand_id."},
        "brand_id": {"type": "integer"},
        "amount": {**_AMOUNT, "description": "In the brand's currency; below zero only for an adjustment."},
        "timestamp": {
            "type": "string",
            "format": "date-time",
            "description": "When it occurred. Without it, when it arrives.",
        },
        "kind": {"type": "string", "enum": ["spend", "adjustment"], "default": "spend"},
        "note": {"type": "string", "maxLength": 500, "description": "Why; an adjustment needs one."},
        "hold_id": {"type": "integer", "description": "The hold that it settles."},
    },
}

SPEND_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "title": "SpendEvents",
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["events"],
                    "properties": {
                        "events": {"type": "array", "minItems": 1, "maxItems": 10_000, "items": _SPEND_EVENT}
                    },
                },
                "example": {"events": [{"event_id": "imp-1", "campaign_id": 1, "amount": "0.25"}]},
            },
            "application/x-ndjson": {
                "schema": {"type": "string", "description": "One event as JSON on each line."},
            },
        },
    }
}
"""The body of POST /spend-events, which is read without a schema."""

_CAMPAIGN = {"type": "integer", "minimum": 1, "description": "Our id of the campaign."}


def _json(title: str, required: list[str], properties: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    schema = {
        "title": title,
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


HOLD_BODY = _json(
    "HoldAsk",
    ["campaign_id", "amount", "key"],
    {
        "campaign_id": _CAMPAIGN,
        "amount": {**_AMOUNT, "description": "What to hold, in the brand's currency."},
        "minimum": {
            "anyOf": [_AMOUNT, {"type": "null"}],
            "description": "The least that is of use. Without it, all or nothing.",
        },
        "ttl_seconds": {"type": "integer", "minimum": 1, "maximum": 86_400, "default": 60},
        "key": {
            "type": "string",
            "minLength": 1,
            "maxLength": 128,
            "description": "Your id of this request, unique within the brand.",
        },
    },
    {"campaign_id": 1, "amount": "10.00", "minimum": "5.00", "ttl_seconds": 60, "key": "bid-1"},
)
"""The body of POST /holds, which is read without a schema."""

SETTLE_BODY = _json(
    "HoldFinal",
    ["event_id", "amount"],
    {name: _SPEND_EVENT["properties"][name] for name in ("event_id", "amount", "timestamp", "note")},
    {"event_id": "imp-1", "amount": "7.25"},
)
"""The body of POST /holds/{hold_id}/settle, which is read without a schema."""

CONDITIONAL: dict[str, Any] = {
    "parameters": [
        {
            "in": "header",
            "name": "If-None-Match",
            "required": False,
            "schema": {"type": "string"},
            "description": "The `ETag` of an earlier answer.",
        }
    ]
}
"""A GET that answers 304 to those who have what it would say."""
