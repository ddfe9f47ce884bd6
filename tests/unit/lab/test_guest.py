from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.errors import LabFault
from pipeline.lab.domain import LabDomain
from pipeline.lab.emulator import Emulator
from pipeline.lab.functions.tested import under_test
from pipeline.lab.guest import run_guest, warm_up
from pipeline.lab.shape import LEFT_FOR_THE_GUEST
from pipeline.lab.shell import Done
from pipeline.plan import resolve
from pipeline.plan.function_expectations import KINDS, with_functions
from pipeline.plan.model import AFTERWARDS, WHILE_RUNNING, Check, Stage
from pipeline.scenario import read
from pipeline.verdict import CheckResult, Outcome
from tests.function_texts import AMD, told
from tests.function_texts import WELL as WELL_TOLD

PLAN = resolve(read("rx560"))
WANTED = [one.id for one in PLAN.expectations if one.stage is Stage.GUEST]
DOMAIN = LabDomain(xml=b"<domain/>", replacements=())
EMULATOR = Emulator(
    version="11.1",
    disk=Path("/d"),
    code="/opt/qemu/C.fd",
    variables="/opt/qemu/V.fd",
    script="exec /opt/qemu/usr/lib",
)


def function(bus: int, number: int, ids: str) -> str:
    vendor, device = ids.split(":")
    return f" 00   {bus:02X}   00    {number:02X} ==> Device\n   Vendor {vendor} Device {device} Prog Interface 0\n"


HEAD = "DRYBOOT-BEGIN\n"
CARD = function(1, 0, "1002:67EF") + function(1, 1, "1002:AAE0")
FIRMWARE = "Vendor: Debian distribution of EDK II\nBIOS Version: 2025.02\n"
MACHINE = "ProductName: Standard PC (Q35 + ICH9, 2009)\nVersion: pc-q35-9.2\n"
PORTS = "DRYBOOT-PORT 01 0\n0x00010100\nDRYBOOT-PORT 01 1\n0x00020200\n"
SERIAL = f"{HEAD}{CARD}{FIRMWARE}{MACHINE}{PORTS}DRYBOOT-END\n"
VERSION = """\
Compiled against library: libvirt 11.3.0
Using library: libvirt 11.3.0
Using API: QEMU 11.3.0
Running hypervisor: QEMU 10.0.13
Running against daemon: 11.3.0
2025.02-8+deb13u1"""


WELL = Done(status=0, out="", err="")


@dataclass
class Shell:
    """L1 as far as the guest stage sees it."""

    serial: str = SERIAL
    define: Done = WELL
    start: Done = WELL
    state: str = "shut off"
    hook_log: str = "win10: the host has let go of the card\n"
    again: str = ""
    start_again: Done = WELL
    before: str = ""
    kernel_log: str = ""
    commands: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def run(self, command: str, *, data: bytes = b"", timeout: float = 60) -> Done:
        self.commands.append(command)
        starts = sum(one.startswith("virsh start") for one in self.commands)
        answers = {"virsh define": self.define, "virsh start": self.start_again if starts > 1 else self.start}
        for begin, answer in answers.items():
            if command.startswith(begin):
                return answer
        if command == "dmesg":
            started = any(one.startswith("virsh start") for one in self.commands)
            return Done(status=0, out=self.before + self.kernel_log * started, err="")
        if command.startswith("journalctl"):
            return Done(status=0, out=self.hook_log, err="")
        text = self.state if "domstate" in command else VERSION if "virsh version" in command else ""
        return Done(status=0, out=text, err="")

    def stream(self, command: str, *, timeout: float) -> Iterator[str]:
        self.commands.append(command)
        started = sum(one.startswith("virsh start") for one in self.commands)
        yield from (self.again if started > 1 else self.serial).splitlines()

    def read(self, path: str) -> str:
        return f"log {path}"

    def write(self, path: str, data: bytes) -> None:
        self.files[path] = data


def run(shell: Shell, plan=PLAN):
    found = run_guest(plan, DOMAIN, shell, accelerator="tcg", progress=lambda _: None)
    return found, {one.expectation.id: one for one in found.checks}


def failed(checks: dict[str, CheckResult]) -> dict[str, str]:
    return {name: str(one.observed) for name, one in checks.items() if one.outcome is Outcome.FAILED}


def test_a_guest_as_planned_holds_every_expectation() -> None:
    shell = Shell()
    found, checks = run(shell)
    assert sorted(checks) == sorted(WANTED)
    assert {name: one.observed for name, one in checks.items()} == {
        "domain-defined[win10]": "defined",
        "domain-started[win10]": "running",
        "firmware[win10]": "OVMF (Debian distribution of EDK II 2025.02)",
        "machine[win10]": "pc-q35-9.2",
        "guest-function[01:00.0]": "1002:67ef",
        "guest-port[01:00.0]": "function 0 behind a root port",
        "guest-function[01:00.1]": "1002:aae0",
        "guest-port[01:00.1]": "function 1 behind a root port",
    }
    assert {one.outcome for one in found.checks} == {Outcome.HELD}
    assert shell.files == {"/root/domain.xml": b"<domain/>"}
    assert found.logs["l2-serial.log"] == SERIAL.rstrip("\n")
    assert found.logs["l2-qemu.log"] == "log /var/log/libvirt/qemu/win10.log"
    assert found.versions == {
        "libvirt in L1": "11.3.0",
        "QEMU in L1": "10.0.13",
        "OVMF in L1": "2025.02-8+deb13u1",
    }


def test_reading_ends_with_the_report_though_the_guest_goes_on() -> None:
    found, _ = run(Shell(serial=SERIAL + "more\n"))
    assert found.logs["l2-serial.log"].endswith("DRYBOOT-END")


def test_a_domain_that_libvirt_refuses_is_a_failed_check_and_the_rest_is_skipped() -> None:
    error = "error: Failed to define domain from /root/domain.xml\nerror: XML document failed to validate\n\n"
    shell = Shell(define=Done(status=1, out="", err=error))
    _, checks = run(shell)
    assert failed(checks) == {
        "domain-defined[win10]": "Failed to define domain from /root/domain.xml XML document failed to validate"
    }
    rest = [one for name, one in checks.items() if name != "domain-defined[win10]"]
    assert {(one.outcome, one.observed) for one in rest} == {(Outcome.SKIPPED, "the guest did not start")}
    assert sorted(checks) == sorted(WANTED)
    assert not any("virsh start" in command for command in shell.commands)


def test_a_domain_that_does_not_start_is_a_failed_check() -> None:
    _, checks = run(Shell(start=Done(status=1, out="", err="error: group 1 is not viable\n")))
    assert failed(checks) == {"domain-started[win10]": "group 1 is not viable"}
    assert checks["domain-defined[win10]"].outcome is Outcome.HELD
    assert checks["firmware[win10]"].outcome is Outcome.SKIPPED


def test_a_refusal_without_words_names_the_status() -> None:
    _, checks = run(Shell(start=Done(status=7, out="", err="\n")))
    assert failed(checks) == {"domain-started[win10]": "virsh ended with 7"}


@pytest.mark.parametrize(
    ("serial", "wrong"),
    [
        (
            SERIAL.replace("pc-q35-9.2", "pc-q35-10.0"),
            {"machine[win10]": "pc-q35-10.0"},
        ),
        (SERIAL.replace("Debian distribution of EDK II", "SeaBIOS"), {"firmware[win10]": "SeaBIOS 2025.02"}),
        (
            SERIAL.replace(function(1, 1, "1002:AAE0"), ""),
            {
                "guest-function[01:00.1]": "not seen (behind ports: 1002:67ef)",
                "guest-port[01:00.1]": "not seen",
            },
        ),
        (
            SERIAL.replace(CARD, ""),
            {
                "guest-function[01:00.0]": "not seen (behind ports: none)",
                "guest-port[01:00.0]": "not seen",
                "guest-function[01:00.1]": "not seen (behind ports: none)",
                "guest-port[01:00.1]": "not seen",
            },
        ),
        (
            SERIAL.replace(CARD, function(1, 1, "1002:67EF") + function(1, 0, "1002:AAE0")),
            {
                "guest-function[01:00.0]": "not seen (behind ports: 1002:67ef, 1002:aae0)",
                "guest-port[01:00.0]": "not seen",
                "guest-function[01:00.1]": "not seen (behind ports: 1002:67ef, 1002:aae0)",
                "guest-port[01:00.1]": "not seen",
            },
        ),
        (
            SERIAL.replace("0x00010100", "0x00030300"),
            {"guest-port[01:00.0]": "bus 01", "guest-port[01:00.1]": "bus 01"},
        ),
        (
            SERIAL.replace(CARD, function(0, 0, "1002:67EF") + function(0, 1, "1002:AAE0")),
            {"guest-port[01:00.0]": "bus 00", "guest-port[01:00.1]": "bus 00"},
        ),
    ],
)
def test_each_difference_inside_the_guest_is_a_failed_check(serial: str, wrong: dict[str, str]) -> None:
    _, checks = run(Shell(serial=serial))
    assert failed(checks) == wrong


def test_a_report_without_its_end_never_holds() -> None:
    gave_up = "BdsDxe: No bootable option or device was found.\n"
    shell = Shell(serial=SERIAL.replace("DRYBOOT-END\n", gave_up), state="running")
    _, checks = run(shell)
    assert checks["firmware[win10]"].outcome is Outcome.FAILED
    assert checks["firmware[win10]"].observed == "nothing: the payload did not come to its end"
    assert any(command == "virsh destroy win10" for command in shell.commands)


@pytest.mark.parametrize("serial", ["", SERIAL.replace("DRYBOOT-END\n", "")])
def test_a_guest_that_is_only_slow_is_a_lab_fault(serial: str) -> None:
    with pytest.raises(LabFault, match="the guest did not come to its end in 400 s"):
        run(Shell(serial=serial, state="running"))


def test_a_function_that_the_domain_does_not_have_is_not_seen() -> None:
    plan = resolve(read("rx560", settings=["guest.host_devices=[{source: '01:00.0'}]"]))
    _, checks = run(Shell(), plan)
    assert set(failed(checks)) == {"guest-function[01:00.1]", "guest-port[01:00.1]"}


def test_warming_up_waits_for_the_device_nodes_and_not_for_libvirt() -> None:
    shell = Shell()
    warm_up(shell)
    nodes, _, background = shell.commands[0].partition("; ")
    assert nodes.split() == ["systemctl", "start", *LEFT_FOR_THE_GUEST]
    assert background.startswith("(virsh ") and "&)" in background


LATER = resolve(read("single-gpu"))
CARD_LATER = CARD.replace("67EF", "67DF").replace("AAE0", "AAF0")


class Watch:
    """Notes when it is asked, between the commands of `shell`."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def _results(self, checks: frozenset[Check], moment: str) -> list[CheckResult]:
        self.shell.commands.append(moment)
        wanted = [one for one in LATER.expectations if one.check in checks]
        return [CheckResult(expectation=one, outcome=Outcome.HELD, observed="seen") for one in wanted]

    def running(self) -> list[CheckResult]:
        return self._results(WHILE_RUNNING, "WATCH running")

    def ended(self) -> list[CheckResult]:
        return self._results(AFTERWARDS, "WATCH ended")


def handed_over(shell: Shell) -> tuple[list[str], dict[str, CheckResult]]:
    found = run_guest(LATER, DOMAIN, shell, accelerator="tcg", progress=lambda _: None, watch=Watch(shell))
    assert {one.expectation.id for one in found.checks} == {
        one.id for one in LATER.expectations if one.stage is Stage.GUEST
    }
    words = ("WATCH", "virsh start", "tail", "timeout 10 virsh domstate", "i=0; until systemctl is-active")
    order = [word for command in shell.commands for word in words if command.startswith(word)]
    assert found.logs["l1-hook.log"] == shell.hook_log
    return order, {one.expectation.id: one for one in found.checks}


def test_the_host_is_looked_at_while_the_guest_runs_and_when_its_hooks_are_through() -> None:
    order, checks = handed_over(Shell(serial=SERIAL.replace(CARD, CARD_LATER)))
    assert order == [
        *("virsh start", "WATCH", "tail", "timeout 10 virsh domstate"),
        *("i=0; until systemctl is-active", "WATCH"),
    ]
    assert {one.outcome for one in checks.values()} == {Outcome.HELD}
    assert checks["guest-ended[win10]"].observed == "shut off"


def test_a_hook_that_does_not_end_is_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.lab.guest._END_SECONDS", 0.01)
    shell = Shell(serial=SERIAL.replace(CARD, CARD_LATER), state="")
    _, checks = handed_over(shell)
    assert failed(checks) == {"guest-ended[win10]": "libvirt did not answer in 0.01 s"}
    assert not any("is-active" in command for command in shell.commands)


def test_a_hook_that_refuses_leaves_nothing_to_look_at() -> None:
    error = "error: Hook script execution failed: unexpected exit status 1: the card is in use: sway\n"
    shell = Shell(start=Done(status=1, out="", err=error))
    order, checks = handed_over(shell)
    assert order == ["virsh start"]
    assert list(failed(checks)) == ["domain-started[win10]"]
    assert "the card is in use: sway" in failed(checks)["domain-started[win10]"]
    assert checks["given-back[02:00.0]"].outcome is Outcome.SKIPPED


def test_a_guest_is_looked_at_while_it_runs_and_ended_then() -> None:
    shell = Shell(state="running")
    seen: list[tuple[str, bool, list[str]]] = []

    def look(host, name: str, serial: str) -> None:
        seen.append((name, "DRYBOOT-END" in serial, [*host.commands]))

    found = run_guest(PLAN, DOMAIN, shell, accelerator="tcg", progress=lambda _: None, look=look)
    [(name, told, before)] = seen
    assert (name, told) == ("win10", True)
    assert not any("destroy" in command for command in before)
    assert shell.commands.count("virsh destroy win10") == 1
    assert {one.outcome for one in found.checks} == {Outcome.HELD}


def test_a_guest_that_has_not_told_all_is_not_looked_at() -> None:
    shell = Shell(serial=HEAD + CARD)

    def look(*_: object) -> None:
        raise AssertionError

    found = run_guest(PLAN, DOMAIN, shell, accelerator="tcg", progress=lambda _: None, look=look)
    assert Outcome.FAILED in {one.outcome for one in found.checks}


def test_a_release_under_test_is_put_in_place_and_probed() -> None:
    version = Done(status=0, out="QEMU emulator version 11.1.3 (Debian)\n", err="")
    shell = Shell()
    shell.run = lambda command, **_: shell.commands.append(command) or version  # type: ignore[method-assign,assignment,func-returns-value]
    warm_up(shell, EMULATOR)
    assert "mount -o ro LABEL=dryboot-qemu /opt/qemu" in shell.commands[0]
    assert "--emulatorbin /opt/qemu-system-x86_64" in shell.commands[1]
    assert b"exec /opt/qemu/usr/lib" in shell.files["/opt/qemu-system-x86_64"]


@pytest.mark.parametrize(
    "done",
    [Done(status=32, out="", err="mount: no such device"), Done(status=0, out="QEMU version 10.0", err="")],
)
def test_a_release_that_is_not_there_is_a_lab_fault(done: Done) -> None:
    shell = Shell()
    shell.run = lambda command, **_: done  # type: ignore[method-assign]
    with pytest.raises(LabFault, match="QEMU"):
        warm_up(shell, EMULATOR)


FUNCTIONS = with_functions(PLAN)
SPACES = {(1, 0): bytes.fromhex("0210ef67") + bytes(252), (1, 1): bytes.fromhex("0210e0aa") + bytes(252)}
TOLD = "".join(
    f"DRYBOOT-FN {number} {name} {text}\n" for number in (0, 1) for name, text in WELL_TOLD.items()
)
TESTED = f"{SERIAL}{told('first', SPACES)}DRYBOOT-FN begin\n{TOLD}DRYBOOT-FN end\n"
AGAIN = told("restarted", SPACES) + told("rebooted", SPACES)
GONE = {(1, 0): SPACES[1, 0]}


def run_functions(shell: Shell) -> dict[str, CheckResult]:
    found = run_guest(
        FUNCTIONS,
        DOMAIN,
        shell,
        accelerator="tcg",
        progress=lambda _: None,
        functions=under_test(FUNCTIONS),
    )
    return {one.expectation.id: one for one in found.checks}


def test_the_guest_is_started_twice_for_its_functions() -> None:
    shell = Shell(serial=TESTED, again=AGAIN, kernel_log=AMD + AMD.replace("00.0", "00.1"))
    checks = run_functions(shell)
    assert failed(checks) == {}
    assert len(checks) == len(WANTED) + 2 * len(KINDS)
    assert {one.outcome for one in checks.values()} == {Outcome.HELD}
    assert sum(command.startswith("virsh start") for command in shell.commands) == 2


def test_faults_from_before_the_guest_do_not_count() -> None:
    checks = run_functions(Shell(serial=TESTED, again=AGAIN, before=AMD))
    assert checks["function-fault[01:00.0]"].observed == "no fault in the host's kernel log"


def test_a_guest_whose_functions_are_gone_the_second_time_fails() -> None:
    checks = run_functions(
        Shell(serial=TESTED, again=told("restarted", GONE) + told("rebooted", GONE), kernel_log=AMD)
    )
    assert set(failed(checks)) == {
        "function-after-restart[01:00.1]",
        "function-after-reboot[01:00.1]",
        "function-fault[01:00.1]",
    }


def test_a_guest_that_does_not_start_again_fails_its_restart_and_was_not_rebooted() -> None:
    # What libvirt says of a card whose configuration space reads ff everywhere.
    error = "error: Failed to start domain\nerror: Unknown PCI header type '127' for device '0000:01:00.1'\n"
    checks = run_functions(
        Shell(serial=TESTED, start_again=Done(status=1, out="", err=error), kernel_log=AMD)
    )
    assert "header type '127'" in failed(checks)["function-after-restart[01:00.1]"]
    reboot = checks["function-after-reboot[01:00.1]"]
    assert (reboot.outcome, reboot.observed) == (
        Outcome.SKIPPED,
        "not tried: the guest was not there again",
    )


def test_a_guest_that_does_not_come_to_linux_fails_what_linux_would_tell() -> None:
    text = TESTED[: TESTED.index("DRYBOOT-FN begin")]
    checks = run_functions(Shell(serial=text, again=AGAIN))
    assert checks["function-msi[01:00.0]"].observed == "nothing: Linux did not start in the guest"
    assert checks["function-after-reboot[01:00.0]"].outcome is Outcome.HELD


def test_a_guest_that_goes_on_and_on_under_test_is_the_lab_s_fault() -> None:
    with pytest.raises(LabFault, match="did not come to its end in 1200 s"):
        run_functions(Shell(serial=TESTED, state="running"))
