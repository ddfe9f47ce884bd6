"""The set-up of a host and its guests, with the place of everything that was written.

The same for a scenario and for files as they are on a machine. None means "not known", and a rule that needs it is
silent; an empty tuple means "known to be none".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import Place
from pipeline.facts.distributions import Distribution
from pipeline.pci import Address, IdPair
from pipeline.plan.model import Written
from pipeline.plan.topology import Topology
from pipeline.setup.domain import Domain


class Origin(StrEnum):
    """What a set-up was read from."""

    SCENARIO = "scenario"
    FILES = "files"


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """A PCI function of the host that is no bridge, and what shall become of it.

    `class_code` has four or six hexadecimal digits. `drivers` would take it, the likeliest first. `in_use` is the
    driver that lspci saw holding it, empty where none did, None where that is not known.
    """

    address: Address
    ids: IdPair
    subsystem: IdPair | None
    class_code: str
    name: str
    drivers: tuple[str, ...]
    passed: bool
    place: Place
    in_use: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """The PCI functions of the host.

    `groups` are the IOMMU groups, each with all its functions that are no bridge: predicted from `topology`, which
    only a scenario has, or read from sysfs; None where not known. `stated` are those that the owner expects.
    """

    functions: tuple[Function, ...]
    groups: tuple[frozenset[Address], ...] | None
    topology: Topology | None = None
    stated: tuple[Written[tuple[Address, ...]], ...] = ()

    @property
    def passed(self) -> tuple[Function, ...]:
        """The functions that a guest gets."""
        return tuple(function for function in self.functions if function.passed)

    def group(self, address: Address) -> frozenset[Address]:
        """The functions of the group of `address`; itself alone where groups are not known."""
        found = (group for group in self.groups or () if address in group)
        return next(found, frozenset({address}))


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandLine:
    """The kernel command line that the boot loader in use passes, in order.

    `where` is the line to add a parameter to, `shown` what that is called in a sentence.
    """

    parameters: tuple[Written[str], ...]
    where: Place
    shown: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """`options MODULE KEY=VALUE` of modprobe.d(5): one for each KEY."""

    module: str
    key: str
    value: str
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Softdep:
    """`softdep MODULE pre: BEFORE post: AFTER` of modprobe.d(5)."""

    module: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Modprobe:
    """What the files of modprobe.d say. `vfio_ids` are the ids= of vfio-pci, one by one.

    `ids_where` is the line to put ids into. `installs` are the modules whose loading a command replaces.
    """

    vfio_ids: tuple[Written[str], ...]
    ids_where: Place
    softdeps: tuple[Softdep, ...]
    blacklists: tuple[Written[str], ...] = ()
    options: tuple[Option, ...] = ()
    installs: tuple[Written[str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class IgnoredFile:
    """A configuration file that the tool it is for does not read, and why."""

    place: Place
    why: str
    fix: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Initramfs:
    """How the initramfs is made. `modules` are loaded early in this order, `hooks` are those of mkinitcpio.

    `modules_where` and `hooks_where` are the lines to put one into. `after_boot` are modules of modules-load.d and
    /etc/modules, which are loaded when the initramfs has been left. `fallback`: whether the preset makes a fallback
    image; None where not known or no preset. `late` are modules in the image that are loaded only when udev has loaded
    the drivers of every device: the list of initramfs-tools, add_drivers of dracut. `omitted` are dracut's
    omit_drivers, `host_only` its hostonly, None where nothing says it.
    """

    generator: str
    modules: tuple[Written[str], ...]
    modules_where: Place
    hooks: tuple[Written[str], ...]
    hooks_where: Place
    files: tuple[Written[str], ...] = ()
    after_boot: tuple[Written[str], ...] = ()
    ignored: tuple[IgnoredFile, ...] = ()
    fallback: bool | None = None
    late: tuple[Written[str], ...] = ()
    omitted: tuple[Written[str], ...] = ()
    host_only: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """A kernel command line that is not the one in use: of a boot loader that the host does not boot with."""

    loader: str
    parameters: tuple[Written[str], ...]
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class GrubState:
    """What can be seen of GRUB's files beside the command line.

    `broken` are lines of /etc/default/grub that the shell does not read as meant, each with what is wrong. `missing`
    are parameters of /etc/default/grub that no entry of grub.cfg has: it was not made again; None without grub.cfg.
    """

    broken: tuple[Written[str], ...] = ()
    missing: tuple[Written[str], ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """The machine that is rebooted.

    `kernel` is a series such as 6.12, `qemu` a release such as 11.1; `memory` in bytes. `overrides` are functions that
    vfio-pci gets by driver_override. `other_loaders` are command lines of boot loaders not in use. `commands` are
    those that make an initramfs or grub.cfg, from scripts and pacman's hooks. `firmware_files` are the OVMF images on
    the host, None where not known. `hugepages` are reserved bytes by the parameters or sysctl.d, `pages` where.
    """

    distribution: str | None
    facts: Distribution | None
    place: Place
    cpu_vendor: str | None = None
    threads: int | None = None
    memory: int | None = None
    kernel: Written[str] | None = None
    qemu: Written[str] | None = None
    bootloader: str | None = None
    command_line: CommandLine | None = None
    other_loaders: tuple[Parameters, ...] = ()
    grub: GrubState = GrubState()
    modprobe: Modprobe | None = None
    initramfs: Initramfs | None = None
    overrides: tuple[Address, ...] = ()
    commands: tuple[Written[str], ...] = ()
    firmware_files: frozenset[str] | None = None
    hugepages: Written[int] | None = None
    until_guest_starts: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Unread:
    """A part of the input that was not understood: where it stands, what it is and why it could not be read."""

    place: Place
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """Everything the rules look at.

    `passed_where` is the place that says which functions a guest gets.
    """

    name: str
    origin: Origin
    host: Host
    board: Board | None
    passed_where: Place
    domains: tuple[Domain, ...]
    unread: tuple[Unread, ...] = ()
