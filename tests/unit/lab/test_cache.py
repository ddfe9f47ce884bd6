"""What is prepared appears whole or not at all, and once."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.lab import cache

ROOT = Path(__file__).resolve().parents[3]
KILLED = """
import os, signal
from pipeline.lab import cache
def make(fresh):
    (fresh / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
cache.prepared("image", "abc", make)
"""


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DRYBOOT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fill(fresh: Path) -> None:
    (fresh / "whole").write_text("made")


def names(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "image").iterdir() if path.suffix != ".lock")


def test_it_is_made_once(root: Path) -> None:
    made: list[Path] = []

    def make(fresh: Path) -> None:
        assert list(fresh.iterdir()) == []
        made.append(fresh)
        fill(fresh)

    path = cache.prepared("image", "abc", make)
    assert cache.prepared("image", "abc", make) == path == root / "image" / "abc"
    assert (path / "whole").read_text() == "made"
    assert len(made) == 1


def test_it_does_not_appear_before_it_is_whole(root: Path) -> None:
    def make(fresh: Path) -> None:
        fill(fresh)
        assert not (root / "image" / "abc").exists()

    cache.prepared("image", "abc", make)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(root: Path, kind: type[BaseException]) -> None:
    def fail(fresh: Path) -> None:
        fill(fresh)
        raise kind

    with pytest.raises(kind):
        cache.prepared("image", "abc", fail)
    assert names(root) == []
    assert (cache.prepared("image", "abc", fill) / "whole").exists()


def test_what_a_killed_maker_left_is_made_again_and_removed(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, check=False)
    assert done.returncode == -9
    assert len(names(root)) == 1
    assert names(root) != ["abc"]
    path = cache.prepared("image", "abc", fill)
    assert names(root) == ["abc"]
    assert [entry.name for entry in path.iterdir()] == ["whole"]


def test_makers_at_the_same_time_make_once() -> None:
    made: list[Path] = []
    together = threading.Barrier(4)

    def make(fresh: Path) -> None:
        made.append(fresh)
        fill(fresh)

    def want() -> None:
        together.wait(60)
        assert (cache.prepared("image", "abc", make) / "whole").exists()

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(made) == 1


def test_names_do_not_disturb_each_other(root: Path) -> None:
    def outer(fresh: Path) -> None:
        cache.prepared("image", "abcd", fill)
        fill(fresh)

    cache.prepared("image", "abc", outer)
    assert names(root) == ["abc", "abcd"]


def test_the_cache_is_private(root: Path) -> None:
    cache.prepared("image", "abc", fill)
    assert (root / "image").stat().st_mode & 0o077 == 0


def test_a_key_changes_with_everything_it_is_made_of() -> None:
    inputs: list[tuple[object, ...]] = [
        (),
        ("a",),
        ("a", "b"),
        ("ab",),
        (b"ab",),
        (["a", "b"],),
        ({"a": 1},),
        (1,),
        ("1",),
    ]
    assert len({cache.key(*one) for one in inputs}) == len(inputs)
    assert cache.key({"a": 1, "b": 2}) == cache.key({"b": 2, "a": 1})


def test_a_relative_cache_is_where_the_run_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRYBOOT_CACHE", "here")
    assert cache.runs() == tmp_path / "here" / "run"
