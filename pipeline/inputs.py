"""What lint looks at: a scenario, or files as they are on a machine or in a bundle."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import BadInput, Place
from pipeline.setup import Setup

if TYPE_CHECKING:
    from pipeline.files.tree import Tree

_LIMIT = 8 << 20
_RELEASE = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A file that may be written: `path`, relative to `root` where it must not lie outside that directory."""

    path: Path
    root: Path | None = None


class Input(Protocol):
    """One thing to lint. Files are named as the places of its set-up name them."""

    @property
    def shown(self) -> str:
        """What stands for it as a whole: a file or a directory."""
        ...

    def setup(self, changed: Mapping[str, str]) -> Setup:
        """The set-up, with the texts of some files in place of what is on disk; raises BadInput."""
        ...

    def target(self, file: str) -> Target | None:
        """Where a file is, None for what is no file of this input."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenarioInput:
    """A scenario by name or path, relative to `base`, with `--set` settings."""

    name: str
    base: Path
    settings: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """See Input."""
        from pipeline import scenario as scenarios

        return scenarios.called(self.name)

    def setup(self, changed: Mapping[str, str]) -> Setup:
        """See Input."""
        from pipeline import scenario as scenarios
        from pipeline.plan import resolve
        from pipeline.setup.from_plan import from_plan

        if changed:
            ((file, text),) = changed.items()
            loaded = scenarios.loads(text, file=file, settings=self.settings)
        else:
            loaded = scenarios.read(self.name, base=self.base, settings=self.settings)
        return from_plan(resolve(loaded), loaded)

    def target(self, file: str) -> Target | None:
        """See Input."""
        from pipeline import scenario as scenarios

        return None if file.startswith("--") else Target(path=scenarios.find(self.name, base=self.base))


@dataclass(frozen=True, kw_only=True, slots=True)
class FilesInput:
    """The files below `root`, which stands for /, and domains and a list of PCI functions beside them.

    Without `root` the domains are all there is. `kernel` is a series, `qemu` a release; names are relative to `base`.
    """

    root: str = ""
    base: Path
    domains: tuple[str, ...] = ()
    lspci: str = ""
    kernel: str = ""
    qemu: str = ""

    @property
    def shown(self) -> str:
        """See Input."""
        return self.root or ", ".join(self.domains)

    def setup(self, changed: Mapping[str, str]) -> Setup:
        """See Input."""
        from pipeline.files import setup as files
        from pipeline.files.tree import Directory, Files

        texts = {file: text.encode("utf-8", "surrogateescape") for file, text in changed.items()}
        with closing(Directory(self.base / self.root)) if self.root else nullcontext(Files({})) as tree:
            setup = files.read_tree(
                _Changed(tree, {self._path(file): data for file, data in texts.items()}),
                shown=self.root,
                kernel=_release("--kernel", self.kernel),
                qemu=_release("--qemu", self.qemu),
                domains={name: texts.get(name) or _bytes(self.base, name) for name in self.domains},
                lspci=(self.lspci, _bytes(self.base, self.lspci)) if self.lspci else None,
            )
        return setup if setup.name else replace(setup, name=self.shown)

    def target(self, file: str) -> Target | None:
        """See Input."""
        if file in self.domains:
            return Target(path=self.base / file)
        if self.root and file.startswith(self._prefix) and file != self.lspci:
            return Target(path=Path(self._path(file)), root=self.base / self.root)
        return None

    @property
    def _prefix(self) -> str:
        return f"{self.root.rstrip('/')}/"

    def _path(self, file: str) -> str:
        return file.removeprefix(self._prefix)


class _Changed:
    """A tree in which some files have another content."""

    def __init__(self, tree: Tree, contents: Mapping[str, bytes]) -> None:
        self._contents = contents
        self.names = tree.names
        self.is_directory = tree.is_directory
        self.exists = tree.exists
        self.executable = tree.executable
        self.target = tree.target
        self._read = tree.read

    def read(self, path: str, *, limit: int = _LIMIT) -> bytes | None:
        """See pipeline.files.tree.Tree."""
        found = self._contents.get(path)
        return self._read(path, limit=limit) if found is None else found


def scenarios(names: Iterable[str], *, base: Path, settings: tuple[str, ...] = ()) -> Iterator[ScenarioInput]:
    """An input for each scenario; a directory stands for every YAML file in it, by name.

    Raises BadInput for a directory without any.
    """
    for name in names:
        folder = base / name
        try:
            inside = sorted(one.name for one in folder.iterdir()) if name and folder.is_dir() else None
        except (OSError, ValueError) as error:
            raise BadInput(f"cannot read {name!r}: {error}") from None
        if inside is None:
            yield ScenarioInput(name=name, base=base, settings=settings)
            continue
        found = [one for one in inside if one.endswith((".yaml", ".yml"))]
        if not found:
            raise BadInput("there is no YAML file in it", place=Place(file=name))
        for one in found:
            yield ScenarioInput(name=f"{name.rstrip('/')}/{one}", base=base, settings=settings)


def unknown(setup: Setup) -> tuple[str, ...]:
    """What is not known of a set-up, so that rules which need it were silent, with the option that tells it."""
    host = setup.host
    parts = {
        "the PCI functions (--lspci FILE)": setup.board,
        "the kernel (--kernel)": host.kernel,
        "QEMU (--qemu)": host.qemu,
        "any domain (--domain FILE)": setup.domains,
        "the maker of the processor (proc/cpuinfo)": host.cpu_vendor,
        "the distribution": host.distribution,
        "the kernel command line": host.command_line,
        "how the initramfs is made": host.initramfs,
    }
    return tuple(name for name, part in parts.items() if not part)


def _release(option: str, value: str) -> str | None:
    if value and not _RELEASE.fullmatch(value):
        raise BadInput(f"{option} {value!r} is no release", hint=f"two numbers, such as {option} 6.12")
    return value or None


def _bytes(base: Path, name: str) -> bytes:
    try:
        with (base / name).open("rb") as file:
            data = file.read(_LIMIT + 1)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"it cannot be read: {getattr(error, 'strerror', None) or error}", place=Place(file=name)
        ) from None
    if len(data) > _LIMIT:
        raise BadInput(f"it has more than {_LIMIT >> 20} MiB", place=Place(file=name))
    return data
