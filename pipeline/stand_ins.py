"""What stood in for the real machine in a run."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.lab import accel, board
from pipeline.lab.apply import LAB_PARAMETERS, Applied
from pipeline.lab.image import HostImage
from pipeline.plan.model import Plan
from pipeline.verdict import StandIn


def stand_ins(
    plan: Plan,
    layout: board.Board,
    image: HostImage,
    chosen: accel.Accelerator,
    applied: Applied,
    *,
    fast: bool,
    why: str = "",
) -> Iterator[StandIn]:
    """Every part of a run that is not what `plan` asks for, and what that can hide.

    `why` says why the image is not of the host's own distribution.
    """
    facts = plan.host.distribution
    native = image.own == facts.distribution
    shaped = f"{image.distribution} shaped like it (os-release, names, paths)"
    yield StandIn(
        part="distribution",
        asked=f"{facts.os_release['NAME']} of {plan.host.year}",
        ran=f"{image.distribution}, with the versions of the image's lock"
        if native
        else f"{shaped}: {why}"
        if why
        else shaped,
        matters="the host may have other versions of the same packages"
        if native
        else "its packages' own modprobe.d and udev rules are not those of the host",
    )
    if not native or not image.release.startswith(f"{plan.host.kernel}."):
        yield StandIn(
            part="kernel",
            asked=f"{plan.host.kernel} of {facts.distribution}",
            ran=image.release,
            matters="a driver built into the host's kernel is a module here, so it cannot be seen taking a function "
            "first",
        )
    if plan.host.generator == "mkinitcpio" and "mkinitcpio" not in image.generators:
        yield StandIn(
            part="initramfs generator",
            asked="mkinitcpio of the distribution",
            ran="Dryboot's substitute, which reads the same files",
            matters="hooks other than the ones it knows are reported as errors",
        )
    for text in applied.stand_ins:
        yield StandIn(part="initramfs", asked="as configured", ran="the substitute's", matters=text)
    if fast:
        yield StandIn(
            part="boot path",
            asked=f"firmware, {plan.host.bootloader}, kernel",
            ran="QEMU boots kernel and initramfs directly, with the parameters of the loader's entry (--fast)",
            matters="errors of the boot loader and of its reading of its files are not seen",
        )
    elif plan.host.bootloader == "grub":
        yield StandIn(
            part="boot loader",
            asked=f"GRUB of {facts.os_release['NAME']}",
            ran=f"GRUB {image.version('grub-common', 'grub')} of {image.distribution} on an EFI system partition "
            "of its own; grub-mkconfig was told that / is on the lab's disk",
            matters="the distribution's own scripts in /etc/grub.d may write other entries",
        )
    else:
        yield StandIn(
            part="boot loader",
            asked=f"{plan.host.bootloader} of {facts.os_release['NAME']}",
            ran=f"{plan.host.bootloader} {image.version('systemd-boot-efi', 'systemd')} of {image.distribution}, on an "
            "EFI system partition that is a whole disk",
            matters="only defects of one of the two",
        )
    yield StandIn(
        part="command line",
        asked="as the boot loader passes it",
        ran=f"the same, with the lab's own in it: {LAB_PARAMETERS}",
        matters="no: the lab's parameters do not touch PCI, IOMMU or drivers; hardening of the kernel is off",
    )
    yield StandIn(
        part="userspace of the host",
        asked="every unit that is enabled",
        ran=_userspace(plan, image),
        matters="a unit that takes or moves a function by itself, such as driverctl's, does not run",
    )
    yield StandIn(
        part="ports and bridges",
        asked=", ".join(str(bridge.address) for bridge in plan.topology.bridges) or "none",
        ran="QEMU's ports and bridges of the same kind at the same addresses, and spare ports for missing buses",
        matters="quirks that the kernel has for the real ones by their ids; kind and ACS are those of the scenario",
    )
    own = dict(layout.own)
    for function in plan.functions:
        if function.address in own:
            continue
        yield StandIn(
            part=f"function {function.address}",
            asked=f"{function.ids} {function.name}".strip(),
            ran="an emulated function with the same ids and capabilities; behind it is memory, not a card",
            matters="what the card's own firmware and reset do is not seen",
        )
    for address, model in layout.own:
        yield StandIn(
            part=f"function {address}",
            asked="as on the board",
            ran=f"QEMU's {model}, with QEMU's ids",
            matters="only if an id in vfio-pci's ids is that of this function",
        )
    yield from _screen(plan, fast)
    yield StandIn(
        part="QEMU and libvirt of the host",
        asked=f"QEMU {plan.host.qemu}",
        ran=f"QEMU {image.version('qemu-system-x86')}, libvirt {image.version('libvirt0', 'libvirt')}, "
        f"OVMF {image.version('ovmf', 'edk2-ovmf')} of {image.distribution}",
        matters="machine types and defaults of the host's own QEMU are looked up by lint, not run",
    )
    yield StandIn(
        part="disks and ISO images",
        asked=", ".join(disk.path for disk in plan.guest.disks),
        ran="small stand-ins at the same paths; the first to boot holds a UEFI shell",
        matters="the guest's operating system and its drivers do not run",
    )
    if chosen.l1 == "tcg" or chosen.l2 == "tcg":
        yield StandIn(
            part="accelerator",
            asked="kvm",
            ran=f"L1 {chosen.l1}, L2 {chosen.l2}",
            matters="defects of KVM's interrupt handling (pc-q35-4.0) do not show",
        )


def _userspace(plan: Plan, image: HostImage) -> str:
    """What of a booted system is left out because a processor that is emulated is slow at it."""
    units = "only udev, ssh, libvirt and what they need"
    journal = "" if plan.host.handover else "; no journal"
    ours = plan.host.generator == "mkinitcpio" and "mkinitcpio" not in image.generators
    modules = "; modules of the initramfs without their tables for tracing and unwinding" if ours else ""
    return f"{units}{journal}{modules}"


def _screen(plan: Plan, fast: bool) -> Iterator[StandIn]:
    """What shows on the card of a host that hands it over when the guest starts."""
    handover = plan.host.handover
    if handover is None:
        return
    if handover.display_manager:
        yield StandIn(
            part="display manager",
            asked=handover.display_manager.value,
            ran="a unit of that name that only sleeps",
            matters="whether the real one and the sessions below it let go of the card when they are stopped",
        )
    yield StandIn(
        part="frame buffers",
        asked="that of the firmware, then that of the card's driver",
        ran=f"{'' if fast else 'QEMU ramfb and '}one in memory (vfb), neither on the card"
        f"{', without firmware (--fast)' if fast else ''}",
        matters="whether the card's own driver lets go of it while something is drawn, and draws on it afterwards",
    )
