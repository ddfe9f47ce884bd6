"""The set-up that a scenario describes, with the places of the scenario."""

from __future__ import annotations

from pipeline.pci import Address
from pipeline.plan import Plan
from pipeline.plan.grouping import predict
from pipeline.plan.model import Written
from pipeline.plan.topology import PlannedFunction
from pipeline.scenario import Loaded
from pipeline.setup.from_guest import domain_of
from pipeline.setup.model import (
    Board,
    CommandLine,
    Function,
    Host,
    Initramfs,
    Modprobe,
    Origin,
    Setup,
    Softdep,
)


def from_plan(plan: Plan, loaded: Loaded) -> Setup:
    """What the rules look at in a scenario that was planned."""
    return Setup(
        name=plan.name,
        origin=Origin.SCENARIO,
        host=_host(plan, loaded),
        board=_board(plan, loaded),
        passed_where=loaded.source.place(("passthrough",)),
        domains=(domain_of(plan, loaded),),
    )


def _host(plan: Plan, loaded: Loaded) -> Host:
    host, place = plan.host, loaded.source.place
    return Host(
        distribution=host.distribution.distribution,
        facts=host.distribution,
        place=place(("host", "year")),
        cpu_vendor=host.cpu_vendor,
        threads=host.threads,
        memory=host.memory,
        kernel=Written(value=host.kernel, place=place(("host", "kernel"))),
        qemu=Written(value=host.qemu, place=place(("host", "qemu"))),
        bootloader=host.bootloader,
        command_line=CommandLine(
            parameters=host.kernel_parameters,
            where=place(("host", "kernel_parameters")),
            shown="host.kernel_parameters",
        ),
        modprobe=_modprobe(plan, loaded),
        initramfs=Initramfs(
            generator=host.generator,
            modules=host.modules,
            modules_where=place(("host", "initramfs", "modules")),
            hooks=host.hooks,
            hooks_where=place(("host", "initramfs", "hooks")),
            fallback=host.distribution.fallback_by_default,
        ),
        overrides=host.overrides,
        until_guest_starts=host.handover is not None,
    )


def _modprobe(plan: Plan, loaded: Loaded) -> Modprobe:
    where = loaded.source.place(("host", "vfio", "softdeps"))
    return Modprobe(
        vfio_ids=plan.host.vfio_ids,
        ids_where=loaded.source.place(("host", "vfio", "ids")),
        softdeps=tuple(
            Softdep(module=module, before=(before,), after=(), place=where)
            for module, before in plan.host.softdeps
        ),
    )


def _board(plan: Plan, loaded: Loaded) -> Board:
    functions = {one.address: one for one in plan.functions}
    groups = {members & frozenset(functions) for members in predict(plan.topology).groups.values()}
    return Board(
        functions=tuple(_function(one) for one in plan.functions),
        groups=tuple(sorted((group for group in groups if group), key=sorted)),
        topology=plan.topology,
        stated=tuple(
            Written(
                value=tuple(sorted(Address.parse(member) for member in stated)),
                place=loaded.source.place(("expect", "groups", index)),
            )
            for index, stated in enumerate(loaded.scenario.expect.groups or ())
        ),
    )


def _function(one: PlannedFunction) -> Function:
    return Function(
        address=one.address,
        ids=one.ids,
        subsystem=one.subsystem,
        class_code=one.class_code,
        name=one.name,
        drivers=one.drivers,
        passed=one.passed,
        place=one.place,
    )
