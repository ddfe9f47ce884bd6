from __future__ import annotations

import sys

import pytest

from pipeline.render.domain import domain_xml
from pipeline.render.validate import SCHEMAS, Status, by_libvirt, by_schema, validate

needs_schemas = pytest.mark.skipif(not SCHEMAS.is_dir(), reason="libvirt's schemas are not installed")


@pytest.fixture
def xml(plan):
    return domain_xml(plan)


@needs_schemas
def test_the_schema_holds_and_says_its_version(xml):
    validation = by_schema(xml)
    assert validation.status is Status.PASSED
    assert validation.problems == ()
    assert validation.version[0].isdigit()


@needs_schemas
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'readonly="yes"', b'readonly="maybe"'),
        (b"<readonly/>", b"<readonyl/>"),
        (b'slot="0x1f"', b'slot="0x1ff"'),
        (b"<pm>", b"<power/><pm>"),
    ],
)
def test_the_schema_names_the_line_of_an_error(xml, old, new):
    assert xml.count(old) >= 1
    broken = xml.replace(old, new, 1)
    validation = by_schema(broken)
    assert validation.status is Status.FAILED
    assert validation.problems[0].line == broken[: broken.index(new)].count(b"\n") + 1


@needs_schemas
def test_a_document_that_is_no_xml_fails_with_its_line():
    validation = by_schema(b"<domain>\n<name>\n</domain>")
    assert validation.status is Status.FAILED
    assert validation.problems[0].line == 3


@needs_schemas
def test_external_entities_are_not_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret text")
    document = f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret}">]><domain type="kvm"><name>&x;</name></domain>'
    assert "secret text" not in str(by_schema(document.encode()))


def test_missing_schemas_are_said(xml, tmp_path):
    validation = by_schema(xml, schemas=tmp_path)
    assert validation.status is Status.SKIPPED
    assert "libvirt's schemas are not installed" in validation.note


def test_schemas_that_cannot_be_read_are_said(xml, tmp_path):
    (tmp_path / "domain.rng").write_text("<grammar")
    validation = by_schema(xml, schemas=tmp_path)
    assert validation.status is Status.SKIPPED
    assert "cannot be read" in validation.note


def test_libvirt_takes_it(xml):
    pytest.importorskip("libvirt")
    assert by_libvirt(xml).status is Status.PASSED
    assert by_libvirt(xml).status is Status.PASSED


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'dev="sdb"', b'dev="sda"', "sda"),
        (b'<boot order="2"/>', b'<boot order="1"/>', "order"),
        (b">8388608<", b">much<", "much"),
        (b"</domain>", b"", ""),
    ],
    ids=["same disk twice", "same boot order twice", "no number", "cut off"],
)
def test_libvirt_refuses_what_is_broken(xml, capfd, old, new, message):
    pytest.importorskip("libvirt")
    assert old in xml
    validation = by_libvirt(xml.replace(old, new, 1))
    assert validation.status is Status.FAILED
    assert message in validation.problems[0].message
    assert capfd.readouterr() == ("", "")


def test_a_guest_may_be_named_like_the_test_drivers_own(planned):
    pytest.importorskip("libvirt")
    assert by_libvirt(domain_xml(planned("guest.name=test"))).status is Status.PASSED


def test_a_missing_libvirt_is_said(xml, monkeypatch):
    monkeypatch.setitem(sys.modules, "libvirt", None)
    schema, parser = validate(xml)
    assert parser.status is Status.SKIPPED
    assert "cannot be loaded" in parser.note
    assert schema.status is not Status.FAILED
