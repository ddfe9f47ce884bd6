from __future__ import annotations

from pipeline.fingerprint.cpuid import read
from pipeline.fingerprint.sighting import Sighting


def word(leaf: int, register: str, features: int, sub: int | None = None) -> dict[str, object]:
    value: dict[str, object] = {"cpuid-input-eax": leaf, "cpuid-register": register, "features": features}
    return value if sub is None else {**value, "cpuid-input-ecx": sub}


def test_feature_words_by_leaf_and_register() -> None:
    words = [word(7, "EBX", 0x209C01A9, 0), word(0x80000001, "EDX", 1 << 29), word(36, "EBX", 0, 0)]
    facts = read(Sighting(qmp={"qom-get cpu feature-words": words}, hmp={}, serial="")).facts
    assert facts == {"cpuid/7.0/ebx": "0x209c01a9", "cpuid/80000001/edx": "0x20000000"}


def test_the_model_without_what_is_the_host_s() -> None:
    qmp = {
        "qom-get cpu feature-words": [],
        "qom-get cpu xlevel": 0x8000001E,
        "qom-get cpu l3-cache": True,
        "qom-get cpu tsc-frequency": 2_400_000_000,
        "qom-get cpu/lapic type": "apic",
    }
    found = read(Sighting(qmp=qmp, hmp={}, serial="", missing={"qom-get cpu hv-ipi": "no such property"}))
    assert found.facts == {"cpuid/xlevel": "0x8000001e", "cpuid/l3-cache": "yes"}
    assert set(found.left_out) == {"cpuid/tsc-frequency", "cpuid/hv-ipi"}
