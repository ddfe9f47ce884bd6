"""The files for the host, from the templates of its distribution.

`/etc/mkinitcpio.conf` is written whole: a drop-in in mkinitcpio.conf.d is silently ignored where a preset
names its configuration (ALL_config, as on every host that was installed before 2023) and before
mkinitcpio 36.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.errors import Place
from pipeline.facts.initramfs import generator
from pipeline.facts.kernels import canonical
from pipeline.plan import Plan
from pipeline.plan.handover_expectations import TAG
from pipeline.plan.way_back import WAY_BACK, WAY_BACK_PARAMETER, unified_image
from pipeline.render.environment import fill
from pipeline.render.mode import mode

STEPS = "apply.md"
_VFIO_CONF = "etc/modprobe.d/vfio.conf"
_OVERRIDE_SCRIPT = "usr/local/bin/vfio-pci-override"
_WAY_BACK_SCRIPT = "etc/grub.d/42_without_passthrough"
_OVERRIDE_HOOK = "etc/initramfs-tools/hooks/vfio"
_CMDLINE = "etc/kernel/cmdline"
_WAY_BACK_CMDLINE = f"{_CMDLINE}-{WAY_BACK}"
# What no host has before: to undo means to remove it.
_ADDED = {
    _VFIO_CONF,
    _WAY_BACK_SCRIPT,
    _WAY_BACK_CMDLINE,
    _OVERRIDE_SCRIPT,
    _OVERRIDE_HOOK,
    "etc/dracut.conf.d/10-vfio.conf",
    "etc/initramfs-tools/scripts/init-top/00-vfio",
}
_COMMON = "common"
# Every guest has a hook of its own name, from one template.
_HOOKS = "etc/libvirt/hooks/"
_HOOK_TEMPLATE = f"{_HOOKS}qemu"
_ESP = "/boot"


def paths(plan: Plan) -> tuple[str, ...]:
    """The files of a host, below `/`: those of its boot loader, of its initramfs generator and of every host."""
    host = plan.host
    early = generator(host.generator).files if _early(plan) else ()
    made_by = (*_vfio_conf(plan), *early)
    script: tuple[str, ...] = (_OVERRIDE_SCRIPT,) if host.overrides else ()
    script += (host.handover.hook,) if host.handover else ()
    if host.overrides and host.generator == "initramfs-tools":
        script += (_OVERRIDE_HOOK,)
    if host.bootloader == "grub":
        return ("etc/default/grub", *made_by, _WAY_BACK_SCRIPT, *script)
    if host.bootloader == "uki":
        preset = host.distribution.preset.lstrip("/")
        return ("boot/loader/loader.conf", _CMDLINE, _WAY_BACK_CMDLINE, preset, *made_by, *script)
    entries = "boot/loader/entries"
    own = (f"{entries}/{host.distribution.distribution}.conf", f"{entries}/{WAY_BACK}.conf")
    return ("boot/loader/loader.conf", *own, *made_by, *script)


def _vfio_conf(plan: Plan) -> tuple[str, ...]:
    """Nothing says anything to vfio-pci at boot on a host that uses the card until the guest starts."""
    return () if plan.host.handover else (_VFIO_CONF,)


def _early(plan: Plan) -> bool:
    """Whether the initramfs has anything that the distribution's own has not."""
    host = plan.host
    own_hooks = tuple(item.value for item in host.hooks) != host.distribution.hooks
    return host.handover is None or bool(host.modules) or own_hooks


def host_files(plan: Plan) -> dict[str, bytes]:
    """The configuration files by their path below `/`."""
    host = plan.host
    facts = host.distribution
    # Only mkinitcpio knows a question mark; dracut.sh mends one hyphen of force_drivers, not all.
    spelled = str if host.generator == "mkinitcpio" else canonical
    parameters = [item.value for item in host.kernel_parameters]
    options = [*([f"root={host.root}", "rw"] if host.root else []), *parameters]
    values = {
        "scenario": plan.name,
        "identifier": WAY_BACK,
        "parameter": WAY_BACK_PARAMETER,
        "parameters": parameters,
        "options": options,
        "way_back_options": [*options, WAY_BACK_PARAMETER],
        "facts": facts,
        "default_entry": _default_entry(plan),
        "way_back_uki": unified_image(plan.host),
        "way_back_cmdline": f"/{_WAY_BACK_CMDLINE}",
        "initramfs_command": " ".join(generator(host.generator).command),
        "kernel": facts.kernel_image.removeprefix(_ESP),
        "initramfs": facts.initramfs_image.removeprefix(_ESP),
        "parameters_from": _origin(item.place for item in host.kernel_parameters),
        "ids": [item.value for item in host.vfio_ids],
        "ids_from": _origin(item.place for item in host.vfio_ids),
        "overrides": [address.full for address in host.overrides],
        "script": f"/{_OVERRIDE_SCRIPT}",
        "files": [f"/{_OVERRIDE_SCRIPT}"] if host.overrides else [],
        "copied": [f"/{path}" for path in _vfio_conf(plan)],
        "guest": plan.guest.name,
        "functions": [function.address.full for function in plan.passed],
        "tag": TAG,
        "daemon": facts.libvirt_unit.removesuffix(".socket"),
        "display_manager": _display_manager(plan) or "",
        "unload": host.handover.unload if host.handover else (),
        "softdeps": host.softdeps,
        "modules": [spelled(item.value) for item in host.modules],
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
    made_by = generator(plan.host.generator)
    early = _early(plan)
    handover = plan.host.handover
    parameters = [item.value for item in plan.host.kernel_parameters]
    return fill(
        _templates(plan, STEPS),
        scenario=plan.name,
        targets=[f"/{path}" for path in files],
        files=files,
        modes=[f"{mode(path):o}" for path in files],
        bootloader=plan.host.bootloader,
        grub=plan.host.bootloader == "grub",
        way_back_script=f"/{_WAY_BACK_SCRIPT}",
        way_back_uki=unified_image(plan.host),
        uki_folder=facts.uki.rpartition("/")[0],
        # The files that others read beside: directories of drop-ins.
        beside=[
            *(["/etc/default/grub.d"] if plan.host.bootloader == "grub" else []),
            *(made_by.drop_ins if early else []),
        ],
        early=early,
        # A unified kernel image holds the command line.
        remade=early or plan.host.bootloader == "uki",
        hook=f"/{handover.hook}" if handover else "",
        # A daemon reads its hooks, not the socket that starts it.
        daemon=facts.libvirt_unit.removesuffix(".socket"),
        shared_hook=handover is not None and handover.hook == _HOOK_TEMPLATE,
        display_manager=_display_manager(plan),
        tag=TAG,
        generator=made_by,
        parameters=parameters,
        own_parameters=[one for one in parameters if one not in facts.kernel_parameters],
        added=[
            f"/{path}"
            for path in files
            if path in _ADDED or path.startswith(_HOOKS) or path.endswith(f"/{WAY_BACK}.conf")
        ],
        facts=facts,
        images=_images(plan),
        slots=[*slots],
        passed=[(str(function.address), str(function.ids)) for function in plan.passed],
        guest=guest,
        domain=domain,
        media=[disk.path for disk in guest.disks if disk.cdrom],
        disks=[disk for disk in guest.disks if not disk.cdrom],
    )


def _display_manager(plan: Plan) -> str | None:
    handover = plan.host.handover
    return handover.display_manager.value if handover and handover.display_manager else None


def _default_entry(plan: Plan) -> str:
    """The name of the entry that systemd-boot starts: of its file, as loader.conf(5) wants it."""
    facts = plan.host.distribution
    if plan.host.bootloader == "uki":
        return facts.uki.rpartition("/")[2]
    return f"{facts.distribution}.conf"


def _images(plan: Plan) -> list[tuple[str, str]]:
    """What the generator replaces, each with the name of its backup; systemd-boot offers what ends in .efi."""
    facts = plan.host.distribution
    if plan.host.bootloader == "uki":
        return [(facts.uki, f"{facts.uki.removesuffix('.efi')}-before-dryboot.efi")]
    images = [facts.initramfs_image, *([facts.fallback_image] if facts.fallback_by_default else [])]
    return [(image, f"{image}.before-dryboot") for image in images]


def _templates(plan: Plan, path: str) -> tuple[str, str]:
    """The distribution's own template for a file, else the common one."""
    path = _HOOK_TEMPLATE if path.startswith(_HOOKS) else path
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
