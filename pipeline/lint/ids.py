"""DB1xx: the ids by which vfio-pci takes functions."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.lint.finding import Finding, Rule, Severity
from pipeline.plan import Plan
from pipeline.plan.model import Written
from pipeline.plan.topology import PlannedFunction
from pipeline.scenario import Loaded

_MATCH = "kernel drivers/pci/pci-driver.c pci_match_device(), drivers/vfio/pci/vfio_pci.c vfio_pci_fill_ids()"
_WIKI = "ArchWiki PCI passthrough via OVMF"


def written_ids(plan: Plan) -> tuple[Written[str], ...]:
    """The ids of modprobe.d and those on the kernel command line."""
    found = list(plan.host.vfio_ids)
    for parameter in plan.host.kernel_parameters:
        name, _, value = parameter.value.partition("=")
        if name.replace("_", "-") == "vfio-pci.ids":
            found += [Written(value=one.lower(), place=parameter.place) for one in value.split(",") if one]
    return tuple(found)


def _meant(plan: Plan, written: str) -> PlannedFunction | None:
    """The passed function whose subsystem id was written in place of its own."""
    if any(str(function.ids) == written for function in plan.functions):
        return None
    return next((one for one in plan.passed if str(one.subsystem) == written), None)


def subsystem_id(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB101: the id is a subsystem id."""
    for written in written_ids(plan):
        function = _meant(plan, written.value)
        if function:
            yield Finding(
                code="DB101",
                severity=Severity.ERROR,
                place=written.place,
                found=f"{written.value} is the subsystem id of {function.address}; "
                f"vfio-pci needs {function.ids}",
                why="ids= of vfio-pci is compared with vendor:device; the subsystem names the maker of the "
                f"card, so vfio-pci does not take {function.address}",
                fix=f"write {function.ids}: in `lspci -nn` it stands at the end of the function's own line, "
                "the subsystem in the line below",
                source=_MATCH,
            )


def unknown_id(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB102: no function of the board has the id."""
    own = {str(function.ids) for function in plan.functions}
    for written in written_ids(plan):
        if written.value not in own and not _meant(plan, written.value):
            yield Finding(
                code="DB102",
                severity=Severity.WARNING,
                place=written.place,
                found=f"no function of the board has the id {written.value}",
                why="vfio-pci waits for a device that is not there; usually an id was mistyped",
                fix="passed through are " + ", ".join(f"{one.address} {one.ids}" for one in plan.passed),
                source=_MATCH,
            )


def id_of_another(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB103: the id also matches a function that the host keeps."""
    seen: set[str] = set()
    for written in written_ids(plan):
        staying = [one for one in plan.functions if str(one.ids) == written.value and not one.passed]
        twins = [one for one in plan.passed if str(one.ids) == written.value]
        if not staying or written.value in seen:
            continue
        seen.add(written.value)
        names = ", ".join(str(one.address) for one in staying)
        why = "ids= takes every device with that vendor and device id, so the host loses it"
        fix = f"take {written.value} out of the ids"
        if twins:
            passed = ", ".join(str(one.address) for one in twins)
            why = (
                f"{passed} and {names} look the same to ids=; vfio-pci takes both and the host loses {names}"
            )
            fix = (
                "leave the ids to be derived: driver_override of " + passed + " is then set in the initramfs"
            )
        yield Finding(
            code="DB103",
            severity=Severity.ERROR,
            place=written.place,
            found=f"{written.value} is also the id of {names}, which the host keeps",
            why=why,
            fix=fix,
            source=f"{_WIKI}, Using identical guest and host GPUs; {_MATCH}",
        )


def id_missing(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB104: a function is passed through, but its id is not in the list."""
    ids = written_ids(plan)
    known = {written.value for written in ids}
    mistaken = {_meant(plan, written.value) for written in ids}
    for function in plan.passed:
        if (
            str(function.ids) not in known
            and function not in mistaken
            and function.address not in plan.host.overrides
        ):
            yield Finding(
                code="DB104",
                severity=Severity.ERROR,
                place=loaded.source.place(("host", "vfio", "ids")),
                found=f"{function.ids} of {function.address} is missing from the ids of vfio-pci",
                why="vfio-pci does not take the function at boot"
                + (f"; {function.drivers[0]} does" if function.drivers else ""),
                fix=f"add {function.ids}, or leave out host.vfio.ids to have them derived",
                source=_MATCH,
            )


RULES: tuple[Rule, ...] = (subsystem_id, unknown_id, id_of_another, id_missing)
