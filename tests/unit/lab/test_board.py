from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.lab import board
from pipeline.lab.board import Board, lay_out
from pipeline.lab.device.function import BarKind, from_json, to_json
from pipeline.pci import Address, IdPair
from pipeline.plan import Plan, resolve
from pipeline.plan.model import PlannedFunction, PlannedPort
from pipeline.scenario import read

RX560 = """\
AMDVI-PCI,id=iommu,addr=1c.0
amd-iommu,intremap=on,dma-remap=on,pci-id=iommu
pci-testdev,addr=1.0,multifunction=on
pcie-root-port,id=port2,chassis=2,slot=2,addr=1.1,multifunction=on
{"driver": "vfio-user-pci", "id": "fn-01-00-0", "bus": "port2", "addr": "0.0", \
"socket": {"type": "unix", "path": "fn-01-00-0.sock"}, "multifunction": true}
{"driver": "vfio-user-pci", "id": "fn-01-00-1", "bus": "port2", "addr": "0.1", \
"socket": {"type": "unix", "path": "fn-01-00-1.sock"}}
pcie-root-port,id=port3,chassis=3,slot=3,addr=1.2,multifunction=on
nvme,serial=dryboot,bus=port3,addr=0.0
pcie-root-port,id=port4,chassis=4,slot=4,addr=1.3,multifunction=on
ahci,bus=port4,addr=0.0
pcie-root-port,id=port5,chassis=5,slot=5,addr=1.4,multifunction=on
e1000e,bus=port5,addr=0.0
pci-testdev,addr=8.0,multifunction=on
pcie-root-port,id=port7,chassis=7,slot=7,addr=8.1,multifunction=on
bochs-display,bus=port7,addr=0.0
pcie-root-port,id=port8,chassis=8,slot=8,addr=8.2,multifunction=on
qemu-xhci,bus=port8,addr=0.0
"""


def plan(*changes: str) -> Plan:
    return resolve(read("rx560", settings=changes))


PLAN = plan()
GPU = PLAN.passed[0]


def with_ports(*ports: tuple[str, list[PlannedFunction]]) -> Plan:
    made = tuple(
        PlannedPort(
            address=Address.parse(address),
            functions=tuple(functions),
            place=replace(PLAN.ports[0].place, line=100 + index),
        )
        for index, (address, functions) in enumerate(ports)
    )
    return replace(PLAN, ports=made)


def function(address: str, class_code: str = "010802", *, passed: bool = False) -> PlannedFunction:
    return replace(
        GPU,
        address=Address.parse(address),
        class_code=class_code,
        passed=passed,
        bars=(),
        ids=IdPair(0x10DE, 0x1B80),
    )


def devices(found: Board) -> list[str]:
    assert found.arguments[::2] == ("-device",) * (len(found.arguments) // 2)
    return list(found.arguments[1::2])


def slots(found: Board) -> list[str]:
    """What is on bus 0, as `model address`."""
    on_root = [one for one in devices(found) if "bus=" not in one and one.startswith("pci")]
    return [f"{one.partition(',')[0]} {re.search(r'addr=([^,]+)', one)[1]}" for one in on_root]


def test_rx560() -> None:
    assert devices(lay_out(PLAN)) == RX560.splitlines()


def test_the_passed_functions_are_emulated_with_the_scenario_s_ids() -> None:
    gpu, audio = lay_out(PLAN).emulated
    assert (gpu.name, gpu.vendor_id, gpu.device_id, gpu.class_code, gpu.revision) == (
        "fn-01-00-0",
        0x1002,
        0x67EF,
        0x030000,
        0xE5,
    )
    assert (gpu.subsystem_vendor_id, gpu.subsystem_id, gpu.interrupt_pin, gpu.multifunction) == (
        0x148C,
        0x2385,
        1,
        True,
    )
    assert [(bar.index, bar.size, bar.kind) for bar in gpu.bars] == [
        (0, 256 << 20, BarKind.MEM64_PREFETCHABLE),
        (2, 2 << 20, BarKind.MEM64_PREFETCHABLE),
        (4, 256, BarKind.IO),
        (5, 256 << 10, BarKind.MEM32),
    ]
    assert (audio.device_id, audio.class_code, audio.interrupt_pin, audio.multifunction) == (
        0xAAE0,
        0x040300,
        2,
        False,
    )


def test_the_emulated_functions_can_be_handed_to_their_server() -> None:
    found = lay_out(PLAN).emulated
    assert from_json(to_json(found)) == found


def test_own_devices_are_listed_with_their_model() -> None:
    assert [(str(address), model) for address, model in lay_out(PLAN).own] == [
        ("02:00.0", "nvme"),
        ("03:00.0", "ahci"),
        ("04:00.0", "e1000e"),
        ("05:00.0", "bochs-display"),
        ("06:00.0", "qemu-xhci"),
    ]


def test_modaliases_are_spelt_as_the_kernel_does() -> None:
    assert lay_out(PLAN).modaliases == (
        "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00",
        "virtio:d00000002v00001AF4",
        "pci:v00001002d000067EFsv0000148Csd00002385bc03sc00i00",
        "pci:v00001002d0000AAE0sv0000148Csd0000AAE0bc04sc03i00",
        "pci:v00001B36d00000010sv00000000sd00000000bc01sc08i02",
        "pci:v00008086d00002922sv00000000sd00000000bc01sc06i01",
        "pci:v00008086d000010D3sv00000000sd00000000bc02sc00i00",
        "pci:v00001234d00001111sv00000000sd00000000bc03sc00i00",
        "pci:v00001B36d0000000Dsv00000000sd00000000bc0Csc03i30",
    )


def test_an_intel_host_has_an_intel_iommu_and_the_same_board() -> None:
    found = devices(lay_out(plan("host.cpu.vendor=intel")))
    assert found == ["intel-iommu,intremap=on,caching-mode=on", *RX560.splitlines()[2:]]


@pytest.mark.parametrize(
    ("class_code", "model"),
    [
        ("010802", "nvme,serial=dryboot"),
        ("010601", "ahci"),
        ("0c0330", "qemu-xhci"),
        ("020000", "e1000e"),
        ("028000", None),
        ("040300", "intel-hda"),
        ("030000", "bochs-display"),
        ("038000", "bochs-display"),
        ("0c0320", None),
        ("010400", None),
    ],
)
def test_a_function_that_stays_is_qemu_s_own_where_there_is_one_of_its_class(
    class_code: str, model: str | None
) -> None:
    found = lay_out(with_ports(("00:01.0", [function("01:00.0", class_code)])))
    if model:
        assert devices(found)[-1] == f"{model},bus=port1,addr=0.0"
        assert found.emulated == ()
    else:
        assert json.loads(devices(found)[-1])["driver"] == "vfio-user-pci"
        assert found.own == ()


def test_a_staying_function_of_an_unknown_class_is_emulated_with_its_own_ids() -> None:
    (spec,) = lay_out(with_ports(("00:01.0", [function("01:00.0", "0d1100")]))).emulated
    assert (spec.vendor_id, spec.device_id, spec.class_code) == (0x10DE, 0x1B80, 0x0D1100)


def test_a_passed_function_is_emulated_whatever_its_class() -> None:
    found = lay_out(with_ports(("00:01.0", [function("01:00.0", "010802", passed=True)])))
    assert len(found.emulated) == 1
    assert found.own == ()


def test_a_slot_without_function_0_gets_a_head() -> None:
    assert slots(lay_out(with_ports(("00:03.2", [function("01:00.0")])))) == [
        "pci-testdev 3.0",
        "pcie-root-port 3.2",
    ]
    assert slots(lay_out(with_ports(("00:03.0", [function("01:00.0")])))) == ["pcie-root-port 3.0"]


def test_gaps_in_the_bus_numbers_are_filled_with_spare_ports_in_front() -> None:
    found = lay_out(with_ports(("00:03.0", [function("02:00.0")]), ("00:08.1", [function("05:00.0")])))
    assert sorted(slots(found)) == [
        "pci-testdev 8.0",
        "pcie-root-port 1.0",
        "pcie-root-port 3.0",
        "pcie-root-port 4.0",
        "pcie-root-port 5.0",
        "pcie-root-port 8.1",
    ]


@pytest.mark.parametrize("address", ["00:00.0", "00:1c.0", "00:1d.1", "00:1e.0", "00:1f.4"])
def test_a_port_in_a_slot_of_the_machine_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match=f"cannot put a root port at {address}") as caught:
        lay_out(with_ports(("00:01.0", [function("01:00.0")]), (address, [function("02:00.0")])))
    assert caught.value.place is not None
    assert caught.value.place.line == 101
    assert "00:1b.7" in caught.value.hint


def test_buses_that_fall_as_the_ports_rise_are_refused() -> None:
    with pytest.raises(BadInput, match=r"01:00\.0 cannot be behind 00:04.0") as caught:
        lay_out(with_ports(("00:03.0", [function("02:00.0")]), ("00:04.0", [function("01:00.0")])))
    assert caught.value.place is not None
    assert caught.value.place.line == 101


def test_no_room_for_the_buses_before_is_refused() -> None:
    with pytest.raises(BadInput, match="no room for the buses before 02") as caught:
        lay_out(with_ports(("00:01.0", [function("02:00.0")])))
    assert caught.value.place is not None
    assert caught.value.place.line == 100


def test_one_bus_behind_two_ports_is_refused() -> None:
    with pytest.raises(BadInput, match="two root ports have the same bus") as caught:
        lay_out(with_ports(("00:01.0", [function("01:00.0")]), ("00:02.0", [function("01:00.0")])))
    assert caught.value.place is not None


def test_two_buses_behind_one_port_are_refused() -> None:
    with pytest.raises(BadInput, match="cannot be behind"):
        lay_out(with_ports(("00:01.0", [function("01:00.0"), function("02:00.0")])))
    with pytest.raises(BadInput, match="cannot be behind"):
        lay_out(with_ports(("00:01.0", [function("01:00.0"), function("01:01.0")])))


def test_another_pci_domain_is_refused() -> None:
    with pytest.raises(BadInput, match=r"0001:01:00\.0 cannot be behind"):
        lay_out(with_ports(("00:01.0", [function("0001:01:00.0")])))


def given_buses(found: Board) -> dict[str, int]:
    """The bus behind each port as SeaBIOS numbers them: in the order of the addresses on bus 0."""
    ports = [one for one in devices(found) if one.startswith("pcie-root-port")]
    where = {}
    for one in ports:
        device, _, number = re.search(r"addr=([^,]+)", one)[1].partition(".")
        where[re.search(r"id=([^,]+)", one)[1]] = (int(device, 16), int(number, 16))
    return {name: bus for bus, name in enumerate(sorted(where, key=where.__getitem__), start=1)}


ADDRESSES = st.lists(
    st.tuples(st.integers(1, 0x1B), st.integers(0, 7)), min_size=1, max_size=5, unique=True
).map(sorted)
BUSES = st.lists(st.integers(1, 20), min_size=5, max_size=5, unique=True).map(sorted)


@given(ADDRESSES, BUSES)
@settings(deadline=None, max_examples=60)
def test_every_function_has_its_bus_or_the_board_is_refused(where, buses) -> None:
    wanted = with_ports(
        *(
            (f"00:{slot:02x}.{number}", [function(f"{bus:02x}:00.0", passed=True)])
            for (slot, number), bus in zip(where, buses, strict=False)
        )
    )
    try:
        found = lay_out(wanted)
    except BadInput as error:
        assert error.place is not None
        return
    numbers = given_buses(found)
    for one in devices(found):
        if one.startswith("{"):
            device = json.loads(one)
            assert device["id"] == f"fn-{numbers[device['bus']]:02x}-00-0"
    addresses = [one.split()[1] for one in slots(found)]
    assert len(addresses) == len(set(addresses))
    heads = {address.partition(".")[0] for address in addresses if address.endswith(".0")}
    assert heads == {address.partition(".")[0] for address in addresses}


@pytest.mark.parametrize("text", ["x,addr=0", "a\nb", '"},{"', "[x]", "Radeon, by AMD"])
def test_no_text_of_a_scenario_gets_into_the_arguments(text: str) -> None:
    named = tuple(
        replace(port, functions=tuple(replace(one, name=text, drivers=(text,)) for one in port.functions))
        for port in PLAN.ports
    )
    assert lay_out(replace(PLAN, ports=named)) == lay_out(PLAN)


def test_every_own_model_is_written_without_anything_but_its_options() -> None:
    for code, own in board._OWN_DEVICES.items():
        assert re.fullmatch(r"[a-z0-9-]+(,[a-z]+=[a-z]+)*", own.model), code
