"""Files and programs of the host, copied into an image with what they need."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.lab.initcpio import archive, elf, rooted
from pipeline.lab.initcpio.archive import Entry

# Where Arch has its programs, and where Debian has those for root.
_PATH = ("/usr/bin", "/bin", "/usr/sbin", "/sbin")


class Missing(Exception):
    """A file or program that the host does not have; the text is mkinitcpio's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Copier:
    """Copies from the host at `root` into an image that starts with the members of `base`.

    `base` maps paths to the targets of links (see archive.contents): the kernel would replace a link by a
    directory of that name, so what goes below a link goes to its target.
    """

    root: Path
    base: Mapping[str, str] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """Where a path of the host is in the image, without leading slash."""
        parts = path.strip("/").split("/")
        for length in range(1, len(parts)):
            target = self.base.get("/".join(parts[:length]))
            if target:
                above = "/".join(parts[: length - 1])
                return self.place(posixpath.normpath(posixpath.join(above, target, *parts[length:])))
        return "/".join(parts)

    def file(self, name: str) -> Iterator[Entry]:
        """A file; one that is reached by a link with that link. Raises Missing."""
        folder, _, last = name.rpartition("/")
        try:
            there, target = (
                f"{rooted.real(self.root, folder).rstrip('/')}/{last}",
                rooted.real(self.root, name),
            )
            source = self.root / target.lstrip("/")
            mode = stat.S_IMODE(source.stat().st_mode)
            if not source.is_file():
                raise Missing(f"file not found: '{name}'")
            yield Entry(path=self.place(target), mode=stat.S_IFREG | mode, data=source.read_bytes())
        except (OSError, ValueError):
            raise Missing(f"file not found: '{name}'") from None
        if last not in {"", ".", ".."} and there != target:
            yield archive.link(self.place(there), target)

    def program(self, name: str) -> tuple[list[Entry], list[str], list[str]]:
        """A program with its libraries: members, errors, warnings. Raises Missing where there is no program."""
        path = name
        if not name.startswith("/"):
            path = next((one for one in (f"{folder}/{name}" for folder in _PATH) if self._is_file(one)), "")
            if not path:
                raise Missing(f"binary not found: '{name}'")
        entries = list(self.file(path))
        errors: list[str] = []
        warnings = [
            f"Possibly missing '{one}' for script: {path}" for one in self._interpreter(entries[0].data)
        ]
        try:
            for library, found in elf.libraries(self.root, path):
                if not found:
                    errors.append(f"binary dependency '{library}' not found for '{name}'")
                elif self.place(found) not in self.base:
                    entries += self.file(found)
        except (OSError, ValueError) as error:
            errors.append(f"'{name}' cannot be read: {error}")
        return entries, errors, warnings

    def _is_file(self, path: str) -> bool:
        try:
            return rooted.inside(self.root, path).is_file()
        except OSError:
            return False

    def _interpreter(self, data: bytes) -> Iterator[str]:
        """The program that a script names and the image lacks."""
        words = (
            data[2:].partition(b"\n")[0].decode(errors="replace").split() if data.startswith(b"#!") else []
        )
        if words and words[0] == "/usr/bin/env":
            words = words[1:]
        if not words:
            return
        candidates = [words[0]] if words[0].startswith("/") else [f"/usr/bin/{words[0]}"]
        if not any(self.place(one) in self.base for one in candidates):
            yield words[0]
