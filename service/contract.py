"""The OpenAPI document: FastAPI's, without answers that can't come."""

from typing import Any

from fastapi import FastAPI

FREE = {"title", "type", "anyOf", "default", "description", "examples"}  # of a schema: nothing that a value must meet
TEXT = ({"type": "string"}, {"type": "null"})


def contract(app: FastAPI) -> dict[str, Any]:
    """FastAPI documents a 422 wherever there is a parameter; a path's or a header's plain text is never invalid."""
    document = app.openapi()
    for operations in document["paths"].values():
        for operation in operations.values():
            if "requestBody" not in operation and all(map(_is_any_text, operation.get("parameters", []))):
                operation["responses"].pop("422", None)
    return document


def _is_any_text(parameter: dict[str, Any]) -> bool:
    schema = parameter["schema"]
    kinds = schema.get("anyOf", [{"type": schema.get("type")}])
    return parameter["in"] in ("path", "header") and schema.keys() <= FREE and all(kind in TEXT for kind in kinds)
