"""What a QEMU binary can do, as it says itself over QMP: machine types, their compat properties, devices."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import LabFault
from pipeline.facts.version import parts
from pipeline.lab.toolchain import Qemu

SECONDS = 60
_Q35 = re.compile(r"pc-q35-(\d+(?:\.\d+)+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineType:
    """A machine type of a QEMU: `alias` is the unversioned name that means it there (`q35`), else empty.

    `compat`: what it sets that the newest one does not, `driver.property` to value; None where this QEMU does not
    tell.
    """

    name: str
    deprecated: bool
    alias: str = ""
    compat: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Abilities:
    """The versioned Q35 machine types, oldest first, and the names of the devices."""

    machines: tuple[MachineType, ...]
    devices: frozenset[str]

    def text(self) -> str:
        """Text that `read` takes."""
        machines = [
            {
                "name": machine.name,
                "deprecated": machine.deprecated,
                "alias": machine.alias,
                "compat": None if machine.compat is None else dict(machine.compat),
            }
            for machine in self.machines
        ]
        return json.dumps({"machines": machines, "devices": sorted(self.devices)}, indent=1) + "\n"


def read(text: str) -> Abilities:
    """What `Abilities.text` wrote. Raises ValueError or LookupError for anything else."""
    value = json.loads(text)
    return Abilities(
        machines=tuple(MachineType(**machine) for machine in value["machines"]),
        devices=frozenset(value["devices"]),
    )


def ask(qemu: Qemu) -> Abilities:
    """Start `qemu` without a machine and ask it. Raises LabFault where it does not answer."""
    schema = _answers(qemu, [{"execute": "query-qmp-schema"}])[0]
    arguments = {"compat-props": True} if tells_compat(schema) else {}
    machines, devices = _answers(
        qemu,
        [
            {"execute": "query-machines", "arguments": arguments},
            {"execute": "qom-list-types", "arguments": {"implements": "device", "abstract": False}},
        ],
    )
    return Abilities(machines=q35(machines), devices=frozenset(entry["name"] for entry in devices))


def tells_compat(schema: Iterable[Mapping[str, Any]]) -> bool:
    """Whether query-machines takes compat-props, by query-qmp-schema (QEMU docs/devel/qapi-code-gen.rst)."""
    entries = {entry["name"]: entry for entry in schema}
    argument = entries.get("query-machines", {}).get("arg-type")
    members = entries.get(argument, {}).get("members", ())
    return any(member["name"] == "compat-props" for member in members)


def q35(machines: Iterable[Mapping[str, Any]]) -> tuple[MachineType, ...]:
    """The versioned Q35 machine types of query-machines' answer, oldest first."""
    found = [
        MachineType(
            name=entry["name"],
            deprecated=bool(entry.get("deprecated")),
            alias=entry.get("alias", ""),
            compat=_compat(entry["compat-props"]) if "compat-props" in entry else None,
        )
        for entry in machines
        if _Q35.fullmatch(entry["name"])
    ]
    return tuple(sorted(found, key=lambda machine: parts(machine.name.removeprefix("pc-q35-"))))


def _compat(properties: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Later ones win over earlier ones (hw/core/qdev.c object_apply_global_props())."""
    return {f"{one['qom-type']}.{one['property']}": one["value"] for one in properties}


def _answers(qemu: Qemu, commands: Iterable[Mapping[str, Any]]) -> list[Any]:
    sent = [{"execute": "qmp_capabilities"}, *commands, {"execute": "quit"}]
    argv = [*qemu.argv, "-machine", "none", "-nodefaults", "-display", "none", "-qmp", "stdio"]
    try:
        done = subprocess.run(
            argv,
            env=qemu.merged_environment(),
            input="".join(json.dumps(command) + "\n" for command in sent),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabFault(f"QEMU ({qemu.origin}) does not tell what it can do: {error}") from error
    answers = []
    for line in done.stdout.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if "error" in value:
            raise LabFault(f"QEMU ({qemu.origin}) refuses: {value['error'].get('desc')}")
        if "return" in value:
            answers.append(value["return"])
    if done.returncode or len(answers) < len(sent):
        said = done.stderr.strip() or f"it ended with {done.returncode}"
        raise LabFault(f"QEMU ({qemu.origin}) does not tell what it can do: {said}")
    return answers[1:-1]
