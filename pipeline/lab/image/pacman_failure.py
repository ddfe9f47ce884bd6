"""Why pacman failed: every failure exits 1, only its text (under LC_ALL=C) tells them apart.

What another mirror, branch, kernel or keyring would mend is BadInput (NoRepository, MissingPackage, UnknownKey,
UntrustedKey). What broke on the way or on the mirror itself is LabFault (Unreachable, MissingDependency,
BadSignature, CorruptedPackage, PacmanFailed).
"""

from __future__ import annotations

import re

from pipeline.errors import BadInput, DrybootError, LabFault

_LAST_LINES = 15
_RETRIEVING = re.compile(r"error: failed retrieving file '([^']+)' from (\S+) : (.+)")
# curl's words for an answer that says no, and for a file:// address with nothing there.
_ABSENT = re.compile(r"returned error: (?:403|404|410)\b|Couldn't open file")
_KEY = r'"?([0-9A-Fa-f]{8,40})"?'
_UNKNOWN = (
    re.compile(rf"key {_KEY} is unknown"),
    re.compile(rf"key {_KEY} could not be looked up remotely"),
    re.compile(r"error: (required key missing from keyring)"),
)
_UNTRUSTED = re.compile(
    r'error: (\S+): (?:signature from "(.*)" is (?:unknown|marginal|never) trust|key "(.*)" is disabled)'
)
_INVALID = re.compile(r'error: (\S+): signature from "(.*)" is invalid')
_UNSIGNED = re.compile(r"error: (\S+): missing required signature")
_CORRUPTED = re.compile(r"invalid or corrupted (?:package|database)|could not open file .*archive format")
_DAMAGED = re.compile(r"(?::: File|error: could not open file) (?:\S*/)?([^/\s:]+)")

_OTHER_MIRROR = "only signed packages as they were signed are installed; name another mirror"


class Unreachable(LabFault):
    """The mirror does not answer; trying again may help."""


class NoRepository(BadInput):
    """The mirror answers, but there is no repository of this branch."""


class MissingPackage(BadInput):
    """The mirror does not have a package: the kernel or the branch is one that it does not carry."""


class MissingDependency(LabFault):
    """The mirror has a package, but not what that one needs."""


class BadSignature(LabFault):
    """A package and its signature do not belong together, or it has none."""


class UnknownKey(BadInput):
    """A package is signed with a key that is not in the keyring."""


class UntrustedKey(BadInput):
    """A package is signed with a key of the keyring that nobody vouches for (not locally signed)."""


class CorruptedPackage(LabFault):
    """A package or database is not what its name says, whoever signed it."""


class PacmanFailed(LabFault):
    """Any other failure, with the last lines of what was said."""


def failure(text: str, *, server: str, keyring: str) -> DrybootError:
    """The error that pacstrap's whole output `text` means.

    `server` is the mirror with its layout, `keyring` what was populated; both only for the message.
    """
    return (
        _not_retrieved(text, server)
        or _not_there(text, server)
        or _not_trusted(text, server, keyring)
        or _not_whole(text, server)
        or PacmanFailed(f"pacman failed:\n{last_lines(text)}")
    )


def last_lines(text: str) -> str:
    """The end of an output, for a message."""
    return "\n".join(text.strip().splitlines()[-_LAST_LINES:])


def _not_retrieved(text: str, server: str) -> DrybootError | None:
    failed = _RETRIEVING.findall(text)
    if not failed:
        return None
    for _, _, reason in failed:
        if not _ABSENT.search(reason):
            return Unreachable(
                f"the mirror {server} does not answer: {reason.strip()}",
                hint="look at the network and the mirror's address, or name another mirror",
            )
    name, _, reason = failed[0]
    if name.endswith(".db"):
        return NoRepository(
            f"the mirror {server} has no repository {name.removesuffix('.db')}: {reason.strip()}",
            hint="the address of a mirror ends before the branch or repository; look at the branch too",
        )
    if name.endswith(".sig"):
        return BadSignature(
            f"{name.removesuffix('.sig')} on the mirror {server} has no signature",
            hint=_OTHER_MIRROR,
        )
    return MissingPackage(
        f"the mirror {server} lists {name}, but does not have it",
        hint="it may be in the middle of an update: try again later, or name another mirror",
    )


def _not_there(text: str, server: str) -> DrybootError | None:
    absent = re.findall(r"error: target not found: (\S+)", text)
    if absent:
        return MissingPackage(
            f"the mirror {server} does not have {', '.join(absent)}",
            hint="choose a kernel series and a branch that the mirror carries, or another mirror",
        )
    wanted = re.findall(r"unable to satisfy dependency '([^']+)' required by (\S+)", text)
    if wanted or "could not satisfy dependencies" in text:
        said = ", ".join(f"{name} (needed by {by})" for name, by in wanted) or "dependencies"
        return MissingDependency(
            f"the mirror {server} does not have {said}",
            hint="it may be in the middle of an update: try again later, or name another mirror",
        )
    return None


def _not_trusted(text: str, server: str, keyring: str) -> DrybootError | None:
    if invalid := _INVALID.search(text):
        return BadSignature(
            f'{invalid[1]} of the mirror {server} was changed after it was signed: its signature from "{invalid[2]}" '
            "is invalid",
            hint=_OTHER_MIRROR,
        )
    if unsigned := _UNSIGNED.search(text):
        return BadSignature(f"{unsigned[1]} of the mirror {server} has no signature", hint=_OTHER_MIRROR)
    if untrusted := _UNTRUSTED.search(text):
        return UntrustedKey(
            f"{untrusted[1]} of the mirror {server} is signed by {untrusted[2] or untrusted[3]}, "
            f"a key that is not trusted in {keyring} (not locally signed)",
            hint="NAME-trusted beside NAME.gpg lists the keys that are to be trusted; take both from the distribution",
        )
    for pattern in _UNKNOWN:
        if unknown := pattern.search(text):
            key = f"the key {unknown[1]}" if pattern is not _UNKNOWN[-1] else "a key"
            return UnknownKey(
                f"the mirror {server} has packages signed with {key} that is not in {keyring}",
                hint="install the distribution's newest keyring package, or name the keyring of the mirror",
            )
    return None


def _not_whole(text: str, server: str) -> DrybootError | None:
    if not _CORRUPTED.search(text):
        return None
    damaged = _DAMAGED.search(text)
    return CorruptedPackage(
        f"{damaged[1] if damaged else 'a package'} of the mirror {server} is damaged",
        hint="try again, or name another mirror",
    )
