"""What shows on the card and whose it is: read from a text, every check seen holding and failing."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from pipeline.checks import observation
from pipeline.checks.handover import SCRIPT, Seen, read
from pipeline.checks.run import run_checks
from pipeline.errors import LabFault
from pipeline.handover import Watcher
from pipeline.pci import Address
from pipeline.plan import resolve
from pipeline.plan.model import AFTERWARDS, WHILE_RUNNING, Check
from pipeline.scenario import read as read_scenario
from pipeline.verdict import CheckResult, Outcome

PLAN = resolve(read_scenario("single-gpu"))
HOOK = "/etc/libvirt/hooks/qemu.d/win10-passthrough"
CONSOLES = "vtcon0 0 (S) dummy device\nvtcon1 1 (M) frame buffer device\n"
FREED = "vtcon0 1 (S) dummy device\nvtcon1 0 (M) frame buffer device\n"
UNITS = "ssh.service loaded active running OpenBSD Secure Shell server\n"
SDDM = "sddm.service loaded active running Stands for the host's display manager\n"


def screen(
    consoles: str = CONSOLES,
    screens: str = "",
    lasting: str = "fb1\n",
    overrides: str = "",
    hooks: str = f"executable {HOOK}\n",
    units: str = UNITS + SDDM,
) -> str:
    parts = {"consoles": consoles, "screens": screens, "lasting": lasting, "overrides": overrides}
    parts |= {"hooks": hooks, "units": units}
    return "".join(f"@{name}\n{text}" for name, text in parts.items())


def functions(gpu: str = "-", audio: str = "snd_hda_intel") -> str:
    return (
        f"0000:02:00.0 0x1002 0x67df 0x1da2 0xe366 0xe7 {gpu} 2\n"
        f"0000:02:00.1 0x1002 0xaaf0 0x1da2 0xaaf0 0x00 {audio} 2\n"
    )


def probes(gpu: str = "amdgpu vfio-pci amdgpu", audio: str = "snd_hda_intel vfio-pci snd_hda_intel") -> str:
    line = "pci 0000:{}: bus: 'pci': really_probe: probing driver {} with device\n"
    tried = {"02:00.0": gpu, "02:00.1": audio}
    return "".join(line.format(address, one) for address, names in tried.items() for one in names.split())


@dataclass
class Host:
    """Answers each of the two scripts with a text."""

    screen: str
    functions: str = functions()
    probes: str = probes()

    def run(self, command: str) -> SimpleNamespace:
        if command == SCRIPT:
            return SimpleNamespace(stdout=self.screen)
        assert command == observation._SCRIPT
        text = f"@cmdline\nquiet\n@iommu\n@nodes\n@functions\n{self.functions}@probes\n{self.probes}"
        return SimpleNamespace(stdout=text)


def made(host: Host, *checks: Check) -> dict[str, CheckResult]:
    wanted = [one for one in PLAN.expectations if one.check in checks]
    assert wanted
    return {one.expectation.id: one for one in run_checks(host, wanted, progress=lambda _: None)}


def test_a_whole_answer() -> None:
    text = screen(
        screens="efi-framebuffer.0\n", overrides="0000:02:00.0 vfio-pci\n", hooks=f"not-executable {HOOK}\n"
    )
    assert read("Welcome\n" + text) == Seen(
        consoles=("vtcon1",),
        unbound=(),
        screens=("efi-framebuffer.0",),
        lasting=("fb1",),
        overrides={Address.parse("02:00.0"): "vfio-pci"},
        hooks={HOOK: False},
        units={"ssh.service": "active", "sddm.service": "active"},
    )


@pytest.mark.parametrize("text", ["", "@consoles\n", screen().partition("@units")[0]])
def test_an_incomplete_answer_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="incomplete"):
        read(text)


@pytest.mark.skipif(not shutil.which("dash"), reason="there is no dash")
def test_the_script_runs_in_a_plain_shell_and_its_answer_is_read() -> None:
    done = subprocess.run(["dash", "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    read(done.stdout)


BOOTED = (Check.HOOK, Check.DISPLAY)


@pytest.mark.parametrize(
    ("text", "checks", "wrong"),
    [
        (screen(), BOOTED, {}),
        (
            screen(hooks=f"not-executable {HOOK}\n", units=UNITS),
            BOOTED,
            {f"hook[{HOOK}]": "not executable", "display[sddm.service]": "inactive"},
        ),
        (screen(hooks=""), BOOTED, {f"hook[{HOOK}]": "absent"}),
        (screen(FREED, units=UNITS), (Check.SCREEN_FREED, Check.DISPLAY_STOPPED), {}),
        (screen("vtcon0 1 (S) dummy device\n"), (Check.SCREEN_FREED,), {}),
        (
            screen(screens="efi-framebuffer.0\n"),
            (Check.SCREEN_FREED, Check.DISPLAY_STOPPED),
            {"screen-freed[win10]": "vtcon1, efi-framebuffer.0", "display-stopped[sddm.service]": "active"},
        ),
        (
            screen(units=SDDM.replace("active running", "deactivating stop-sigterm")),
            (Check.DISPLAY_STOPPED, Check.DISPLAY_BACK),
            {"display-stopped[sddm.service]": "deactivating", "display-back[sddm.service]": "deactivating"},
        ),
        (screen(), (Check.SCREEN_BACK, Check.DISPLAY_BACK), {}),
        (
            screen(FREED, units=UNITS),
            (Check.SCREEN_BACK, Check.DISPLAY_BACK),
            {"screen-back[win10]": "not bound: vtcon1", "display-back[sddm.service]": "inactive"},
        ),
        (
            screen("vtcon0 1 (S) dummy device\n"),
            (Check.SCREEN_BACK,),
            {"screen-back[win10]": "no frame buffer console"},
        ),
    ],
)
def test_what_shows_on_the_card(text: str, checks: tuple[Check, ...], wrong: dict[str, str]) -> None:
    found = made(Host(text), *checks)
    assert {name: one.observed for name, one in found.items() if one.outcome is Outcome.FAILED} == wrong


@pytest.mark.parametrize(
    ("host", "gpu", "outcome"),
    [
        (Host(screen()), ("amdgpu",), Outcome.HELD),
        (Host(screen(), functions("amdgpu")), ("amdgpu",), Outcome.HELD),
        (Host(screen(), functions("vfio-pci")), "still held by vfio-pci", Outcome.FAILED),
        (
            Host(screen(overrides="0000:02:00.0 vfio-pci\n")),
            "driver_override is still vfio-pci",
            Outcome.FAILED,
        ),
        (Host(screen(), probes=probes("amdgpu vfio-pci")), "free", Outcome.FAILED),
        (Host(screen(), probes=probes("amdgpu vfio-pci nouveau")), ("nouveau",), Outcome.FAILED),
        (Host(screen(), probes=probes("amdgpu")), "vfio-pci never had it", Outcome.FAILED),
        (
            Host(screen(), probes=probes("vfio-pci amdgpu vfio-pci")),
            "free",
            Outcome.FAILED,
        ),
        (Host(screen(), probes=""), "not observable: the kernel logged no probes", Outcome.FAILED),
        (Host(screen(), functions().splitlines()[1] + "\n"), "absent", Outcome.FAILED),
    ],
)
def test_whether_the_card_was_given_back(host: Host, gpu: str | tuple[str, ...], outcome: Outcome) -> None:
    result = made(host, Check.GIVEN_BACK)["given-back[02:00.0]"]
    assert (result.observed, result.outcome) == (gpu, outcome)


@pytest.mark.parametrize(
    ("audio", "outcome"), [("vfio-pci", Outcome.HELD), ("vfio-pci snd_x", Outcome.HELD), ("", Outcome.FAILED)]
)
def test_a_function_without_a_known_driver_only_has_to_be_free(audio: str, outcome: Outcome) -> None:
    plan = resolve(read_scenario("single-gpu", settings=["board.root_ports.1.functions.1.class='0d1100'"]))
    [wanted] = [one for one in plan.expectations if one.id == "given-back[02:00.1]"]
    host = Host(screen(), functions(audio="-"), probes(audio=audio))
    [result] = run_checks(host, [wanted], progress=lambda _: None)
    assert result.outcome is outcome


@pytest.mark.parametrize(("gpu", "outcome"), [("vfio-pci", Outcome.HELD), ("amdgpu", Outcome.FAILED)])
def test_whether_the_card_was_handed_over(gpu: str, outcome: Outcome) -> None:
    assert made(Host("", functions(gpu)), Check.HANDED_OVER)["handed-over[02:00.0]"].outcome is outcome


@pytest.mark.parametrize(("driver", "outcome"), [("-", Outcome.HELD), ("nvme", Outcome.FAILED)])
def test_what_shares_the_group_is_not_held(driver: str, outcome: Outcome) -> None:
    stated = "expect.groups=[['02:00.0', '02:00.1', '01:00.0']]"
    plan = resolve(read_scenario("single-gpu", settings=[stated]))
    wanted = [one for one in plan.expectations if one.check is Check.UNHELD]
    there = functions() + f"0000:01:00.0 0x144d 0xa808 0x0000 0x0000 0x00 {driver} 2\n"
    [result] = run_checks(Host("", there), wanted, progress=lambda _: None)
    assert (result.expectation.subject, result.outcome) == ("01:00.0", outcome)


def test_a_watcher_looks_twice() -> None:
    during, after = Host(screen(FREED, units=UNITS), functions("vfio-pci", "vfio-pci")), Host(screen())
    expectations = PLAN.expectations
    found = Watcher(during, expectations, before=screen()).running()
    assert [one.expectation.check for one in found] == [
        one.check for one in expectations if one.check in WHILE_RUNNING
    ]
    assert {one.outcome for one in found} == {Outcome.HELD}
    found = Watcher(after, expectations, before=screen()).ended()
    assert len(found) == len([one for one in expectations if one.check in AFTERWARDS])
    assert {one.outcome for one in found} == {Outcome.HELD}


@pytest.mark.parametrize(
    ("before", "unproven"),
    [
        (screen("vtcon0 1 (S) dummy device\n"), {"screen-freed[win10]", "screen-back[win10]"}),
        (screen(FREED), {"screen-freed[win10]", "screen-back[win10]"}),
        (screen(lasting=""), {"screen-back[win10]"}),
        (screen(), set()),
    ],
)
def test_what_was_not_there_before_is_not_proven(before: str, unproven: set[str]) -> None:
    watcher = Watcher(Host(screen()), PLAN.expectations, before=before)
    found = [*watcher.running(), *watcher.ended()]
    assert {one.expectation.id for one in found if one.outcome is Outcome.NOT_PROVEN} == unproven
    assert len(found) == len({*WHILE_RUNNING, *AFTERWARDS}) + 2


def test_a_host_that_does_not_answer_is_a_lab_fault() -> None:
    with pytest.raises(LabFault, match="could not be looked at"):
        Watcher(Host(""), PLAN.expectations, before="")
    with pytest.raises(LabFault, match="incomplete"):
        made(Host(""), Check.HOOK)
