"""The variable store in OVMF's flash.

Source: edk2 MdeModulePkg/Include/Guid/VariableFormat.h and MdePkg/Include/Pi/PiFirmwareVolume.h.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from pipeline.fingerprint.notes import number

GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
_AUTHENTICATED = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")
_PLAIN = uuid.UUID("ddcf3616-3275-4164-98b6-fe85707ffe7d")
_VOLUME = b"_FVH"
_STORE_HEADER = 28
_START = 0x55AA
_THERE = {0x3F, 0x3E}  # VAR_ADDED, and with VAR_IN_DELETED_TRANSITION
_MOST = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """A variable that is there."""

    name: str
    guid: uuid.UUID
    data: bytes

    @property
    def label(self) -> str:
        """Its name, and whose it is where it is not UEFI's own."""
        return self.name if self.guid == GLOBAL else f"{self.guid}:{self.name}"


def variables(flash: bytes) -> tuple[Variable, ...] | None:
    """The variables of a flash, None where that holds no variable store."""
    start = number(flash, 48, 2)
    if flash[40:44] != _VOLUME or start + _STORE_HEADER > len(flash):
        return None
    kind = uuid.UUID(bytes_le=flash[start : start + 16])
    if kind not in {_AUTHENTICATED, _PLAIN}:
        return None
    end = min(start + number(flash, start + 16, 4), len(flash))
    # With authentication a counter, a time and a key's index stand between attributes and sizes.
    sizes = 36 if kind == _AUTHENTICATED else 8
    header = sizes + 24
    found: list[Variable] = []
    at = start + _STORE_HEADER
    while at + header <= end and number(flash, at, 2) == _START and len(found) < _MOST:
        name_size, data_size = number(flash, at + sizes, 4), number(flash, at + sizes + 4, 4)
        name_at, data_at = at + header, at + header + name_size
        if data_at + data_size > end:
            break
        if flash[at + 2] in _THERE:
            name = flash[name_at:data_at].decode("utf-16-le", errors="replace").rstrip("\0")
            guid = uuid.UUID(bytes_le=flash[at + sizes + 8 : at + header])
            found.append(Variable(name=name, guid=guid, data=flash[data_at : data_at + data_size]))
        at = (data_at + data_size + 3) & ~3
    return tuple(found)
