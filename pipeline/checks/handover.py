"""A host that hands its card over when the guest starts: what shows on the card, and whose it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from testinfra.host import Host

from pipeline.checks.observation import Observation, sections
from pipeline.pci import Address
from pipeline.plan.model import Check, Expectation

Observed = str | tuple[str, ...]
Observe = Callable[[Observed], None]

FRAME_BUFFER = "frame buffer device"
SCRIPT = r"""
echo @consoles
for path in /sys/class/vtconsole/*; do
    [ -e "$path/name" ] || continue
    read -r bound < "$path/bind"; read -r name < "$path/name"; echo "${path##*/} $bound $name"
done
echo @screens
for path in /sys/bus/platform/drivers/*-framebuffer/*-framebuffer.*; do [ -e "$path" ] && echo "${path##*/}"; done
echo @lasting
for path in /sys/class/graphics/fb[0-9]*; do
    cd -P "$path" 2>/dev/null || continue
    case $PWD in */platform/*-framebuffer.*) ;; *) echo "${path##*/}" ;; esac
done
echo @overrides
for path in /sys/bus/pci/devices/*; do
    value=; read -r value < "$path/driver_override"; [ "$value" = '(null)' ] || echo "${path##*/} $value"
done
echo @hooks
for path in /etc/libvirt/hooks/qemu /etc/libvirt/hooks/qemu.d/*; do
    [ -f "$path" ] || continue
    if [ -x "$path" ]; then echo "executable $path"; else echo "not-executable $path"; fi
done
echo @units; systemctl list-units --plain --no-legend --full --type=service --state=active,activating,deactivating
exit 0
"""
_SECTIONS = {"consoles", "screens", "lasting", "overrides", "hooks", "units"}
# What a check says of what is not there at all.
ABSENT = "absent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A host at one moment.

    `consoles` are the bound frame buffer consoles and `unbound` the others of that kind; `screens` the frame buffers of
    the firmware that a driver has, `lasting` all others; `overrides` the functions for one driver alone; `hooks`
    whether each of libvirt's hook scripts is executable; `units` the state of each service that is not inactive.
    """

    consoles: tuple[str, ...]
    unbound: tuple[str, ...]
    screens: tuple[str, ...]
    lasting: tuple[str, ...]
    overrides: Mapping[Address, str]
    hooks: Mapping[str, bool]
    units: Mapping[str, str]


def look(host: Host) -> Seen:
    """Look at a host through testinfra."""
    return read(host.run(SCRIPT).stdout)


def read(text: str) -> Seen:
    """Read the script's output; raises ValueError where it is not that."""
    parts = {
        name: [line for line in lines if line.strip()] for name, lines in sections(text, _SECTIONS).items()
    }
    consoles = [line.split(maxsplit=2) for line in parts["consoles"] if FRAME_BUFFER in line]
    hooks = [line.split(maxsplit=1) for line in parts["hooks"]]
    # UNIT LOAD ACTIVE SUB DESCRIPTION: systemctl(1).
    units = [line.split() for line in parts["units"]]
    overrides = [line.split() for line in parts["overrides"]]
    return Seen(
        consoles=tuple(name for name, bound, _ in consoles if bound == "1"),
        unbound=tuple(name for name, bound, _ in consoles if bound != "1"),
        screens=tuple(parts["screens"]),
        lasting=tuple(parts["lasting"]),
        overrides={Address.parse(name): driver for name, driver in overrides},
        hooks={path: mode == "executable" for mode, path in hooks},
        units={words[0]: words[2] for words in units},
    )


def check_hook(expectation: Expectation, seen: Seen) -> Observed:
    """The hook is there and libvirt can run it."""
    if expectation.subject not in seen.hooks:
        return ABSENT
    return "executable" if seen.hooks[expectation.subject] else "not executable"


def check_unit(expectation: Expectation, seen: Seen) -> Observed:
    """The unit is in the state that is expected."""
    return seen.units.get(expectation.subject, "inactive")


def check_screen_freed(expectation: Expectation, seen: Seen) -> Observed:
    """No console is on a frame buffer, and no driver has that of the firmware."""
    return ", ".join([*seen.consoles, *seen.screens]) or str(expectation.expected)


def check_screen_back(expectation: Expectation, seen: Seen) -> Observed:
    """There is a frame buffer console again, and none is left unbound."""
    if seen.unbound:
        return f"not bound: {', '.join(seen.unbound)}"
    return str(expectation.expected) if seen.consoles else "no frame buffer console"


def check_given_back(expectation: Expectation, host: Observation, seen: Seen) -> Observed:
    """The function is for any driver again, and after vfio-pci one of the host's own was asked."""
    address = Address.parse(expectation.subject)
    found = host.functions.get(address)
    if found is None:
        return ABSENT
    if found.driver == "vfio-pci":
        return "still held by vfio-pci"
    if address in seen.overrides:
        return f"driver_override is still {seen.overrides[address]}"
    if host.probes is None:
        return "not observable: the kernel logged no probes"
    tried = [driver.replace("-", "_") for driver in host.probes.get(address, ())]
    if "vfio_pci" not in tried:
        return "vfio-pci never had it"
    last = len(tried) - tried[::-1].index("vfio_pci")
    return tuple(sorted(set(tried[last:]))) or "free"


def given_back(expectation: Expectation, observed: Observed) -> bool:
    """Whether `observed` is what giving back means: one of the drivers that are expected, or just free."""
    if isinstance(expectation.expected, str):
        return observed == expectation.expected or not isinstance(observed, str)
    return not isinstance(observed, str) and bool(set(observed) & set(expectation.expected))


CHECKS: Mapping[Check, Callable[[Expectation, Seen], Observed]] = {
    Check.HOOK: check_hook,
    Check.DISPLAY: check_unit,
    Check.DISPLAY_STOPPED: check_unit,
    Check.DISPLAY_BACK: check_unit,
    Check.SCREEN_FREED: check_screen_freed,
    Check.SCREEN_BACK: check_screen_back,
}
