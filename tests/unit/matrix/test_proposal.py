"""The change of a scenario is the machine type and nothing else."""

from __future__ import annotations

from difflib import ndiff

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import scenario as scenarios
from pipeline.errors import BadInput
from pipeline.matrix.proposal import propose
from pipeline.scenario.loader import SHIPPED

TEXT = (SHIPPED / "rx560.yaml").read_text()
LINE = "  machine: pc-q35-9.2\n"


def changed(old: str, new: str) -> list[str]:
    return [line for line in ndiff(old.splitlines(), new.splitlines()) if line.startswith(("+", "-"))]


def test_only_the_machine_type_changes() -> None:
    found = propose(TEXT, file="scenarios/rx560.yaml", machine="pc-q35-11.1")
    assert found.changes
    assert (found.before, found.after) == ("pc-q35-9.2", "pc-q35-11.1")
    assert changed(found.old, found.new) == ["-   machine: pc-q35-9.2", "+   machine: pc-q35-11.1"]
    assert found.domain == "libvirt/win10.xml"
    assert changed(found.old_domain, found.new_domain) == [
        '-     <type arch="x86_64" machine="pc-q35-9.2">hvm</type>',
        '+     <type arch="x86_64" machine="pc-q35-11.1">hvm</type>',
    ]


def test_nothing_to_change() -> None:
    found = propose(TEXT, file="scenarios/rx560.yaml", machine="pc-q35-9.2")
    assert not found.changes
    assert found.old_domain == found.new_domain


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (
            "  machine: pc-q35-9.2  # because of the sound\n",
            "  machine: pc-q35-11.1  # because of the sound\n",
        ),
        ("  machine: 'pc-q35-9.2'\n", "  machine: 'pc-q35-11.1'\n"),
        ('  "machine": "pc-q35-9.2"\n', '  "machine": "pc-q35-11.1"\n'),
        ("  machine: q35\n", "  machine: pc-q35-11.1\n"),
        ("  machine:\n    pc-q35-9.2\n", "  machine:\n    pc-q35-11.1\n"),
    ],
)
def test_comments_quotes_and_layout_stay(written: str, wanted: str) -> None:
    found = propose(TEXT.replace(LINE, written), file="mine.yaml", machine="pc-q35-11.1")
    assert found.new == TEXT.replace(LINE, wanted)


@given(st.sampled_from(["pc-q35-5.2", "pc-q35-10.0", "pc-q35-11.1"]), st.booleans())
def test_there_and_back(machine: str, windows: bool) -> None:
    text = TEXT.replace("\n", "\r\n") if windows else TEXT
    there = propose(text, file="mine.yaml", machine=machine)
    assert scenarios.loads(there.new, file="mine.yaml").scenario.guest.machine == machine
    assert propose(there.new, file="mine.yaml", machine="pc-q35-9.2").new == text


def test_what_is_no_scenario_or_no_type() -> None:
    with pytest.raises(BadInput):
        propose("schema: 2\n", file="mine.yaml", machine="pc-q35-11.1")
    with pytest.raises(BadInput):
        propose(TEXT, file="mine.yaml", machine="$(reboot)")
