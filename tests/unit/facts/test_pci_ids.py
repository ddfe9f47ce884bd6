"""Names from pci.ids, whole and broken."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.facts import pci_ids
from pipeline.pci import IdPair

TEXT = """\
# a comment
10de  NVIDIA Corporation
# between
\t1b80  GP104 [GeForce GTX 1080]
\t\t1043 8592  GTX 1080
\t1b81  GP104 [GeForce GTX 1070]
1102  Creative Labs
\t1b80  not of NVIDIA

C 03  Display controller
\t00  VGA compatible controller
\t\t00  VGA controller
\t02  3D controller
C 04  Multimedia controller
"""


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, ...]:
    (tmp_path / "pci.ids").write_text(TEXT)
    return (tmp_path / "none", tmp_path / "pci.ids")


def test_names(paths: tuple[Path, ...]) -> None:
    assert (
        pci_ids.device(IdPair.parse("10de:1b80"), paths=paths)
        == "NVIDIA Corporation GP104 [GeForce GTX 1080]"
    )
    assert pci_ids.device(IdPair.parse("1102:1b80"), paths=paths) == "Creative Labs not of NVIDIA"
    assert pci_ids.vendor(0x1102, paths=paths) == "Creative Labs"
    assert pci_ids.class_name("030200", paths=paths) == "3D controller"
    assert pci_ids.class_name("0300", paths=paths) == "VGA compatible controller"
    assert pci_ids.class_name("0480", paths=paths) == "Multimedia controller"


def test_names_that_there_are_not(paths: tuple[Path, ...]) -> None:
    assert pci_ids.device(IdPair.parse("10de:1043"), paths=paths) is None
    assert pci_ids.device(IdPair.parse("1102:1b81"), paths=paths) is None
    assert pci_ids.vendor(0x1B80, paths=paths) is None
    assert pci_ids.class_name("0500", paths=paths) is None


def test_no_file(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate((16 << 20) + 1)
    for path in (tmp_path / "none", tmp_path / "directory", tmp_path / "fifo", large):
        assert pci_ids.vendor(0x10DE, paths=(path,)) is None


def test_a_name_is_one_printable_line(tmp_path: Path) -> None:
    broken = tmp_path / "pci.ids"
    broken.write_bytes(b"10de  \x1b[31mred\xff\ttab\r\n\t1b80  " + b"x" * 500 + b"\n\t1b81  \n")
    assert pci_ids.vendor(0x10DE, paths=(broken,)) == "[31mred\ufffd tab"
    name = pci_ids.device(IdPair.parse("10de:1b80"), paths=(broken,))
    assert name is not None
    assert len(name) < 160
    assert pci_ids.device(IdPair.parse("10de:1b81"), paths=(broken,)) is None


@hypothesis_settings(max_examples=60)
@given(
    content=st.lists(
        st.sampled_from([b"10de", b"  ", b"\t", b"\n", b"C 03", b"1b80", b"\x00", b"\xff", b"#", b"x"])
    )
)
def test_every_file_is_taken(content: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("ids") / "pci.ids"
    path.write_bytes(b"".join(content))
    found = (
        pci_ids.device(IdPair.parse("10de:1b80"), paths=(path,)),
        pci_ids.vendor(0x10DE, paths=(path,)),
        pci_ids.class_name("0300", paths=(path,)),
    )
    assert all(one is None or one.isprintable() for one in found)
