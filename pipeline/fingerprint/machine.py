"""The machine as QEMU made it: machine type, topology and what of its board is there (`machine/type`)."""

from __future__ import annotations

from pipeline.fingerprint.model import Fingerprint
from pipeline.fingerprint.notes import Notes, amount
from pipeline.fingerprint.sighting import Sighting

_PREFIX = "qom-get /machine "
_SUFFIX = "-machine"


def read(sighting: Sighting) -> Fingerprint:
    """Section `machine`."""
    notes = Notes(section="machine")
    for key in sorted(sighting.qmp):
        if not key.startswith(_PREFIX):
            continue
        name, value = key.removeprefix(_PREFIX), sighting.qmp[key]
        if isinstance(value, dict):
            for part, count in value.items():
                # Levels of other architectures; every level that is not there counts 1.
                if count != 1 or part == "cpus":
                    notes.fact(f"{name}/{part}", count)
        else:
            notes.fact(name, str(value).removesuffix(_SUFFIX) if name == "type" else _value(value))
    for key, reason in sighting.missing.items():
        if key.startswith(_PREFIX):
            notes.leave_out(key.removeprefix(_PREFIX), reason)
    memory = sighting.qmp.get("query-memory-size-summary")
    size = memory.get("base-memory") if isinstance(memory, dict) else None
    if isinstance(size, int):
        notes.fact("memory", amount(size))
    return notes.fingerprint()


def _value(value: object) -> object:
    return value.strip() if isinstance(value, str) else value
