"""The schema of fault files."""

from __future__ import annotations

import json

from pipeline.faults.schema import FILE, schema_text


def test_the_shipped_schema_is_that_of_the_model() -> None:
    assert FILE.read_text(encoding="utf-8") == schema_text(), "run: invoke schema"


def test_the_schema_has_the_names_of_the_file() -> None:
    found = json.loads(schema_text())
    assert found["additionalProperties"] is False
    assert {"schema", "set", "files", "expect"} <= set(found["properties"])
    assert "with" in found["$defs"]["Change"]["properties"]
