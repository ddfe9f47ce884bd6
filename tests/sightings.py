"""Sightings of real boots, kept with the tests (`tests/golden/fingerprints`).

Each is an OVMF guest on Q35 with five root ports, two functions in one slot, xHCI, e1000e and a virtio disk, under
TCG. The name has QEMU's release and the machine type.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path

from pipeline.fingerprint.sighting import Sighting

FOLDER = Path(__file__).parent / "golden" / "fingerprints"
_SUFFIX = ".sighting.json.gz"
NAMES = tuple(sorted(path.name.removesuffix(_SUFFIX) for path in FOLDER.glob(f"*{_SUFFIX}")))


@cache
def sighting(name: str) -> Sighting:
    value = json.loads(gzip.decompress((FOLDER / f"{name}{_SUFFIX}").read_bytes()))
    memory = {key: bytes.fromhex(data) for key, data in value.pop("memory").items()}
    return Sighting(memory=memory, **value)


def keep(name: str, seen: Sighting) -> None:
    """Write one down; for the prompt, not for tests."""
    value = {
        "qmp": dict(seen.qmp),
        "hmp": dict(seen.hmp),
        "serial": seen.serial,
        "missing": dict(seen.missing),
        "memory": {key: data.hex() for key, data in seen.memory.items()},
    }
    data = gzip.compress(json.dumps(value, indent=1).encode(), mtime=0)
    (FOLDER / f"{name}{_SUFFIX}").write_bytes(data)
