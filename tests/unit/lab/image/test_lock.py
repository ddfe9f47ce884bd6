"""The lock: one text for one set of packages, read back as it was, and every difference named."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.lab.debootstrap import Package
from pipeline.lab.image import lock

BASE = Package(name="base", version="3-2", architecture="any", sha256="a" * 64)
GRUB = Package(name="grub", version="2:2.12.r292+1-1", architecture="x86_64", sha256="b" * 64)
HEAD = "# dryboot lock 1: name version architecture sha256\n"

PACKAGES = st.lists(
    st.builds(
        Package,
        name=st.from_regex(r"[a-z0-9][a-z0-9@._+-]{0,12}", fullmatch=True),
        version=st.from_regex(r"([0-9]:)?[0-9][A-Za-z0-9.+~_]{0,8}-[0-9]{1,2}", fullmatch=True),
        architecture=st.sampled_from(["x86_64", "any", "amd64", "all"]),
        sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    ),
    max_size=8,
    unique_by=lambda package: (package.name, package.architecture),
)


def changed(package: Package, **fields: str) -> Package:
    values = {name: getattr(package, name) for name in ("name", "version", "architecture", "sha256")}
    return Package(**{**values, **fields})


def test_the_text_is_sorted_and_without_doubles() -> None:
    assert lock.text([GRUB, BASE, GRUB]) == (
        f"{HEAD}base 3-2 any {'a' * 64}\ngrub 2:2.12.r292+1-1 x86_64 {'b' * 64}\n"
    )


@given(PACKAGES, st.randoms())
def test_what_is_written_is_read_back_whatever_the_order(packages: list[Package], random: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lock")
        lock.write(path, packages)
        first = path.read_bytes()
        random.shuffle(packages)  # type: ignore[attr-defined]
        lock.write(path, packages)
        assert path.read_bytes() == first
        assert lock.read(path) == tuple(sorted(packages))
        assert [entry.name for entry in Path(folder).iterdir()] == ["lock"]
        lock.check(lock.read(path), packages, path=path)


def test_every_difference_is_named() -> None:
    new = Package(name="zlib", version="1-1", architecture="x86_64", sha256="c" * 64)
    assert lock.differences([BASE, GRUB], [GRUB, BASE]) == ()
    assert lock.differences([BASE, GRUB], [changed(BASE, version="3-3"), new]) == (
        "base any is 3-3, the lock has 3-2",
        "grub 2:2.12.r292+1-1 x86_64 is missing",
        "zlib 1-1 x86_64 is not in the lock",
    )
    assert lock.differences([BASE], [changed(BASE, sha256="d" * 64)]) == (
        f"base 3-2 any has other content: sha256 {'d' * 64}",
    )


def test_a_check_lists_the_differences() -> None:
    with pytest.raises(BadInput, match=r"host\.lock: .*\n  base .* is missing\n  grub .* is missing"):
        lock.check([BASE, GRUB], [], path=Path("host.lock"))


@given(PACKAGES.filter(bool), st.data())
def test_a_package_more_or_less_never_passes(packages: list[Package], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(packages))
    rest = [package for package in packages if package != gone]
    for locked, present in ((packages, rest), (rest, packages)):
        with pytest.raises(BadInput, match="not what the lock says"):
            lock.check(locked, present, path=Path("lock"))


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "1"),
        (b"base 3-2 any\n", "1"),
        (HEAD.encode() + b"base 3-2 any\n", "2"),
        (HEAD.encode() + b"base  3-2 any " + b"a" * 64 + b"\n", "2"),
        (HEAD.encode() + b"base 3-2 any " + b"A" * 64 + b"\n", "2"),
        (HEAD.encode() + b"../x 3-2 any " + b"a" * 64 + b"\n", "2"),
        (HEAD.encode() + b"base 3-2 any " + b"a" * 64, "2"),
        (HEAD.encode() + (b"base 3-2 any " + b"a" * 64 + b"\n") * 2, "3"),
        (HEAD.encode() + b"\n", "2"),
    ],
)
def test_anything_but_a_lock_is_refused_with_its_line(tmp_path: Path, content: bytes, place: str) -> None:
    path = tmp_path / "lock"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        lock.read(path)
    assert str(caught.value).startswith(f"{path}:{place}: ")


def test_what_cannot_be_read_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        lock.read(tmp_path / "none")
    (tmp_path / "lock").write_bytes(b"\xff")
    with pytest.raises(BadInput, match="UTF-8"):
        lock.read(tmp_path / "lock")
