"""The guest stage: libvirt in L1 defines and starts the domain; the payload in L2 reports over its serial line."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import LabFault
from pipeline.lab import payload
from pipeline.lab.console import last_lines
from pipeline.lab.domain import LabDomain
from pipeline.lab.emulator import Emulator
from pipeline.lab.functions import stage
from pipeline.lab.functions.tested import Tested
from pipeline.lab.shape import LEFT_FOR_THE_GUEST
from pipeline.lab.shell import Done, Shell
from pipeline.pci import Address
from pipeline.plan.handover_expectations import TAG
from pipeline.plan.model import Check, Expectation, Plan, Stage
from pipeline.verdict import CheckResult, Outcome

SECONDS = {"tcg": 400, "kvm": 120}
_XML = "/root/domain.xml"
_END_SECONDS = 60
_ROOT_PORT_OF_BUS_0 = "behind a root port"


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestRun:
    """What the guest stage saw: check results, and logs by name."""

    checks: tuple[CheckResult, ...]
    logs: dict[str, str]
    versions: dict[str, str]


class Watch(Protocol):
    """Looks at the host that hands its card over, at the two moments that matter."""

    def running(self) -> Sequence[CheckResult]:
        """The guest runs."""

    def ended(self) -> Sequence[CheckResult]:
        """Libvirt is through with the guest and with its hooks."""


class Look(Protocol):
    """Looks at the guest when its payload has told all, while it still runs."""

    def __call__(self, shell: Shell, name: str, serial: str) -> None:
        """`shell` is L1's, `name` the domain's, `serial` what the payload said."""


def warm_up(shell: Shell, emulator: Emulator | None = None) -> None:
    """Make the device nodes that a guest may need, and let libvirt probe its QEMU in the background.

    Both take seconds under TCG, so they come after the host's checks, which need neither. A QEMU that is under
    test is put in place.
    """
    own = ""
    if emulator:
        emulator.mount(shell)
        own = f" --emulatorbin {emulator.binary}"
    probe = f"(virsh domcapabilities --virttype qemu{own} >/dev/null 2>&1 &)"
    shell.run(f"systemctl start {' '.join(LEFT_FOR_THE_GUEST)}; {probe} ; true")


def run_guest(
    plan: Plan,
    domain: LabDomain,
    shell: Shell,
    *,
    accelerator: str,
    progress: Callable[[str], None],
    watch: Watch | None = None,
    look: Look | None = None,
    functions: Sequence[Tested] = (),
) -> GuestRun:
    """Define and start the domain, read the payload's report, compare.

    `watch` looks at the host beside it, where that hands its card over only now; `look` at the guest, which its
    payload does not end then.

    `functions` are those that Linux in the guest tests after the shell: the guest is started twice for it, and reboots.

    Raises LabFault where L1 or the connection fails; a domain that libvirt refuses is a failed check.
    """
    wanted = {
        expectation.id: expectation for expectation in plan.expectations if expectation.stage is Stage.GUEST
    }
    name = shlex.quote(plan.guest.name)
    serial = f"/var/log/libvirt/qemu/{plan.guest.name}-serial.log"
    shell.write(_XML, domain.xml)
    if plan.guest.bridge:
        _bridge(shell, shlex.quote(plan.guest.bridge))
    progress("libvirt defines the domain")
    results: list[CheckResult] = []
    defined = _timed(shell, f"virsh define --validate {_XML}")
    results.append(_command(_find(wanted, Check.DOMAIN_DEFINED), "defined", *defined))
    logs: dict[str, str] = {}
    if defined[0].status == 0:
        before = shell.run("dmesg").out if functions else ""
        progress("libvirt starts the guest")
        started = _timed(shell, f"virsh start {name}")
        results.append(_command(_find(wanted, Check.DOMAIN_STARTED), "running", *started))
        if started[0].status == 0:
            if watch:
                progress("looking at what the host has handed over")
                results += watch.running()
            progress("waiting for the guest's firmware")
            limit = stage.SECONDS[accelerator] if functions else SECONDS[accelerator]
            end = "" if functions else payload.END
            text, seconds = _serial(shell, name, serial, limit, end)
            logs["l2-serial.log"] = text
            report = payload.read(text)
            if (functions or not report.complete) and _alive(shell, name):
                shell.run(f"virsh destroy {name}")
                if not any(sign in text for sign in payload.GAVE_UP):
                    raise LabFault(f"the guest did not come to its end in {limit} s:\n{last_lines(text)}")
            results += _compare(plan, wanted, report, seconds)
            if look and report.complete:
                progress("taking the guest's fingerprint")
                look(shell, plan.guest.name, text)
                shell.run(f"virsh destroy {name}")
            if watch:
                progress("looking at what the host has back")
                results.append(_ended(plan, _find(wanted, Check.GUEST_ENDED), shell))
                results += watch.ended()
            if functions:
                again, why = "", "not tried: the first run did not come to its end"
                if report.complete:
                    progress("starting the guest again")
                    again, why = _again(shell, name, serial, limit)
                logs["l2-serial-again.log"] = again
                log = shell.run("dmesg").out
                logs["l1-kernel-after.log"] = log
                since = log.removeprefix(before)
                results += stage.results(plan, functions, (text, again), host_log=since, not_again=why)
    if watch:
        logs["l1-hook.log"] = shell.run(f"journalctl -b -o cat --no-pager -t {shlex.quote(TAG)}").out
        logs["l1-kernel-after.log"] = shell.run("dmesg").out
    logs["l2-qemu.log"] = shell.read(f"/var/log/libvirt/qemu/{plan.guest.name}.log")
    versions = shell.run("virsh version --daemon 2>/dev/null; dpkg-query -W -f '${Version}' ovmf").out
    done = {result.expectation.id for result in results}
    results += [
        CheckResult(expectation=expectation, outcome=Outcome.SKIPPED, observed="the guest did not start")
        for expectation in wanted.values()
        if expectation.id not in done
    ]
    return GuestRun(checks=tuple(results), logs=logs, versions=_versions(versions))


def _bridge(shell: Shell, name: str) -> None:
    """The bridge that the domain names: the owner's network is not the lab's business."""
    done = shell.run(f"ip link show {name} || ip link add {name} type bridge && ip link set {name} up")
    if done.status:
        raise LabFault(f"cannot make the bridge {name} in L1: {done.err.strip()}")


def _timed(shell: Shell, command: str) -> tuple[Done, float]:
    started = time.monotonic()
    done = shell.run(command, timeout=180)
    return done, time.monotonic() - started


def _find(wanted: dict[str, Expectation], check: Check) -> Expectation:
    return next(expectation for expectation in wanted.values() if expectation.check is check)


def _command(expectation: Expectation, good: str, done: Done, seconds: float) -> CheckResult:
    said = " ".join(line.removeprefix("error: ") for line in done.err.splitlines() if line.strip())
    return CheckResult(
        expectation=expectation,
        outcome=Outcome.FAILED if done.status else Outcome.HELD,
        observed=said or f"virsh ended with {done.status}" if done.status else good,
        seconds=seconds,
    )


def _again(shell: Shell, name: str, serial: str, limit: int) -> tuple[str, str]:
    """Start the guest once more: what it says, or why it does not start."""
    done = shell.run(f"virsh start {name}", timeout=180)
    if done.status:
        return "", f"libvirt does not start it again: {' '.join(done.err.split()).removeprefix('error: ')}"
    text, _ = _serial(shell, name, serial, limit, "")
    if _alive(shell, name):
        shell.run(f"virsh destroy {name}")
    return text, ""


def _serial(shell: Shell, name: str, log: str, limit: int, end: str) -> tuple[str, float]:
    """Follow the guest's serial log until its QEMU ends, or a line that begins with `end` where that is given."""
    started = time.monotonic()
    lines: list[str] = []
    follow = f'tail -n +1 -F --pid="$(cat /run/libvirt/qemu/{name}.pid)" {shlex.quote(log)} 2>/dev/null'
    for line in shell.stream(follow, timeout=limit):
        lines.append(line)
        if end and payload.clean(line).startswith(end):
            break
    return "\n".join(lines), time.monotonic() - started


def _ended(plan: Plan, expectation: Expectation, shell: Shell) -> CheckResult:
    """Wait for libvirt to be through with the guest, and for the display manager that its hook starts.

    libvirt says nothing of a domain while its hook runs: qemuProcessStop() holds the domain's lock.
    """
    started = time.monotonic()
    name = shlex.quote(plan.guest.name)
    state = ""
    while state != "shut off" and time.monotonic() - started < _END_SECONDS:
        state = shell.run(f"timeout 10 virsh domstate {name}").out.strip()
    unit = plan.host.handover.display_manager if plan.host.handover else None
    if unit and state == "shut off":
        active = f"systemctl is-active --quiet {shlex.quote(unit.value)}"
        shell.run(f"i=0; until {active} || [ $i -ge 40 ]; do i=$((i + 1)); sleep 0.5; done", timeout=120)
    observed = state or f"libvirt did not answer in {_END_SECONDS} s"
    return _result(expectation, state == expectation.expected, observed, time.monotonic() - started)


def _alive(shell: Shell, name: str) -> bool:
    return "running" in shell.run(f"virsh domstate {name}").out


def _compare(
    plan: Plan, wanted: dict[str, Expectation], report: payload.Report, seconds: float
) -> Iterator[CheckResult]:
    """Compare each expectation about the inside of the guest with the payload's report."""
    not_told = "nothing: the payload did not come to its end"
    firmware = report.firmware if report.complete else not_told
    is_ovmf = report.complete and report.is_ovmf
    expectation = _find(wanted, Check.FIRMWARE)
    yield _result(expectation, is_ovmf, f"OVMF ({firmware})" if is_ovmf else firmware, seconds)
    expectation = _find(wanted, Check.MACHINE)
    yield _result(expectation, report.machine == expectation.expected, report.machine or not_told)
    devices = {device.source: device for device in plan.guest.host_devices}
    for expectation in wanted.values():
        if expectation.check not in {Check.GUEST_FUNCTION, Check.GUEST_PORT}:
            continue
        source = Address.parse(expectation.subject)
        known = {function.address: function.ids for function in plan.passed}
        device = devices.get(source)
        seen = [
            function
            for function in report.functions
            if function.ids == known[source] and device is not None and function.function == device.function
        ]
        if expectation.check is Check.GUEST_FUNCTION:
            listed = ", ".join(str(function.ids) for function in report.functions if function.bus)
            yield _result(
                expectation,
                bool(seen),
                str(seen[0].ids) if seen else f"not seen (behind ports: {listed or 'none'})",
            )
        else:
            behind = [function for function in seen if function.bus in report.port_buses]
            observed = (
                f"function {behind[0].function} {_ROOT_PORT_OF_BUS_0}"
                if behind
                else ", ".join(f"bus {function.bus:02x}" for function in seen) or "not seen"
            )
            yield _result(expectation, observed == expectation.expected, observed)


def _result(expectation: Expectation, held: bool, observed: str, seconds: float = 0.0) -> CheckResult:
    return CheckResult(
        expectation=expectation,
        outcome=Outcome.HELD if held else Outcome.FAILED,
        observed=observed,
        seconds=seconds,
    )


def _versions(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        if line.startswith("Using library:"):
            found["libvirt in L1"] = line.rpartition(" ")[2]
        elif line.startswith("Running hypervisor:"):
            found["QEMU in L1"] = line.rpartition(" ")[2]
    lines = text.strip().splitlines()
    if lines:
        found["OVMF in L1"] = lines[-1].strip()
    return found
