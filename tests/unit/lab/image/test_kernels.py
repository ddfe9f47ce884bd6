"""Kernels of Debian's suites; mmdebstrap and the unpacked depmod are played."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import LabFault
from pipeline.lab import cache
from pipeline.lab.debootstrap import Package
from pipeline.lab.image import kernels

RELEASE = "6.1.0-50-amd64"
# Called as `loader --library-path FOLDERS --argv0 depmod KMOD -b TREE RELEASE`.
DEPMOD = '#!/bin/sh\n[ "$4" = depmod ] && echo "$5" >"$7/lib/modules/$8/modules.dep.bin"\n'


def quiet(_: str) -> None:
    pass


@pytest.fixture
def unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setenv("DRYBOOT_CACHE", str(tmp_path / "cache"))

    def play(*, library: str = "lib", depmod: str = DEPMOD, images: tuple[str, ...] = (RELEASE,)) -> None:
        def unpacked(target: Path, **options: Any) -> tuple[Package, ...]:
            assert options["suites"] == ("bookworm",)
            folders = ("boot", "bin", "lib64", f"{library}/modules/{RELEASE}/kernel")
            for folder in folders:
                (target / folder).mkdir(parents=True)
            for image in images:
                (target / "boot" / f"vmlinuz-{image}").write_bytes(b"kernel")
            (target / library / "modules" / RELEASE / "kernel/x.ko").write_bytes(b"module")
            (target / "bin/kmod").touch()
            (target / "lib64/ld-linux-x86-64.so.2").write_text(depmod)
            (target / "lib64/ld-linux-x86-64.so.2").chmod(0o755)
            return (Package(name="linux-image", version="6.1", architecture="amd64", sha256="0" * 64),)

        monkeypatch.setattr(kernels, "unpack", unpacked)

    return play


@pytest.mark.parametrize("library", ["lib", "usr/lib"])
def test_a_kernel_with_its_modules_and_indexes(unpack: Callable[..., None], library: str) -> None:
    unpack(library=library)
    found = kernels.kernel("bookworm", quiet)
    assert found.image.read_bytes() == b"kernel"
    assert (found.release, found.packages) == (RELEASE, {"linux-image": "6.1"})
    modules = found.tree / "usr/lib/modules" / RELEASE
    assert (modules / "kernel/x.ko").read_bytes() == b"module"
    assert (modules / "modules.dep.bin").read_text().endswith("/bin/kmod\n")
    assert sorted(path.name for path in found.image.parent.iterdir()) == ["lock.json", "tree", "vmlinuz"]


def test_the_cache_is_used(unpack: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    unpack()
    first = kernels.kernel("bookworm", quiet)
    monkeypatch.setattr(kernels, "unpack", None)
    assert kernels.kernel("bookworm", quiet) == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": ()}, "0 kernels"),
        ({"images": (RELEASE, "6.2")}, "2 kernels"),
        ({"images": ("6.2",)}, "comes without modules"),
        ({"depmod": "#!/bin/sh\necho broken >&2; exit 3\n"}, "depmod ended with 3: broken"),
    ],
)
def test_what_goes_wrong_leaves_nothing(
    unpack: Callable[..., None], options: dict[str, Any], message: str
) -> None:
    unpack(**options)
    with pytest.raises(LabFault, match=message):
        kernels.kernel("bookworm", quiet)
    left = [path for path in (cache.root() / "kernels").iterdir() if path.is_dir()]
    assert left == []


def test_suites_have_names_of_their_own() -> None:
    assert kernels.name("bookworm") != kernels.name("trixie")
