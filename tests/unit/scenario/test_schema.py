"""The schema for editors is the model's."""

import json

from pipeline.scenario import schema, schema_text
from pipeline.scenario.loader import SHIPPED


def test_the_shipped_schema_is_up_to_date() -> None:
    shipped = (SHIPPED / "scenario.schema.json").read_text(encoding="utf-8")
    assert shipped == schema_text(), "run `invoke schema`"


def test_the_schema_explains_itself() -> None:
    found = schema()
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(schema_text()) == found
    assert set(found["required"]) == {"schema", "name", "host", "board", "passthrough", "guest"}
    assert found["$defs"]["Function"]["properties"]["class"]["examples"] == ["0300"]
    for name, part in found["$defs"].items():
        assert part["additionalProperties"] is False, name
        assert part["description"], name
