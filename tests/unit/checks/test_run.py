"""Every check seen holding and failing, made by pytest on a host that is only a text."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from pipeline.checks.run import run_checks
from pipeline.errors import LabFault
from pipeline.plan import resolve
from pipeline.plan.model import Check, Expectation, Stage
from pipeline.scenario import read
from pipeline.verdict import CheckResult, Outcome

PLAN = resolve(read("rx560"))
EXPECTATIONS = tuple(
    one
    for one in PLAN.expectations
    if one.stage is Stage.HOST and one.check not in {Check.INITRAMFS, Check.LOADER, Check.BOOTS}
)
BY_ID = {one.id: one for one in EXPECTATIONS}

CMDLINE = "quiet udev.log_priority=3 iommu=pt root=LABEL=dryboot console=ttyS0"
FUNCTIONS = """\
0000:00:01.1 0x1b36 0x000c 0x0000 0x0000 0x00 pcieport 0
0000:00:1c.0 0x1022 0x1419 0x0000 0x0000 0x00 - -
0000:01:00.0 0x1002 0x67ef 0x148c 0x2385 0xe5 vfio-pci 1
0000:01:00.1 0x1002 0xaae0 0x148c 0xaae0 0x00 vfio-pci 1
0000:02:00.0 0x1b36 0x0010 0x1af4 0x1100 0x02 nvme 2
0000:03:00.0 0x8086 0x2922 0x1af4 0x1100 0x02 ahci 3
0000:04:00.0 0x8086 0x10d3 0x8086 0x0000 0x00 e1000e 4
0000:05:00.0 0x1234 0x1111 0x1af4 0x1100 0x02 bochs-drm 5
0000:06:00.0 0x1b36 0x000d 0x1af4 0x1100 0x01 xhci_hcd 6
"""
PROBE = "pci 0000:{}: bus: 'pci': really_probe: probing driver {} with device\n"
PROBES = PROBE.format("00:01.1", "pcieport") + "".join(
    PROBE.format(address, "vfio-pci") for address in ("01:00.0", "01:00.1")
)
GPU, AUDIO = "0000:01:00.0 0x1002 0x67ef 0x148c 0x2385 0xe5", "0000:01:00.1 0x1002 0xaae0 0x148c 0xaae0 0x00"


def answer(
    *changes: tuple[str, str],
    cmdline: str = CMDLINE,
    iommu: str = "ivhd0\n",
    nodes: str = "1\nvfio\n",
    functions: str = FUNCTIONS,
    probes: str = PROBES,
) -> str:
    for old, new in changes:
        assert old in functions
        functions = functions.replace(old, new)
    return f"@cmdline\n{cmdline}\n@iommu\n{iommu}@nodes\n{nodes}@functions\n{functions}@probes\n{probes}"


@dataclass
class Host:
    """Answers every command with one text, as testinfra's host would."""

    text: str
    asked: list[str] = field(default_factory=list)

    def run(self, command: str) -> SimpleNamespace:
        self.asked.append(command)
        return SimpleNamespace(stdout=self.text, rc=0)


def made(text: str, *expectations: Expectation) -> dict[str, CheckResult]:
    told: list[CheckResult] = []
    results = run_checks(Host(text), expectations or EXPECTATIONS, progress=told.append)
    assert told == list(results)
    assert [result.expectation for result in results] == list(expectations or EXPECTATIONS)
    return {result.expectation.id: result for result in results}


def test_a_host_as_planned_holds_every_expectation_and_is_looked_at_once() -> None:
    host = Host(answer())
    results = run_checks(host, EXPECTATIONS, progress=lambda _: None)
    assert {one.expectation.id: one.observed for one in results if one.outcome is not Outcome.HELD} == {}
    assert len(host.asked) == 1
    assert {one.expectation.id: one.observed for one in results} == {
        "cmdline[quiet]": "quiet",
        "cmdline[udev.log_priority=3]": "udev.log_priority=3",
        "cmdline[iommu=pt]": "iommu=pt",
        "iommu[amd]": "on",
        "present[01:00.0]": "1002:67ef subsystem 148c:2385 rev e5",
        "present[01:00.1]": "1002:aae0 subsystem 148c:aae0 rev 00",
        "group[01:00.0]": ("01:00.0", "01:00.1"),
        "group[02:00.0]": ("02:00.0",),
        "group[03:00.0]": ("03:00.0",),
        "group[04:00.0]": ("04:00.0",),
        "group[05:00.0]": ("05:00.0",),
        "group[06:00.0]": ("06:00.0",),
        "viable[01:00.0]": "no function of the group held by a driver of the host",
        "binding[01:00.0]": "vfio-pci",
        "binding[01:00.1]": "vfio-pci",
        "first-driver[01:00.0]": "vfio-pci",
        "first-driver[01:00.1]": "vfio-pci",
        "vfio-node[01:00.0]": "/dev/vfio/<group>",
        "vfio-node[01:00.1]": "/dev/vfio/<group>",
        "stays[02:00.0]": "nvme",
        "stays[03:00.0]": "ahci",
        "stays[04:00.0]": "e1000e",
        "stays[05:00.0]": "bochs-drm",
        "stays[06:00.0]": "xhci_hcd",
    }


NO_VFIO = (f"{GPU} vfio-pci", f"{GPU} -"), (f"{AUDIO} vfio-pci", f"{AUDIO} -")
FAILING = [
    ("cmdline[quiet]", answer(cmdline=""), "absent"),
    ("cmdline[iommu=pt]", answer(cmdline="iommu=off quiet"), "iommu=off"),
    ("cmdline[iommu=pt]", answer(cmdline="xiommu=pt"), "absent"),
    ("iommu[amd]", answer(iommu=""), "off"),
    ("iommu[amd]", answer(functions=f"{GPU} - -\n"), "off"),
    ("present[01:00.0]", answer(functions=""), "absent"),
    ("present[01:00.0]", answer(("0xe5", "0x00")), "1002:67ef subsystem 148c:2385 rev 00"),
    ("present[01:00.0]", answer(("0x148c 0x2385", "0x0000 0x0000")), "1002:67ef subsystem 0000:0000 rev e5"),
    ("group[01:00.0]", answer(("nvme 2", "nvme 1")), ("01:00.0", "01:00.1", "02:00.0")),
    ("group[01:00.0]", answer((f"{AUDIO} vfio-pci 1", f"{AUDIO} vfio-pci 9")), ("01:00.0",)),
    ("group[01:00.0]", answer((f"{GPU} vfio-pci 1", f"{GPU} vfio-pci -")), ()),
    ("viable[01:00.0]", answer((f"{AUDIO} vfio-pci", f"{AUDIO} snd_hda_intel")), "01:00.1 by snd_hda_intel"),
    ("viable[01:00.0]", answer(("nvme 2", "nvme 1")), "02:00.0 by nvme"),
    ("viable[01:00.0]", answer((f"{GPU} vfio-pci 1", f"{GPU} - -")), "no group"),
    ("binding[01:00.0]", answer((f"{GPU} vfio-pci", f"{GPU} amdgpu")), "amdgpu"),
    ("binding[01:00.0]", answer(*NO_VFIO), "no driver"),
    ("binding[01:00.1]", answer(functions=""), "absent"),
    (
        "first-driver[01:00.0]",
        answer(probes=PROBE.format("01:00.0", "amdgpu") + PROBE.format("01:00.0", "vfio-pci")),
        "amdgpu, then vfio-pci",
    ),
    (
        "first-driver[01:00.0]",
        answer(probes=PROBE.format("01:00.0", "vfio-pci") + PROBE.format("01:00.0", "amdgpu")),
        "vfio-pci, then amdgpu",
    ),
    ("first-driver[01:00.1]", answer(probes=PROBE.format("01:00.0", "vfio-pci")), "no driver"),
    ("first-driver[01:00.0]", answer(probes=""), "not observable: the kernel logged no probes"),
    ("stays[02:00.0]", answer(("nvme 2", "vfio-pci 2")), "vfio-pci"),
    ("stays[02:00.0]", answer(functions=""), "absent"),
    ("vfio-node[01:00.0]", answer(nodes="vfio\n"), "absent (/dev/vfio: vfio)"),
    ("vfio-node[01:00.0]", answer(nodes=""), "absent (/dev/vfio: empty)"),
    ("vfio-node[01:00.0]", answer((f"{GPU} vfio-pci 1", f"{GPU} vfio-pci -")), "absent (/dev/vfio: 1, vfio)"),
]


def test_each_kind_of_check_is_seen_failing() -> None:
    kinds = {BY_ID[name].check for name, _, _ in FAILING}
    assert kinds == {one.check for one in EXPECTATIONS}


@pytest.mark.parametrize(("name", "text", "observed"), FAILING)
def test_a_check_fails_and_says_what_was_there(name: str, text: str, observed: str | tuple[str, ...]) -> None:
    result = made(text, BY_ID[name])[name]
    assert (result.outcome, result.observed) == (Outcome.FAILED, observed)


HOLDING = [
    ("cmdline[iommu=pt]", answer(cmdline="iommu=off iommu=pt")),
    ("viable[01:00.0]", answer(*NO_VFIO)),
    ("viable[01:00.0]", answer((f"{AUDIO} vfio-pci", f"{AUDIO} pci-stub"), ("pcieport 0", "pcieport 1"))),
    ("first-driver[01:00.0]", answer(probes=PROBE.format("01:00.0", "vfio-pci") * 2)),
    ("stays[02:00.0]", answer(("nvme 2", "- 2"))),
]


@pytest.mark.parametrize(("name", "text"), HOLDING)
def test_a_check_holds(name: str, text: str) -> None:
    assert made(text, BY_ID[name])[name].outcome is Outcome.HELD


def test_one_failure_does_not_stop_the_others() -> None:
    outcomes = {name: one.outcome for name, one in made(answer(("nvme 2", "vfio-pci 2"))).items()}
    assert [name for name, outcome in outcomes.items() if outcome is Outcome.FAILED] == ["stays[02:00.0]"]
    assert len(outcomes) == len(EXPECTATIONS)


def test_an_answer_that_cannot_be_read_is_a_lab_fault() -> None:
    with pytest.raises(LabFault, match=r"checks could not be made:\nbinding\[01:00.0\]: ValueError"):
        made("Connection closed\n", BY_ID["binding[01:00.0]"])


def test_a_host_that_cannot_be_reached_is_a_lab_fault() -> None:
    class Gone:
        def run(self, _: str) -> None:
            raise OSError("no route to host")

    with pytest.raises(LabFault, match="no route to host") as caught:
        run_checks(Gone(), EXPECTATIONS, progress=lambda _: None)
    assert "Traceback" not in str(caught.value)


def test_a_kind_without_a_check_on_the_host_is_a_lab_fault() -> None:
    odd = replace(EXPECTATIONS[0], check=Check.MACHINE)
    with pytest.raises(LabFault, match="KeyError"):
        made(answer(), odd)


def test_an_interruption_stays_one() -> None:
    class Interrupted:
        def run(self, _: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_checks(Interrupted(), EXPECTATIONS[:2], progress=lambda _: None)


def test_checks_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    made(answer(functions=""))
    assert capfd.readouterr() == ("", "")


def test_no_expectations_are_no_results() -> None:
    assert run_checks(Host(answer()), (), progress=lambda _: None) == ()
