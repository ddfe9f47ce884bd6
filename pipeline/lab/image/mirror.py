"""Asks whether a mirror of pacman's packages answers, and remembers for a while when it did not."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from typing import Literal

from pipeline.errors import BadInput
from pipeline.facts.mirrors import Mirrors, mirrors
from pipeline.lab import cache

Distribution = Literal["manjaro", "arch"]

ARCHITECTURE = "x86_64"
_ANSWER_SECONDS = 3.0
_REMEMBERED_SECONDS = 6 * 3600
_MIRROR = re.compile(r"(?:https?://[A-Za-z0-9\[]|file:///)[A-Za-z0-9._~%:/+,=\[\]-]*")


def server_of(known: Mirrors, mirror: str, branch: str) -> str:
    """The value of pacman.conf's Server. Raises BadInput for a mirror or branch that cannot be one."""
    if not _MIRROR.fullmatch(mirror):
        raise BadInput(
            f"{mirror!r} cannot be a mirror",
            hint="an address that begins with https://, http:// or file:///, special characters as %XX",
        )
    if branch not in known.branches:
        raise BadInput(
            f"{known.name} has no branch {branch!r}", hint=f"its branches: {', '.join(known.branches)}"
        )
    return known.server(mirror, branch=branch)


def answers(mirror: str, *, distribution: Distribution, branch: str) -> bool:
    """Whether `mirror` has the branch's first repository, and says so within three seconds.

    Raises BadInput for a mirror or branch that cannot be one.
    """
    return first_answer((mirror,), distribution=distribution, branch=branch) == mirror


def first_answer(candidates: tuple[str, ...], *, distribution: Distribution, branch: str) -> str:
    """The first of `candidates` to have the branch's first repository; empty where none says so in three seconds.

    Raises BadInput for a mirror or branch that cannot be one.
    """
    known = mirrors(distribution)
    repository = known.branches[branch][0] if branch in known.branches else ""
    found: list[str] = []
    heard = threading.Event()
    left = threading.Semaphore(0)

    def ask(mirror: str, address: str) -> None:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(address, method="HEAD"), timeout=_ANSWER_SECONDS
            ):
                found.append(mirror)
                heard.set()
        except (OSError, ValueError):
            pass
        finally:
            left.release()

    for mirror in candidates:
        server = server_of(known, mirror, branch).replace("$repo", repository).replace("$arch", ARCHITECTURE)
        # A thread, for the time-out of a connection does not bound the look-up of its name.
        threading.Thread(target=ask, args=(mirror, f"{server}/{repository}.db"), daemon=True).start()
    deadline = time.monotonic() + _ANSWER_SECONDS
    for _ in candidates:
        if not left.acquire(timeout=max(0, deadline - time.monotonic())) or heard.is_set():
            break
    return found[0] if found else ""


def remember(subject: str, problem: str) -> None:
    """Keep for a few hours why there is nothing to be had of `subject`."""
    path = cache.root() / "mirrors" / cache.key(subject)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(problem, encoding="utf-8")


def remembered(subject: str) -> str:
    """Why there was nothing to be had of `subject` a few hours ago; empty where nothing is known."""
    path = cache.root() / "mirrors" / cache.key(subject)
    try:
        fresh = 0 <= time.time() - path.stat().st_mtime < _REMEMBERED_SECONDS
        return path.read_text(encoding="utf-8") if fresh else ""
    except FileNotFoundError:
        return ""
