"""What differs between run and host, and what that leaves unproven."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.fidelity import fidelity, lacking, unproven, weigh
from pipeline.lab.image import HostImage
from pipeline.plan import Plan, resolve
from pipeline.scenario import read
from pipeline.verdict import CheckResult, Fidelity, Outcome

GEFORCE = resolve(read("intel-geforce"))
RX560 = resolve(read("rx560"))
OLD = resolve(read("rx560-2019"))
GONE = "==> ERROR: module not found: 'vfio_virqfd'\n==> WARNING: errors were encountered\n"


@pytest.fixture
def image(tmp_path: Path) -> HostImage:
    modules = tmp_path / "usr/lib/modules/6.12.1-amd64"
    modules.mkdir(parents=True)
    names = ("xhci-pci", "ahci", "nvme", "amdgpu", "snd-hda-intel", "nouveau", "i2c-nvidia-gpu")
    (modules / "modules.dep").write_text("".join(f"kernel/{name}.ko:\n" for name in names))
    (modules / "modules.builtin").write_text("kernel/simpledrm.ko\n")
    paths = dict.fromkeys(("root", "tree", "base", "tiny", "grub", "kernel"), tmp_path)
    return HostImage(
        name="image", release="6.12.1-amd64", distribution="Debian 13", packages={"udev": "257"}, **paths
    )


def rows(plan: Plan, image: HostImage, *, fast: bool = False) -> dict[str, Fidelity]:
    return {row.part: row for row in fidelity(plan, image, qemu="11.1", fast=fast)}


def test_the_table_has_what_can_decide(image: HostImage) -> None:
    found = rows(RX560, image)
    drivers = {
        f"driver {name}" for name in ("xhci_pci", "ahci", "nvme", "amdgpu", "snd_hda_intel", "simpledrm")
    }
    others = {"kernel", "initramfs tool", "init of the initramfs", "boot loader", "udev"}
    assert drivers | others | {"QEMU of the guest", "OVMF of the guest", "machine of the host"} <= set(found)
    assert found["kernel"].effect.startswith("the same series")
    assert (found["driver amdgpu"].differs, found["driver amdgpu"].effect) == (False, "none")
    assert found["driver xhci_pci"].effect == "none: no function of it is passed through"
    assert found["driver simpledrm"].asked == "not known here"
    assert found["driver simpledrm"].ran == "built-in"
    assert found["udev"].ran == "257"


def test_a_built_in_driver_of_a_passed_function_can_change_the_verdict(image: HostImage) -> None:
    row = rows(GEFORCE, image)["driver xhci_pci"]
    assert (row.differs, row.effect) == (True, "can, for 01:00.2")
    assert row.asked.startswith("built-in (Manjaro's linux612")
    assert rows(GEFORCE, image)["driver i2c_nvidia_gpu"].effect == "unknown, for 01:00.3"


def test_another_kernel_series_can_change_the_verdict(image: HostImage) -> None:
    assert rows(OLD, image)["kernel"].effect.startswith("can: ")


def test_the_fast_boot_is_told(image: HostImage) -> None:
    assert rows(RX560, image, fast=True)["boot loader"].effect.startswith("can")


def test_checks_of_a_function_whose_driver_is_built_in_are_not_proven(image: HostImage) -> None:
    found = unproven(GEFORCE, image)
    assert set(found) == {
        *("binding[01:00.2]", "first-driver[01:00.2]", "vfio-node[01:00.2]", "viable[01:00.0]"),
    }
    assert "xhci_pci is built into the host's kernel" in found["binding[01:00.2]"]
    assert unproven(RX560, image) == {}


def test_the_same_driver_built_in_here_proves_it(image: HostImage) -> None:
    folder = image.tree / "usr/lib/modules/6.12.1-amd64"
    (folder / "modules.builtin").write_text("kernel/xhci-pci.ko\n")
    assert unproven(GEFORCE, image) == {}


@pytest.mark.parametrize(
    ("outcome", "weighed"),
    [
        (Outcome.HELD, Outcome.NOT_PROVEN),
        (Outcome.FAILED, Outcome.FAILED),
        (Outcome.SKIPPED, Outcome.SKIPPED),
    ],
)
def test_only_what_held_is_not_proven(outcome: Outcome, weighed: Outcome) -> None:
    one = GEFORCE.expectations[0]
    result = CheckResult(expectation=one, outcome=outcome, observed=("seen", "too"))
    found = weigh(result, {one.id: "a reason"})
    assert found.outcome is weighed
    assert weigh(result, {}) == result
    if weighed is Outcome.NOT_PROVEN:
        assert found.observed == "seen, too; but a reason"


def test_a_module_that_only_the_lab_s_kernel_lacks_is_no_mistake(image: HostImage) -> None:
    assert "kernel 4.19 has vfio_virqfd" in lacking(OLD, image, GONE)


@pytest.mark.parametrize(
    ("plan", "output"),
    [
        (RX560, GONE),
        (OLD, ""),
        (OLD, GONE + "==> ERROR: module not found: 'no_such'\n"),
        (OLD, GONE + "==> ERROR: Hook 'x' cannot be found\n"),
    ],
)
def test_any_other_error_is_the_scenario_s(image: HostImage, plan: Plan, output: str) -> None:
    assert lacking(plan, image, output) == ""
