"""modprobe.d as libkmod reads it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.setup.model import Modprobe
from tests.machines import setup_of


def modprobe(content: str, **more: str) -> Modprobe:
    found = setup_of({"etc/modprobe.d/vfio.conf": content, **more}).host.modprobe
    assert found is not None
    return found


def ids(found: Modprobe) -> list[tuple[str, str]]:
    return [(one.value, str(one.place).removeprefix("m/etc/modprobe.d/")) for one in found.vfio_ids]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("options vfio-pci ids=1002:67ef,1002:AAE0\n", [("1002:67ef", "1:22"), ("1002:aae0", "1:32")]),
        ("options vfio_pci ids=1002:67ef", [("1002:67ef", "1:22")]),
        ("options\tvfio-pci  disable_vga=1\tids=1002:67ef", [("1002:67ef", "1:37")]),
        ('options vfio-pci ids="1002:67ef,1002:aae0"', [("1002:67ef", "1:23"), ("1002:aae0", "1:33")]),
        ("options vfio-pci \\\n ids=1002:67ef,\\\n1002:aae0\n", [("1002:67ef", "2:6"), ("1002:aae0", "3:1")]),
        ("#options vfio-pci ids=1002:67ef\n", []),
        ("# c \\\noptions vfio-pci ids=1002:67ef\n", []),
        ("options vfio-pci ids=1:2\noptions vfio-pci ids=1002:67ef\n", [("1002:67ef", "2:22")]),
        ("options vfio ids=1002:67ef\n", []),
        ("", []),
    ],
)
def test_ids(content: str, expected: list[tuple[str, str]]) -> None:
    assert ids(modprobe(content)) == [(value, f"vfio.conf:{place}") for value, place in expected]


def test_where_to_put_ids() -> None:
    assert str(modprobe("options vfio-pci ids=1:2").ids_where) == "m/etc/modprobe.d/vfio.conf:1:18"
    assert str(modprobe("").ids_where) == "m/etc/modprobe.d/vfio.conf"


def test_everything_else() -> None:
    found = modprobe(
        "softdep amdgpu pre: vfio-pci vfio post: x\nblacklist nouveau\ninstall vfio-pci /bin/sh -c 'a b'\n"
        "options kvm ignore_msrs=1 flag\nalias a b\nremove c d\n"
    )
    (softdep,) = found.softdeps
    assert (softdep.module, softdep.before, softdep.after) == ("amdgpu", ("vfio-pci", "vfio"), ("x",))
    assert [(one.value, str(one.place)) for one in found.blacklists] == [
        ("nouveau", "m/etc/modprobe.d/vfio.conf:2:11")
    ]
    assert [one.value for one in found.installs] == ["vfio-pci"]
    assert [(one.module, one.key, one.value, one.place.column) for one in found.options] == [
        ("kvm", "ignore_msrs", "1", 13),
        ("kvm", "flag", "", 27),
    ]


def test_a_file_hides_its_namesakes() -> None:
    files = {
        "usr/lib/modprobe.d/vfio.conf": "options vfio-pci ids=1:1\n",
        "lib/modprobe.d/zz.conf": "blacklist lib\n",
        "run/modprobe.d/zz.conf": "blacklist run\n",
        "etc/modprobe.d/note.txt": "blacklist text\n",
    }
    found = modprobe("options vfio-pci ids=1002:67ef\n", **files)
    assert [value for value, _ in ids(found)] == ["1002:67ef"]
    assert [one.value for one in found.blacklists] == ["run"]


def test_names_order_the_files_of_all_directories() -> None:
    found = modprobe(
        "", **{"usr/lib/modprobe.d/b.conf": "blacklist b\n", "etc/modprobe.d/a.conf": "blacklist a\n"}
    )
    assert [one.value for one in found.blacklists] == ["a", "b"]


def test_a_line_that_modprobe_does_not_know() -> None:
    setup = setup_of({"etc/modprobe.d/a.conf": "optoins vfio-pci ids=1:2\n"})
    assert [str(one.place) for one in setup.unread] == ["m/etc/modprobe.d/a.conf:1:1"]


@settings(max_examples=100)
@given(
    st.lists(st.from_regex(r"[0-9a-f]{4}:[0-9a-f]{4}", fullmatch=True), min_size=1, max_size=5),
    st.sampled_from(["", "\\\n", "# x\n", "\n\n"]),
)
def test_ids_stand_at_their_places(values: list[str], before: str) -> None:
    content = f"{before}options vfio-pci ids={','.join(values)}\n"
    if before == "# x\n":
        content = f"# x\n{content}"
    found = modprobe(content).vfio_ids
    assert [one.value for one in found] == values
    for one in found:
        assert content.split("\n")[one.place.line - 1][one.place.column - 1 :].startswith(one.value)


def test_modules_that_are_loaded_after_the_boot() -> None:
    files = {
        "etc/mkinitcpio.conf": "MODULES=()\n",
        "etc/modules-load.d/b.conf": "# c\n; d\n  kvm args\n",
        "usr/lib/modules-load.d/a.conf": "loop\n",
        "etc/modules": "dummy\n",
    }
    found = setup_of(files).host.initramfs
    assert found is not None
    assert [(one.value, str(one.place)) for one in found.after_boot] == [
        ("loop", "m/usr/lib/modules-load.d/a.conf:1:1"),
        ("kvm", "m/etc/modules-load.d/b.conf:3:3"),
        ("dummy", "m/etc/modules:1:1"),
    ]
