"""The command line that a shipped scenario's domain gets at L0.

NAME.libvirt is what libvirt answered, one argument a line, and NAME.argv what QEMU is started with. The test marked
vm asks libvirt again; `pytest tests/golden/test_direct.py --regenerate` writes both.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.lab import argv, releases, translator
from pipeline.lab.direct_domain import DirectDomain, for_direct
from pipeline.plan import resolve
from pipeline.render.domain import domain_xml
from pipeline.scenario import read

GOLDEN = Path(__file__).parent / "direct"
CELLS = [
    (scenario, release, machine)
    for scenario in ("rx560", "fedora-dracut")
    for release, machine in (("7.2", "pc-q35-4.0"), ("11.1", "pc-q35-9.2"))
]


def changed(scenario: str, release: str, machine: str) -> DirectDomain:
    plan = resolve(read(scenario))
    return for_direct(
        domain_xml(plan),
        machine=machine,
        firmware=f"OVMF of QEMU {release}",
        sockets={
            one.address: f"fn-{one.address.bus:02x}-00-{one.address.function}.sock" for one in plan.passed
        },
        left_out=("vfio-user-pci",) if release == "7.2" else (),
        accelerator="tcg",
    )


def stem(scenario: str, release: str, machine: str) -> Path:
    return GOLDEN / f"{scenario}-{release}-{machine}"


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_the_command_line_is_libvirts_without_what_is_libvirts_own(
    cell: tuple[str, str, str], regenerate: bool
) -> None:
    translated = stem(*cell).with_name(stem(*cell).name + ".libvirt").read_text().splitlines()
    found = "\n".join(argv.complete(translated, changed(*cell))) + "\n"
    recorded = stem(*cell).with_name(stem(*cell).name + ".argv")
    if regenerate:
        recorded.write_text(found)
    assert found == recorded.read_text(), "review the change, then: pytest tests/golden --regenerate"


@pytest.mark.vm
@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_libvirt_answers_as_recorded(cell: tuple[str, str, str], regenerate: bool) -> None:
    (release,) = releases.find([cell[1]], print)
    domain = changed(*cell)
    translated = translator.translate(domain.xml, release, print)
    if regenerate:
        GOLDEN.mkdir(exist_ok=True)
        stem(*cell).with_name(stem(*cell).name + ".libvirt").write_text("\n".join(translated) + "\n")
    # Where libvirt's own files are seen differs between machines, and is in none of the arguments that stay.
    found = "\n".join(argv.complete(translated, domain)) + "\n"
    recorded = stem(*cell).with_name(stem(*cell).name + ".argv")
    assert found == recorded.read_text(), "review the change, then: pytest tests/golden --regenerate"
