"""The JSON schema of fault files, for editors."""

from __future__ import annotations

import json

from pydantic.json_schema import GenerateJsonSchema

from pipeline.faults.loader import CATALOGUE
from pipeline.faults.model import Fault

FILE = CATALOGUE / "fault.schema.json"


def schema_text() -> str:
    """The schema (draft 2020-12) as the text of scenarios/faults/fault.schema.json."""
    found = Fault.model_json_schema(by_alias=True, mode="validation")
    head = {"$schema": GenerateJsonSchema.schema_dialect, "title": "Dryboot fault"}
    whole = {**head, **{key: value for key, value in found.items() if key != "title"}}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
