"""What is rendered from a scenario is read back as it was planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.facts.kernels import canonical
from pipeline.files.setup import read_files
from pipeline.plan import resolve
from pipeline.render import Inputs, render
from pipeline.scenario import load
from tests.machines import no_domains

SCENARIOS = sorted((Path(__file__).resolve().parents[3] / "scenarios").glob("*.yaml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_comes_back(path: Path) -> None:
    plan = resolve(load(path))
    bundle = render(plan, inputs=Inputs(scenario=path.read_bytes()))
    setup = read_files(bundle.files, shown="build/x", read_domains=no_domains)
    host = setup.host
    assert setup.unread == ()
    assert setup.name == plan.name
    assert host.facts == plan.host.distribution
    assert host.kernel is not None
    assert host.qemu is not None
    assert (host.kernel.value, host.qemu.value) == (plan.host.kernel, plan.host.qemu)
    assert (host.cpu_vendor, host.threads, host.memory) == (
        plan.host.cpu_vendor,
        plan.host.threads,
        plan.host.memory,
    )
    assert host.bootloader == plan.host.bootloader
    assert host.command_line is not None
    parameters = [one.value for one in host.command_line.parameters]
    root = [f"root={plan.host.root}", "rw"] if plan.host.root else []
    assert parameters[-len(plan.host.kernel_parameters) :] == [
        one.value for one in plan.host.kernel_parameters
    ]
    assert parameters[: -len(plan.host.kernel_parameters)] in ([], root)
    assert host.other_loaders == ()
    assert host.modprobe is not None
    assert [one.value for one in host.modprobe.vfio_ids] == [one.value for one in plan.host.vfio_ids]
    assert [(one.module, *one.before) for one in host.modprobe.softdeps] == list(plan.host.softdeps)
    assert host.until_guest_starts == (plan.host.handover is not None)
    if host.until_guest_starts:
        assert host.initramfs is None
        return
    assert host.initramfs is not None
    assert host.initramfs.generator == plan.host.generator
    assert [canonical(one.value) for one in host.initramfs.modules] == [
        canonical(one.value) for one in plan.host.modules
    ]
    assert [one.value for one in host.initramfs.hooks] == [one.value for one in plan.host.hooks]
    assert host.overrides == plan.host.overrides
