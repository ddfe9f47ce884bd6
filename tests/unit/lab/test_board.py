from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings

from pipeline.errors import BadInput
from pipeline.lab.board import Board, lay_out
from pipeline.lab.device.function import BarKind, from_json, to_json
from pipeline.lab.own_device import OWN_DEVICES
from pipeline.pci import Address, IdPair
from pipeline.plan import Plan, resolve
from pipeline.plan.topology import Kind, Node, PlannedBridge, PlannedFunction, Topology
from pipeline.scenario import read
from tests.boards import Numbered, boards, plan_of

RX560 = """\
AMDVI-PCI,id=iommu,addr=1c.0
amd-iommu,intremap=on,dma-remap=on,pci-id=iommu
pci-testdev,bus=pcie.0,addr=1.0,multifunction=on
pcie-root-port,id=bus01,chassis=1,slot=1,bus=pcie.0,addr=1.1
{"driver": "vfio-user-pci", "id": "fn-01-00-0", "bus": "bus01", "addr": "0.0", \
"socket": {"type": "unix", "path": "fn-01-00-0.sock"}, "multifunction": true}
{"driver": "vfio-user-pci", "id": "fn-01-00-1", "bus": "bus01", "addr": "0.1", \
"socket": {"type": "unix", "path": "fn-01-00-1.sock"}}
pcie-root-port,id=bus02,chassis=2,slot=2,bus=pcie.0,addr=1.2
nvme,serial=dryboot,bus=bus02,addr=0.0
pcie-root-port,id=bus03,chassis=3,slot=3,bus=pcie.0,addr=1.3
ahci,bus=bus03,addr=0.0
pcie-root-port,id=bus04,chassis=4,slot=4,bus=pcie.0,addr=1.4
e1000e,bus=bus04,addr=0.0
pci-testdev,bus=pcie.0,addr=8.0,multifunction=on
pcie-root-port,id=bus05,chassis=5,slot=5,bus=pcie.0,addr=8.1
bochs-display,bus=bus05,addr=0.0
pcie-root-port,id=bus06,chassis=6,slot=6,bus=pcie.0,addr=8.2
qemu-xhci,bus=bus06,addr=0.0
"""


def plan(*changes: str) -> Plan:
    return resolve(read("rx560", settings=changes))


PLAN = plan()
GPU = PLAN.passed[0]


def with_nodes(*nodes: Node) -> Plan:
    return replace(PLAN, topology=Topology(nodes=nodes))


def bridge(
    address: str, *behind: Node, kind: Kind = Kind.ROOT_PORT, acs: bool = True, line: int = 0
) -> PlannedBridge:
    return PlannedBridge(
        address=Address.parse(address),
        kind=kind,
        acs=acs,
        ids=None,
        name="",
        behind=behind,
        place=replace(GPU.place, line=line),
    )


def with_ports(*ports: tuple[str, list[PlannedFunction]]) -> Plan:
    return with_nodes(
        *(bridge(address, *functions, line=100 + index) for index, (address, functions) in enumerate(ports))
    )


def function(
    address: str,
    class_code: str = "010802",
    *,
    passed: bool = False,
    kind: Kind = Kind.ENDPOINT,
    ids: str = "10de:1b80",
) -> PlannedFunction:
    return replace(
        GPU,
        address=Address.parse(address),
        class_code=class_code,
        passed=passed,
        bars=(),
        kind=kind,
        ids=IdPair.parse(ids),
    )


def devices(found: Board) -> list[str]:
    assert found.arguments[::2] == ("-device",) * (len(found.arguments) // 2)
    return list(found.arguments[1::2])


def slots(found: Board) -> list[str]:
    """What is on bus 0, as `model address`."""
    on_root = [one for one in devices(found) if "bus=pcie.0" in one]
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
        assert devices(found)[-1] == f"{model},bus=bus01,addr=0.0"
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
    with pytest.raises(BadInput, match=f"cannot put anything at {address}") as caught:
        lay_out(with_ports(("00:01.0", [function("01:00.0")]), (address, [function("02:00.0")])))
    assert caught.value.place is not None
    assert caught.value.place.line == 101
    assert "00:1b.7" in caught.value.hint


def test_no_room_for_the_buses_before_is_refused() -> None:
    with pytest.raises(BadInput, match="no room for the buses before 02") as caught:
        lay_out(with_ports(("00:01.0", [function("02:00.0")])))
    assert caught.value.place is not None
    assert caught.value.place.line == 100


SWITCH = """\
ioh3420,id=bus01,chassis=1,slot=1,bus=pcie.0,addr=2.0
x3130-upstream,id=bus02,bus=bus01,addr=0.0,multifunction=on
xio3130-downstream,id=bus03,chassis=3,slot=3,bus=bus02,addr=0.0
qemu-xhci,bus=bus03,addr=0.0
pcie-pci-bridge,id=bus04,bus=bus01,addr=0.1
e1000,bus=bus04,addr=0.0,multifunction=on
intel-hda,bus=bus04,addr=0.3
"""


def test_a_switch_and_a_pcie_to_pci_bridge() -> None:
    port = bridge("02:00.0", function("03:00.0", "0c0330"), kind=Kind.DOWNSTREAM_PORT, acs=False)
    sound = function("04:00.3", "040300", kind=Kind.CONVENTIONAL)
    found = lay_out(
        with_nodes(
            bridge(
                "00:02.0",
                bridge("01:00.0", port, kind=Kind.UPSTREAM_PORT, acs=False),
                bridge(
                    "01:00.1",
                    function("04:00.0", "0200", kind=Kind.CONVENTIONAL),
                    sound,
                    kind=Kind.PCI_BRIDGE,
                    acs=False,
                ),
                acs=False,
            )
        )
    )
    assert devices(found)[2:] == SWITCH.splitlines()


def test_a_downstream_port_with_acs_is_refused() -> None:
    port = bridge("02:00.0", function("03:00.0"), kind=Kind.DOWNSTREAM_PORT, line=7)
    with pytest.raises(BadInput, match=r"downstream port 02:00.0: those of QEMU have no ACS") as caught:
        lay_out(with_nodes(bridge("00:02.0", bridge("01:00.0", port, kind=Kind.UPSTREAM_PORT, acs=False))))
    assert caught.value.place is not None
    assert caught.value.place.line == 7


def switch_with_a_gap(*, acs: bool) -> Plan:
    port = bridge("02:01.0", function("04:00.0"), kind=Kind.DOWNSTREAM_PORT, acs=False)
    return with_nodes(bridge("00:02.0", bridge("01:00.0", port, kind=Kind.UPSTREAM_PORT, acs=False), acs=acs))


def test_a_switch_has_room_for_spare_ports_where_they_are_no_strangers_in_a_group() -> None:
    assert "xio3130-downstream,id=bus03,chassis=3,slot=3,bus=bus02,addr=0.0" in devices(
        lay_out(switch_with_a_gap(acs=True))
    )
    with pytest.raises(BadInput, match="no room for the buses before 04"):
        lay_out(switch_with_a_gap(acs=False))


@pytest.mark.parametrize(("count", "fits"), [(8, True), (9, False)])
def test_firmware_has_i_o_addresses_for_eight_windows(count: int, fits: bool) -> None:
    nodes = [
        bridge(
            f"00:{n:02x}.0",
            function(f"{n:02x}:00.0", "040300", kind=Kind.CONVENTIONAL),
            kind=Kind.PCI_BRIDGE,
            acs=False,
        )
        for n in range(1, count + 1)
    ]
    if fits:
        assert len(devices(lay_out(with_nodes(*nodes)))) == 2 + 2 * count
    else:
        with pytest.raises(BadInput, match="needs 9 windows of I/O addresses"):
            lay_out(with_nodes(*nodes))


@pytest.mark.parametrize(
    ("kind", "class_code", "ids", "model"),
    [
        (Kind.INTEGRATED, "0200", "8086:15b8", "e1000e"),
        (Kind.INTEGRATED, "0200", "10ec:8168", "e1000"),
        (Kind.CONVENTIONAL, "0200", "8086:15b8", "e1000"),
        (Kind.INTEGRATED, "0c0330", "1022:15e0", "qemu-xhci"),
        (Kind.INTEGRATED, "0c0330", "8086:a2af", None),
        (Kind.CONVENTIONAL, "0600", "1022:1452", "pci-testdev"),
    ],
)
def test_on_bus_0_only_what_the_kernel_groups_alike_stands_in(
    kind: Kind, class_code: str, ids: str, model: str | None
) -> None:
    found = lay_out(with_nodes(function("00:05.0", class_code, kind=kind, ids=ids)))
    assert [own for _, own in found.own] == ([model] if model else [])
    assert [spec.integrated for spec in found.emulated] == ([] if model else [True])


def numbered_depth_first(found: Board) -> dict[str, int]:
    """The bus behind each bridge as firmware numbers them, from the arguments alone."""
    on: dict[str, list[tuple[int, int, str]]] = {}
    for one in devices(found):
        match = re.search(r"^(?:pcie-root-port|ioh3420|x\S*stream|pcie-pci-bridge),id=(\w+),.*", one)
        if match:
            device, _, number = re.search(r"addr=([^,]+)", one)[1].partition(".")
            bus = re.search(r"bus=([^,]+)", one.partition(",")[2].partition(",")[2])[1]
            on.setdefault(bus, []).append((int(device, 16), int(number), match[1]))
    names: list[str] = []

    def visit(bus: str) -> None:
        for _, _, name in sorted(on.get(bus, [])):
            names.append(name)
            visit(name)

    visit("pcie.0")
    return {name: bus for bus, name in enumerate(names, start=1)}


@given(boards(downstream_acs=False))
@settings(max_examples=60)
def test_every_bridge_gets_its_bus_or_the_board_is_refused(shape) -> None:
    wanted = plan_of(Numbered().scenario(shape))
    try:
        found = lay_out(wanted)
    except BadInput as error:
        assert error.place is not None
        return
    assert all(name == f"bus{bus:02x}" for name, bus in numbered_depth_first(found).items())
    assert {f"bus{one.bus:02x}" for one in wanted.topology.bridges} <= set(numbered_depth_first(found))
    addresses = [one.split()[1] for one in slots(found)]
    assert len(addresses) == len(set(addresses))


@pytest.mark.parametrize("text", ["x,addr=0", "a\nb", '"},{"', "[x]", "Radeon, by AMD"])
def test_no_text_of_a_scenario_gets_into_the_arguments(text: str) -> None:
    nodes = tuple(
        replace(
            port, name=text, behind=tuple(replace(one, name=text, drivers=(text,)) for one in port.behind)
        )
        for port in PLAN.topology.bridges
    )
    assert lay_out(with_nodes(*nodes)) == lay_out(PLAN)


def test_every_own_model_is_written_without_anything_but_its_options() -> None:
    for code, own in OWN_DEVICES:
        assert re.fullmatch(r"[a-z0-9-]+(,[a-z]+=[a-z]+)*", own.model), code


def test_only_a_host_that_lets_go_of_a_frame_buffer_has_that_of_the_firmware() -> None:
    assert "ramfb" in lay_out(resolve(read("single-gpu"))).arguments
    assert "ramfb" not in lay_out(resolve(read("rx560"))).arguments
