"""The modules of a kernel: files, dependencies, aliases, built-ins.

Source: kmod's modules.dep(5) and the other indexes that depmod writes beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

_PATTERN = frozenset("*?[")
_SUFFIX = re.compile(r"\.ko(\.xz|\.zst|\.gz)?$")
# Modules that no index names and mkinitcpio adds (add_module() of v41).
_QUIRKS = MappingProxyType(
    {
        "fat": ("nls_ascii", "nls_cp437"),
        "ocfs2": ("configfs",),
        "btrfs": ("libcrc32c",),
        "f2fs": ("crypto_crc32",),
        "ext4": ("crypto_crc32c",),
    }
)


def module_name(path: str) -> str:
    """`kernel/drivers/vfio/pci/vfio-pci.ko.xz` to `vfio_pci`."""
    return _SUFFIX.sub("", path.rsplit("/", 1)[-1]).replace("-", "_")


class ModuleTree:
    """The modules of one kernel release under `root`/usr/lib/modules."""

    def __init__(self, root: Path, release: str) -> None:
        self.release = release
        self.directory = root / "usr/lib/modules" / release

    def _lines(self, name: str) -> list[str]:
        path = self.directory / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    @cached_property
    def _dependencies(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        found = {}
        for line in self._lines("modules.dep"):
            path, _, needs = line.partition(":")
            found[module_name(path)] = (path, tuple(needs.split()))
        return found

    @cached_property
    def built_in(self) -> frozenset[str]:
        """Names of what is compiled into the kernel, and the names that it goes by besides."""
        path = self.directory / "modules.builtin.modinfo"
        fields = path.read_bytes().decode(errors="replace").split("\0") if path.exists() else []
        aliases = (field.partition(".alias=")[2] for field in fields if ".alias=" in field)
        return frozenset(
            [module_name(line) for line in self._lines("modules.builtin")]
            + [alias.replace("-", "_") for alias in aliases if ":" not in alias]
        )

    @cached_property
    def _aliases(self) -> list[tuple[str, str]]:
        lines = (line.split() for line in self._lines("modules.alias"))
        return [(parts[1], parts[2]) for parts in lines if len(parts) == 3 and parts[0] == "alias"]

    @cached_property
    def _named_aliases(self) -> dict[str, list[str]]:
        """Aliases that are names, not patterns: softdeps such as ext4's crc32c use them."""
        found: dict[str, list[str]] = {}
        for pattern, name in self._aliases:
            if not _PATTERN & set(pattern):
                found.setdefault(pattern.replace("-", "_"), []).append(name.replace("-", "_"))
        return found

    @cached_property
    def _softdeps(self) -> dict[str, list[str]]:
        """Of each module; it may have several lines."""
        found: dict[str, list[str]] = {}
        for line in self._lines("modules.softdep"):
            parts = line.split()
            if len(parts) > 2 and parts[0] == "softdep":
                found.setdefault(parts[1].replace("-", "_"), []).extend(
                    part.replace("-", "_") for part in parts[2:] if not part.endswith(":")
                )
        return found

    def is_module(self, name: str) -> bool:
        """Whether `name` is the name of a module that is a file."""
        return name.replace("-", "_") in self._dependencies

    def has(self, name: str) -> bool:
        """Whether the kernel has `name`, as a module, by a name that a module goes by, or built in."""
        name = name.replace("-", "_")
        return name in self._dependencies or name in self.built_in or name in self._named_aliases

    def matching(self, pattern: re.Pattern[str], *, without: re.Pattern[str] | None = None) -> set[str]:
        """Names of the modules whose path (`/kernel/fs/ext4/ext4.ko`) `pattern` finds and `without` does not."""
        return {
            name
            for name, (path, _) in self._dependencies.items()
            if pattern.search(f"/{path}") and not (without and without.search(f"/{path}"))
        }

    def files(self, names: Iterable[str]) -> set[str]:
        """Paths below the tree's directory of the named modules and everything they need."""
        found: set[str] = set()
        todo = [name.replace("-", "_") for name in names]
        seen: set[str] = set()
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            if name not in self._dependencies:
                todo += self._named_aliases.get(name, ())
                continue
            path, needs = self._dependencies[name]
            found.add(path)
            todo += [module_name(need) for need in needs]
            todo += self._softdeps.get(name, ())
            todo += _QUIRKS.get(name, ())
        return found

    def path_of(self, name: str) -> str:
        """Where the module's file is, empty for one that is built in or unknown."""
        return self._dependencies.get(name.replace("-", "_"), ("", ()))[0]

    def named(self, name: str) -> set[str]:
        """Names of the modules that go by `name`, as `modprobe --resolve-alias` finds them."""
        name = name.replace("-", "_")
        return {name} if name in self._dependencies else set(self._named_aliases.get(name, ()))

    def for_modalias(self, modalias: str) -> set[str]:
        """Names of the modules that claim a device, as `modprobe --resolve-alias` finds them."""
        bus = modalias.partition(":")[0] + ":"
        return {
            name.replace("-", "_")
            for pattern, name in self._aliases
            if pattern.startswith(bus) and fnmatchcase(modalias, pattern)
        }
