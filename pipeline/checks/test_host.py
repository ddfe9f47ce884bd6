"""The host has booted as the plan says: command line, IOMMU, groups, drivers."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.checks import handover
from pipeline.checks.observation import Observation
from pipeline.pci import Address
from pipeline.plan.model import Check, Expectation

Observe = Callable[[str | tuple[str, ...]], None]

# drivers/vfio/vfio_main.c vfio_dev_driver_allowed(), drivers/pci/pcie/portdrv.c: driver_managed_dma.
_HARMLESS = {"", "vfio-pci", "pci-stub", "pcieport"}


def _compare(expectation: Expectation, observed: str | tuple[str, ...], record: Observe) -> None:
    record(observed)
    assert observed == expectation.expected


def check_cmdline(expectation: Expectation, seen: Observation, record: Observe) -> None:
    """The parameter is on the kernel's command line, with its value."""
    name = expectation.subject.partition("=")[0]
    found = [word for word in seen.command_line if word.partition("=")[0] == name]
    exact = expectation.subject in found
    _compare(expectation, expectation.subject if exact else " ".join(found) or "absent", record)


def check_iommu(expectation: Expectation, seen: Observation, record: Observe) -> None:
    """The kernel runs an IOMMU and has put functions into groups."""
    grouped = any(function.group for function in seen.functions.values())
    _compare(expectation, "on" if seen.iommus and grouped else "off", record)


def check_present(expectation: Expectation, seen: Observation, record: Observe) -> None:
    """The function is there with the ids that the scenario says."""
    found = seen.functions.get(Address.parse(expectation.subject))
    text = f"{found.ids} subsystem {found.subsystem} rev {found.revision:02x}" if found else "absent"
    _compare(expectation, text, record)


def check_group(expectation: Expectation, seen: Observation, record: Observe) -> None:
    """The function's group has exactly the members that are expected."""
    found = seen.functions.get(Address.parse(expectation.subject))
    members = seen.group(found.group) if found and found.group else frozenset()
    _compare(expectation, tuple(str(member) for member in sorted(members)), record)


def check_viable(expectation: Expectation, seen: Observation, record: Observe) -> None:
    """No function of the group is held by a driver that VFIO does not accept beside itself."""
    found = seen.functions.get(Address.parse(expectation.subject))
    members = sorted(seen.group(found.group)) if found and found.group else []
    held = [(member, seen.functions[member].driver) for member in members]
    taken = ", ".join(f"{member} by {driver}" for member, driver in held if driver not in _HARMLESS)
    good = str(expectation.expected)
    _compare(expectation, taken or (good if members else "no group"), record)


def check_binding(expectation: Expectation, seen: Observation, record: Observe) -> None:
    """vfio-pci holds the function now."""
    found = seen.functions.get(Address.parse(expectation.subject))
    _compare(expectation, found.driver or "no driver" if found else "absent", record)


def check_first_driver(expectation: Expectation, seen: Observation, record: Observe) -> None:
    """vfio-pci was the first driver to try the function since boot, and the only one."""
    if seen.probes is None:
        observed = "not observable: the kernel logged no probes"
    else:
        tried = seen.probes.get(Address.parse(expectation.subject), ())
        observed = ", then ".join(dict.fromkeys(tried)) or "no driver"
    _compare(expectation, observed, record)


def check_stays(expectation: Expectation, seen: Observation, record: Observe) -> None:
    """vfio-pci has not taken a function that stays on the host."""
    found = seen.functions.get(Address.parse(expectation.subject))
    driver = found.driver if found else "absent"
    held = driver in {"vfio-pci", "absent"}
    record(driver or "no driver")
    assert not held


def check_own_driver(expectation: Expectation, seen: Observation, record: Observe) -> None:
    """The first driver to try the function since boot is one of the host's own."""
    tried = (seen.probes or {}).get(Address.parse(expectation.subject), ())
    record(", then ".join(dict.fromkeys(tried)) or "no driver")
    assert tried
    assert tried[0].replace("-", "_") in expectation.expected


def check_unheld(expectation: Expectation, seen: Observation, record: Observe) -> None:
    """No driver of the host holds a function that shares the group of a passed-through one."""
    found = seen.functions.get(Address.parse(expectation.subject))
    driver = found.driver if found else "absent"
    _compare(expectation, str(expectation.expected) if driver in _HARMLESS else driver, record)


def check_vfio_node(expectation: Expectation, seen: Observation, record: Observe) -> None:
    """The device node of the function's group exists."""
    found = seen.functions.get(Address.parse(expectation.subject))
    there = bool(found and found.group and found.group in seen.vfio_nodes)
    listed = ", ".join(seen.vfio_nodes) or "empty"
    _compare(expectation, str(expectation.expected) if there else f"absent (/dev/vfio: {listed})", record)


_CHECKS = {
    Check.CMDLINE: check_cmdline,
    Check.IOMMU: check_iommu,
    Check.PRESENT: check_present,
    Check.GROUP: check_group,
    Check.VIABLE: check_viable,
    Check.BINDING: check_binding,
    Check.FIRST_DRIVER: check_first_driver,
    Check.STAYS: check_stays,
    Check.OWN_DRIVER: check_own_driver,
    Check.VFIO_NODE: check_vfio_node,
    Check.UNHELD: check_unheld,
    Check.HANDED_OVER: check_binding,
}


def test_host(
    expectation: Expectation, seen: Observation, screen: Callable[[], handover.Seen], record: Observe
) -> None:
    """One expectation of the plan, by the check of its kind."""
    if expectation.check in handover.CHECKS:
        _compare(expectation, handover.CHECKS[expectation.check](expectation, screen()), record)
        return
    if expectation.check is Check.GIVEN_BACK:
        observed = handover.check_given_back(expectation, seen, screen())
        record(observed)
        assert handover.given_back(expectation, observed)
        return
    _CHECKS[expectation.check](expectation, seen, record)
