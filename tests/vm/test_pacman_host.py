"""A signed mirror on this machine becomes a host that boots with its own packages."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import verify as run
from pipeline.errors import BadInput
from pipeline.lab import cache
from pipeline.lab.image import HostImage, debian, lock, pacman, rootfs
from pipeline.lab.image.choice import Wanted, choose
from pipeline.lab.image.pacman_failure import MissingPackage
from pipeline.plan import resolve
from pipeline.plan.model import Stage
from pipeline.render import Inputs, render
from pipeline.scenario import read
from pipeline.verdict import Listener, Outcome, Verdict
from tests.pacman import host_packages, repository

pytestmark = [pytest.mark.vm, pytest.mark.skipif(os.geteuid() != 0, reason="pacstrap needs root")]
PLAN = resolve(read("rx560"))


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Wanted:
    folder = tmp_path_factory.mktemp("mirror")
    with repository.key("mirror <mirror@example.invalid>") as key:
        address = host_packages.mirror(folder / "manjaro", debian.image(print), key)
        return Wanted(image="manjaro", mirror=address, keyring=key.keyring(folder / "ours"))


@pytest.fixture(scope="module")
def image(wanted: Wanted) -> Iterator[HostImage]:
    chosen = choose(PLAN.host, wanted, print)
    assert chosen.why == ""
    yield chosen.image
    shutil.rmtree(chosen.image.tree.parent)


def test_the_host_boots_with_the_mirror_s_packages(image: HostImage, wanted: Wanted, tmp_path: Path) -> None:
    assert (image.own, image.distribution) == ("manjaro", "Manjaro stable")
    verdict = host_stage(wanted, tmp_path / "logs")
    stand_ins = {one.part: one for one in verdict.stand_ins}
    assert "Manjaro stable" in stand_ins["distribution"].ran
    # The mirror's mkinitcpio is empty, so the substitute played it, and says so.
    assert "initramfs generator" in stand_ins
    assert (tmp_path / "logs/image.lock").read_text() == lock.text(image.lock)


def test_a_root_of_one_s_own_boots(tmp_path: Path) -> None:
    wanted = Wanted(image="rootfs", tree=debian.image(print).tree)
    verdict = host_stage(wanted, tmp_path / "logs")
    assert "was given with --image" in next(
        one.ran for one in verdict.stand_ins if one.part == "distribution"
    )
    assert "\nrootfs " in (tmp_path / "logs/image.lock").read_text()
    assert wanted.tree
    shutil.rmtree(cache.root() / "images" / rootfs.name(wanted.tree))


def host_stage(wanted: Wanted, logs: Path) -> Verdict:
    verdict = run.verify(
        PLAN,
        render(PLAN, inputs=Inputs(scenario=b"")),
        findings=(),
        accelerator=None,
        logs=logs,
        listener=Listener(),
        guest_too=False,
        wanted=wanted,
    )
    host = [one for one in verdict.checks if one.expectation.stage is Stage.HOST]
    assert {one.outcome for one in host} == {Outcome.HELD}, verdict
    return verdict


def test_the_same_lock_gives_the_same_bytes(image: HostImage, wanted: Wanted, tmp_path: Path) -> None:
    path = tmp_path / "host.lock"
    lock.write(path, image.lock)
    files = ("root.ext4", "base.cpio", "tiny.cpio", "grubx64.efi", "vmlinuz", "lock.json")
    first = {name: _sum(image.tree.parent / name) for name in files}
    aside = image.tree.parent.with_name(f".aside-{image.name}")
    image.tree.parent.rename(aside)
    try:
        locked = Wanted(image="manjaro", mirror=wanted.mirror, keyring=wanted.keyring, locked=path)
        again = choose(PLAN.host, locked, print).image
        assert {name: _sum(again.tree.parent / name) for name in files} == first
    finally:
        shutil.rmtree(aside)


def test_another_lock_is_refused_before_and_after_the_build(
    image: HostImage, wanted: Wanted, tmp_path: Path
) -> None:
    path = tmp_path / "host.lock"
    lock.write(path, image.lock[1:])
    locked = Wanted(image="manjaro", mirror=wanted.mirror, keyring=wanted.keyring, locked=path)
    with pytest.raises(BadInput, match=rf"{image.lock[0].name} .* is not in the lock"):
        choose(PLAN.host, locked, print)


def test_what_fails_leaves_nothing_in_the_cache(wanted: Wanted) -> None:
    source = pacman.Pacman(
        distribution="manjaro", branch="stable", kernel="4.19", mirror=wanted.mirror, keyring=wanted.keyring
    )
    before = sorted((cache.root() / "images").iterdir())
    with pytest.raises(MissingPackage, match="linux419"):
        pacman.image(source, print)
    after = [path for path in sorted((cache.root() / "images").iterdir()) if path.suffix != ".lock"]
    assert after == [path for path in before if path.suffix != ".lock"]


def _sum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
