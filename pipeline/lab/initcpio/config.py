"""Reads mkinitcpio's configuration, its drop-ins and presets: bash files, so bash reads them.

Source: mkinitcpio.conf(5), mkinitcpio(8); measured against mkinitcpio v41.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.lab.initcpio import bash

CONFIG = "/etc/mkinitcpio.conf"
DROP_INS = f"{CONFIG}.d"
_ARRAYS = ("MODULES", "BINARIES", "FILES", "HOOKS", "COMPRESSION_OPTIONS")
# A value that is no array is split at its spaces; only its first line counts.
_PRINT_ARRAY = r"""
_dryboot_array() {
    local -n _dryboot_values=$1
    local -a _dryboot_words=()
    if [[ ${_dryboot_values@a} == *a* ]]; then
        _dryboot_words=("${_dryboot_values[@]}")
    else
        IFS=' ' read -r -a _dryboot_words <<<"${_dryboot_values-}"
    fi
    printf '%s\0' "${#_dryboot_words[@]}"
    if (( ${#_dryboot_words[@]} )); then printf '%s\0' "${_dryboot_words[@]}"; fi
}
"""
_READ_CONFIG = rf"""{_PRINT_ARRAY}
set +u
. "$1" >&2 || exit 9
for _dryboot_name in {" ".join(_ARRAYS)}; do
    _dryboot_array "$_dryboot_name"
done
printf '%s\0' "${{COMPRESSION-}}"
# systemd's hook reads the file once more, with nullglob left on by its own functions (install/systemd of v41):
# an optional `name?` without quotes is a pattern then, and vanishes.
(shopt -s nullglob; unset MODULES; . "$1" >/dev/null 2>&1; _dryboot_array MODULES)
"""
_PRESET_VALUES = ("kver", "config", "cmdline", "splash")
_READ_PRESET = rf"""{_PRINT_ARRAY}
_dryboot_words() {{
    local -n _dryboot_option=$1
    if [[ ${{_dryboot_option@a}} == *a* ]]; then
        printf 'array\0'
        _dryboot_array "$1"
    else
        printf 'text\0001\0%s\0' "${{_dryboot_option-}}"
    fi
}}
. "$1" >&2 || exit 9
printf '%s\0' "${{ALL_microcode[*]}}"
for _dryboot_preset in "${{PRESETS[@]}}"; do
    printf '%s\0' "$_dryboot_preset"
    for _dryboot_value in {" ".join(_PRESET_VALUES)}; do
        _dryboot_own=${{_dryboot_preset}}_$_dryboot_value _dryboot_all=ALL_$_dryboot_value
        printf '%s\0' "${{!_dryboot_own:-${{!_dryboot_all}}}}"
    done
    _dryboot_uki=${{_dryboot_preset}}_uki
    [[ -v $_dryboot_uki ]] || _dryboot_uki=${{_dryboot_preset}}_efi_image
    _dryboot_image=${{_dryboot_preset}}_image _dryboot_microcode=${{_dryboot_preset}}_microcode[*]
    printf '%s\0' "${{!_dryboot_image}}" "${{!_dryboot_uki}}" "${{!_dryboot_microcode}}"
    _dryboot_words "${{_dryboot_preset}}_options"
done
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """What a mkinitcpio.conf asks for; `compression` is empty where it leaves that open.

    `systemd_modules` is MODULES as systemd's hook reads it: without what is optional.
    """

    modules: tuple[str, ...]
    binaries: tuple[str, ...]
    files: tuple[str, ...]
    hooks: tuple[str, ...]
    compression: str = ""
    compression_options: tuple[str, ...] = ()
    systemd_modules: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """One image of a preset file; what the file leaves out is empty.

    `microcode` is what mkinitcpio calls a deprecated setting by: its value, or ALL_microcode.
    """

    name: str
    image: str
    kernel: str
    config: str
    options: tuple[str, ...]
    uki: str = ""
    cmdline: str = ""
    splash: str = ""
    microcode: str = ""


def read_config(path: Path, *, drop_ins: Sequence[Path] = (), shown: str = "") -> Config:
    """Let bash read a mkinitcpio.conf and, after it, its drop-ins; messages call the file `shown`.

    Raises ValueError with bash's message where it cannot. As mkinitcpio does, the files are put together
    first: what one leaves unfinished, the next one goes on with.
    """
    if not drop_ins:
        return _config(bash.read(_READ_CONFIG, path, shown or path.name))
    with tempfile.TemporaryDirectory(prefix="mkinitcpio.") as folder:
        whole = Path(folder) / path.name
        try:
            whole.write_bytes(b"".join(one.read_bytes() for one in (path, *drop_ins)))
        except OSError as error:
            raise ValueError(f"{shown or path.name}: {error.strerror}") from error
        return _config(bash.read(_READ_CONFIG, whole, f"{shown or path.name} with its drop-ins"))


def _config(fields: list[str]) -> Config:
    rest = iter(fields)
    arrays = {name: _counted(rest) for name in _ARRAYS}
    compression = next(rest)
    return Config(
        modules=arrays["MODULES"],
        binaries=arrays["BINARIES"],
        files=arrays["FILES"],
        hooks=arrays["HOOKS"],
        compression=compression,
        compression_options=arrays["COMPRESSION_OPTIONS"],
        systemd_modules=_counted(rest),
    )


def _counted(fields: Iterator[str]) -> tuple[str, ...]:
    return tuple(next(fields) for _ in range(int(next(fields))))


def in_order(names: Sequence[str]) -> list[str]:
    """Names of drop-ins in the order in which they are read: numbers in them count as numbers.

    As mkinitcpio does it, with sort(1) -Vu: of names that differ only in leading zeros one is left.
    """
    try:
        done = subprocess.run(
            ["sort", "-zVu"],
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            input=b"".join(os.fsencode(name) + b"\0" for name in sorted(names)),
            capture_output=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LabFault(f"sort: {error}") from error
    return [os.fsdecode(name) for name in done.stdout.split(b"\0")[:-1]]


def read_preset(path: Path, *, shown: str = "") -> tuple[Preset, ...]:
    """Let bash read a preset; raises ValueError with bash's message where it cannot."""
    fields = iter(bash.read(_READ_PRESET, path, shown or path.name))
    all_microcode = next(fields)
    found: list[Preset] = []
    for name in fields:
        kernel, config, cmdline, splash, image, uki, microcode, kind = (next(fields) for _ in range(8))
        words = _counted(fields)
        found.append(
            Preset(
                name=name,
                image=image,
                kernel=kernel,
                config=config,
                options=words if kind == "array" else _split(words[0]),
                uki=uki,
                cmdline=cmdline,
                splash=splash,
                microcode=microcode or ("ALL_microcode" if all_microcode else ""),
            )
        )
    return tuple(found)


def _split(options: str) -> tuple[str, ...]:
    """Options written as one string: mkinitcpio cuts at every single space, so two make an empty one."""
    return tuple(options.removesuffix(" ").split(" ")) if options else ()
