"""Whether the host keeps the card until the guest starts, and what has to agree with that."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import BadInput
from pipeline.facts import drivers, libvirt
from pipeline.plan.model import Handover, Written
from pipeline.plan.topology import PlannedFunction
from pipeline.scenario.model import Scenario
from pipeline.scenario.source import Path, Source, written

_WHEN: Path = ("host", "vfio", "when")
_DISPLAY_MANAGER: Path = ("host", "display_manager")


def handover(scenario: Scenario, source: Source, passed: Sequence[PlannedFunction]) -> Handover | None:
    """How the `passed` functions are handed over when the guest starts, None where vfio-pci has them from boot on.

    Raises BadInput where the scenario also says what only makes sense the other way.
    """
    host = scenario.host
    if host.vfio.when == "boot":
        if host.display_manager is not None:
            raise BadInput(
                "host.display_manager is stopped only for a card that the host uses until the guest starts",
                place=source.place(_DISPLAY_MANAGER),
                hint="write host.vfio.when: guest-start, or leave host.display_manager out",
            )
        return None
    _refuse_early_taking(scenario, source)
    named = host.display_manager
    return Handover(
        hook=libvirt.hook(scenario.guest.name, year=host.year),
        display_manager=Written(value=f"{named}.service", place=source.place(_DISPLAY_MANAGER))
        if named
        else None,
        unload=tuple(
            dict.fromkeys(
                module
                for function in passed
                for driver in function.drivers
                for module in drivers.unloaded_before(driver)
            )
        ),
        place=source.place(_WHEN),
    )


def _refuse_early_taking(scenario: Scenario, source: Source) -> None:
    host = scenario.host
    if host.vfio.ids is not None:
        raise BadInput(
            "with host.vfio.when guest-start vfio-pci takes nothing by ids: libvirt gives it each function by address",
            place=source.place(("host", "vfio", "ids")),
            hint="leave host.vfio.ids out",
        )
    if host.vfio.softdeps and written(source.tree, ("host", "vfio", "softdeps")) is not None:
        raise BadInput(
            "with host.vfio.when guest-start the host's own drivers go first, so there are no softdeps",
            place=source.place(("host", "vfio", "softdeps")),
            hint="leave host.vfio.softdeps out",
        )
    for index, parameter in enumerate(host.kernel_parameters or ()):
        if parameter.partition("=")[0].replace("_", "-") == "vfio-pci.ids":
            raise BadInput(
                f"{parameter} lets vfio-pci take what host.vfio.when guest-start leaves to the host",
                place=source.place(("host", "kernel_parameters", index)),
                hint=f"remove {parameter}",
            )
