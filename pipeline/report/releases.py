"""The QEMU releases of the store, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from pipeline.lab.releases import Listed, Release


def table(found: Sequence[Listed]) -> Table:
    """One row a release: what it is, where it is from, and what it has."""
    columns = (
        "name",
        "version",
        "from",
        "Q35 types",
        "deprecated",
        "OVMF",
        "emulated functions",
        "size",
        "state",
    )
    made = Table(*columns, show_edge=False)
    for one in found:
        made.add_row(*map(Text, _row(one)))
    return made


def _row(one: Listed) -> tuple[str, ...]:
    release = one.release
    if release is None:
        return (one.name, "", one.origin, "", "", "", "", "", one.why)
    machines = release.machines()
    deprecated = sum(machine.deprecated for machine in machines)
    return (
        one.name,
        release.qemu.version,
        one.origin,
        str(len(machines)),
        str(deprecated),
        release.firmware.version or "unknown",
        "yes" if release.has("vfio-user-pci") else "no",
        f"{one.size >> 20} MiB" if one.size else "",
        "prepared" if release.packages else "there",
    )


def added(release: Release) -> str:
    """What was added, in a line."""
    machines = release.machines()
    return (
        f"{release.name}: QEMU {release.qemu.version} at {release.qemu.origin}, "
        f"{machines[0].name} to {machines[-1].name}, OVMF {release.firmware.version or release.firmware.plain.code}"
    )
