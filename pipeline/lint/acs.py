"""DB505, DB506: `pcie_acs_override=`, which claims isolation that the hardware does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.lint.command_line import given
from pipeline.lint.edit import Edit, remove
from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.plan.grouping import predict
from pipeline.plan.model import Written
from pipeline.setup import Setup

_PATCH = (
    'patch "pci: Enable overrides for missing ACS capabilities", drivers/pci/quirks.c pcie_acs_override_setup(), '
    "which no release of the kernel has; "
    "ArchWiki PCI passthrough via OVMF, Bypassing the IOMMU groups (ACS override patch)"
)
_KNOWN = re.compile(r"downstream|multifunction|id:[0-9a-f]{4}:[0-9a-f]{4}", re.IGNORECASE)


@rule(
    "DB505",
    holds="every kernel: without the patch it does nothing, with it it costs isolation",
    source=_PATCH,
)
def override(setup: Setup) -> Iterator[Problem]:
    """`pcie_acs_override=` is asked for.

    The kernels of distributions pass over it; linux-zen, linux-cachyos, linux-vfio and Proxmox's kernel have the patch.
    There it makes smaller groups by believing that devices cannot reach each other: nothing in the hardware is changed.
    A guest can then read and write the memory of a device that the host uses, and through that device the host's.
    """
    for written, _ in given(setup, "pcie_acs_override"):
        needed = _needed(setup)
        edits: tuple[Edit, ...] = () if needed else (remove(written),)
        yield Problem(
            severity=Severity.WARNING,
            place=written.place,
            found=written.value
            + (" only claims isolation" if needed else " is not needed: the groups are clean without it"),
            why="a kernel without the patch passes over it; with the patch the guest can reach devices of the host "
            "by peer-to-peer DMA, and through them the host",
            fix="move the card to a slot behind a port with ACS or turn on ACS in the firmware's settings; "
            "else know what it costs, and make sure that the kernel has the patch"
            if needed
            else f"remove {written.value}",
            edits=edits,
        )


def _needed(setup: Setup) -> bool:
    """Whether a function that stays would share a group with one that is passed; True where that is not known."""
    board = setup.board
    if board is None or board.topology is None:
        return True
    passed = {function.address for function in board.passed}
    staying = {
        function.address
        for function in board.functions
        if not function.passed and not function.class_code.startswith("06")
    }
    return any(passed & group and staying & group for group in predict(board.topology).groups.values())


@rule("DB506", holds="kernels with the patch", source=_PATCH)
def override_unknown(setup: Setup) -> Iterator[Problem]:
    """`pcie_acs_override=` has a value that the patch does not know.

    It knows `downstream`, `multifunction` and `id:vendor:device`, with commas between them, and passes over the rest.
    """
    for written, value in given(setup, "pcie_acs_override"):
        odd = [one for one in value.split(",") if not _KNOWN.fullmatch(one)]
        if odd:
            yield _unknown(written, odd)


def _unknown(written: Written[str], odd: list[str]) -> Problem:
    return Problem(
        severity=Severity.WARNING,
        place=written.place,
        found=f"{written.value}: {', '.join(odd) or 'an empty value'} is not an option of pcie_acs_override",
        why="the patch passes over it, so the groups stay as they are",
        fix="write downstream, multifunction or id:vendor:device",
    )


RULES: tuple[Rule, ...] = (override, override_unknown)
