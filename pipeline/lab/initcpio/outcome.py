"""What a run of mkinitcpio says, writes and leaves to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.lab.initcpio import rooted
from pipeline.lab.initcpio.build import Start


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """An image that was written: its path on the host, the kernel's release, whose init it has, what that loads.

    `start` is "udev", "systemd", "base" (no hotplug) or empty (no /init at all); `preset` is empty for -g.
    """

    path: str
    release: str
    start: Start
    early: tuple[str, ...]
    preset: str


@dataclass(frozen=True, kw_only=True, slots=True)
class UnifiedImage:
    """A unified kernel image that was asked for: path on the host and what goes into it; nothing is written yet.

    `kernel` is a path on the host, `options` are those for unified images (cmdline, splash, ...).
    """

    path: str
    preset: str
    release: str
    kernel: str
    options: tuple[tuple[str, str], ...]
    initramfs: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What the command did: exit status, lines as it prints them, images, and what its user should know.

    `notes` are consequences that the real one does not tell; `stand_ins` say where this is not the real one.
    """

    status: int
    messages: tuple[str, ...]
    images: tuple[Written, ...] = ()
    unified: tuple[UnifiedImage, ...] = ()
    notes: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()


class Die(Exception):
    """Ends a build with an error message, before anything is written."""


@dataclass(kw_only=True, slots=True)
class Host:
    """The host on which the command runs, and what came of it so far."""

    root: Path
    base: Path
    modaliases: Sequence[str]
    running: str
    messages: list[str] = field(default_factory=list)
    images: list[Written] = field(default_factory=list)
    unified: list[UnifiedImage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stand_ins: list[str] = field(default_factory=list)

    def msg(self, text: str) -> None:
        """A line of progress."""
        self.messages.append(f"==> {text}")

    def warning(self, text: str) -> None:
        """A warning; the exit status stays."""
        self.messages.append(f"==> WARNING: {text}")

    def error(self, text: str) -> None:
        """An error message; the exit status is the caller's."""
        self.messages.append(f"==> ERROR: {text}")

    def path(self, path: str) -> Path:
        """Where a path of the host is; raises OSError where links go in a circle."""
        return rooted.inside(self.root, path)
