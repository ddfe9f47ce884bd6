from __future__ import annotations

import pytest

from pipeline.hardware import aliases
from pipeline.pci import IdPair

TABLE = """\
# Aliases extracted from modules themselves.
alias pci:v00001002d000067EFsv*sd*bc*sc*i* amdgpu
alias pci:v00001002d000067EFsv*sd*bc*sc*i* other
alias pci:v00001002d*sv*sd*bc04sc03i00* snd_hda_intel
alias pci:v*d*sv*sd*bc01sc08i02* nvme
alias pci:v*d*sv*sd*bc0Csc03i30* xhci_pci
alias pci:v00001002d0000AAE0sv0000148Csd00002385bc*sc*i* special
alias usb:v1002p67EFd*dc*dsc*dp*ic*isc*ip*in* usb_thing
alias acpi*:X: acpi_thing
"""


@pytest.mark.parametrize(
    ("ids", "subsystem", "class_code", "expected"),
    [
        ("1002:67ef", None, "0300", ("amdgpu", "other")),
        ("1002:aae0", None, "0403", ("snd_hda_intel",)),
        ("1002:aae0", "148c:2385", "0403", ("snd_hda_intel", "special")),
        ("144d:a808", None, "0108", ("nvme",)),
        ("144d:a808", None, "010801", ()),
        ("1022:149c", None, "0c03", ("xhci_pci",)),
        ("8086:1521", None, "0200", ()),
    ],
)
def test_drivers(ids: str, subsystem: str | None, class_code: str, expected: tuple[str, ...]) -> None:
    table = aliases.parse(TABLE.split("\n"))
    own = IdPair.parse(subsystem) if subsystem else None
    assert table.drivers(IdPair.parse(ids), own, class_code) == expected
