"""Decisions: what is written is taken, what is left out is derived."""

import pytest

from pipeline.errors import BadInput
from pipeline.plan import Plan, resolve
from pipeline.scenario import read


def plan(name: str = "rx560", *settings: str) -> Plan:
    return resolve(read(name, settings=settings))


def values(written: tuple[object, ...]) -> list[object]:
    return [getattr(one, "value") for one in written]  # noqa: B009


def test_rx560() -> None:
    found = plan()
    assert values(found.host.vfio_ids) == ["1002:67ef", "1002:aae0"]
    assert values(found.host.modules) == ["vfio_pci", "vfio", "vfio_iommu_type1"]
    assert values(found.host.kernel_parameters) == ["quiet", "udev.log_priority=3", "iommu=pt"]
    assert "modconf" in values(found.host.hooks)
    assert found.host.softdeps == (("amdgpu", "vfio-pci"), ("snd_hda_intel", "vfio-pci"))
    assert found.host.threads == 8
    assert [str(one.address) for one in found.passed] == ["01:00.0", "01:00.1"]


def test_rx560_of_2019() -> None:
    found = plan("rx560-2019")
    assert values(found.host.modules) == ["vfio_pci", "vfio", "vfio_iommu_type1", "vfio_virqfd"]
    assert values(found.host.kernel_parameters) == [
        "quiet",
        "udev.log_priority=3",
        "audit=0",
        "amd_iommu=on",
        "iommu=pt",
    ]
    assert found.guest.machine.value == "pc-q35-3.1"
    assert found.guest.loader == "/usr/share/ovmf/x64/OVMF_CODE.fd"
    assert found.host.distribution.fallback_by_default


def test_intel_needs_a_parameter_unless_one_is_written() -> None:
    assert values(plan("rx560", "host.cpu.vendor=intel").host.kernel_parameters)[-1] == "intel_iommu=on"
    written = plan("rx560", "host.cpu.vendor=intel", "host.kernel_parameters=[intel_iommu=sm_on]")
    assert values(written.host.kernel_parameters) == ["intel_iommu=sm_on"]


def test_defaults_and_what_replaces_them() -> None:
    assert values(plan("rx560", "host.kernel_parameters=null").host.kernel_parameters) == [
        "quiet",
        "udev.log_priority=3",
    ]
    assert values(plan("rx560", "host.initramfs.extra_modules=[btrfs]").host.modules)[-1] == "btrfs"
    assert plan("rx560", "host.vfio.softdeps=false").host.softdeps == ()
    assert plan("rx560", "board.root_ports.0.functions.0.drivers=[]").functions[0].drivers == ()


def test_the_functions_of_a_card_stay_together_in_the_guest() -> None:
    devices = plan("rx560", "passthrough=['06:00.0', '01:00.1', '01:00.0']").guest.host_devices
    assert [(str(one.source), one.slot, one.function, one.multifunction) for one in devices] == [
        ("06:00.0", 0, 0, False),
        ("01:00.1", 1, 1, False),
        ("01:00.0", 1, 0, True),
    ]


def test_a_lone_second_function_becomes_the_first_in_the_guest() -> None:
    device = plan("rx560", "passthrough=['01:00.1']").guest.host_devices[0]
    assert (device.function, device.multifunction) == (0, False)


def test_boot_order_is_unique() -> None:
    with pytest.raises(BadInput, match="same place in the boot order"):
        plan("rx560", "guest.disk.boot=1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["host.bootloader=systemd-boot"], "no facts about Manjaro Linux with systemd-boot"),
        (["host.distribution=arch", "host.bootloader=systemd-boot"], "host.root is missing"),
        (["host.distribution=arch", "host.bootloader=uki"], "a unified kernel image has to name the root"),
        (["host.bootloader=uki"], "no facts about Manjaro Linux with uki"),
        (["host.root=LABEL=root"], "host.root would not be used"),
    ],
)
def test_a_boot_loader_that_does_not_fit_is_bad_input(settings: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        resolve(read("rx560", settings=settings))
    assert caught.value.place is not None
    assert caught.value.hint


def test_the_way_back_leaves_every_function_to_its_own_driver() -> None:
    found = {one.id: one.expected for one in resolve(read("rx560")).way_back}
    assert found["stays[01:00.0]"] == "not vfio-pci"
    assert found["own-driver[01:00.0]"] == ("amdgpu",)
    assert found["own-driver[01:00.1]"] == ("snd_hda_intel",)
    assert "cmdline[module_blacklist=vfio_pci]" in found
    assert "own-driver[02:00.0]" not in found


def test_a_loader_without_a_tool_has_no_check_of_it() -> None:
    ids = [one.id for one in resolve(read("arch-systemd-boot")).expectations]
    assert not [one for one in ids if one.startswith("boot-loader")]


def of(distribution: str, *settings: str) -> Plan:
    """A host of the distribution with its own generator and boot loader."""
    base = (f"host.distribution={distribution}", "host.bootloader=null", "host.initramfs={}")
    return plan("rx560", *base, *settings)


@pytest.mark.parametrize(
    ("distribution", "generator", "modules_file", "grub_cfg"),
    [
        ("manjaro", "mkinitcpio", "/etc/mkinitcpio.d/linux612.preset", "/boot/grub/grub.cfg"),
        ("arch", "mkinitcpio", "/etc/mkinitcpio.d/linux.preset", "/boot/grub/grub.cfg"),
        ("debian", "initramfs-tools", "/etc/initramfs-tools/modules", "/boot/grub/grub.cfg"),
        ("fedora", "dracut", "/etc/dracut.conf.d/10-vfio.conf", "/boot/grub2/grub.cfg"),
    ],
)
def test_the_first_of_a_distributions_tools_is_the_default(
    distribution: str, generator: str, modules_file: str, grub_cfg: str
) -> None:
    found = of(distribution)
    assert (found.host.generator, found.host.bootloader) == (generator, "grub")
    ids = [one.id for one in found.expectations]
    assert ids[:2] == [f"initramfs[{modules_file}]", f"boot-loader[{grub_cfg}]"]
    if generator != "mkinitcpio":
        assert found.host.hooks == ()
        texts = [text for one in (*found.expectations, *found.way_back) for text in (one.why, one.fix)]
        assert not [text for text in texts if "mkinitcpio" in text or "HOOKS" in text]


def test_debian_may_have_dracut_and_turns_vt_d_on() -> None:
    assert of("debian", "host.initramfs.generator=dracut").host.generator == "dracut"
    assert "intel_iommu=on" not in values(of("debian", "host.cpu.vendor=intel").host.kernel_parameters)
    assert "intel_iommu=on" in values(of("fedora", "host.cpu.vendor=intel").host.kernel_parameters)


@pytest.mark.parametrize(
    ("settings", "message", "hint", "place"),
    [
        (["generator=dracut"], "no facts about Manjaro Linux with dracut", "known with it: mkinitcpio", ""),
        (["generator=mkinitcpio"], "no facts about Debian", "initramfs-tools, dracut", "debian"),
        (["hooks=[base]"], "only mkinitcpio has HOOKS", "leave", "debian"),
        (
            ["modules=[vfio_pci, 'vfio_virqfd?']"],
            "only mkinitcpio reads a question mark",
            "vfio_virqfd;",
            "fedora",
        ),
        (["extra_modules=['btrfs?']"], "only mkinitcpio reads a question mark", "btrfs;", "fedora"),
    ],
)
def test_a_generator_that_does_not_fit_is_bad_input(
    settings: list[str], message: str, hint: str, place: str
) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        of(place or "manjaro", *(f"host.initramfs.{one}" for one in settings))
    assert hint in str(caught.value.hint)
    assert str(caught.value.place).startswith(f"--set host.initramfs.{settings[0].partition('=')[0]}")


def test_a_unified_kernel_image_is_what_boots() -> None:
    found = of("arch", "host.bootloader=uki", "host.root=LABEL=root")
    ids = [one.id for one in found.expectations]
    assert ids[:2] == ["initramfs[/etc/mkinitcpio.d/linux.preset]", "boots[/boot/EFI/Linux/arch-linux.efi]"]
    assert "/etc/kernel/cmdline" in next(one.fix for one in found.expectations if one.id == "cmdline[quiet]")


def test_on_fedora_a_parameter_goes_into_the_entries() -> None:
    fix = next(one.fix for one in of("fedora").expectations if one.id == "cmdline[quiet]")
    assert "grubby --update-kernel=ALL" in fix


TWIN = "board.root_ports.4.functions.0.id='1002:67ef'"


def test_a_card_with_a_twin_is_taken_by_address_whole() -> None:
    host = resolve(read("rx560", settings=[TWIN])).host
    assert [str(address) for address in host.overrides] == ["01:00.0", "01:00.1"]
    assert host.vfio_ids == ()
    assert resolve(read("rx560")).host.overrides == ()


def test_ids_that_the_owner_writes_are_taken_as_they_are() -> None:
    host = resolve(read("rx560", settings=[TWIN, "host.vfio.ids=['1002:67ef']"])).host
    assert host.overrides == ()
    assert [one.value for one in host.vfio_ids] == ["1002:67ef"]


def test_a_card_without_a_twin_beside_one_with_keeps_its_ids() -> None:
    passed = "passthrough=['01:00.0', '01:00.1', '02:00.0']"
    host = resolve(read("rx560", settings=[TWIN, passed])).host
    assert [one.value for one in host.vfio_ids] == ["144d:a808"]
    assert [str(address) for address in host.overrides] == ["01:00.0", "01:00.1"]


def test_only_what_stays_and_looks_the_same_is_a_twin() -> None:
    found = resolve(read("rx560", settings=[TWIN])).topology.functions
    assert [str(one.address) for one in found if one.twin] == ["05:00.0"]
