"""Everything that is rendered from a plan, in memory, with a manifest over it."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from pipeline.errors import BadInput
from pipeline.plan import Plan
from pipeline.render.domain import domain_xml
from pipeline.render.host_files import STEPS, host_files, steps

TOOL = "dryboot"
MANIFEST = "manifest.json"

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PYPROJECT = Path(__file__).resolve().parent.parent.parent / "pyproject.toml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What the plan was made from: the scenario's bytes and the settings put over them, in order."""

    scenario: bytes
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """Files by their relative POSIX path, sorted; `modes` has the permission bits that are not as rendered."""

    files: Mapping[str, bytes]
    modes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.files:
            if not all(_PART.fullmatch(part) for part in path.split("/")):
                raise BadInput(f"{path!r} cannot be the name of a file in the output")
        object.__setattr__(self, "files", MappingProxyType(dict(sorted(self.files.items()))))


def render(plan: Plan, *, inputs: Inputs) -> Bundle:
    """The bundle of a plan: equal plans and inputs give equal bytes.

    Raises BadInput where a value cannot be written into the file it is for.
    """
    domain = domain_path(plan)
    made = {**host_files(plan), STEPS: steps(plan, domain=domain), domain: domain_xml(plan)}
    return Bundle(files={**made, MANIFEST: _manifest(plan, inputs, made)})


def domain_path(plan: Plan) -> str:
    """Where in the bundle the domain XML is.

    Raises BadInput where the guest's name is not the name of a file.
    """
    if not _PART.fullmatch(plan.guest.name):
        raise BadInput(f"{plan.guest.name!r} cannot be the name of a file in the output")
    return f"libvirt/{plan.guest.name}.xml"


def _manifest(plan: Plan, inputs: Inputs, made: Mapping[str, bytes]) -> bytes:
    host = plan.host
    content = {
        "tool": {"name": TOOL, "version": _version()},
        "scenario": {
            "name": plan.name,
            "sha256": _sha256(inputs.scenario),
            "settings_sha256": _sha256(json.dumps(inputs.settings).encode()),
        },
        "facts_sha256": _facts_sha256(),
        "assumed": {
            "distribution": host.distribution.distribution,
            "year": host.year,
            "cpu_vendor": host.cpu_vendor,
            "threads": host.threads,
            "memory": host.memory,
            "kernel": host.kernel,
            "qemu": host.qemu,
            "machine": plan.guest.machine.value,
        },
        "files": {path: {"sha256": _sha256(data), "size": len(data)} for path, data in sorted(made.items())},
    }
    return json.dumps(content, indent=2).encode() + b"\n"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@cache
def _facts_sha256() -> str:
    """One hash over the names and contents of the data files."""
    folder = files("pipeline.facts") / "data"
    hashed = {
        entry.name: _sha256(entry.read_bytes())
        for entry in (*folder.iterdir(), *(folder / "distributions").iterdir())
        if entry.name.endswith(".toml")
    }
    return _sha256(json.dumps(hashed, sort_keys=True).encode())


@cache
def _version() -> str:
    version: str = tomllib.loads(_PYPROJECT.read_text(encoding="utf-8"))["project"]["version"]
    return version
