from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.fingerprint.pci import functions, read
from pipeline.fingerprint.sighting import Sighting
from pipeline.pci import Address
from tests.sightings import sighting

REAL = sighting("10.0-pc-q35-9.2")


def seen(devices: list[object], **memory: bytes) -> Sighting:
    return Sighting(
        qmp={"query-pci": [{"bus": 0, "devices": devices}]},
        hmp={},
        serial="",
        memory={f"pci/{name}": data for name, data in memory.items()},
    )


def test_functions_are_in_the_order_of_their_addresses_and_know_the_port() -> None:
    found = functions(REAL)
    assert [one.address for one in found] == sorted(one.address for one in found)
    behind = {str(one.address): str(one.behind) for one in found if one.behind}
    assert behind == {
        "01:00.0": "00:01.0",
        "01:00.1": "00:01.0",
        "02:00.0": "00:01.1",
        "03:00.0": "00:01.2",
        "04:00.0": "00:01.3",
    }


def test_a_function_is_told_by_its_config_space() -> None:
    facts = read(REAL).facts
    assert facts["pci/03:00.0/ids"] == "8086:10d3"
    assert facts["pci/03:00.0/class"] == "020000"
    assert facts["pci/03:00.0/subsystem"] == "8086:0000"
    assert facts["pci/03:00.0/BAR 2"] == "io 32 bytes"
    assert facts["pci/03:00.0/ROM"] == "memory 32-bit 256 KiB"
    assert facts["pci/04:00.0/BAR 4"] == "memory 64-bit prefetchable 16 KiB"
    assert facts["pci/01:00.0/interrupt pin"] == "A"
    assert "pci/00:01.0/subsystem" not in facts


def test_addresses_of_bars_are_no_facts() -> None:
    def moved(device: dict[str, object]) -> dict[str, object]:
        regions = device["regions"]
        assert isinstance(regions, list)
        return {**device, "regions": [{**one, "address": 0x12340000} for one in regions]}

    buses = REAL.qmp["query-pci"]
    other = [{**bus, "devices": [moved(device) for device in bus["devices"]]} for bus in buses]
    assert other != buses
    assert read(replace(REAL, qmp={**REAL.qmp, "query-pci": other})).facts == read(REAL).facts


@pytest.mark.parametrize("config", [b"", b"\xff" * 256])
def test_without_a_config_space_the_monitor_s_ids_are_left(config: bytes) -> None:
    device = {"bus": 0, "slot": 2, "function": 0, "id": {"vendor": 0x1002, "device": 0x67EF}, "regions": []}
    found = read(seen([device], **{"00:02.0": config}))
    assert found.facts == {"pci/00:02.0/ids": "1002:67ef"}
    assert "pci/00:02.0" in found.left_out


@pytest.mark.parametrize("device", [None, {}, {"bus": 0, "slot": 300, "function": 0}, {"bus": "0"}])
def test_what_is_no_function_is_none(device: object) -> None:
    assert functions(seen([device])) == ()


def test_bridges_in_each_other_end_somewhere() -> None:
    device: dict[str, object] = {"bus": 0, "slot": 1, "function": 0}
    for _ in range(500):
        device = {"bus": 0, "slot": 1, "function": 0, "pci_bridge": {"devices": [device]}}
    found = functions(seen([device]))
    assert 1 < len(found) < 100
    assert found[0].address == Address(0, 0, 1, 0)
