from __future__ import annotations

from pipeline.fingerprint.machine import read
from pipeline.fingerprint.sighting import Sighting


def test_the_machine_as_qemu_made_it() -> None:
    found = read(
        Sighting(
            qmp={
                "qom-get /machine type": "pc-q35-9.2-machine",
                "qom-get /machine smp": {"cpus": 1, "cores": 2, "drawers": 1},
                "qom-get /machine hpet": False,
                "qom-get /machine x-oem-id": "BOCHS ",
                "query-memory-size-summary": {"base-memory": 8 << 30},
            },
            hmp={},
            serial="",
            missing={"qom-get /machine i8042": "no such property", "qom-get cpu level": "no"},
        )
    )
    assert found.facts == {
        "machine/type": "pc-q35-9.2",
        "machine/smp/cpus": "1",
        "machine/smp/cores": "2",
        "machine/hpet": "no",
        "machine/x-oem-id": "BOCHS",
        "machine/memory": "8 GiB",
    }
    assert found.left_out == {"machine/i8042": "no such property"}
