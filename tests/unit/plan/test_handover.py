"""A host that uses the card until the guest starts: what is decided, what has to hold, what is refused."""

from __future__ import annotations

import pytest

from pipeline.errors import BadInput
from pipeline.facts.libvirt import hook
from pipeline.lint import lint
from pipeline.plan import Plan, resolve
from pipeline.plan.model import AFTERWARDS, WHILE_RUNNING, Check, Stage
from pipeline.scenario import read
from pipeline.scenario.loader import SHIPPED
from pipeline.setup.from_plan import from_plan

GEFORCE = ("host.vfio.when=guest-start", "host.display_manager=gdm")


def plan(*settings: str, name: str = "single-gpu") -> Plan:
    return resolve(read(name, settings=settings))


def line(text: str) -> int:
    lines = (SHIPPED / "single-gpu.yaml").read_text(encoding="utf-8").splitlines()
    return next(number for number, one in enumerate(lines, 1) if text in one)


def test_nothing_is_done_early() -> None:
    host = plan().host
    assert (host.vfio_ids, host.softdeps, host.modules, host.overrides) == ((), (), (), ())
    assert host.handover is not None
    assert host.handover.hook == "etc/libvirt/hooks/qemu.d/win10-passthrough"
    assert host.handover.display_manager is not None
    assert host.handover.display_manager.value == "sddm.service"
    assert host.handover.unload == ()
    assert plan(name="rx560").host.handover is None


def test_what_has_to_hold() -> None:
    found = {one.id: one for one in plan().expectations}
    kinds = {one.check for one in found.values()}
    assert not {Check.BINDING, Check.FIRST_DRIVER, Check.VFIO_NODE, Check.VIABLE} & kinds
    hook_id = "hook[/etc/libvirt/hooks/qemu.d/win10-passthrough]"
    assert {one.id: one.expected for one in found.values() if one.check is Check.OWN_DRIVER} == {
        "own-driver[02:00.0]": ("amdgpu",),
        "own-driver[02:00.1]": ("snd_hda_intel",),
    }
    assert found["given-back[02:00.0]"].expected == ("amdgpu",)
    assert (found[hook_id].stage, found[hook_id].place.line) == (Stage.HOST, line("when: guest-start"))
    assert (found["display-back[sddm.service]"].stage, found["display-back[sddm.service]"].place.line) == (
        Stage.GUEST,
        line("display_manager: sddm"),
    )
    during = [one.id for one in found.values() if one.check in WHILE_RUNNING]
    after = [one.id for one in found.values() if one.check in AFTERWARDS]
    assert during == [
        "handed-over[02:00.0]",
        "handed-over[02:00.1]",
        "display-stopped[sddm.service]",
        "screen-freed[win10]",
    ]
    assert after == [
        "given-back[02:00.0]",
        "given-back[02:00.1]",
        "display-back[sddm.service]",
        "screen-back[win10]",
    ]
    assert "guest-ended[win10]" in found
    named = [one for one in found.values() if one.check in {*WHILE_RUNNING, *AFTERWARDS}]
    assert all("/etc/libvirt/hooks/qemu.d/win10-passthrough" in one.fix for one in named)


def test_the_iommu_and_the_groups_are_those_of_every_host() -> None:
    early = {
        one.id: one.expected
        for one in plan("host.vfio={}", "host.display_manager=null").expectations
        if one.check in {Check.IOMMU, Check.GROUP, Check.PRESENT, Check.CMDLINE}
    }
    late = {one.id: one.expected for one in plan().expectations}
    assert len(early) > 8
    assert early.items() <= late.items()


def test_a_host_without_a_display_manager_has_nothing_to_stop() -> None:
    kinds = {one.check for one in plan("host.display_manager=null").expectations}
    assert not {Check.DISPLAY, Check.DISPLAY_STOPPED, Check.DISPLAY_BACK} & kinds
    assert {Check.SCREEN_FREED, Check.SCREEN_BACK, Check.GIVEN_BACK} <= kinds


def test_a_function_without_a_known_driver_is_only_freed() -> None:
    found = {one.id: one for one in plan("board.root_ports.1.functions.1.class='0d1100'").expectations}
    assert found["given-back[02:00.1]"].expected == "free"
    assert "own-driver[02:00.1]" not in found


def test_nvidia_s_modules_are_unloaded_first() -> None:
    host = plan(*GEFORCE, name="intel-geforce").host
    assert host.handover is not None
    assert host.handover.unload == ("nvidia_drm", "nvidia_modeset", "nvidia_uvm", "nvidia")


def test_what_stays_in_the_group_must_not_be_held() -> None:
    found = {one.id: one for one in plan(*GEFORCE, name="bad-group").expectations}
    [unheld] = [one for one in found.values() if one.check is Check.UNHELD and one.subject == "02:00.0"]
    assert (unheld.expected, unheld.stage) == ("no driver", Stage.HOST)
    assert not [one for one in found.values() if one.check is Check.VIABLE]


def test_a_stated_group_counts_for_what_stays() -> None:
    stated = "expect.groups=[['02:00.0', '02:00.1', '05:00.0']]"
    found = [one.subject for one in plan(stated).expectations if one.check is Check.UNHELD]
    assert found == ["05:00.0"]
    assert not [one for one in plan().expectations if one.check is Check.UNHELD]


@pytest.mark.parametrize(
    ("settings", "place", "text"),
    [
        (["host.vfio.ids=['1002:67df']"], "--set host.vfio.ids", "takes nothing by ids"),
        (["host.vfio.softdeps=true"], "--set host.vfio.softdeps", "there are no softdeps"),
        (
            ["host.kernel_parameters=[quiet, vfio_pci.ids=1002:67df]"],
            "--set host.kernel_parameters",
            "leaves to the host",
        ),
        (["host.vfio={}"], "display_manager: sddm", "until the guest starts"),
    ],
)
def test_what_contradicts_is_refused_with_its_place(settings: list[str], place: str, text: str) -> None:
    with pytest.raises(BadInput, match=text) as caught:
        plan(*settings)
    named = caught.value.place
    assert named is not None
    assert named.file == place if place.startswith("--set") else named.line == line(place)


@pytest.mark.parametrize("value", ["later", "", "true"])
def test_only_two_moments_are_known(value: str) -> None:
    with pytest.raises(BadInput, match=r"host\.vfio\.when") as caught:
        plan(f"host.vfio.when={value}")
    assert "'boot' or 'guest-start'" in str(caught.value.hint)


@pytest.mark.parametrize("value", ["sddm.service", "a b", "'$(id)'", "-x", "a/b", "'a;b'", "ly@", "x.target"])
def test_a_service_has_a_narrow_name(value: str) -> None:
    with pytest.raises(BadInput, match=r"host\.display_manager"):
        plan(f"host.display_manager={value}")


def test_a_service_may_be_an_instance() -> None:
    host = plan("host.display_manager=ly@tty2").host
    assert host.handover is not None
    assert host.handover.display_manager is not None
    assert host.handover.display_manager.value == "ly@tty2.service"


@pytest.mark.parametrize(("year", "path"), [(2019, "qemu"), (2020, "qemu"), (2021, "qemu.d/g-passthrough")])
def test_the_hook_is_where_the_host_s_libvirt_looks(year: int, path: str) -> None:
    assert hook("g", year=year) == f"etc/libvirt/hooks/{path}"


def test_lint_is_silent_about_it() -> None:
    """All but the ROM of an only card, which is another matter; a module or an id is not missing, nor is modconf."""

    def found(*settings: str) -> set[str]:
        loaded = read("single-gpu", settings=settings)
        return {one.code for one in lint(from_plan(resolve(loaded), loaded))} - {"DB816"}

    assert found() == set()
    assert found("host.initramfs.hooks=[base, udev]") == set()
    assert found("host.kernel_parameters=[amd_iommu=off]") == {"DB402"}


def test_the_way_back_is_the_same() -> None:
    assert {one.check for one in plan().way_back} == {one.check for one in plan(name="rx560").way_back}
