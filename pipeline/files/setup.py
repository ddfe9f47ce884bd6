"""The set-up of a machine or a bundle, from its files. Nothing is executed, and nothing outside the root is read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from pipeline.errors import BadInput, Place
from pipeline.files import board as boards
from pipeline.files import (
    bootloader,
    commands,
    firmware,
    hooks,
    initramfs,
    manifest,
    memory,
    mkinitcpio,
    modprobe,
    release,
    sysfs,
    versions,
)
from pipeline.files import overrides as override_scripts
from pipeline.files import passed as passing
from pipeline.files.cmdline import values
from pipeline.files.manifest import Assumed
from pipeline.files.reader import Reader
from pipeline.files.text import Text
from pipeline.files.tree import LIMIT, Directory, Files, Refused, Tree
from pipeline.hardware import processor
from pipeline.hardware.lspci import Device
from pipeline.pci import Address
from pipeline.plan.model import Written
from pipeline.setup.domain import Domain
from pipeline.setup.model import Board, Host, Modprobe, Origin, Setup

# Takes the bytes of domain XML and what messages call it; raises BadInput.
ReadDomains = Callable[..., "tuple[Domain, ...]"]
_DOMAINS = ("etc/libvirt/qemu", "libvirt")


def read(
    root: Path,
    *,
    shown: str,
    kernel: str | None = None,
    qemu: str | None = None,
    distribution: str | None = None,
    year: int | None = None,
    domain_files: Sequence[Path] = (),
    lspci: Path | None = None,
    board: Board | None = None,
    read_domains: ReadDomains | None = None,
) -> Setup:
    """Read the files below `root` as the set-up of a machine; places name them as `shown` joined with their path.

    `kernel` (a series such as 6.12), `qemu` (a release such as 11.1), `distribution` and `year` stand in for what the
    files say. `domain_files` are domains beside those of the root, `lspci` is a list in place of the root's, `board`
    what is known of the hardware where no list is to be had. Raises BadInput where `root` or a file that was named
    cannot be read; what cannot be read below `root` is in `Setup.unread`.
    """
    given = {str(path): _given(path, LIMIT) for path in domain_files}
    listed = (str(lspci), _given(lspci, boards.LIMIT)) if lspci else None
    with closing(Directory(root)) as tree:
        return read_tree(
            tree,
            shown=shown,
            kernel=kernel,
            qemu=qemu,
            distribution=distribution,
            year=year,
            domains=given,
            lspci=listed,
            board=board,
            read_domains=read_domains,
        )


def read_files(
    contents: Mapping[str, bytes],
    *,
    shown: str,
    board: Board | None = None,
    read_domains: ReadDomains | None = None,
) -> Setup:
    """The same from files in memory, by their path relative to the root: those of a bundle, say."""
    return read_tree(Files(contents), shown=shown, board=board, read_domains=read_domains)


def read_tree(
    tree: Tree,
    *,
    shown: str,
    kernel: str | None = None,
    qemu: str | None = None,
    distribution: str | None = None,
    year: int | None = None,
    domains: Mapping[str, bytes] | None = None,
    lspci: tuple[str, bytes] | None = None,
    board: Board | None = None,
    read_domains: ReadDomains | None = None,
) -> Setup:
    """See `read`; `domains` are contents by the names that messages call them, `lspci` a name and content."""
    reader = Reader(tree, shown=shown)
    assumed = manifest.read(reader) or Assumed()
    os_release, release_place = release.read(reader)
    name = distribution or release.named(os_release) or assumed.distribution or release.marked(reader)
    series = _given_or(kernel, "--kernel") or versions.kernel(reader) or assumed.kernel
    preset = mkinitcpio.preset(reader, kernel=series.value if series else None)
    boot = bootloader.read(reader, distribution=name, preset=preset)
    parameters = boot.command_line.parameters if boot.command_line else ()
    module_files, installs = modprobe.read(reader)
    overrides = override_scripts.read(reader, installs)
    read_text = _list(reader, lspci)
    listing = boards.listing(reader, read_text)
    guests = _domains(reader, domains or {}, read_domains)
    ids = (*module_files.vfio_ids, *_ids_of(parameters))
    if listing is None and board is None:
        read_text, listing = None, sysfs.listing(reader)
    if listing is not None:
        board = boards.read(
            reader,
            read_text,
            listing,
            kernel=series.value if series else None,
            passed=lambda devices: _passed(devices, guests, ids, overrides),
        )
    elif board is not None and guests:
        chosen = passing.by_domains(guests)
        functions = tuple(replace(one, passed=one.address in chosen) for one in board.functions)
        board = replace(board, functions=functions)
    cpuinfo, meminfo = (_content(reader, f"proc/{one}") for one in ("cpuinfo", "meminfo"))
    host = Host(
        distribution=distribution or release.own(os_release) or name,
        facts=release.facts(
            name,
            year=year or assumed.year,
            kernel=series.value if series else None,
            values=os_release,
            like=release.derived(os_release) and distribution is None,
        ),
        place=release_place or Place(file=shown),
        cpu_vendor=processor.vendor(cpuinfo) or (listing.vendor() if listing else None) or assumed.cpu_vendor,
        threads=processor.threads(cpuinfo) or assumed.threads,
        memory=processor.memory(meminfo) or assumed.memory,
        kernel=series,
        qemu=_given_or(qemu, "--qemu") or versions.qemu(reader) or assumed.qemu,
        bootloader=boot.loader,
        command_line=boot.command_line,
        other_loaders=boot.others,
        grub=boot.grub,
        modprobe=module_files,
        initramfs=initramfs.read(reader, distribution=name, preset=preset, parameters=parameters),
        overrides=overrides,
        commands=commands.read(reader),
        firmware_files=firmware.files(reader),
        hugepages=memory.hugepages(reader, parameters),
        until_guest_starts=not module_files.vfio_ids and not overrides and hooks.hand_over(reader),
    )
    return Setup(
        name=assumed.name or shown,
        origin=Origin.FILES,
        host=host,
        board=board,
        passed_where=_passed_where(guests, module_files),
        domains=guests,
        unread=reader.unread,
    )


def _passed(
    devices: Collection[Device],
    guests: Sequence[Domain],
    ids: Sequence[Written[str]],
    overrides: Sequence[Address],
) -> frozenset[Address]:
    return passing.by_domains(guests) if guests else passing.by_ids(devices, ids, overrides)


def _passed_where(guests: Sequence[Domain], module_files: Modprobe) -> Place:
    return guests[0].host_devices_where if guests else module_files.ids_where


def _ids_of(parameters: Sequence[Written[str]]) -> tuple[Written[str], ...]:
    return tuple(
        Written(value=one, place=ids.place)
        for ids in values(parameters, "vfio-pci.ids")
        for one in ids.value.split(",")
        if one
    )


def _given_or(value: str | None, option: str) -> Written[str] | None:
    return Written(value=value, place=Place(file=option, text=value)) if value else None


def _content(reader: Reader, path: str) -> str:
    text = reader.text(path)
    return text.content if text else ""


def _list(reader: Reader, given: tuple[str, bytes] | None) -> Text | None:
    """The list of PCI functions: what the user named, else the root's own."""
    if given:
        text = reader.parsed("", given[1], file=given[0])
        if text is None:
            raise BadInput("it is no text", place=Place(file=given[0]), hint="make it with lspci -nnk > FILE")
        return text
    return next((text for path in boards.LISTS if (text := reader.text(path, limit=boards.LIMIT))), None)


def _domains(
    reader: Reader, given: Mapping[str, bytes], read_domains: ReadDomains | None
) -> tuple[Domain, ...]:
    """The domains of the root and those that were named; only a named one that cannot be read ends the run."""
    found: list[Domain] = []
    paths = [f"{folder}/{name}" for folder in _DOMAINS for name in reader.names(folder, end=".xml")]
    if not paths and not given:
        return ()
    if read_domains is None:
        # Only now: its XML library takes longer to load than all else here to read.
        read_domains = _reader_of_domains()
    for path in paths:
        data = reader.data(path)
        if data is None:
            continue
        try:
            found += read_domains(data, shown=reader.shown(path))
        except BadInput as error:
            what = f"{error.message} ({error.hint})" if error.hint else error.message
            reader.note(error.place or reader.whole(path), f"not read: {what}")
    for name, data in given.items():
        found += read_domains(data, shown=name)
    return tuple(found)


def _reader_of_domains() -> ReadDomains:
    read: ReadDomains = import_module("pipeline.files.domain").read_domains
    return read


def _given(path: Path, limit: int) -> bytes:
    """The content of a file that the user named, wherever it is."""
    try:
        with closing(Directory(path.resolve().parent)) as folder:
            data = folder.read(path.resolve().name, limit=limit)
    except Refused as error:
        raise BadInput(str(error), place=Place(file=str(path))) from error
    except (OSError, RuntimeError) as error:
        raise BadInput(f"it cannot be read: {error}", place=Place(file=str(path))) from error
    if data is None:
        raise BadInput("there is no such file", place=Place(file=str(path)))
    return data
