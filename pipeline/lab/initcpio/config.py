"""Reads mkinitcpio's configuration and presets: bash files, so bash reads them.

Source: mkinitcpio.conf(5), mkinitcpio(8); measured against mkinitcpio v41.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import LabFault

_READ_CONFIG = r"""
set +u
. "$1" >&2 || exit 9
for name in MODULES BINARIES FILES HOOKS; do
    declare -n array=$name
    printf '%s\0%s\0' "$name" "${#array[@]}"
    if (( ${#array[@]} )); then printf '%s\0' "${array[@]}"; fi
done
"""
_READ_PRESET = r"""
. "$1" >&2 || exit 9
printf '%s\0' "${ALL_kver}" "${ALL_config}"
for name in "${PRESETS[@]}"; do
    image=${name}_image kver=${name}_kver config=${name}_config options=${name}_options
    [ "$(declare -p "$options" 2>/dev/null | cut -c1-10)" = 'declare -a' ] && options="${options}[*]"
    printf '%s\0' "$name" "${!image}" "${!kver}" "${!config}" "${!options}"
done
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """What a mkinitcpio.conf asks for."""

    modules: tuple[str, ...]
    binaries: tuple[str, ...]
    files: tuple[str, ...]
    hooks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """One image of a preset file."""

    name: str
    image: str
    kernel: str
    config: str
    options: tuple[str, ...]


def read_config(path: Path) -> Config:
    """Let bash read a mkinitcpio.conf; raises ValueError with bash's message where it cannot."""
    fields = _bash(_READ_CONFIG, path)
    arrays: dict[str, tuple[str, ...]] = {}
    while fields:
        name, count = fields[0], int(fields[1])
        arrays[name] = tuple(fields[2 : 2 + count])
        fields = fields[2 + count :]
    return Config(
        modules=arrays["MODULES"],
        binaries=arrays["BINARIES"],
        files=arrays["FILES"],
        hooks=arrays["HOOKS"],
    )


def read_preset(path: Path) -> tuple[Preset, ...]:
    """Let bash read a preset; raises ValueError with bash's message where it cannot."""
    fields = _bash(_READ_PRESET, path)
    all_kernel, all_config, rest = fields[0], fields[1], fields[2:]
    return tuple(
        Preset(
            name=rest[i],
            image=rest[i + 1],
            kernel=rest[i + 2] or all_kernel,
            config=rest[i + 3] or all_config,
            options=tuple(rest[i + 4].split()),
        )
        for i in range(0, len(rest), 5)
    )


def _bash(script: str, path: Path) -> list[str]:
    try:
        done = subprocess.run(
            ["bash", "--norc", "--noprofile", "-c", f"{script}printf 'end\\0'", "bash", str(path)],
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabFault(f"bash could not read {path.name}: {error}") from error
    if done.returncode:
        raise ValueError(done.stderr.decode(errors="replace").strip() or f"bash ended with {done.returncode}")
    *fields, end = done.stdout.decode(errors="replace").split("\0")[:-1] or [""]
    if end != "end":
        raise ValueError(f"{path.name} does not come to its end")
    return fields
