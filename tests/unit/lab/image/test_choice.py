"""Which image is taken: the cache before the network, the user's word before both, and a reason for a stand-in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import BadInput, LabFault
from pipeline.lab.debootstrap import Package
from pipeline.lab.image import HostImage, choice, lock
from pipeline.lab.image.choice import Wanted, choose, wanted
from pipeline.lab.image.pacman_failure import MissingPackage, Unreachable
from pipeline.plan import resolve
from pipeline.scenario import read

MANJARO = resolve(read("rx560")).host
DEBIAN = resolve(read("debian-geforce")).host
FEDORA = resolve(read("fedora-dracut")).host
PACKAGE = Package(name="base", version="1-1", architecture="any", sha256="a" * 64)


class Sources:
    """The sources, each saying that it was used; the network and root as a test wants them."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.asked: list[str] = []
        self.cached, self.answer, self.failure = False, "https://mirror.invalid", None
        patch.setenv("DRYBOOT_CACHE", str(folder))
        patch.setattr(choice.os, "geteuid", lambda: 0)
        patch.setattr(choice.debian, "image", self.debian)
        patch.setattr(choice.pacman, "image", self.pacman)
        patch.setattr(choice.pacman, "cached", lambda _: self.cached)
        patch.setattr(choice.rootfs, "image", lambda *_, **__: self.made("rootfs"))
        patch.setattr(choice.mirror, "first_answer", self.first_answer)

    def made(self, name: str) -> HostImage:
        self.asked.append(name)
        paths: Any = dict.fromkeys(("root", "tree", "kernel", "base", "tiny", "grub"), Path())
        return HostImage(
            name=name, release="6.12.1", distribution=name, packages={}, lock=(PACKAGE,), own=name, **paths
        )

    def debian(self, _: object, **__: object) -> HostImage:
        return self.made("debian")

    def pacman(self, source: choice.Pacman, _: object, *, accept) -> HostImage:
        if self.failure:
            raise self.failure
        if not self.cached:
            accept((PACKAGE,))
        return self.made(f"{source.distribution} {source.branch} {source.kernel} {source.mirror}".strip())

    def first_answer(self, *_: object, **__: object) -> str:
        self.asked.append("network")
        return self.answer


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sources:
    return Sources(monkeypatch, tmp_path)


def test_the_host_s_own_distribution_where_its_mirror_answers(sources: Sources) -> None:
    assert choose(MANJARO, Wanted(), print).why == ""
    assert sources.asked == ["network", "manjaro stable 6.12"]


def test_what_is_in_the_cache_is_used_without_asking(sources: Sources) -> None:
    sources.cached = True
    assert choose(MANJARO, Wanted(), print).why == ""
    assert sources.asked == ["manjaro stable 6.12"]


def test_a_mirror_that_does_not_answer_is_asked_once(sources: Sources) -> None:
    sources.answer = ""
    first, second = (choose(MANJARO, Wanted(), print) for _ in range(2))
    assert first.why.startswith("no mirror of manjaro answers quickly (https://")
    assert second.why == first.why
    assert sources.asked == ["network", "debian", "debian"]


@pytest.mark.parametrize(
    "error", [Unreachable("gone"), MissingPackage("no linux612"), LabFault("no keyring")]
)
def test_what_the_mirror_cannot_give_is_a_reason_and_not_tried_again(
    sources: Sources, error: LabFault | BadInput
) -> None:
    sources.failure = error
    found = [choose(MANJARO, Wanted(), print).why for _ in range(2)]
    assert found == [error.message] * 2
    assert sources.asked == ["network", "debian", "debian"]


@pytest.mark.parametrize("asked", [Wanted(image="manjaro"), Wanted(mirror="https://own.invalid")])
def test_a_choice_of_the_user_s_fails_with_its_own_error(sources: Sources, asked: Wanted) -> None:
    sources.failure = MissingPackage("no linux612")
    with pytest.raises(MissingPackage):
        choose(MANJARO, asked, print)
    assert sources.asked == []


def test_without_root_nobody_is_asked(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice.os, "geteuid", lambda: 1000)
    assert "only be installed by root" in choose(MANJARO, Wanted(), print).why
    assert sources.asked == ["debian"]


def test_distributions_without_pacman(sources: Sources) -> None:
    assert choose(DEBIAN, Wanted(), print).why == ""
    assert choose(FEDORA, Wanted(), print).why == "there is no source of packages for fedora"
    assert choose(MANJARO, Wanted(image="debian"), print).why == "--image debian was asked for"
    with pytest.raises(BadInput, match="the host is fedora"):
        choose(FEDORA, Wanted(mirror="https://own.invalid"), print)
    assert choose(FEDORA, Wanted(image="arch"), print).why == "--image arch was asked for"
    assert choose(MANJARO, Wanted(image="rootfs", tree=Path("x")), print).why == "x was given with --image"


def test_only_the_lock_s_packages_are_taken(sources: Sources, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock.write(path, (PACKAGE,))
    assert choose(MANJARO, Wanted(locked=path), print).image.own == "manjaro stable 6.12"
    lock.write(path, ())
    for cached in (False, True):
        sources.cached = cached
        # No stand-in for a refusal.
        with pytest.raises(lock.Refused, match="base 1-1 any is not in the lock"):
            choose(MANJARO, Wanted(locked=path), print)
    assert "debian" not in sources.asked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Wanted()),
        ("auto", Wanted()),
        ("debian", Wanted(image="debian")),
        ("arch:testing", Wanted(image="arch", branch="testing")),
        ("rootfs:a:b", Wanted(image="rootfs", tree=Path("/base/a:b"))),
        ("rootfs:/a", Wanted(image="rootfs", tree=Path("/a"))),
    ],
)
def test_the_option(text: str, expected: Wanted) -> None:
    assert wanted(text, base=Path("/base")) == expected


@pytest.mark.parametrize(
    "text", ["fedora", "debian:12", "auto:x", "manjaro:", "rootfs", "rootfs:", ":", "Debian"]
)
def test_what_is_no_image_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        wanted(text)
    assert caught.value.hint


def test_a_mirror_only_goes_with_pacman() -> None:
    for text in ("debian", "rootfs:x"):
        with pytest.raises(BadInput):
            wanted(text, mirror="https://own.invalid")
    assert wanted("manjaro", mirror="https://own.invalid").mirror == "https://own.invalid"
