"""The groups that the model predicts are those that QEMU and the kernel show.

Boards are random (tests/boards.py); `DRYBOOT_BOARDS` says how many, 20 where it is not set. Several of them are
booted as one machine, each in slots and with buses of its own, so that none touches another. Half of the machines
have AMD-Vi, half VT-d; half start with SeaBIOS, half with OVMF, which have to give out the same bus numbers.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pipeline.errors import BadInput
from pipeline.lab import cache, toolchain
from pipeline.lab.board import lay_out
from pipeline.lab.image import HostImage, debian
from pipeline.lab.initcpio import archive
from pipeline.lab.machine import hardware
from pipeline.lab.run_directory import RunDirectory, run_directory
from pipeline.lab.servers import device_server
from pipeline.lab.toolchain import Qemu
from pipeline.lab.vm import machine
from pipeline.pci import Address
from pipeline.plan import Plan
from pipeline.plan.grouping import predict
from pipeline.plan.topology import Node, PlannedBridge, Topology
from tests.boards import Numbered, Slot, boards, plan_of

pytestmark = pytest.mark.vm

BOARDS = int(os.environ.get("DRYBOOT_BOARDS", "20"))
SLOTS, BUSES, FUNCTIONS = 0x1B, 0xF0, 110
SECONDS = 120
INIT = b"""#!/bin/sh
busybox=/usr/bin/busybox
$busybox mount -t sysfs sysfs /sys
cd /sys/bus/pci/devices
for function in *; do
    group=$($busybox readlink $function/iommu_group)
    echo "SEEN $function ${group##*/} $($busybox readlink $function) END"
done
echo ALL-SEEN
$busybox poweroff -f
"""
_SEEN = re.compile(r"SEEN 0000:(\S+) (\d*) (\S+) END")


@dataclass(frozen=True)
class Seen:
    """What sysfs says of a function: its group and the bridges above it, the nearest first."""

    group: str
    above: tuple[Address, ...]


def shapes(number: int) -> list[tuple[Slot, ...]]:
    """Different boards as hypothesis draws them, the same ones in every run.

    It varies what it has drawn before, so only one of several in a row is taken.
    """
    found: list[tuple[Slot, ...]] = []

    @settings(
        max_examples=4 * number,
        phases=[Phase.generate],
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(boards(downstream_acs=False))
    def draw(shape: tuple[Slot, ...]) -> None:
        found.append(shape)

    draw()
    few = [shape for shape in dict.fromkeys(found[::3]) if fits(plan_of(Numbered().scenario(shape)))]
    assert len(few) >= number, len(few)
    return few[:number]


def fits(plan: Plan) -> bool:
    """Whether QEMU can imitate the board."""
    try:
        lay_out(plan)
    except BadInput:
        return False
    return True


def machines(number: int) -> Iterator[list[Plan]]:
    """The boards, as many to a machine as fit."""
    numbered = Numbered()
    plans: list[Plan] = []
    for shape in shapes(number):
        plan = plan_of(numbered.scenario(shape))
        both = Topology(nodes=tuple(node for one in (*plans, plan) for node in one.topology.nodes))
        fit = numbered.device <= SLOTS and fits(replace(plan, topology=both))
        if not fit or numbered.bus > BUSES or len([*both.walk()]) > FUNCTIONS:
            yield plans
            numbered, plans = Numbered(), []
            plan = plan_of(numbered.scenario(shape))
        plans.append(plan)
    yield plans


def staying(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The same with nothing passed through, so that QEMU's own devices do."""
    return tuple(
        replace(node, behind=staying(node.behind))
        if isinstance(node, PlannedBridge)
        else replace(node, passed=False)
        for node in nodes
    )


def initramfs(image: HostImage, target: Path) -> None:
    """The image's smallest archive with another init, which prints what sysfs says."""
    added = io.BytesIO()
    archive.write([archive.directory("sys"), archive.file("init", INIT, executable=True)], added)
    target.write_bytes(image.tiny.read_bytes() + added.getvalue())


def firmware(qemu: Qemu, name: str, run: RunDirectory) -> list[str]:
    if name == "SeaBIOS":
        return []
    if qemu.tree is None:
        pytest.skip("the system's QEMU comes without a known OVMF")
    folder = qemu.tree / "usr/share/OVMF"
    (run.path / "vars.fd").write_bytes((folder / "OVMF_VARS_4M.fd").read_bytes())
    return [
        *("-drive", f"if=pflash,format=raw,readonly=on,file={folder / 'OVMF_CODE_4M.fd'}"),
        *("-drive", "if=pflash,format=raw,file=vars.fd"),
    ]


def boot(plan: Plan, *, vendor: str, firmware_name: str) -> Mapping[Address, Seen]:
    """Boot a kernel on the board of `plan`; what sysfs says of every function."""
    plan = replace(plan, host=replace(plan.host, cpu_vendor=vendor))
    qemu, image = toolchain.find(print), debian.image(print)
    board = lay_out(plan)
    with run_directory(cache.runs()) as run:
        initramfs(image, run.path / "groups.cpio")
        arguments = [
            *hardware(board, accelerator="tcg", cpu_vendor=vendor),
            *firmware(qemu, firmware_name, run),
            *("-kernel", str(image.kernel), "-initrd", "groups.cpio"),
            *("-append", "console=ttyS0 quiet mitigations=off no_timer_check panic=-1 intel_iommu=on"),
        ]
        with device_server(board.emulated, run=run), machine(qemu, arguments, run=run) as vm:
            deadline = time.monotonic() + SECONDS
            while vm.process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            text = vm.serial.read_text(errors="replace")
    assert "ALL-SEEN" in text, text[-2000:]
    found = {}
    for address, group, path in _SEEN.findall(text):
        above = [Address.parse(part) for part in path.split("/")[-2:0:-1] if re.match(r"0000:..:..\..", part)]
        found[Address.parse(address)] = Seen(group=group, above=tuple(above))
    return found


def compare(plan: Plan, seen: Mapping[Address, Seen]) -> None:
    """Every node is where the scenario says, behind the bridges it says, in the group that the model says."""
    predicted = predict(plan.topology).groups
    for node, above in plan.topology.walk():
        found = seen.get(node.address)
        assert found is not None, f"{node.kind} {node.address} is not there: {sorted(map(str, seen))}"
        assert found.above == tuple(bridge.address for bridge in above), f"{node.kind} {node.address}"
        members = {address for address, other in seen.items() if other.group == found.group}
        assert found.group
        assert set(map(str, members)) == set(map(str, predicted[node.address])), f"{node.kind} {node.address}"


def test_the_predicted_groups_are_those_that_the_kernel_shows() -> None:
    kinds = cycle([(vendor, name) for name in ("SeaBIOS", "OVMF") for vendor in ("amd", "intel")])
    compared, wrong = 0, []
    for plans in machines(BOARDS):
        vendor, name = next(kinds)
        nodes = tuple(node for plan in plans for node in staying(plan.topology.nodes))
        seen = boot(replace(plans[0], topology=Topology(nodes=nodes)), vendor=vendor, firmware_name=name)
        for plan in plans:
            try:
                compare(plan, seen)
            except AssertionError as error:
                wrong.append(f"{vendor}, {name}: {error}")
        compared += len(plans)
    assert not wrong, "\n\n".join(wrong[:3]) + f"\n{len(wrong)} of {compared} boards"
    assert compared == len(shapes(BOARDS))
