"""The JSON schema of scenarios, for editors."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from pipeline.scenario.model import Scenario


def schema() -> dict[str, Any]:
    """The schema (draft 2020-12); its order is that of the model."""
    found = Scenario.model_json_schema(by_alias=True, mode="validation")
    head = {"$schema": GenerateJsonSchema.schema_dialect, "title": "Dryboot scenario"}
    return {**head, **{key: value for key, value in found.items() if key != "title"}}


def schema_text() -> str:
    """The schema as the text of scenarios/scenario.schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
