"""The menu entry without passthrough, and what must hold when it is booted."""

from __future__ import annotations

from pipeline.facts.kernels import canonical
from pipeline.plan.expectations import boot
from pipeline.plan.model import Check, Expectation, HostPlan, Stage
from pipeline.plan.topology import Topology
from pipeline.scenario.source import Source

# The menu entry without passthrough, and what it adds to the command line: kernel/module/main.c
# blacklisted() refuses the module whoever asks for it.
WAY_BACK = "without-passthrough"
WAY_BACK_PARAMETER = "module_blacklist=vfio_pci"


def way_back(host: HostPlan, topology: Topology, *, source: Source) -> tuple[Expectation, ...]:
    """What must hold when the entry without passthrough is booted: every function is its usual driver's."""
    found = [*boot(host, source)]
    place = source.place(("host", "bootloader"))
    found.append(
        Expectation(
            check=Check.CMDLINE,
            stage=Stage.HOST,
            subject=WAY_BACK_PARAMETER,
            expected=WAY_BACK_PARAMETER,
            place=place,
            why="this is not the entry without passthrough",
            fix=_where(host),
        )
    )
    for function in topology.functions:
        found.append(
            Expectation(
                check=Check.STAYS,
                stage=Stage.HOST,
                subject=str(function.address),
                expected="not vfio-pci",
                place=function.place,
                why="the way back leads nowhere: the function is still the guest's",
                fix=f"see why the kernel does not heed {WAY_BACK_PARAMETER}",
            )
        )
        if function.passed and function.drivers:
            found.append(
                Expectation(
                    check=Check.OWN_DRIVER,
                    stage=Stage.HOST,
                    subject=str(function.address),
                    expected=tuple(sorted(canonical(driver) for driver in function.drivers)),
                    place=function.place,
                    why="no driver of the host has tried the function, so the card stays dark",
                    fix=f"load one of {', '.join(function.drivers)} on the host",
                )
            )
    return tuple(found)


def _where(host: HostPlan) -> str:
    if host.bootloader == "grub":
        cfg = host.distribution.grub_cfg
        return f"look for it in {cfg}; /etc/grub.d/42_without_passthrough has to be executable"
    if host.bootloader == "uki":
        return f"look for it in the menu; {host.distribution.preset} makes its image"
    return f"look for {WAY_BACK}.conf in /boot/loader/entries"
