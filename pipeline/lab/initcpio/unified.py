"""Puts a unified kernel image together, as mkinitcpio's build_uki does with ukify (archlinux/mkinitcpio v41)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.lab.initcpio import rooted
from pipeline.lab.initcpio.outcome import UnifiedImage

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_CMDLINE = ("/etc/kernel/cmdline", "/usr/lib/kernel/cmdline")
_CMDLINE_DROP_INS = "/etc/cmdline.d"
_SCRATCH = "/run/dryboot-uki"
_SECONDS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembled:
    """How it ended: exit status, lines as mkinitcpio prints them, and what was not done as it does it."""

    status: int
    messages: tuple[str, ...]
    stand_ins: tuple[str, ...] = ()


class _NotFound(Exception):
    """A file that the image needs is missing; the text is mkinitcpio's."""


def assemble(root: Path, wanted: UnifiedImage) -> Assembled:
    """Write `wanted` below `root`, with the ukify that is installed there: `root` must be one to change into."""
    messages = [f"==> Creating unified kernel image: '{wanted.path}'"]
    options = dict(wanted.options)
    scratch = rooted.inside(root, _SCRATCH)
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        sections = {"os-release": _os_release(root, wanted, options)}
        if "no-cmdline" not in options:
            sections["cmdline"] = _command_line(root, options)
        kernel = _first(root, "kernel image", [options.get("kernelimage", ""), wanted.kernel])
        splash = _first(root, "splash image", [options["splash"]]) if "splash" in options else ""
    except _NotFound as missing:
        return Assembled(status=1, messages=(*messages, f"==> ERROR: {missing}"))
    argv = ["ukify", "build", f"--uname={wanted.release}", f"--linux={kernel}", f"--output={wanted.path}"]
    argv += [f"--splash={splash}"] if splash else []
    (scratch / "initrd").write_bytes(wanted.initramfs)
    argv.append(f"--initrd={_SCRATCH}/initrd")
    for name, text in sections.items():
        (scratch / name).write_text(text)
        argv.append(f"--{name}=@{_SCRATCH}/{name}")
    done = _ukify(root, argv)
    messages += done.messages
    if done.status:
        messages.append("==> ERROR: Unified kernel image generation FAILED")
        return Assembled(status=1, messages=tuple(messages))
    messages.append("==> Unified kernel image generation successful")
    return Assembled(
        status=0,
        messages=tuple(messages),
        stand_ins=(f"{wanted.path} was put together by the ukify of the lab's host",),
    )


def _ukify(root: Path, argv: Sequence[str]) -> Assembled:
    try:
        done = subprocess.run(
            ["chroot", str(root), *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Assembled(status=124, messages=(f"ukify did not come to its end in {_SECONDS} s",))
    return Assembled(status=done.returncode, messages=tuple(done.stdout.splitlines()))


def _os_release(root: Path, wanted: UnifiedImage, options: dict[str, str]) -> str:
    path = _first(root, "os-release file", [options.get("osrelease", ""), *_OS_RELEASE])
    suffix = wanted.preset.rpartition("-")[2]
    version = wanted.release if suffix in {"", "default"} else f"{wanted.release}~{suffix}"
    lines = rooted.inside(root, path).read_text(errors="replace").splitlines()
    rest = [line for line in lines if not line.startswith("VERSION_ID=")]
    return "".join(f"{line}\n" for line in [f"VERSION_ID={version}", *rest])


def _command_line(root: Path, options: dict[str, str]) -> str:
    """The command line: lines that are no comments, of the files that mkinitcpio takes, as one."""
    paths = list(_command_line_files(root, options.get("cmdline", "")))
    if not paths:
        raise _NotFound(
            "no cmdline files were found and --cmdline is not set: mkinitcpio takes the command line of the system "
            "that runs, /proc/cmdline"
        )
    lines = [line for path in paths for line in path.read_text(errors="replace").splitlines()]
    return " ".join(line for line in lines if re.match(r"[^#]", line)) + " "


def _command_line_files(root: Path, given: str) -> Iterator[Path]:
    """The file or the directory of drop-ins that is given counts alone."""
    if given and _is_file(root, given):
        yield rooted.inside(root, given)
        return
    drop_ins = rooted.inside(root, given or _CMDLINE_DROP_INS)
    if not (given and drop_ins.is_dir()):
        for path in [path for path in _CMDLINE if _is_file(root, path)][:1]:
            yield rooted.inside(root, path)
        drop_ins = rooted.inside(root, _CMDLINE_DROP_INS)
    if drop_ins.is_dir():
        yield from (path for path in sorted(drop_ins.rglob("*.conf")) if path.is_file())


def _first(root: Path, what: str, paths: Sequence[str]) -> str:
    """The first of `paths` that is a file."""
    tried = [path for path in paths if path]
    for path in tried:
        if _is_file(root, path):
            return path
    raise _NotFound(f"{what.capitalize()} not found: '{tried[0] if tried else ''}'")


def _is_file(root: Path, path: str) -> bool:
    try:
        return rooted.inside(root, path).is_file()
    except OSError:
        return False
