"""What a host shows, read in one go with the shell's own means: forks are dear on an emulated host."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass

from testinfra.host import Host

from pipeline.pci import Address, IdPair

_SCRIPT = r"""
echo @cmdline; while IFS= read -r line; do printf '%s\n' "$line"; done < /proc/cmdline
echo @iommu; for path in /sys/class/iommu/*; do [ -e "$path" ] && echo "${path##*/}"; done
echo @nodes; for path in /dev/vfio/*; do [ -c "$path" ] && echo "${path##*/}"; done
echo @functions
for path in /sys/bus/pci/devices/*; do
    set --
    for name in vendor device subsystem_vendor subsystem_device revision; do
        value=-; read -r value < "$path/$name"; set -- "$@" "$value"
    done
    for name in driver iommu_group; do
        value=-; if cd -P "$path/$name" 2>/dev/null; then value=${PWD##*/}; fi; set -- "$@" "$value"
    done
    echo "${path##*/} $*"
done
echo @probes; dmesg --notime 2>/dev/null | grep -F really_probe
exit 0
"""
_SECTIONS = {"cmdline", "iommu", "nodes", "functions", "probes"}
# drivers/base/dd.c really_probe(): "bus: 'pci': really_probe: probing driver vfio-pci with device".
_PROBE = re.compile(
    r"([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]): bus: 'pci': really_probe: probing driver (\S+) with device"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenFunction:
    """A PCI function as sysfs shows it; `driver` and `group` are empty where it has none."""

    ids: IdPair
    subsystem: IdPair
    revision: int
    driver: str
    group: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """A host at one moment. `probes` are the drivers that tried each function, in order; None if not logged."""

    command_line: tuple[str, ...]
    iommus: tuple[str, ...]
    vfio_nodes: tuple[str, ...]
    functions: Mapping[Address, SeenFunction]
    probes: Mapping[Address, tuple[str, ...]] | None

    def group(self, number: str) -> frozenset[Address]:
        """The functions of an IOMMU group."""
        return frozenset(address for address, seen in self.functions.items() if seen.group == number)


def observe(host: Host) -> Observation:
    """Look at a host through testinfra."""
    return parse(host.run(_SCRIPT).stdout)


def parse(text: str) -> Observation:
    """Read the script's output; raises ValueError where it is not that."""
    parts = sections(text, _SECTIONS)
    probes: dict[Address, tuple[str, ...]] = {}
    for line in parts["probes"]:
        if match := _PROBE.search(line):
            address = Address.parse(match[1])
            probes[address] = (*probes.get(address, ()), match[2])
    return Observation(
        command_line=tuple(" ".join(parts["cmdline"]).split()),
        iommus=tuple(parts["iommu"]),
        vfio_nodes=tuple(parts["nodes"]),
        functions=dict(_function(line) for line in parts["functions"]),
        probes=probes if parts["probes"] else None,
    )


def sections(text: str, names: Set[str]) -> dict[str, list[str]]:
    """The lines below each `@NAME` of a script's output; raises ValueError where a name of `names` is missing."""
    parts: dict[str, list[str]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("@") and line[1:] in names:
            section = line[1:]
            parts[section] = []
        elif section:
            parts[section].append(line)
    if parts.keys() != names:
        raise ValueError("the host's answer is incomplete")
    return parts


def _function(line: str) -> tuple[Address, SeenFunction]:
    name, vendor, device, subsystem_vendor, subsystem_device, revision, driver, group = line.split()
    return Address.parse(name), SeenFunction(
        ids=IdPair(int(vendor, 16), int(device, 16)),
        subsystem=IdPair(int(subsystem_vendor, 16), int(subsystem_device, 16)),
        revision=int(revision, 16),
        driver="" if driver == "-" else driver,
        group="" if group == "-" else group,
    )
