"""Checks a domain's XML with what is installed: libvirt's schemas, and libvirt's own parser.

The parser is reached through libvirt's test driver, which needs no daemon and no rights. It takes
`type='kvm'` as it is, and applies libvirt's checks of every hypervisor; those of its QEMU driver (is the
machine type there, does this QEMU have the device) need a libvirt daemon with that QEMU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import RelaxNG, _Element

SCHEMAS = Path("/usr/share/libvirt/schemas")
TEST_DRIVER = "test:///default"


class Status(StrEnum):
    """How a validation ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What is wrong with a document; line 0 where it is not known."""

    message: str
    line: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Validation:
    """What was checked, by which version, and what came out; `note` says why where it was skipped."""

    subject: str
    version: str
    status: Status
    note: str = ""
    problems: tuple[Problem, ...] = ()


def validate(xml: bytes, *, schemas: Path = SCHEMAS) -> tuple[Validation, ...]:
    """Every check that this machine can make of the document."""
    return (by_schema(xml, schemas=schemas), by_libvirt(xml))


def by_schema(xml: bytes, *, schemas: Path = SCHEMAS) -> Validation:
    """Check against libvirt's RELAX NG schemas."""
    from lxml import etree

    subject = "libvirt's schemas"
    version = _libvirt_version()
    main = schemas / "domain.rng"
    if not main.is_file():
        return Validation(
            subject=subject,
            version="",
            status=Status.SKIPPED,
            note=f"libvirt's schemas are not installed ({main})",
        )
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        schema = etree.RelaxNG(etree.parse(main, parser))
    except (etree.RelaxNGParseError, etree.XMLSyntaxError) as error:
        return Validation(
            subject=subject,
            version=version,
            status=Status.SKIPPED,
            note=f"libvirt's schemas cannot be read: {error}",
        )
    try:
        document = etree.fromstring(xml, parser)
    except etree.XMLSyntaxError as error:
        problem = Problem(message=str(error.msg), line=error.lineno or 0)
        return Validation(subject=subject, version=version, status=Status.FAILED, problems=(problem,))
    if schema.validate(document):
        return Validation(subject=subject, version=version, status=Status.PASSED)
    problems = [Problem(message=entry.message, line=entry.line) for entry in schema.error_log]
    return Validation(
        subject=subject,
        version=version,
        status=Status.FAILED,
        problems=tuple(dict.fromkeys([*_culprit(schema, document), *problems])),
    )


def _culprit(schema: RelaxNG, document: _Element) -> Iterator[Problem]:
    """The innermost element without which the document would hold.

    libxml2 itself says little more than "Extra element devices in interleave".
    """
    found = None
    for element in [*document.iter("*")]:
        parent = element.getparent()
        if parent is None:
            continue
        index = parent.index(element)
        parent.remove(element)
        if schema.validate(document):
            found = element
        parent.insert(index, element)
    if found is not None:
        yield Problem(
            message=f"<{found.tag!s}> is not allowed here as it is written", line=found.sourceline or 0
        )


def by_libvirt(xml: bytes) -> Validation:
    """Have libvirt itself parse and define the domain, in memory."""
    subject = "libvirt"
    try:
        import libvirt
    except ImportError as error:
        return Validation(
            subject=subject,
            version="",
            status=Status.SKIPPED,
            note=f"libvirt's Python module cannot be loaded: {error}",
        )
    version = _libvirt_version()
    # libvirt prints every error before it raises it.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    try:
        connection = libvirt.open(TEST_DRIVER)
    except libvirt.libvirtError as error:
        return Validation(
            subject=subject,
            version=version,
            status=Status.SKIPPED,
            note=f"libvirt's test driver cannot be opened: {error}",
        )
    try:
        # The driver comes with a domain of its own, whose name the guest may have.
        for domain in connection.listAllDomains():
            if domain.isActive():
                domain.destroy()
            domain.undefine()
        connection.defineXMLFlags(xml.decode(errors="replace"))
    except (libvirt.libvirtError, ValueError) as error:
        return Validation(
            subject=subject,
            version=version,
            status=Status.FAILED,
            problems=(Problem(message=str(error)),),
        )
    finally:
        connection.close()
    return Validation(
        subject=subject,
        version=version,
        status=Status.PASSED,
        note="by its test driver: not by its QEMU driver",
    )


def _libvirt_version() -> str:
    """The installed libvirt, which brought the schemas too."""
    try:
        import libvirt
    except ImportError:
        return "unknown"
    number: int = libvirt.getVersion()
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"
