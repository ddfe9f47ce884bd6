"""The order of a run and what becomes of a lab fault, with every part of the lab replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import verify as run
from pipeline.errors import ExitCode, LabFault
from pipeline.lab.accel import Accelerator
from pipeline.lab.apply import Applied
from pipeline.lab.domain import for_lab
from pipeline.lab.emulator import Emulator
from pipeline.lab.functions import stage
from pipeline.lab.functions.medium import Linux
from pipeline.lab.functions.tested import under_test
from pipeline.lab.guest import GuestRun
from pipeline.lab.host import HostDoesNotBoot
from pipeline.lab.image import HostImage
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.sandbox import StepDone
from pipeline.plan import resolve
from pipeline.plan.function_expectations import with_functions
from pipeline.plan.model import Check, Stage
from pipeline.render import Inputs, render
from pipeline.scenario import read
from pipeline.verdict import CheckResult, Listener, Outcome, Verdict

PLAN = resolve(read("rx560"))
BUNDLE = render(PLAN, inputs=Inputs(scenario=b""))
GUEST = [one for one in PLAN.expectations if one.stage is Stage.GUEST]
HOST = [one for one in PLAN.expectations if one.stage is Stage.HOST]


def fault(*_: object, **__: object) -> None:
    raise LabFault("something broke", hint="try again")


def results(expectations, outcome: Outcome = Outcome.HELD) -> tuple[CheckResult, ...]:
    return tuple(CheckResult(expectation=one, outcome=outcome, observed="seen") for one in expectations)


class Told(Listener):
    def __init__(self) -> None:
        self.checks: list[str] = []

    def check(self, result: CheckResult) -> None:
        self.checks.append(result.expectation.id)


class Lab:
    """Stand-ins for the lab's parts, each of which a test may break."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.patch = monkeypatch
        self.logs = tmp_path / "logs"
        self.directory = tmp_path / "run"
        self.directory.mkdir()
        (self.directory / "l1-serial.log").write_text("serial")
        self.told = Told()
        self.guests: list[str] = []
        self.initramfs = StepDone(status=0, output="==> Image generation successful\n")
        self.loader = StepDone(status=0, output="done\n")
        paths = dict.fromkeys(("root", "tree", "kernel", "base", "tiny", "grub"), tmp_path)
        self.image = image = HostImage(
            name="i", release="6.12.1", distribution="Debian 13", packages={}, **paths
        )
        self.put(run.toolchain, "find", lambda _: SimpleNamespace(version="11.1"))
        self.put(run.toolchain, "efi_shell", lambda _: Path("Shell.efi"))
        self.put(run.toolchain, "firmware", lambda _: (Path("CODE.fd"), Path("VARS.fd")))
        found = SimpleNamespace(image=image, why="no mirror answers")
        self.put(run.choice, "choose", lambda *_: found)
        chosen = Accelerator(l1="tcg", l2="tcg", reason="tcg: as asked for")
        self.put(run.accel, "choose", lambda *_: chosen)
        self.put(run, "run_directory", self.run_directory)
        self.put(run.cache, "runs", lambda: tmp_path)
        self.put(run.apply, "apply", self.apply)
        self.put(run.host, "prepare", self.prepare)
        self.put(run.host, "boot", self.boot)
        self.put(run.guest, "warm_up", lambda *_: None)
        self.put(run.guest, "run_guest", self.run_guest)
        backend = SimpleNamespace(client=None)
        self.put(run.testinfra, "get_host", lambda _: SimpleNamespace(backend=backend))
        self.put(run, "run_checks", self.run_checks)

    def put(self, where: object, name: str, what: object) -> None:
        self.patch.setattr(where, name, what)

    @contextlib.contextmanager
    def run_directory(self, _: Path) -> Iterator[RunDirectory]:
        yield RunDirectory(self.directory)

    def apply(self, *_: object, **__: object) -> Applied:
        return Applied(
            files={}, removed=(), initramfs=self.initramfs, loader=self.loader, stand_ins=("udev's init ran",)
        )

    def prepare(self, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(entry=SimpleNamespace(title="Manjaro Linux"))

    @contextlib.contextmanager
    def boot(self, *_: object, **__: object) -> Iterator[SimpleNamespace]:
        shell = SimpleNamespace(client=None, run=lambda *_, **__: SimpleNamespace(out="kernel log"))
        yield SimpleNamespace(shell=shell, port=1)

    def run_checks(self, _: object, expectations, *, progress) -> tuple[CheckResult, ...]:
        found = results(expectations)
        for one in found:
            progress(one)
        return found

    def run_guest(self, _plan: object, domain, *_: object, accelerator: str, **__: object) -> GuestRun:
        self.guests.append(accelerator)
        return GuestRun(checks=results(GUEST), logs={"l2-serial.log": "x"}, versions={"QEMU in L1": "10.0"})

    def verify(self, **options: Any) -> Verdict:
        found = run.verify(
            PLAN, BUNDLE, findings=(), accelerator=None, logs=self.logs, listener=self.told, **options
        )
        assert sorted(one.expectation.id for one in found.checks) == sorted(
            one.id for one in PLAN.expectations
        )
        return found


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lab:
    return Lab(monkeypatch, tmp_path)


def ids(found: Verdict, outcome: Outcome) -> set[str]:
    return {one.expectation.id for one in found.checks if one.outcome is outcome}


def test_all_held(lab: Lab) -> None:
    found = lab.verify()
    assert (found.outcome, found.exit_code, found.fault) == (Outcome.HELD, ExitCode.HELD, "")
    assert lab.told.checks == [one.expectation.id for one in found.checks]
    assert lab.guests == ["tcg"]
    assert found.replacements == for_lab(BUNDLE.files["libvirt/win10.xml"], accelerator="tcg").replacements
    assert found.versions == {
        "QEMU of the lab": "11.1",
        "kernel in L1": "6.12.1",
        "menu entry": "Manjaro Linux",
        "QEMU in L1": "10.0",
    }
    assert set(found.times) == {
        *("toolchain", "image", "accelerator", "apply", "disks", "boot"),
        *("host checks", "host stage", "guest stage", "total"),
    }
    assert {path.name: path.read_text() for path in lab.logs.iterdir()} == {
        "l1-serial.log": "serial",
        "image.lock": "# dryboot lock 1: name version architecture sha256\n",
        "l1-apply.log": "==> Image generation successful\ndone\n",
        "l1-kernel.log": "kernel log",
        "l2-serial.log": "x",
    }
    assert found.peak_memory > 0


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (run.toolchain, "find"),
        (run.toolchain, "efi_shell"),
        (run.choice, "choose"),
        (run.accel, "choose"),
        (run.toolchain, "firmware"),
        (run.apply, "apply"),
        (run.host, "prepare"),
        (run.host, "boot"),
        (run.guest, "warm_up"),
        (run, "run_checks"),
        (run.guest, "run_guest"),
    ],
)
def test_a_lab_fault_in_any_part_is_a_verdict_of_its_own(lab: Lab, where: object, name: str) -> None:
    lab.put(where, name, fault)
    found = lab.verify()
    assert (found.outcome, found.exit_code) == (Outcome.LAB_FAULT, ExitCode.LAB_FAULT)
    assert found.fault == "something broke\n  hint: try again"
    assert not ids(found, Outcome.FAILED)
    skipped = [one for one in found.checks if one.outcome is Outcome.SKIPPED]
    assert skipped
    assert {one.observed for one in skipped} == {"the lab failed before"}
    assert "total" in found.times


def test_a_lab_fault_in_the_guest_keeps_what_the_host_stage_found(lab: Lab) -> None:
    lab.put(run.guest, "run_guest", fault)
    found = lab.verify()
    assert ids(found, Outcome.HELD) == {one.id for one in HOST}
    assert ids(found, Outcome.SKIPPED) == {one.id for one in GUEST}
    assert (lab.logs / "l1-serial.log").read_text() == "serial"
    assert (lab.logs / "l1-kernel.log").read_text() == "kernel log"


def test_a_lab_fault_while_l1_is_ended_does_not_hide(lab: Lab) -> None:
    @contextlib.contextmanager
    def boot(*arguments: object, **options: object) -> Iterator[SimpleNamespace]:
        with lab.boot(*arguments, **options) as booted:
            yield booted
        fault()

    lab.put(run.host, "boot", boot)
    found = lab.verify()
    assert found.exit_code is ExitCode.LAB_FAULT
    assert not ids(found, Outcome.SKIPPED)


def test_a_failing_check_of_the_host_skips_the_guest(lab: Lab) -> None:
    def checks(_: object, expectations, *, progress) -> tuple[CheckResult, ...]:
        return results(expectations[:1], Outcome.FAILED) + results(expectations[1:])

    lab.put(run, "run_checks", checks)
    found = lab.verify()
    assert (found.outcome, found.exit_code) == (Outcome.FAILED, ExitCode.FAILED)
    assert lab.guests == []
    assert found.replacements == ()
    skipped = [one for one in found.checks if one.outcome is Outcome.SKIPPED]
    assert [one.expectation for one in skipped] == GUEST
    assert {one.observed for one in skipped} == {"not tried: the host stage failed"}


def test_a_failing_check_of_the_guest_is_a_failure(lab: Lab) -> None:
    checks = results(GUEST[:-1]) + results(GUEST[-1:], Outcome.FAILED)
    lab.put(run.guest, "run_guest", lambda *_, **__: GuestRun(checks=checks, logs={}, versions={}))
    found = lab.verify()
    assert found.exit_code is ExitCode.FAILED
    assert ids(found, Outcome.FAILED) == {GUEST[-1].id}


def test_an_error_of_mkinitcpio_fails_but_the_host_is_booted_all_the_same(lab: Lab) -> None:
    lab.initramfs = StepDone(status=1, output="==> ERROR: module not found: 'x'\n==> WARNING: y\n")
    found = lab.verify()
    assert found.exit_code is ExitCode.FAILED
    (failed,) = [one for one in found.checks if one.outcome is Outcome.FAILED]
    assert failed.expectation.check is Check.INITRAMFS
    assert failed.observed == "exit status 1: ==> ERROR: module not found: 'x'"
    assert f"boots[{PLAN.host.distribution.initramfs_image}]" in ids(found, Outcome.HELD)
    assert lab.guests == []


def test_an_error_that_leaves_status_0_fails_too(lab: Lab) -> None:
    lab.initramfs = StepDone(status=0, output="==> ERROR: odd\n")
    assert lab.verify().exit_code is ExitCode.FAILED


@pytest.mark.parametrize("part", ["prepare", "boot"])
def test_a_host_that_does_not_boot_is_the_scenario_s_fault(lab: Lab, part: str) -> None:
    def stop(*_: object, **__: object) -> None:
        raise HostDoesNotBoot("no root device")

    lab.put(run.host, part, stop)
    found = lab.verify()
    assert (found.exit_code, found.fault) == (ExitCode.FAILED, "")
    (failed,) = [one for one in found.checks if one.outcome is Outcome.FAILED]
    assert (failed.expectation.check, failed.observed) == (Check.BOOTS, "no root device")


def test_without_the_boot_loader_s_configuration_nothing_is_booted(lab: Lab) -> None:
    said = "/usr/sbin/grub-mkconfig: 25: /etc/default/grub: Syntax error: Unterminated quoted string"
    lab.loader = StepDone(status=2, output=f"Generating\n{said}\n")
    lab.put(run.host, "prepare", fault)
    found = lab.verify()
    assert (found.exit_code, found.fault) == (ExitCode.FAILED, "")
    (failed,) = [one for one in found.checks if one.outcome is Outcome.FAILED]
    assert (failed.expectation.check, failed.observed) == (Check.LOADER, f"exit status 2: {said}")


def test_a_tool_that_names_no_error_is_shown_with_its_last_words(lab: Lab) -> None:
    lab.loader = StepDone(status=1, output="one\ntwo\n\nthree\nfour\n")
    (failed,) = [one for one in lab.verify().checks if one.outcome is Outcome.FAILED]
    assert failed.observed == "exit status 1: two; three; four"


def test_an_interruption_is_not_taken_for_a_fault_and_keeps_the_logs(lab: Lab) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    lab.put(run, "run_checks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lab.verify()
    assert (lab.logs / "l1-serial.log").exists()


def test_every_function_of_the_board_and_every_part_that_differs_is_a_stand_in(lab: Lab) -> None:
    found = {one.part: one for one in lab.verify().stand_ins}
    assert {f"function {function.address}" for function in PLAN.functions} <= set(found)
    assert {"distribution", "kernel", "initramfs generator", "initramfs", "boot loader"} <= set(found)
    assert {"command line", "disks and ISO images", "accelerator", "ports and bridges"} <= set(found)
    assert found["ports and bridges"].asked.startswith("00:01.1, 00:01.2")
    assert "boot path" not in found
    assert found["function 02:00.0"].ran == "QEMU's nvme, with QEMU's ids"
    assert "no journal; modules of the initramfs without" in found["userspace of the host"].ran


def test_a_staying_function_that_is_emulated_is_a_stand_in(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = resolve(read("rx560", settings=["board.root_ports.1.functions.0.class='0d1100'"]))
    monkeypatch.setitem(globals(), "PLAN", odd)
    found = {one.part: one.ran for one in lab.verify().stand_ins}
    assert found["function 02:00.0"].startswith("an emulated function with the same ids")


def test_the_fast_boot_is_a_stand_in(lab: Lab) -> None:
    found = {one.part for one in lab.verify(fast=True).stand_ins}
    assert "boot path" in found
    assert "boot loader" not in found


def test_edited_files_are_in_the_verdict(lab: Lab) -> None:
    assert lab.verify(edited=("etc/default/grub",)).edited == ("etc/default/grub",)


def test_without_the_guest_nothing_of_it_runs(lab: Lab) -> None:
    assert lab.verify(guest_too=False).exit_code is ExitCode.FAILED
    assert lab.guests == []


def test_why_the_host_is_not_its_own_distribution_is_in_the_verdict(lab: Lab) -> None:
    found = {one.part: one.ran for one in lab.verify().stand_ins}
    assert found["distribution"].endswith("shaped like it (os-release, names, paths): no mirror answers")


def test_a_host_of_its_own_packages_has_fewer_stand_ins(lab: Lab) -> None:
    own = {"own": "manjaro", "generators": frozenset({"mkinitcpio"}), "distribution": "Manjaro stable"}
    image = replace(lab.image, **own)
    lab.put(run.choice, "choose", lambda *_: SimpleNamespace(image=image, why=""))
    found = {one.part: one.ran for one in lab.verify().stand_ins}
    assert found["distribution"] == "Manjaro stable, with the versions of the image's lock"
    assert not {"kernel", "initramfs generator"} & set(found)
    assert "modules of the initramfs" not in found["userspace of the host"]


def test_a_host_that_hands_its_card_over_is_watched(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    later = resolve(read("single-gpu"))
    monkeypatch.setitem(globals(), "PLAN", later)
    monkeypatch.setitem(globals(), "BUNDLE", render(later, inputs=Inputs(scenario=b"")))
    watched: list[Any] = []

    def run_guest(*_: object, watch: object, **__: object) -> GuestRun:
        watched.append(watch)
        checks = results([one for one in later.expectations if one.stage is Stage.GUEST])
        return GuestRun(checks=checks, logs={}, versions={})

    lab.put(run, "Watcher", lambda _host, expectations, *, before: (len(expectations), before))
    lab.put(run.guest, "run_guest", run_guest)
    found = lab.verify()
    assert found.exit_code is ExitCode.HELD
    assert watched == [(len(later.expectations), "kernel log")]
    parts = {one.part: one.ran for one in found.stand_ins}
    assert "journal" not in parts["userspace of the host"]
    assert parts["display manager"] == "a unit of that name that only sleeps"
    assert parts["frame buffers"] == "QEMU ramfb and one in memory (vfb), neither on the card"
    fast = {one.part: one.ran for one in lab.verify(fast=True).stand_ins}
    assert fast["frame buffers"] == "one in memory (vfb), neither on the card, without firmware (--fast)"


def test_a_host_that_does_not_is_not(lab: Lab) -> None:
    watched: list[object] = []

    def run_guest(*_: object, watch: object, **__: object) -> GuestRun:
        watched.append(watch)
        return GuestRun(checks=results(GUEST), logs={}, versions={})

    lab.put(run.guest, "run_guest", run_guest)
    assert "display manager" not in {one.part for one in lab.verify().stand_ins}
    assert watched == [None]


def test_a_release_under_test_runs_the_guest_and_is_looked_at(lab: Lab) -> None:
    seen: dict[str, object] = {}
    emulator = Emulator(
        version="11.1", disk=Path("/d.ext4"), code="/opt/qemu/C.fd", variables="/opt/qemu/V.fd", script=""
    )

    def script(_: object) -> str:
        return "echo"

    def look(*_: object) -> None:
        pass

    def prepare(*_: object, script: object, **__: object) -> SimpleNamespace:
        seen["script"] = script
        return lab.prepare()

    @contextlib.contextmanager
    def boot(*_: object, more: object, **__: object) -> Iterator[SimpleNamespace]:
        seen["more"] = more
        with lab.boot() as host:
            yield host

    def run_guest(_plan: object, domain, *_: object, look: object, **__: object) -> GuestRun:
        seen["look"], seen["replaced"] = look, domain.replacements
        return GuestRun(checks=results(GUEST), logs={}, versions={})

    lab.put(run.host, "prepare", prepare)
    lab.put(run.host, "boot", boot)
    lab.put(run.guest, "warm_up", lambda _, emulator: seen.update(warmed=emulator))
    lab.put(run.guest, "run_guest", run_guest)
    verdict = lab.verify(under_test=run.UnderTest(emulator=emulator, script=script, look=look))
    assert verdict.outcome is Outcome.HELD
    replaced = seen.pop("replaced")
    assert seen == {"script": script, "more": emulator.arguments, "look": look, "warmed": emulator}
    assert any("QEMU 11.1 is under test" in line for line in replaced)  # type: ignore[attr-defined]
    assert verdict.replacements == replaced


def test_the_functions_are_tested_in_the_guest_where_that_is_asked_for(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disks get Linux and the guest stage the same functions; each expectation of them is in the verdict."""
    asked: list[tuple[str, object]] = []
    monkeypatch.setattr(stage, "tree", lambda _: SimpleNamespace(release="6.12-cloud"))

    def prepare(*_: object, linux: Linux, **__: object) -> SimpleNamespace:
        asked.append(("disks", linux.functions))
        return SimpleNamespace(entry=SimpleNamespace(title="Manjaro Linux"))

    def run_guest(*_: object, functions: object, **__: object) -> GuestRun:
        asked.append(("guest", functions))
        return GuestRun(checks=results(GUEST), logs={}, versions={})

    lab.put(run.host, "prepare", prepare)
    lab.put(run.guest, "run_guest", run_guest)
    found = run.verify(
        PLAN,
        BUNDLE,
        findings=(),
        accelerator=None,
        logs=lab.logs,
        listener=lab.told,
        functions=True,
    )
    assert asked == [("disks", under_test(PLAN)), ("guest", under_test(PLAN))]
    assert found.versions["kernel in L2"] == "6.12-cloud"
    wanted = {one.id for one in with_functions(PLAN).expectations}
    assert {one.expectation.id for one in found.checks} == wanted
