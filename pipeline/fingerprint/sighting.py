"""What was seen of one boot of a domain, raw: as QEMU's monitor and the payload in the guest said it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """One boot, up to the end of the payload.

    `qmp` has answers (JSON values) by the command that was sent, `hmp` the texts of human monitor commands by
    the command, `serial` is what the payload said, `memory` has pieces of the guest's memory by what they are, such as
    `acpi/FACP`, `smbios/structures`, `pci/01:00.0` (config space) or `firmware/variables`; `times` the seconds
    from QEMU's start to each phase of the firmware that shows. `missing` has what could not be asked, to the reason.
    """

    qmp: Mapping[str, Any]
    hmp: Mapping[str, str]
    serial: str
    memory: Mapping[str, bytes] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
