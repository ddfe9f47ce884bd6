"""The whole run: lint and render, boot the host, start the guest, say what was found."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import testinfra

from pipeline.checks import handover
from pipeline.checks.run import run_checks
from pipeline.errors import LabFault
from pipeline.fidelity import fidelity, lacking, unproven, weigh
from pipeline.handover import Watcher
from pipeline.lab import (
    accel,
    apply,
    board,
    cache,
    domain,
    guest,
    host,
    kernel_proof,
    memory,
    payload,
    toolchain,
)
from pipeline.lab.emulator import Emulator
from pipeline.lab.functions import stage
from pipeline.lab.functions.medium import Linux
from pipeline.lab.image import choice, lock
from pipeline.lab.image.choice import Wanted
from pipeline.lab.run_directory import RunDirectory, run_directory
from pipeline.lint import Finding
from pipeline.plan.function_expectations import with_functions
from pipeline.plan.model import Check, Plan, Stage
from pipeline.plan.way_back import entry
from pipeline.record import Record, ended, keep_logs
from pipeline.render import Bundle
from pipeline.render.bundle import domain_path
from pipeline.stand_ins import stand_ins
from pipeline.verdict import Listener, Outcome, Verdict, outcome_of

_DEFAULT_IMAGE = Wanted()
_BEFORE_THE_HOST = {Check.INITRAMFS, Check.LOADER, Check.BOOTS}


@dataclass(frozen=True, kw_only=True, slots=True)
class UnderTest:
    """A QEMU release that runs the guest instead of the host's own, and what is looked at in it.

    `script` is what the guest's payload runs; it leaves the guest running for `look`.
    """

    emulator: Emulator
    script: payload.Script
    look: guest.Look


def verify(
    plan: Plan,
    bundle: Bundle,
    *,
    findings: tuple[Finding, ...],
    accelerator: str | None,
    logs: Path,
    listener: Listener,
    fast: bool = False,
    fallback: bool = False,
    edited: tuple[str, ...] = (),
    guest_too: bool = True,
    wanted: Wanted = _DEFAULT_IMAGE,
    under_test: UnderTest | None = None,
    functions: bool = False,
) -> Verdict:
    """Boot the bundle and compare with the plan's expectations; logs go to the directory `logs`.

    `edited` are the paths of the bundle that are not as rendered. The host boots through its firmware and boot
    loader; `fast` leaves these two out. `wanted` says what the host is made of. `functions` has Linux in the guest
    test each passed-through function. `fallback` boots the entry without passthrough, and no guest. `under_test` is
    the guest's QEMU. A lab fault
    is a verdict of its own kind, never raised. BadInput is raised before anything boots.
    """
    layout = board.lay_out(plan)
    if fallback:
        plan = replace(plan, expectations=plan.way_back)
        guest_too = False
    if functions and guest_too:
        plan = with_functions(plan)
    run = Record()
    for path in edited:
        listener.step(f"{path} as edited, not as rendered")
    fault = ""
    with memory.peak() as peak:
        started = time.monotonic()
        try:
            _stages(
                plan,
                bundle,
                layout,
                run,
                accelerator,
                logs,
                listener,
                fast,
                fallback,
                guest_too,
                wanted,
                under_test,
            )
        except LabFault as error:
            fault = str(error)
        run.times["total"] = round(time.monotonic() - started, 2)
    run.skip_rest(plan, fault)
    logs.mkdir(parents=True, exist_ok=True)
    for name, text in run.logs.items():
        (logs / name).write_text(text)
    return Verdict(
        scenario=plan.name,
        outcome=Outcome.LAB_FAULT if fault else outcome_of(run.checks),
        findings=findings,
        checks=tuple(run.checks),
        stand_ins=tuple(run.stand_ins),
        replacements=run.replacements,
        accelerator=run.accelerator,
        versions=run.versions,
        times=run.times,
        peak_memory=peak.bytes,
        edited=edited,
        fidelity=tuple(run.fidelity),
        fault=fault,
    )


def _stages(
    plan: Plan,
    bundle: Bundle,
    layout: board.Board,
    run: Record,
    override: str | None,
    logs: Path,
    listener: Listener,
    fast: bool,
    fallback: bool,
    guest_too: bool,
    wanted: Wanted,
    under_test: UnderTest | None,
) -> None:
    with run.timed("toolchain"):
        qemu = toolchain.find(listener.step)
        shell_program = toolchain.efi_shell(listener.step)
        firmware = toolchain.firmware(listener.step)
    with run.timed("image"):
        found = choice.choose(plan.host, wanted, listener.step)
    image = found.image
    listener.step(_of_image(plan, found))
    run.logs["image.lock"] = lock.text(image.lock)
    run.versions |= {"QEMU of the lab": qemu.version, "kernel in L1": image.release}
    with run.timed("accelerator"):
        chosen = accel.choose(override, lambda: kernel_proof.remembered_kvm_problem(qemu, image))
    run.accelerator = chosen.reason
    listener.step(f"accelerator {chosen.reason}")
    domain_xml = bundle.files[domain_path(plan)]
    files = {path: data for path, data in bundle.files.items() if path.startswith(("etc/", "boot/", "usr/"))}
    with run_directory(cache.runs()) as directory:
        try:
            with run.timed("apply"):
                listener.step("applying the files to the host")
                applied = apply.apply(
                    plan, files, board=layout, image=image, run=directory, modes=bundle.modes
                )
            said = [step.output for step in (applied.initramfs, applied.loader) if step]
            run.logs["l1-apply.log"] = "".join(said)
            run.stand_ins += stand_ins(plan, layout, image, chosen, applied, fast=fast, why=found.why)
            run.fidelity += fidelity(plan, image, qemu=qemu.version, fast=fast)
            lack = lacking(plan, image, applied.initramfs.output)
            run.note(plan, Check.INITRAMFS, ended(applied.initramfs), listener, unproven_for=lack)
            if applied.loader:
                run.note(plan, Check.LOADER, ended(applied.loader), listener)
                if applied.loader.status:
                    return
            linux = stage.linux(plan, chosen.l2, listener.step)
            run.versions |= {"kernel in L2": linux.tree.release} if linux else {}
            with run.timed("disks"):
                prepared = host.prepare(
                    applied,
                    bootloader=plan.host.bootloader,
                    root=plan.host.root,
                    domain_xml=domain_xml,
                    image=image,
                    qemu=qemu,
                    shell_program=shell_program,
                    firmware=firmware,
                    fast=fast,
                    entry=entry(plan.host) if fallback else "",
                    script=under_test.script if under_test else payload.script,
                    linux=linux,
                    run=directory,
                )
            reasons = unproven(plan, image)
            run.versions["menu entry"] = prepared.entry.title
            _host_and_guest(
                plan,
                layout,
                run,
                directory,
                prepared,
                qemu,
                chosen,
                domain_xml,
                listener,
                guest_too,
                reasons,
                under_test,
                linux,
            )
        except host.HostDoesNotBoot as error:
            run.note(plan, Check.BOOTS, str(error), listener)
        finally:
            keep_logs(directory, logs)


def _of_image(plan: Plan, found: choice.Chosen) -> str:
    name = plan.host.distribution.os_release["NAME"]
    ran = f"the host is made of {found.image.distribution}"
    return f"{ran}, which stands for {name}: {found.why}" if found.why else ran


def _host_and_guest(
    plan: Plan,
    layout: board.Board,
    run: Record,
    directory: RunDirectory,
    prepared: host.Prepared,
    qemu: toolchain.Qemu,
    chosen: accel.Accelerator,
    domain_xml: bytes,
    listener: Listener,
    guest_too: bool,
    reasons: Mapping[str, str],
    under_test: UnderTest | None,
    linux: Linux | None,
) -> None:
    emulator = under_test.emulator if under_test else None
    started = time.monotonic()
    booted = host.boot(
        prepared,
        board=layout,
        qemu=qemu,
        accelerator=chosen,
        cpu_vendor=plan.host.cpu_vendor,
        run=directory,
        progress=listener.step,
        more=emulator.arguments if emulator else (),
    )
    with booted as l1:
        run.times["boot"] = round(time.monotonic() - started, 2)
        run.note(plan, Check.BOOTS, "reachable", listener)
        expectations = [
            one for one in plan.expectations if one.stage is Stage.HOST and one.check not in _BEFORE_THE_HOST
        ]
        with run.timed("host checks"):
            visitor = testinfra.get_host(f"paramiko://root@127.0.0.1:{l1.port}")
            visitor.backend.client = l1.shell.client
            found = run_checks(
                visitor, expectations, progress=lambda one: listener.check(weigh(one, reasons))
            )
            run.checks += [weigh(one, reasons) for one in found]
        run.times["host stage"] = round(time.monotonic() - started, 2)
        run.logs["l1-kernel.log"] = l1.shell.run("dmesg", timeout=60).out
        if outcome_of(run.checks) is not Outcome.HELD or not guest_too:
            return
        lab_domain = domain.for_lab(domain_xml, accelerator=chosen.l2, emulator=emulator)
        run.replacements = lab_domain.replacements
        watch = None
        if plan.host.handover:
            watch = Watcher(visitor, plan.expectations, before=l1.shell.run(handover.SCRIPT).out)
        with run.timed("guest stage"):
            guest.warm_up(l1.shell, emulator)
            seen = guest.run_guest(
                plan,
                lab_domain,
                l1.shell,
                accelerator=chosen.l2,
                progress=listener.step,
                watch=watch,
                look=under_test.look if under_test else None,
                functions=linux.functions if linux else (),
            )
        run.checks += seen.checks
        run.logs |= seen.logs
        run.versions |= seen.versions
        if emulator:
            run.versions["QEMU in L1"] = f"{emulator.version}, under test"
        for result in seen.checks:
            listener.check(result)
