"""What a QEMU tells of itself; QEMU is played by scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LabFault
from pipeline.lab import abilities
from pipeline.lab.abilities import Abilities, MachineType
from pipeline.lab.toolchain import Qemu

OLD_SCHEMA = [{"name": "query-machines", "meta-type": "command", "arg-type": "0", "ret-type": "[1]"}]
NEW_SCHEMA = [
    {"name": "query-machines", "meta-type": "command", "arg-type": "7", "ret-type": "[1]"},
    {"name": "7", "meta-type": "object", "members": [{"name": "compat-props", "type": "bool"}]},
]
MACHINES = [
    {"name": "pc-i440fx-10.0", "numa-mem-supported": False},
    {"name": "pc-q35-10.0", "alias": "q35", "is-default": False},
    {"name": "pc-q35-4.0.1", "deprecated": True},
    {"name": "pc-q35-9.2", "deprecated": False},
    {"name": "none"},
]


@pytest.mark.parametrize(
    ("schema", "tells"),
    [
        (OLD_SCHEMA, False),
        (NEW_SCHEMA, True),
        ([NEW_SCHEMA[0], {"name": "7", "meta-type": "object", "members": [{"name": "other"}]}], False),
        ([], False),
    ],
)
def test_whether_compat_properties_are_told_is_read_from_the_schema(schema: Any, tells: bool) -> None:
    assert abilities.tells_compat(schema) is tells


def test_only_versioned_q35_types_are_listed_oldest_first() -> None:
    found = abilities.q35(MACHINES)
    assert [(one.name, one.deprecated, one.alias) for one in found] == [
        ("pc-q35-4.0.1", True, ""),
        ("pc-q35-9.2", False, ""),
        ("pc-q35-10.0", False, "q35"),
    ]
    assert all(one.compat is None for one in found)


def test_of_compat_properties_the_later_one_holds() -> None:
    properties = [
        {"qom-type": "virtio-mem", "property": "unplugged-inaccessible", "value": "on"},
        {"qom-type": "e1000e", "property": "migrate-timadj", "value": "off"},
        {"qom-type": "virtio-mem", "property": "unplugged-inaccessible", "value": "auto"},
    ]
    (found,) = abilities.q35([{"name": "pc-q35-7.0", "compat-props": properties}])
    assert found.compat == {"virtio-mem.unplugged-inaccessible": "auto", "e1000e.migrate-timadj": "off"}


texts = st.text(max_size=20)
machines = st.builds(
    MachineType,
    name=texts,
    deprecated=st.booleans(),
    alias=texts,
    compat=st.none() | st.dictionaries(texts, texts, max_size=3),
)


@given(st.builds(Abilities, machines=st.lists(machines, max_size=3).map(tuple), devices=st.frozensets(texts)))
def test_what_is_kept_is_read_back(found: Abilities) -> None:
    assert abilities.read(found.text()) == found


@given(st.text())
def test_anything_else_is_refused_as_such(text: str) -> None:
    try:
        abilities.read(text)
    except (ValueError, LookupError, TypeError):
        return
    pytest.fail(f"{text!r} was taken")


def player(tmp_path: Path, schema: Any, machines: Any, *, end: int = 0) -> Qemu:
    """A QEMU that answers as 10.0 does, and says no to compat-props where its schema has none."""
    script = tmp_path / "qemu"
    script.write_text(
        f"""#!/usr/bin/env python3
import json, sys
print(json.dumps({{"QMP": {{}}}}))
for line in sys.stdin:
    asked = json.loads(line)
    schema, machines = json.loads({json.dumps(json.dumps(schema))}), json.loads({json.dumps(json.dumps(machines))})
    match asked["execute"]:
        case "query-qmp-schema": answer = schema
        case "query-machines" if asked.get("arguments") and len(schema) == 1:
            print(json.dumps({{"error": {{"desc": "Parameter 'compat-props' is unexpected"}}}})); continue
        case "query-machines":
            answer = [{{**one, **({{"compat-props": []}} if asked.get("arguments") else {{}})}} for one in machines]
        case "qom-list-types": answer = [{{"name": "e1000e"}}, {{"name": "vfio-user-pci"}}]
        case _: answer = {{}}
    print(json.dumps({{"return": answer}}))
sys.exit({end})
"""
    )
    script.chmod(0o755)
    return Qemu(argv=(str(script),), version="10.0", origin="a script")


@pytest.mark.parametrize(("schema", "compat"), [(OLD_SCHEMA, None), (NEW_SCHEMA, {})])
def test_a_qemu_is_asked_only_for_what_it_knows(tmp_path: Path, schema: Any, compat: Any) -> None:
    found = abilities.ask(player(tmp_path, schema, MACHINES))
    assert [one.compat for one in found.machines] == [compat] * 3
    assert found.devices == {"e1000e", "vfio-user-pci"}


def test_a_qemu_that_ends_with_an_error_is_a_lab_fault(tmp_path: Path) -> None:
    with pytest.raises(LabFault, match="does not tell what it can do: it ended with 3"):
        abilities.ask(player(tmp_path, OLD_SCHEMA, MACHINES, end=3))


def test_one_that_is_not_there_is_a_lab_fault() -> None:
    with pytest.raises(LabFault, match="No such file"):
        abilities.ask(Qemu(argv=("/no/qemu",), version="1.0", origin="nowhere"))
