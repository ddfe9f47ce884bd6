"""The files for the host, from the templates of its distribution.

`/etc/mkinitcpio.conf` is written whole: a drop-in in mkinitcpio.conf.d is silently ignored where a preset
names its configuration (ALL_config, as on every host that was installed before 2023) and before
mkinitcpio 36.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.errors import Place
from pipeline.plan import Plan
from pipeline.plan.way_back import WAY_BACK, WAY_BACK_PARAMETER
from pipeline.render.environment import fill
from pipeline.render.mode import mode

STEPS = "apply.md"
_OF_EVERY_HOST = ("etc/modprobe.d/vfio.conf", "etc/mkinitcpio.conf")
_OVERRIDE_SCRIPT = "usr/local/bin/vfio-pci-override"
_WAY_BACK_SCRIPT = "etc/grub.d/42_without_passthrough"
# What no host has before: to undo means to remove it.
_ADDED = {"etc/modprobe.d/vfio.conf", _WAY_BACK_SCRIPT, _OVERRIDE_SCRIPT}
_COMMON = "common"
_ESP = "/boot"


def paths(plan: Plan) -> tuple[str, ...]:
    """The files of a host, below `/`: those of its boot loader and those of every host."""
    script = (_OVERRIDE_SCRIPT,) if plan.host.overrides else ()
    if plan.host.bootloader == "grub":
        return ("etc/default/grub", *_OF_EVERY_HOST, _WAY_BACK_SCRIPT, *script)
    entries = "boot/loader/entries"
    own = (f"{entries}/{plan.host.distribution.distribution}.conf", f"{entries}/{WAY_BACK}.conf")
    return ("boot/loader/loader.conf", *own, *_OF_EVERY_HOST, *script)


def host_files(plan: Plan) -> dict[str, bytes]:
    """The configuration files by their path below `/`."""
    host = plan.host
    parameters = [item.value for item in host.kernel_parameters]
    options = [*([f"root={host.root}", "rw"] if host.root else []), *parameters]
    values = {
        "scenario": plan.name,
        "identifier": WAY_BACK,
        "parameter": WAY_BACK_PARAMETER,
        "parameters": parameters,
        "options": options,
        "way_back_options": [*options, WAY_BACK_PARAMETER],
        "kernel": host.distribution.kernel_image.removeprefix(_ESP),
        "initramfs": host.distribution.initramfs_image.removeprefix(_ESP),
        "parameters_from": _origin(item.place for item in host.kernel_parameters),
        "ids": [item.value for item in host.vfio_ids],
        "ids_from": _origin(item.place for item in host.vfio_ids),
        "overrides": [address.full for address in host.overrides],
        "script": f"/{_OVERRIDE_SCRIPT}",
        "files": [f"/{_OVERRIDE_SCRIPT}"] if host.overrides else [],
        "softdeps": host.softdeps,
        "modules": [item.value for item in host.modules],
        "modules_from": _origin(item.place for item in host.modules),
        "hooks": [item.value for item in host.hooks],
        "hooks_from": _origin(item.place for item in host.hooks),
    }
    return {path: fill(_templates(plan, path), **values) for path in paths(plan)}


def steps(plan: Plan, *, domain: str) -> bytes:
    """What the owner does with the files; `domain` is the path of the domain XML in the bundle."""
    facts, guest = plan.host.distribution, plan.guest
    slots = dict.fromkeys(str(function.address).rpartition(".")[0] for function in plan.passed)
    files = paths(plan)
    return fill(
        _templates(plan, STEPS),
        scenario=plan.name,
        targets=[f"/{path}" for path in files],
        files=files,
        modes=[f"{mode(path):o}" for path in files],
        grub=plan.host.bootloader == "grub",
        added=[f"/{path}" for path in files if path in _ADDED or path.endswith(f"/{WAY_BACK}.conf")],
        facts=facts,
        images=[facts.initramfs_image, *([facts.fallback_image] if facts.fallback_by_default else [])],
        slots=[*slots],
        passed=[(str(function.address), str(function.ids)) for function in plan.passed],
        guest=guest,
        domain=domain,
        media=[disk.path for disk in guest.disks if disk.cdrom],
        disks=[disk for disk in guest.disks if not disk.cdrom],
    )


def _templates(plan: Plan, path: str) -> tuple[str, str]:
    """The distribution's own template for a file, else the common one."""
    return (f"{plan.host.distribution.distribution}/{path}.j2", f"{_COMMON}/{path}.j2")


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
