"""The files for the host, from the templates of its distribution.

`/etc/mkinitcpio.conf` is written whole: a drop-in in mkinitcpio.conf.d is silently ignored where a preset
names its configuration (ALL_config, as on every host that was installed before 2023) and before
mkinitcpio 36.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.errors import Place
from pipeline.plan import Plan
from pipeline.plan.expectations import WAY_BACK, WAY_BACK_PARAMETER
from pipeline.render.environment import fill
from pipeline.render.mode import mode

FILES = (
    "etc/default/grub",
    "etc/modprobe.d/vfio.conf",
    "etc/mkinitcpio.conf",
    "etc/grub.d/42_without_passthrough",
)
STEPS = "apply.md"


def host_files(plan: Plan) -> dict[str, bytes]:
    """The configuration files by their path below `/`."""
    host = plan.host
    values = {
        "scenario": plan.name,
        "identifier": WAY_BACK,
        "parameter": WAY_BACK_PARAMETER,
        "parameters": [item.value for item in host.kernel_parameters],
        "parameters_from": _origin(item.place for item in host.kernel_parameters),
        "ids": [item.value for item in host.vfio_ids],
        "ids_from": _origin(item.place for item in host.vfio_ids),
        "softdeps": host.softdeps,
        "modules": [item.value for item in host.modules],
        "modules_from": _origin(item.place for item in host.modules),
        "hooks": [item.value for item in host.hooks],
        "hooks_from": _origin(item.place for item in host.hooks),
    }
    folder = host.distribution.distribution
    return {path: fill(f"{folder}/{path}.j2", **values) for path in FILES}


def steps(plan: Plan, *, domain: str) -> bytes:
    """What the owner does with the files; `domain` is the path of the domain XML in the bundle."""
    facts, guest = plan.host.distribution, plan.guest
    slots = dict.fromkeys(str(function.address).rpartition(".")[0] for function in plan.passed)
    return fill(
        f"{facts.distribution}/{STEPS}.j2",
        scenario=plan.name,
        targets=[f"/{path}" for path in FILES],
        files=FILES,
        modes=[f"{mode(path):o}" for path in FILES],
        facts=facts,
        images=[facts.initramfs_image, *([facts.fallback_image] if facts.fallback_by_default else [])],
        slots=[*slots],
        passed=[(str(function.address), str(function.ids)) for function in plan.passed],
        guest=guest,
        domain=domain,
        media=[disk.path for disk in guest.disks if disk.cdrom],
        disks=[disk for disk in guest.disks if not disk.cdrom],
    )


def _origin(places: Iterable[Place]) -> str:
    """Where values come from, without the scenario's path: that differs from one machine to another."""
    lines: list[int] = []
    options: list[str] = []
    for place in places:
        if place.line:
            lines.append(place.line)
        else:
            options.append(place.file)
    named = [f"line {line}" for line in sorted(set(lines))]
    return ", ".join([*named, *dict.fromkeys(options)]) or "nothing"
