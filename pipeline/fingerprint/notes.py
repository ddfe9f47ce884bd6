"""The facts of one section while a reader finds them, and how values become text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from pipeline.fingerprint.model import Fingerprint

MOST = 4000
"""Facts of a section; a real machine has a few hundred. A guest that writes its own tables must not fill the disk."""
LONGEST = 300
"""Characters of a value or a part of a path."""


@dataclass(kw_only=True, slots=True)
class Notes:
    """Facts below `section`. Whatever the guest wrote into names and values comes out as one short line."""

    section: str
    facts: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def fact(self, path: str, value: object) -> None:
        """Note `SECTION/path`; a path that is taken gets a number."""
        if len(self.facts) >= MOST:
            self.left_out[self.section] = f"more than {MOST} facts"
            return
        self.facts[self.free(f"{self.section}/{plain(path)}")] = plain(_text(value))

    def free(self, path: str) -> str:
        """`path`, or the first of `path#2`, `path#3` ... that has no fact."""
        taken, count = path, 1
        while taken in self.facts:
            count += 1
            taken = f"{path}#{count}"
        return taken

    def place(self, path: str) -> str:
        """`path` below the section, with a number where it is taken: for facts that go together."""
        return self.free(f"{self.section}/{path}").removeprefix(f"{self.section}/")

    def leave_out(self, path: str, reason: str) -> None:
        """Note why `path` of the section (all of it where it is empty) has no facts."""
        self.left_out["/".join(filter(None, (self.section, plain(path))))] = plain(reason)

    def fingerprint(self) -> Fingerprint:
        """What was noted."""
        return Fingerprint(facts=dict(self.facts), left_out=dict(self.left_out))


def plain(text: str) -> str:
    """One line of at most LONGEST characters, all of them printable."""
    line = "".join(sign if sign.isprintable() else "\ufffd" for sign in text[: LONGEST + 1]).strip()
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def digest(data: bytes) -> str:
    """The first 16 digits of the SHA-256 of `data`: to tell two apart, not to prove anything."""
    return hashlib.sha256(data).hexdigest()[:16]


def number(data: bytes, at: int, size: int) -> int:
    """A little-endian number; what is beyond the end reads as zero."""
    return int.from_bytes(data[at : at + size], "little")


def latin(data: bytes) -> str:
    """Text of a fixed field, without the padding."""
    return data.rstrip(b"\0 ").decode("ascii", errors="replace")


def amount(size: int) -> str:
    """Bytes as people write them: `256 MiB`, and exactly."""
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size and size % (1 << power) == 0:
            return f"{size >> power} {unit}"
    return f"{size} bytes"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
