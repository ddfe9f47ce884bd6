"""DB851 and DB852: huge pages for the guest's memory."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup

_SOURCE = "libvirt docs/formatdomain.rst, Memory Backing; kernel Documentation/admin-guide/mm/hugetlbpage.rst"
_MIB = 1 << 20


@rule("DB851", holds="every libvirt and kernel", source=_SOURCE)
def pages_not_reserved(setup: Setup) -> Iterator[Problem]:
    """The guest wants huge pages, and the host reserves none.

    Nothing makes huge pages when they are asked for: they have to be reserved, best at boot while memory is whole.
    QEMU ends with "unable to map backing store for guest RAM: Cannot allocate memory".
    """
    pages = setup.host.hugepages
    for domain in setup.domains if pages and not pages.value else ():
        if domain.hugepages:
            yield Problem(
                severity=Severity.WARNING,
                place=domain.hugepages,
                found=f"{domain.name} wants huge pages, and the host reserves none",
                why="QEMU cannot allocate the guest's memory, unless a script reserves pages before",
                fix=f"add hugepages={_count(domain.memory.value)} to the kernel's parameters (pages of 2 MiB), or take "
                "<hugepages/> out",
            )


@rule("DB852", holds="every libvirt and kernel", source=_SOURCE)
def pages_too_few(setup: Setup) -> Iterator[Problem]:
    """The guest has more memory than the host reserves huge pages for.

    All memory of the guest comes from huge pages or none: QEMU ends with "unable to map backing store for guest RAM:
    Cannot allocate memory".
    """
    pages = setup.host.hugepages
    if pages is None or not pages.value:
        return
    for domain in setup.domains:
        if domain.hugepages and domain.memory.value > pages.value:
            yield Problem(
                severity=Severity.WARNING,
                place=domain.hugepages,
                found=f"{domain.name} has {domain.memory.value // _MIB} MiB, and huge pages for "
                f"{pages.value // _MIB} MiB are reserved",
                why="QEMU cannot allocate the guest's memory, unless a script reserves more pages before",
                fix=f"reserve {_count(domain.memory.value)} pages of 2 MiB ({pages.place}), or give the guest less "
                "memory",
            )


def _count(memory: int) -> int:
    """Pages of 2 MiB for so many bytes."""
    return -(-memory // (2 * _MIB))


RULES: tuple[Rule, ...] = (pages_not_reserved, pages_too_few)
