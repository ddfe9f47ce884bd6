"""Builds the part of an initramfs that a mkinitcpio configuration decides, for the machine that a board describes.

Reproduces what mkinitcpio v41 was measured to do with vfio: MODULES are added whatever autodetect drops, in
the order of the array; modconf copies modprobe.d; a module that the kernel lacks is an error and exit status
1 while the image is still written; `name?` makes it optional; softdeps of modprobe.d are not followed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.lab.initcpio import archive, hooks, rooted
from pipeline.lab.initcpio.config import Config
from pipeline.lab.initcpio.copied import Copier, Missing
from pipeline.lab.initcpio.modfile import unpacked
from pipeline.lab.initcpio.modules import ModuleTree

INIT = Path(__file__).with_name("init.sh")
ROOT = Path(__file__).with_name("root.sh")
INDEXES = (
    "modules.dep.bin",
    "modules.alias.bin",
    "modules.softdep",
    "modules.builtin.bin",
    "modules.builtin.alias.bin",
    "modules.symbols.bin",
    "modules.devname",
    "modules.order",
)
_MODPROBE_D = ("/etc/modprobe.d", "/usr/lib/modprobe.d")
_SYSTEMD = (
    "HOOKS asks for systemd's init in the initramfs; systemd itself did not run there: MODULES were loaded one after "
    "another beside the udev trigger, as its two units do (from systemd 259 on also beside each other)"
)
_HOST_HOOKS = "/etc/initcpio/install"
_PACKAGED_HOOKS = "/usr/lib/initcpio/install"

Start = Literal["udev", "systemd", "base", ""]


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """The outcome of a run: exit status, lines it would print, how its init differs from what was asked."""

    status: int
    messages: tuple[str, ...]
    stand_ins: tuple[str, ...]


@dataclass(slots=True)
class Image:
    """What goes into an image, and what is said while it is put together.

    `start` is whose init it is: of base with udev, of systemd, of base alone, or none. `early` are the modules
    that this init loads, in order.
    """

    entries: list[archive.Entry] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    stand_ins: list[str] = field(default_factory=list)
    status: int = 0
    start: Start = ""
    early: tuple[str, ...] = ()

    def error(self, text: str) -> None:
        """Say it as mkinitcpio does; the exit status will be 1."""
        self.messages.append(f"==> ERROR: {text}")
        self.status = 1


def build(
    config: Config, *, host_root: Path, tree: ModuleTree, modaliases: Sequence[str], target: Path
) -> Built:
    """Write the part of the initramfs that depends on the configuration to `target`.

    `host_root` holds the host's /etc as rendered; `modaliases` are those of the machine's devices, which
    autodetect looks at. Never raises for what the configuration gets wrong: that is in the result.
    """
    image = assemble(config, host_root=host_root, tree=tree, modaliases=modaliases)
    if image.status:
        image.messages.append(INCOMPLETE)
    with target.open("wb") as stream:
        archive.write(image.entries, stream)
    said = tuple(line for line in image.messages if line.startswith(("==> ERROR", "==> WARNING")))
    return Built(status=image.status, messages=said, stand_ins=tuple(image.stand_ins))


INCOMPLETE = "==> WARNING: errors were encountered during the build. The image may not be complete."


def assemble(
    config: Config,
    *,
    host_root: Path,
    tree: ModuleTree,
    modaliases: Sequence[str],
    base: Mapping[str, str] | None = None,
) -> Image:
    """The members of the image besides those of `base` (see archive.contents)."""
    image = Image(start=_start(config.hooks))
    copier = Copier(root=host_root, base=base or {})
    machine = hooks.of_machine(tree, modaliases)
    chosen = hooks.Chosen()
    for hook in config.hooks:
        _run_hook(hook, image, chosen, host_root, tree, machine)
    if chosen.modconf:
        image.entries += _modprobe_d(host_root, copier)
    early = tuple(_early_modules(config, image, chosen, tree))
    # systemd's list is the array as it is written, whatever the kernel has (install/systemd).
    image.early = config.systemd_modules if image.start == "systemd" else early
    _binaries(config, image, copier)
    _files(config, image, copier)
    paths = tree.files(chosen.modules)
    if paths:
        image.messages.append("==> Generating module dependencies")
    else:
        image.messages.append(
            "==> WARNING: No modules were added to the image. This is probably not what you want."
        )
    image.entries += _module_entries(tree, paths, plain=tree.files([*machine, *early]))
    image.entries += _init(image)
    image.stand_ins += dict.fromkeys(chosen.stand_ins)
    return image


def _start(names: Sequence[str]) -> Start:
    """Whose /init is in the image: base and systemd put theirs there, the later one over the earlier."""
    inits = [name for name in names if name in {"base", "systemd"}]
    if not inits:
        return ""
    if inits[-1] == "systemd":
        return "systemd"
    return "udev" if "udev" in names else "base"


def _run_hook(
    hook: str, image: Image, chosen: hooks.Chosen, host_root: Path, tree: ModuleTree, machine: frozenset[str]
) -> None:
    own = [f"{folder}/{hook}" for folder in (_HOST_HOOKS, _PACKAGED_HOOKS)]
    there = [path for path in own if rooted.inside(host_root, path).is_file()]
    # /etc/initcpio goes before what packages install.
    known = own[0] not in there and hooks.run(hook, chosen, tree, machine)
    if known:
        image.messages.append(f"  -> Running build hook: [{hook}]")
    elif there:
        image.error(
            f"Hook '{hook}' is the host's own ({there[0]}); this substitute for mkinitcpio does not run it"
        )
    else:
        image.error(f"Hook '{hook}' cannot be found")


def _modprobe_d(host_root: Path, copier: Copier) -> Iterator[archive.Entry]:
    for folder in _MODPROBE_D:
        for path in sorted(rooted.inside(host_root, folder).glob("*.conf")):
            try:
                yield from copier.file(f"{folder}/{path.name}")
            except Missing:
                continue


def _early_modules(config: Config, image: Image, chosen: hooks.Chosen, tree: ModuleTree) -> Iterator[str]:
    """Add MODULES; those that init loads.

    One that is built in, or found only by a name that it goes by, is not loaded (parse_config() of v41).
    """
    for written in config.modules:
        name = written.removesuffix("?").replace("-", "_")
        if tree.has(name):
            chosen.modules.add(name)
            if tree.is_module(name):
                yield name
        elif not written.endswith("?"):
            image.error(f"module not found: '{name}'")


def _binaries(config: Config, image: Image, copier: Copier) -> None:
    for name in config.binaries:
        try:
            entries, errors, warnings = copier.program(name)
        except Missing as missing:
            image.error(str(missing))
            continue
        image.entries += entries
        image.messages += [f"==> WARNING: {text}" for text in warnings]
        for text in errors:
            image.error(text)


def _files(config: Config, image: Image, copier: Copier) -> None:
    for name in config.files:
        try:
            image.entries += copier.file(name)
        except Missing as missing:
            image.error(str(missing))


def _module_entries(tree: ModuleTree, paths: Iterable[str], *, plain: set[str]) -> Iterator[archive.Entry]:
    """Module files, those of `plain`, which may well be loaded, unpacked; and the indexes of all."""
    base = f"usr/lib/modules/{tree.release}"
    for path in sorted(paths):
        data = (tree.directory / path).read_bytes()
        yield archive.file(f"{base}/{path}", unpacked(data) if path in plain else data)
    for name in INDEXES:
        index = tree.directory / name
        if index.exists():
            yield archive.file(f"{base}/{name}", index.read_bytes())


def _init(image: Image) -> Iterator[archive.Entry]:
    yield archive.directory("new_root")
    if not image.start:
        return
    if image.start == "systemd":
        image.stand_ins.append(_SYSTEMD)
    settings = f"start={image.start}\nearly_modules={shlex.quote(' '.join(image.early))}\n"
    yield archive.file("init", INIT.read_bytes(), executable=True)
    yield archive.file("dryboot-root", ROOT.read_bytes())
    yield archive.file("dryboot-modules", settings.encode())
