"""DB815 to DB817: what the guest shows its picture with."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.lint.edit import replace
from pipeline.lint.finding import Severity
from pipeline.lint.receiving import gpus, is_gpu, receiving
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup

_WIKI = "ArchWiki PCI passthrough via OVMF"


@rule("DB815", holds="every QEMU", source="libvirt docs/formatdomain.rst, rom; QEMU docs/system/devices/vfio")
def rom_hidden(setup: Setup) -> Iterator[Problem]:
    """The ROM of a graphics card is hidden from the guest.

    The guest's firmware takes its driver for the card (GOP) from that ROM. Without it the screen stays dark until the
    driver of the guest's operating system has started: no firmware menu, no boot loader, no installer.
    """
    for domain in receiving(setup):
        for device, function in gpus(setup, domain):
            if device.rom_bar is False and not device.rom_file:
                yield Problem(
                    severity=Severity.NOTE,
                    place=device.place,
                    found=f"{function.address} shows its ROM to nobody in {domain.name}",
                    why="firmware has no other driver for the card, so the screen is dark until the guest's own "
                    "driver starts",
                    fix="take <rom bar='off'/> out, or name a file: <rom file='/usr/share/vgabios/card.rom'/>",
                )


@rule(
    "DB816",
    holds="every kernel",
    source=f"{_WIKI}, Passing the boot GPU to the guest; kernel drivers/pci/rom.c",
)
def rom_shadowed(setup: Setup) -> Iterator[Problem]:
    """The only graphics card of the host is passed through, with no file for its ROM.

    The host's firmware started the card and shadowed its ROM, so that what VFIO reads from it later may be changed or
    nothing at all (`Invalid PCI ROM header signature: expecting 0xaa55, got 0xffff`). Then the guest's firmware has no
    driver for the card. Many cards, newer ones above all, give their ROM all the same: try without a file first.
    """
    board = setup.board
    if board is None or not all(one.passed for one in board.functions if is_gpu(one)):
        return
    for domain in receiving(setup):
        for device, function in gpus(setup, domain)[:1]:
            if device.rom_file or device.rom_bar is False:
                continue
            yield Problem(
                severity=Severity.NOTE,
                place=device.place,
                found=f"{function.address} is the only graphics card of the host, and its ROM comes from the card",
                why="the host's firmware has used the ROM, and what is read from it afterwards may be useless",
                fix="if the screen stays dark, dump the ROM with another card as the first one, or from Windows, and "
                "write <rom file='/usr/share/vgabios/card.rom'/> into the hostdev",
            )


@rule(
    "DB817",
    holds="every QEMU",
    source=f"{_WIKI}, Video card driver virtualisation; libvirt docs/formatdomain.rst",
)
def emulated_screen(setup: Setup) -> Iterator[Problem]:
    """The guest has an emulated graphics card beside the one that is passed through.

    Firmware, boot loader and Windows' installer use the emulated one, which comes first, and leave the screen of the
    card dark; Windows takes it for a second screen onto which windows disappear. Looking Glass and the time of
    installation are reasons to have it.
    """
    for domain in receiving(setup):
        shared = any("ivshmem" in one.value or "kvmfr" in one.value for one in domain.arguments)
        for _, function in gpus(setup, domain)[:1]:
            for video in (one for one in domain.videos if one.value != "none"):
                yield Problem(
                    severity=Severity.NOTE if shared else Severity.WARNING,
                    place=video.place,
                    found=f"{domain.name} has an emulated graphics card ({video.value}) beside {function.address}",
                    why="firmware and installer show on the emulated one, and the screen of the card stays dark",
                    fix="write <video><model type='none'/></video>, at the latest when the guest has a driver for the "
                    "card",
                    edits=(replace(video, "none"),) if video.value != "default" else (),
                )


RULES: tuple[Rule, ...] = (rom_hidden, rom_shadowed, emulated_screen)
