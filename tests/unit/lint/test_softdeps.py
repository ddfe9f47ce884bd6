"""Softdeps and install commands: each rule firing, and silent beside it."""

import pytest

from pipeline.lint import softdeps
from pipeline.setup import Setup
from pipeline.setup.model import Softdep
from tests.unit.lint.setups import VFIO, brief, initramfs, modprobe, of, softdep, words, written

LATE = initramfs(of(), modules=())


def holding(*deps: Softdep, setup: Setup = LATE) -> Setup:
    return modprobe(setup, softdeps=deps)


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        (
            holding(softdep("vfio-pci", ["amdgpu"])),
            [("error", "amdgpu is loaded before vfio-pci by a softdep of vfio-pci")],
        ),
        (
            holding(softdep("amdgpu", after=["vfio-pci"])),
            [("warning", "vfio-pci comes after amdgpu (post:)")],
        ),
        (
            holding(softdep("amdgpu", after=["vfio_pci"]), setup=of()),
            [("note", "vfio-pci comes after amdgpu (post:)")],
        ),
        (holding(softdep("amdgpu", ["vfio-pci"])), []),
        (holding(softdep("amdgpu", ["vfio-pci"], ["vfio-pci"])), []),
        (holding(softdep("vfio-pci", ["nouveau", "vfio"])), []),
        (holding(softdep("nouveau", after=["vfio-pci"])), []),
    ],
)
def test_the_wrong_way_round(setup: Setup, expected: list[tuple[str, str]]) -> None:
    assert brief(softdeps.softdep_reversed, setup) == expected


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        (
            holding(softdep("amdgpu", ["vfio-pic"])),
            [("warning", "the softdep of amdgpu does nothing: there is no module vfio-pic")],
        ),
        (
            holding(softdep("amdgpu", ["vfio"])),
            [("warning", "the softdep of amdgpu does nothing: vfio does not take devices")],
        ),
        (
            holding(softdep("amdgpu", ["vfio"]), setup=of()),
            [("note", "the softdep of amdgpu does nothing: vfio does not take devices")],
        ),
        (
            holding(softdep("snd_hda_intell", ["vfio-pci"])),
            [
                (
                    "warning",
                    "the softdep of snd_hda_intell does nothing: there is no driver snd_hda_intell that is known here",
                )
            ],
        ),
        (holding(softdep("amdgpu", ["vfio", "vfio-pci"])), []),
        (holding(softdep("amdgpu", ["vfio_pci"])), []),
        (holding(softdep("drm", ["vfio-pci"])), []),
        (holding(softdep("nouveau", ["vfio"])), []),
        (holding(softdep("snd_hda_intell", ["vfio-pci"]), softdep("snd_hda_*", ["vfio-pci"])), []),
    ],
)
def test_nothing_there(setup: Setup, expected: list[tuple[str, str]]) -> None:
    assert brief(softdeps.softdep_void, setup) == expected


def test_wildcards_and_both_dashes() -> None:
    setup = holding(softdep("snd-hda-*", ["vfio-pci"]))
    assert softdeps.vfio_first(setup, "snd_hda_intel")
    assert not softdeps.vfio_first(setup, "amdgpu")


SCRIPT = "/usr/local/bin/vfio-pci-override.sh"


def installing(command: str, *files: str, setup: Setup | None = None) -> Setup:
    line = written("vfio-pci", VFIO, text=f"install vfio-pci {command}")
    return initramfs(modprobe(setup or of(), installs=(line,)), files=words(*files))


@pytest.mark.parametrize(
    "command", [SCRIPT, f"/bin/sh -c '{SCRIPT}'", f"{SCRIPT} ; /sbin/modprobe -i vfio-pci"]
)
def test_a_script_that_stays_outside(command: str) -> None:
    assert brief(softdeps.script_not_in_image, installing(command)) == [
        ("warning", f"{SCRIPT} loads vfio-pci, but FILES does not bring it into the image")
    ]


@pytest.mark.parametrize(
    "setup",
    [
        installing(SCRIPT, SCRIPT),
        installing("/sbin/modprobe -i vfio-pci"),
        installing("'unbalanced"),
        installing(SCRIPT, setup=initramfs(of(), hooks=words("base", "systemd", "block"))),
        installing(SCRIPT, setup=initramfs(of(), hooks=words("base", "modconf", "vfio-override"))),
        installing(SCRIPT, setup=LATE),
        installing(SCRIPT, setup=of("fedora-dracut")),
        modprobe(of(), installs=(written("nouveau", VFIO, text="install nouveau /usr/local/bin/never"),)),
    ],
)
def test_the_script_is_there_or_not_needed(setup: Setup) -> None:
    assert brief(softdeps.script_not_in_image, setup) == []
