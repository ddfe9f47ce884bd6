"""What must hold when the host has booted and the guest has started, from the decisions alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.errors import Place
from pipeline.facts import initramfs
from pipeline.facts.kernels import canonical, removal, turns_iommu_off
from pipeline.pci import Address
from pipeline.plan.grouping import predict
from pipeline.plan.guest_expectations import guest_expectations
from pipeline.plan.handover_expectations import at_boot, at_guest_start
from pipeline.plan.model import (
    Check,
    Expectation,
    GuestPlan,
    HostPlan,
    Stage,
    Written,
)
from pipeline.plan.topology import PlannedFunction, Topology
from pipeline.scenario.source import Source


def derive(
    host: HostPlan,
    topology: Topology,
    guest: GuestPlan,
    *,
    stated_groups: Sequence[Sequence[str]],
    source: Source,
) -> tuple[Expectation, ...]:
    """Every expectation of both stages, in the order in which they are checked.

    `stated_groups` are the groups that the owner states; they replace the predicted ones.
    """
    functions = topology.functions
    passed = [function for function in functions if function.passed]
    staying = [function for function in functions if not function.passed]
    found: list[Expectation] = []
    found += boot(host, source)
    found += _cmdline(host)
    found += _iommu(host, passed)
    found += _present(functions)
    found += _grouping(host, topology, functions, passed, stated_groups, source)
    if host.handover:
        found += at_boot(host.handover, topology, stated_groups)
    else:
        found += _binding(host, passed, source)
    found += _staying(host, staying)
    found += guest_expectations(guest, passed, source)
    if host.handover:
        found += at_guest_start(host.handover, guest, passed)
    return tuple(found)


def boot(host: HostPlan, source: Source) -> Iterator[Expectation]:
    """That the host's tools take its configuration, and that it comes up."""
    facts, generator = host.distribution, initramfs.generator(host.generator)
    missing = [
        module
        for module in host.modules
        if removal(module.value, kernel=host.kernel) and not module.value.endswith("?")
    ]
    yield Expectation(
        check=Check.INITRAMFS,
        stage=Stage.HOST,
        subject=facts.preset if host.generator == "mkinitcpio" else generator.file,
        expected="exit status 0",
        place=missing[0].place if missing else source.place(("host", "initramfs")),
        why=f"{generator.name} reports an error: the image may lack what vfio-pci needs",
        fix=f"take {missing[0].value} out of {generator.modules}"
        if missing
        else f"see the message of `{' '.join(generator.command)}`",
    )
    if host.bootloader == "grub":
        yield Expectation(
            check=Check.LOADER,
            stage=Stage.HOST,
            subject=facts.grub_cfg,
            expected="exit status 0",
            place=source.place(("host", "bootloader")),
            why=f"{facts.grub_mkconfig[0]} gives up and leaves the grub.cfg of before, so nothing of the change boots",
            fix="mend the line of /etc/default/grub that its message names, then run "
            f"{facts.grub_mkconfig[0]} again",
        )
    yield Expectation(
        check=Check.BOOTS,
        stage=Stage.HOST,
        subject=facts.uki if host.bootloader == "uki" else facts.initramfs_image,
        expected="reachable",
        place=source.place(("host", "initramfs")),
        why="the host does not come up with this initramfs",
        fix=f"boot the fallback entry or a live medium and correct {generator.file}",
    )


def _cmdline(host: HostPlan) -> Iterator[Expectation]:
    first: dict[str, Written[str]] = {}
    for parameter in host.kernel_parameters:
        first.setdefault(parameter.value, parameter)
    for parameter in first.values():
        yield Expectation(
            check=Check.CMDLINE,
            stage=Stage.HOST,
            subject=parameter.value,
            expected=parameter.value,
            place=parameter.place,
            why="the kernel did not get this parameter, so what it turns on or off is not",
            fix=_cmdline_fix(host),
        )


def _cmdline_fix(host: HostPlan) -> str:
    facts = host.distribution
    if host.bootloader == "uki":
        command = " ".join(initramfs.generator(host.generator).command)
        return f"put it into /etc/kernel/cmdline and run `{command}`: the image holds its own copy"
    if host.bootloader == "systemd-boot":
        return "put it into options of the entry in /boot/loader/entries"
    if facts.grub_entries:
        return f"put it into the entries with `{facts.grub_entries} --update-kernel=ALL --args=...`"
    return f"put it into GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub and run `{' '.join(facts.grub_mkconfig)}`"


def _iommu_off(host: HostPlan) -> Written[str] | None:
    """The parameter that turns the IOMMU off."""
    off = (one for one in host.kernel_parameters if turns_iommu_off(one.value, vendor=host.cpu_vendor))
    return next(off, None)


def _iommu(host: HostPlan, passed: Sequence[PlannedFunction]) -> Iterator[Expectation]:
    off = _iommu_off(host)
    yield Expectation(
        check=Check.IOMMU,
        stage=Stage.HOST,
        subject=host.cpu_vendor,
        expected="on",
        place=off.place if off else passed[0].place,
        why="without an IOMMU vfio-pci refuses every device (-22) and nothing can be passed through",
        fix=f"remove {off.value}" if off else "turn on the IOMMU (AMD-Vi, VT-d) in the firmware's settings",
    )


def _present(functions: Sequence[PlannedFunction]) -> Iterator[Expectation]:
    for function in functions:
        if function.passed:
            yield Expectation(
                check=Check.PRESENT,
                stage=Stage.HOST,
                subject=str(function.address),
                expected=f"{function.ids} subsystem {function.subsystem or '0000:0000'} "
                f"rev {function.revision:02x}",
                place=function.place,
                why="the host does not see the card that the scenario describes",
                fix="compare the scenario with `lspci -nn -s " + str(function.address) + "`",
            )


def _grouping(
    host: HostPlan,
    topology: Topology,
    functions: Sequence[PlannedFunction],
    passed: Sequence[PlannedFunction],
    stated: Sequence[Sequence[str]],
    source: Source,
) -> Iterator[Expectation]:
    places = {function.address: function.place for function in functions}
    wanted: dict[frozenset[Address], Place] = {}
    taken: dict[Address, Place] = {}
    for index, members in enumerate(stated):
        place = source.place(("expect", "groups", index))
        group = frozenset(Address.parse(member) for member in members)
        wanted[group] = place
        taken.update(dict.fromkeys(group, place))
    predicted = predict(topology).groups
    for function in functions:
        whole = predicted[function.address]
        rest = whole.difference(taken)
        if function.address in rest and rest not in wanted:
            split = [taken[member] for member in sorted(whole) if member in taken]
            wanted[rest] = split[0] if split else places[function.address]
    for group, place in wanted.items():
        yield Expectation(
            check=Check.GROUP,
            stage=Stage.HOST,
            subject=str(min(group)),
            expected=tuple(str(member) for member in sorted(group)),
            place=place,
            why="a group is passed through whole or not at all",
            fix="use another slot, a firmware setting for ACS, or correct `expect.groups`",
        )
    for group in wanted:
        inside = [function for function in passed if function.address in group]
        if inside and not host.handover:
            left_out = [one for one in functions if one.address in group and not one.passed]
            yield _viable(host, group, inside[0], left_out, source)


def _viable(
    host: HostPlan,
    group: frozenset[Address],
    passed: PlannedFunction,
    left_out: Sequence[PlannedFunction],
    source: Source,
) -> Expectation:
    place, fix = _suspect(host, passed, source)
    if left_out:
        place = source.place(("passthrough",))
        names = ", ".join(str(function.address) for function in left_out)
        fix = f"add {names} to `passthrough`"
        if any(function.address.slot != passed.address.slot for function in left_out):
            fix += ", or use a slot that does not share the group (lint says what joins it)"
    return Expectation(
        check=Check.VIABLE,
        stage=Stage.HOST,
        subject=str(min(group)),
        expected="no function of the group held by a driver of the host",
        place=place,
        why="VFIO refuses a group while a driver of the host holds one of its functions "
        "(the guest then ends with 'group is not viable')",
        fix=fix,
    )


def _binding(host: HostPlan, passed: Sequence[PlannedFunction], source: Source) -> Iterator[Expectation]:
    for function in passed:
        place, fix = _suspect(host, function, source)
        yield Expectation(
            check=Check.BINDING,
            stage=Stage.HOST,
            subject=str(function.address),
            expected="vfio-pci",
            place=place,
            why="the function is not reserved for the guest: the wrong driver, or none, holds it",
            fix=fix,
        )
        yield Expectation(
            check=Check.FIRST_DRIVER,
            stage=Stage.HOST,
            subject=str(function.address),
            expected="vfio-pci",
            place=place,
            why="a driver of the host tried the function before vfio-pci had it; a GPU often "
            "does not come back from that without a reset",
            fix=fix,
        )
        yield Expectation(
            check=Check.VFIO_NODE,
            stage=Stage.HOST,
            subject=str(function.address),
            expected="/dev/vfio/<group>",
            place=place,
            why="without the group's device node QEMU cannot open the function",
            fix=fix,
        )


def _suspect(host: HostPlan, function: PlannedFunction, source: Source) -> tuple[Place, str]:
    """The line most likely to be at fault when vfio-pci does not get `function`."""
    off = _iommu_off(host)
    if off:
        return off.place, f"remove {off.value}: vfio-pci needs the IOMMU"
    if function.address not in host.overrides and str(function.ids) not in {
        one.value for one in host.vfio_ids
    }:
        subsystem = [one for one in host.vfio_ids if one.value == str(function.subsystem)]
        place = subsystem[0].place if subsystem else source.place(("host", "vfio", "ids"))
        return place, f"put {function.ids} (vendor:device) into the ids of vfio-pci"
    generator = initramfs.generator(host.generator)
    if host.generator == "mkinitcpio" and "modconf" not in {hook.value for hook in host.hooks}:
        place = source.place(("host", "initramfs", "hooks"))
        return place, "put modconf into HOOKS of /etc/mkinitcpio.conf"
    modules = [canonical(module.value) for module in host.modules]
    if "vfio_pci" not in modules:
        place = source.place(("host", "initramfs", "modules"))
        return place, f"put vfio_pci into {generator.modules}"
    drivers = {canonical(driver) for driver in function.drivers}
    for module in host.modules[: modules.index("vfio_pci")]:
        if canonical(module.value) in drivers:
            return module.place, f"put vfio_pci before {module.value} in {generator.modules}"
    return function.place, "see which driver took it, and load vfio_pci before it"


def _staying(host: HostPlan, staying: Sequence[PlannedFunction]) -> Iterator[Expectation]:
    for function in staying:
        same = [written for written in host.vfio_ids if written.value == str(function.ids)]
        yield Expectation(
            check=Check.STAYS,
            stage=Stage.HOST,
            subject=str(function.address),
            expected="not vfio-pci",
            place=same[0].place if same else function.place,
            why="vfio-pci took a function that the host needs",
            fix=f"take {function.ids} out of the ids of vfio-pci",
        )
