"""The OpenAPI document: FastAPI's, without answers that can't come, and with what the stream of events carries."""

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from service.routes.broadcast import EVENTS

FREE = {"title", "type", "anyOf", "default", "description", "examples"}  # of a schema: nothing that a value must meet
_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")  # of its own 422, which is answered as all errors are
TEXT = ({"type": "string"}, {"type": "null"})


def contract(app: FastAPI) -> dict[str, Any]:
    """FastAPI documents a 422 wherever there is a parameter; a path's or a header's plain text is never invalid."""
    document = app.openapi()
    for operations in document["paths"].values():
        for operation in operations.values():
            if "requestBody" not in operation and all(map(_is_any_text, operation.get("parameters", []))):
                operation["responses"].pop("422", None)
    _describe_events(document)
    for name in _FASTAPIS_OWN:
        document["components"]["schemas"].pop(name, None)
    return document


def _describe_events(document: dict[str, Any]) -> None:
    """OpenAPI 3.2's way to say what each event of a stream carries (section 4.14.4)."""
    references, schemas = models_json_schema(
        [(model, "serialization") for model in EVENTS.values()], ref_template="#/components/schemas/{model}"
    )
    known = document["components"]["schemas"]
    document["components"]["schemas"] = dict(sorted((schemas["$defs"] | known).items()))
    stream = document["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    stream["itemSchema"] = {
        "oneOf": [
            {
                "type": "object",
                "properties": {
                    "event": {"const": name},
                    "data": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": references[model, "serialization"],
                    },
                },
                "required": ["event", "data"],
            }
            for name, model in EVENTS.items()
        ]
    }


def _is_any_text(parameter: dict[str, Any]) -> bool:
    schema = parameter["schema"]
    kinds = schema.get("anyOf", [{"type": schema.get("type")}])
    return parameter["in"] in ("path", "header") and schema.keys() <= FREE and all(kind in TEXT for kind in kinds)
