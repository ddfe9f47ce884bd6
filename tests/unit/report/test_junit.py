from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from pipeline.report import junit


def test_one_suite_a_stage_and_one_case_a_check(failed) -> None:
    document = etree.fromstring(junit.data(failed))
    assert [(suite.get("name"), len(suite)) for suite in document.iter("testsuite")] == [
        ("rx560.host", 2),
        ("rx560.guest", 1),
    ]
    assert [
        (case.get("classname"), case.get("name"), case.get("time")) for case in document.iter("testcase")
    ] == [
        ("dryboot.host", "binding[01:00.0]", "0.25"),
        ("dryboot.host", "group[01:00.0]", "0.12345"),
        ("dryboot.guest", "machine[win10]", "0.0"),
    ]
    assert [document.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["3", "1", "0", "1"]


def test_a_failure_names_the_line_and_the_cure(failed) -> None:
    (failure,) = etree.fromstring(junit.data(failed)).iter("failure")
    assert failure.get("message") == "expected vfio-pci, observed amdgpu"
    assert failure.text == (
        'rx560.yaml:67:15: passthrough: ["01:00.0", "01:00.1"]\n'
        "the wrong driver, or none, holds it\nfix: load vfio_pci first"
    )


def test_what_was_skipped_says_why(failed) -> None:
    (skipped,) = etree.fromstring(junit.data(failed)).iter("skipped")
    assert skipped.get("message") == "not tried: the host stage failed"


def test_a_lab_fault_is_an_error_and_no_failure(lab_fault) -> None:
    document = etree.fromstring(junit.data(lab_fault))
    assert [document.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["4", "0", "1", "3"]
    (error,) = document.iter("error")
    assert error.get("message") == "QEMU of L1 was killed by signal 9"


def test_everything_held(held) -> None:
    document = etree.fromstring(junit.data(held))
    assert [document.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["3", "0", "0", "0"]


@pytest.mark.parametrize("text", ["\x1b[31mred\x1b[0m", "a\0b", "\ud800", "\ufffe", "<a>&]]>", "é中"])
def test_any_observed_text_gives_a_document_that_can_be_read(said, text: str) -> None:
    (failure,) = etree.fromstring(junit.data(said(text))).iter("failure")
    assert failure.get("message").startswith("expected vfio-pci, observed ")


@given(st.text(st.characters(codec=None), max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_fault_gives_a_document_that_can_be_read(lab_fault, text: str) -> None:
    etree.fromstring(junit.data(replace(lab_fault, fault=f"fault {text}")))
