"""Which Q35 machine types a QEMU release has, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pipeline.facts import table
from pipeline.facts import version as versions
from pipeline.facts.version import parts


class Status(Enum):
    """What a QEMU release does with a machine type."""

    SUPPORTED = "supported"
    DEPRECATED = "deprecated"
    REMOVED = "removed"
    NOT_YET = "not yet there"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Something that happened to a machine type, with its source."""

    text: str
    source: str


def version_of(machine: str) -> str | None:
    """`pc-q35-9.2` to `9.2`; None for the unversioned `q35` and for other boards."""
    head, _, version = machine.rpartition("-")
    return version if head == "pc-q35" else None


def order(machine: str) -> tuple[int, ...]:
    """The version to sort by, oldest first; what has none comes before."""
    return versions.order(version_of(machine) or "0")


def status(machine: str, *, qemu: str) -> Status:
    """What the release `qemu` (such as 11.1) does with `machine`."""
    version = version_of(machine)
    if version is None or version not in table("machines")["q35"]["versions"]:
        return Status.UNKNOWN
    if parts(version)[:2] > parts(qemu):
        return Status.NOT_YET
    policy = table("machines")["policy"]
    if parts(qemu) >= parts(policy["removal_since"]) and _expired(
        version, qemu, policy["removed_after_majors"]
    ):
        return Status.REMOVED
    if parts(qemu) >= parts(policy["deprecation_since"]) and _expired(
        version, qemu, policy["deprecated_after_majors"]
    ):
        return Status.DEPRECATED
    return Status.SUPPORTED


def _expired(version: str, qemu: str, majors: int) -> bool:
    major, minor = parts(qemu)
    return parts(version)[:2] <= (major - majors, minor)


def available(qemu: str) -> tuple[str, ...]:
    """The Q35 machine types that the release has, oldest first."""
    names = (f"pc-q35-{version}" for version in table("machines")["q35"]["versions"])
    return tuple(name for name in names if status(name, qemu=qemu) in {Status.SUPPORTED, Status.DEPRECATED})


def newest_qemu() -> str:
    """The newest QEMU release that is known here."""
    newest: str = table("machines")["q35"]["versions"][-1]
    return newest


def nearest(machine: str, *, qemu: str) -> str | None:
    """The available machine type closest to `machine`: the oldest newer one, else the newest.

    Not a deprecated one.
    """
    version = version_of(machine)
    names = [name for name in available(qemu) if status(name, qemu=qemu) is Status.SUPPORTED]
    if not names:
        return None
    if version is None:
        return names[-1]
    newer = [name for name in names if parts(version_of(name) or "0") >= parts(version)]
    return newer[0] if newer else names[-1]


def note(machine: str) -> Note | None:
    """What is known to have happened to a machine type."""
    version = version_of(machine)
    for entry in table("machines")["note"]:
        if entry["version"] == version:
            return Note(text=entry["text"], source=entry["source"])
    return None


def policy_source() -> str:
    """Where the rule of deprecation and removal is written."""
    source: str = table("machines")["policy"]["source"]
    return source
