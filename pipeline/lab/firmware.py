"""The OVMF that belongs to a QEMU, found by the firmware descriptors beside it.

Sources: QEMU docs/interop/firmware.json (the descriptors; those whose name sorts first come first), and the places
where packages have OVMF without descriptors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.lab.digest import sha256

_DESCRIPTORS = ("usr/share/qemu/firmware", "share/qemu/firmware", "usr/local/share/qemu/firmware")
# Code and variables without descriptors: Debian's, Arch's, Fedora's, and what QEMU itself installs.
_PAIRS = (
    ("usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("usr/share/edk2/x64/OVMF_CODE.4m.fd", "usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("usr/share/edk2/ovmf/OVMF_CODE.fd", "usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("share/qemu/edk2-x86_64-code.fd", "share/qemu/edk2-i386-vars.fd"),
    ("usr/share/qemu/edk2-x86_64-code.fd", "usr/share/qemu/edk2-i386-vars.fd"),
)
_SECURE = {"secure-boot", "enrolled-keys"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A flash image with OVMF's code and the template of its variables."""

    code: Path
    variables: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Firmware:
    """OVMF for Q35: the plain pair, the one with enrolled Secure Boot keys where there is one, and its version.

    `version` is empty where nothing says it.
    """

    plain: Pair
    secure: Pair | None = None
    version: str = ""

    @property
    def digest(self) -> str:
        """SHA256 over the plain pair."""
        both = hashlib.sha256()
        for path in (self.plain.code, self.plain.variables):
            both.update(bytes.fromhex(sha256(path)))
        return both.hexdigest()


def find(root: Path, *, version: str = "") -> Firmware | None:
    """The firmware of the root directory (or prefix) `root`, whose paths its descriptors mean; None for none."""
    plain: Pair | None = None
    secure: Pair | None = None
    for features, pair in _described(root):
        if features >= _SECURE:
            secure = secure or pair
        elif not features & {*_SECURE, "requires-smm"}:
            plain = plain or pair
    plain = plain or next(
        (
            Pair(code=root / code, variables=root / variables)
            for code, variables in _PAIRS
            if (root / code).is_file() and (root / variables).is_file()
        ),
        None,
    )
    return Firmware(plain=plain, secure=secure, version=version) if plain else None


def _described(root: Path) -> Iterator[tuple[set[str], Pair]]:
    """Features and files of each descriptor of a flash image for Q35 whose files are there."""
    for folder in _DESCRIPTORS:
        for path in sorted((root / folder).glob("*.json")):
            try:
                value = json.loads(path.read_text(encoding="utf-8"))
                if not _is_flash_for_q35(value):
                    continue
                mapping, features = value["mapping"], {str(name) for name in value["features"]}
                pair = Pair(
                    code=_inside(root, mapping["executable"]["filename"]),
                    variables=_inside(root, mapping["nvram-template"]["filename"]),
                )
            except (OSError, ValueError, KeyError, TypeError):
                continue  # another's descriptor in a form of its own is none of ours
            if pair.code.is_file() and pair.variables.is_file():
                yield features, pair


def _is_flash_for_q35(value: Any) -> bool:
    formats = {value["mapping"][name].get("format") for name in ("executable", "nvram-template")}
    return (
        "uefi" in value["interface-types"]
        and value["mapping"]["device"] == "flash"
        and formats == {"raw"}
        and any(
            target["architecture"] == "x86_64" and any("q35" in name for name in target["machines"])
            for target in value["targets"]
        )
    )


def _inside(root: Path, name: str) -> Path:
    """A descriptor's absolute path within a tree; a prefix that was installed has its own true paths."""
    within = root / name.lstrip("/")
    return within if within.is_file() else Path(name)
