from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipeline.report import as_json

PLACE = {
    "file": "rx560.yaml",
    "line": 67,
    "column": 15,
    "text": 'passthrough: ["01:00.0", "01:00.1"]',
}


def test_the_whole_document(failed) -> None:
    document = json.loads(as_json.text(failed))
    checks, findings = document.pop("checks"), document.pop("findings")
    assert document == {
        "schema": 1,
        "scenario": "rx560",
        "outcome": "failed",
        "exit_code": 1,
        "lab_fault": "",
        "accelerator": "tcg: as asked for",
        "stand_ins": [{"part": "kernel", "asked": "6.12", "ran": "6.12.117", "matters": "built-in drivers"}],
        "fidelity": [
            {"part": "udev", "asked": "of Manjaro", "ran": "257", "differs": True, "effect": "only [rules]"},
            {"part": "init", "asked": "udev", "ran": "udev", "differs": False, "effect": "none"},
        ],
        "replacements": ["<memory> 8388608 KiB replaced by 262144 KiB: the lab's memory is small"],
        "edited": [],
        "versions": {"QEMU of the lab": "11.1"},
        "seconds": {"boot": 42.5, "total": 189.29},
        "peak_memory_mib": 1503,
    }
    assert checks[0] == {
        "id": "binding[01:00.0]",
        "stage": "host",
        "outcome": "failed",
        "expected": "vfio-pci",
        "observed": "amdgpu",
        "place": PLACE,
        "why": "the wrong driver, or none, holds it",
        "fix": "load vfio_pci first",
        "seconds": 0.25,
    }
    assert (checks[1]["expected"], checks[1]["observed"], checks[1]["seconds"]) == (
        ["01:00.0", "01:00.1"],
        ["01:00.0", "01:00.1"],
        0.123,
    )
    assert [check["outcome"] for check in checks] == ["failed", "held", "skipped"]
    assert findings == [
        {
            "code": "DB301",
            "severity": "warning",
            "place": PLACE,
            "found": "found [it]",
            "why": "why",
            "fix": "fix",
            "source": "mkinitcpio(8)",
            "edits": [{"kind": "add after", "place": PLACE, "old": "base", "new": "modconf"}],
        }
    ]


def test_a_lab_fault_says_so(lab_fault) -> None:
    document = json.loads(as_json.text(lab_fault))
    assert (document["outcome"], document["exit_code"]) == ("lab fault", 3)
    assert document["lab_fault"].startswith("QEMU of L1 was killed")


def test_everything_held(held) -> None:
    document = json.loads(as_json.text(held))
    assert (document["outcome"], document["exit_code"], document["findings"]) == ("held", 0, [])


@pytest.mark.parametrize("text", ["\x1b[31m", "\0", "é中", '"\\', "a\nb"])
def test_any_observed_text_comes_back(said, text: str) -> None:
    written = as_json.text(said(text))
    assert json.loads(written)["checks"][0]["observed"] == text
    assert written.endswith("}\n")


def test_a_file_whose_name_is_no_unicode_can_be_named(failed) -> None:
    odd = replace(failed.findings[0], place=replace(failed.findings[0].place, file="\udcff.yaml"))
    document = as_json.text(replace(failed, findings=(odd,))).encode()
    assert json.loads(document)["findings"][0]["place"]["file"] == "\\udcff.yaml"


def test_the_same_verdict_gives_the_same_text(failed) -> None:
    assert as_json.text(failed) == as_json.text(failed)
