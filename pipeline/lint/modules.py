"""DB2xx: the kernel modules of the early boot."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.initramfs import Generator, generator
from pipeline.facts.kernels import built_in, canonical, removal
from pipeline.lint.finding import Finding, Rule, Severity
from pipeline.plan import Plan
from pipeline.scenario import Loaded

_BUILD = "measured: mkinitcpio v41 with kernels 6.1 and 6.12"
_ORDER = "measured: mkinitcpio v41, a GPU driver before vfio-pci in MODULES gets the card"


def _tool(plan: Plan) -> Generator:
    return generator(plan.host.generator)


def _list(tool: Generator) -> str:
    """What the list of modules is called in a sentence."""
    return tool.modules.partition(" of ")[0]


def module_gone(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB201: the kernel no longer has the module."""
    for module in plan.host.modules:
        gone = removal(module.value, kernel=plan.host.kernel)
        if gone is None:
            continue
        found = f"kernel {plan.host.kernel} has no module {gone.name}: {gone.reason} since {gone.removed_in}"
        tool = _tool(plan)
        if not tool.missing:
            severity, why = (
                Severity.NOTE,
                f"{tool.name} passes over it without a word and exits with status 0",
            )
        elif module.value.endswith("?"):
            severity, why = Severity.NOTE, f"{tool.name} passes over it because of the question mark"
        else:
            severity = Severity.ERROR
            message = tool.missing.format(module=module.value)
            why = f'{tool.name} ends with "{message}" and exit status 1, although it writes the image'
        yield Finding(
            code="DB201",
            severity=severity,
            place=module.place,
            found=found,
            why=why,
            fix=f"remove {module.value}",
            source=f"{gone.source}; {_measured(tool, _BUILD)}",
        )


def _measured(tool: Generator, with_mkinitcpio: str) -> str:
    """What a statement about a generator rests on."""
    return with_mkinitcpio if tool.name == "mkinitcpio" else tool.source


def vfio_missing(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB202: vfio_pci is not among the modules that are loaded early."""
    tool = _tool(plan)
    if "vfio_pci" not in {canonical(module.value) for module in plan.host.modules}:
        yield Finding(
            code="DB202",
            severity=Severity.ERROR,
            place=loaded.source.place(("host", "initramfs", "modules")),
            found=f"vfio_pci is not in {_list(tool)}",
            why="it is then not in the image, and the drivers of the host take the functions first; "
            "softdeps in modprobe.d do not bring it in",
            fix="add vfio_pci, or leave out host.initramfs.modules to have them derived",
            source=_measured(tool, _BUILD),
        )


def driver_first(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB203: a driver that wants a passed-through function is loaded before vfio_pci."""
    tool = _tool(plan)
    names = [canonical(module.value) for module in plan.host.modules]
    if "vfio_pci" not in names:
        return
    rivals = {
        canonical(driver): function for function in reversed(plan.passed) for driver in function.drivers
    }
    for module in plan.host.modules[: names.index("vfio_pci")]:
        function = rivals.get(canonical(module.value))
        if function:
            yield Finding(
                code="DB203",
                severity=Severity.ERROR,
                place=module.place,
                found=f"{module.value} comes before vfio_pci in {_list(tool)} and takes {function.address}",
                why=f"modules are loaded in the order of {_list(tool)}"
                + (", whatever the order of HOOKS" if plan.host.hooks else "")
                + "; a GPU that its driver has started often cannot be handed over without a reset",
                fix=f"put vfio_pci before {module.value}",
                source=_measured(tool, _ORDER),
            )


def driver_built_in(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB204: a driver that wants a passed-through function is no module but part of the kernel."""
    distribution = plan.host.distribution.distribution
    fixed = built_in(distribution, plan.host.kernel)
    for function in plan.passed:
        for driver in function.drivers:
            if canonical(driver) in fixed:
                yield Finding(
                    code="DB204",
                    severity=Severity.WARNING,
                    place=function.place,
                    found=f"{driver} is built into {distribution}'s kernel {plan.host.kernel} and takes "
                    f"{function.address} before vfio-pci is loaded",
                    why="neither ids= nor a softdep comes before a driver that needs no loading",
                    fix=f"let libvirt (managed='yes') take {function.address} from {driver} when the guest "
                    "starts, or set its driver_override early in the initramfs and rebind it",
                    source=fixed[canonical(driver)],
                )


RULES: tuple[Rule, ...] = (module_gone, vfio_missing, driver_first, driver_built_in)
