"""The firmware: its version, what it boots in which order, and the names of its variables (`firmware/boot/0`)."""

from __future__ import annotations

import re

from pipeline.fingerprint.device_path import text as path_text
from pipeline.fingerprint.model import Fingerprint
from pipeline.fingerprint.notes import Notes, number
from pipeline.fingerprint.sighting import Sighting
from pipeline.fingerprint.smbios import structures
from pipeline.fingerprint.variables import GLOBAL, Variable, variables

_UEFI = re.compile(r"^(?:\x1b\[[0-9;=?]*[A-Za-z])*(UEFI v[0-9.]+ \(.*\))\s*$", re.MULTILINE)
_MOST_OPTIONS = 64


def read(sighting: Sighting) -> Fingerprint:
    """Section `firmware`."""
    notes = Notes(section="firmware")
    bios = next(
        (one for one in structures(sighting.memory.get("smbios/structures", b"")) if one.kind == 0), None
    )
    if bios and len(bios.formatted) > 8:
        for name, at in (("vendor", 4), ("version", 5), ("date", 8)):
            notes.fact(name, bios.string(bios.formatted[at]))
    if uefi := _UEFI.search(sighting.serial):
        notes.fact("UEFI", uefi[1])
    flash = sighting.memory.get("firmware/variables")
    found = variables(flash) if flash is not None else None
    if found is None:
        reasons = (sighting.missing.get(name) for name in ("memory/variables", "memory"))
        notes.leave_out("variables", next(filter(None, reasons), "the flash has no variable store"))
        return notes.fingerprint()
    _boot(notes, {one.name: one for one in found if one.guid == GLOBAL})
    for name in sorted({one.label for one in found}):
        notes.fact(f"variables/{name}", "present")
    notes.leave_out("variables/(values)", "counters and addresses among them differ from boot to boot")
    notes.leave_out("variables/(volatile)", "they are not in the flash")
    return notes.fingerprint()


def _boot(notes: Notes, own: dict[str, Variable]) -> None:
    """The options in their order (UEFI 2.10, 3.1.3 EFI_LOAD_OPTION and 3.3)."""
    order = own["BootOrder"].data if "BootOrder" in own else b""
    options = [number(order, at, 2) for at in range(0, len(order) - 1, 2)][:_MOST_OPTIONS]
    for place, option in enumerate(options):
        variable = own.get(f"Boot{option:04X}")
        if variable is None:
            notes.fact(f"boot/{place}", f"Boot{option:04X}, which is not there")
            continue
        data = variable.data
        end = next((at for at in range(6, len(data) - 1, 2) if data[at : at + 2] == b"\0\0"), len(data))
        title = data[6:end].decode("utf-16-le", errors="replace")
        path = path_text(data[end + 2 : end + 2 + number(data, 4, 2)])
        active = "" if number(data, 0, 4) & 1 else ", not active"
        notes.fact(f"boot/{place}", f"{title.strip()}: {path}{active}")
    if "Timeout" in own:
        notes.fact("boot/timeout", f"{number(own['Timeout'].data, 0, 2)} s")
