from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fingerprint import model
from pipeline.fingerprint.model import Fingerprint
from pipeline.fingerprint.notes import LONGEST, MOST
from pipeline.fingerprint.reading import SECTIONS, read
from pipeline.fingerprint.sighting import Sighting
from tests.sightings import NAMES, sighting

NOTHING = Sighting(qmp={}, hmp={}, serial="")
REAL = sighting("10.0-pc-q35-9.2")
PIECES = sorted(REAL.memory)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def check(found: Fingerprint) -> None:
    """What holds for every fingerprint, whatever the guest said."""
    assert model.read(found.text()) == found
    assert len(found.facts) <= MOST * len(SECTIONS)
    for path, value in (*found.facts.items(), *found.left_out.items()):
        assert path.split("/")[0] in SECTIONS
        assert len(value) <= LONGEST
        assert all(sign.isprintable() for sign in path + value)


@pytest.mark.parametrize("name", NAMES)
def test_a_real_boot_has_facts_in_every_section(name: str) -> None:
    found = read(sighting(name))
    check(found)
    assert {path.split("/")[0] for path in found.facts} == set(SECTIONS)


def test_what_was_not_seen_is_left_out_by_name() -> None:
    found = read(NOTHING)
    check(found)
    assert set(found.left_out) >= {"acpi", "smbios", "cpuid", "pci", "memory-map", "devices"}
    assert not found.facts.keys() & {"machine/type", "smbios/entry point"}


def test_the_reason_of_what_qemu_refused_is_kept() -> None:
    why = "QEMU did not answer query-pci: not here"
    found = read(replace(NOTHING, missing={"query-pci": why, "qom-get /machine hpet": "no such property"}))
    assert found.left_out["pci"] == why
    assert found.left_out["machine/hpet"] == "no such property"


def test_nothing_depends_on_what_changes_from_boot_to_boot() -> None:
    """Threads of QEMU, the order of the flat views, the counter of the firmware, and where tables lie."""
    cpus = [{**cpu, "thread-id": 77} for cpu in REAL.qmp["query-cpus-fast"]]
    views = REAL.hmp["info mtree -f"].split("FlatView #")
    fadt = bytearray(REAL.memory["acpi/FACP"])
    fadt[9], fadt[36:44], fadt[140:148] = 1, b"\x10\x20\x30\x40\x50\x60\x70\x70", bytes(range(8))
    other = replace(
        REAL,
        qmp={**REAL.qmp, "query-cpus-fast": cpus, "qom-get cpu tsc-frequency": 2_400_000_001},
        hmp={**REAL.hmp, "info mtree -f": "FlatView #".join([views[0], *reversed(views[1:])])},
        memory={**REAL.memory, "acpi/FACP": bytes(fadt)},
        times={"shell": 3.0},
    )
    assert other != REAL
    assert read(other).text() == read(REAL).text()


@given(
    piece=st.sampled_from(PIECES),
    at=st.integers(0, 0x400),
    data=st.binary(max_size=12),
    size=st.none() | st.integers(0, 0x200),
)
def test_any_memory_is_read(piece: str, at: int, data: bytes, size: int | None) -> None:
    whole = REAL.memory[piece]
    changed = (whole[:at] + data + whole[at + len(data) :])[:size]
    check(read(replace(REAL, memory={**REAL.memory, piece: changed})))


@given(piece=st.sampled_from(PIECES), data=st.binary(max_size=400))
def test_anything_in_place_of_a_table_is_read(piece: str, data: bytes) -> None:
    check(read(replace(REAL, memory={**REAL.memory, piece: REAL.memory[piece][:40] + data})))


@given(name=st.sampled_from(sorted(REAL.qmp)), value=JSON)
def test_any_answer_is_read(name: str, value: Any) -> None:
    check(read(replace(REAL, qmp={**REAL.qmp, name: value})))


@given(
    name=st.sampled_from(sorted(REAL.hmp)),
    cut=st.integers(0, 20_000),
    text=st.text(max_size=60) | st.text(' =",:()\n0123456789abcdevbus-', max_size=200),
)
def test_any_text_is_read(name: str, cut: int, text: str) -> None:
    changed = REAL.hmp[name][:cut] + text + REAL.hmp[name][cut:]
    check(read(replace(REAL, hmp={**REAL.hmp, name: changed})))
