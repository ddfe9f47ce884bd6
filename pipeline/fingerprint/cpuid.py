"""What CPUID says, as far as QEMU tells it: feature words by leaf and register (`cpuid/7.0/ebx`), and the model."""

from __future__ import annotations

from pipeline.fingerprint.model import Fingerprint
from pipeline.fingerprint.notes import Notes
from pipeline.fingerprint.sighting import Sighting

_PREFIX = "qom-get cpu "
_WORDS = "feature-words"
_HEX = {"level", "xlevel", "xlevel2", "ucode-rev"}
# What is the host's or says the same elsewhere: the local APICs' ids are in the ACPI table APIC.
_NOT_FACTS = {
    "tsc-frequency": "it is the host's, and differs from boot to boot",
    "apic-id": "the ids of all of them are in acpi/APIC",
}


def read(sighting: Sighting) -> Fingerprint:
    """Section `cpuid`. A word that is zero is no fact, so a release that knows more words does not differ by that."""
    notes = Notes(section="cpuid")
    words = sighting.qmp.get(_PREFIX + _WORDS)
    for word in words if isinstance(words, list) else ():
        _word(notes, word)
    if not isinstance(words, list):
        notes.leave_out("", sighting.missing.get(_PREFIX + _WORDS, "QEMU did not tell the feature words"))
    for key in sorted(sighting.qmp):
        name = key.removeprefix(_PREFIX)
        value = sighting.qmp[key]
        if not key.startswith(_PREFIX) or name == _WORDS:
            continue
        if name in _NOT_FACTS:
            notes.leave_out(name, _NOT_FACTS[name])
        elif name in _HEX and isinstance(value, int):
            notes.fact(name, f"{value:#x}")
        else:
            notes.fact(name, value)
    for key, reason in sighting.missing.items():
        if key.startswith(_PREFIX) and key != _PREFIX + _WORDS:
            notes.leave_out(key.removeprefix(_PREFIX), reason)
    return notes.fingerprint()


def _word(notes: Notes, word: object) -> None:
    if not isinstance(word, dict):
        return
    leaf, register, value = (word.get(name) for name in ("cpuid-input-eax", "cpuid-register", "features"))
    if not isinstance(leaf, int) or not isinstance(value, int) or not value:
        return
    sub = word.get("cpuid-input-ecx")
    leaf_name = f"{leaf:x}.{sub:x}" if isinstance(sub, int) else f"{leaf:x}"
    notes.fact(f"{leaf_name}/{str(register).lower()}", f"{value & 0xFFFFFFFF:#010x}")
