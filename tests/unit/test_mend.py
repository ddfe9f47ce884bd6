"""Writing over files of a machine: whole or not at all, inside the root, with the old one kept."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from pipeline import mend
from pipeline.errors import BadInput
from pipeline.files.reader import Reader
from pipeline.files.tree import Directory
from pipeline.inputs import Target
from pipeline.mend import Mend, read, write

CHECKOUT = Path(__file__).resolve().parents[2]


def one(path: Path, new: str, *, root: Path | None = None, old: str | None = None) -> Mend:
    target = Target(path=path, root=root)
    return Mend(target=target, old=read(target) if old is None else old, new=new)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_the_file_is_replaced_and_the_old_one_kept(tmp_path: Path) -> None:
    path = tmp_path / "vfio.conf"
    path.write_text("old")
    path.chmod(0o750)
    assert write([one(path, "new")]) == ("vfio.conf.before-dryboot",)
    assert contents(tmp_path) == {"vfio.conf": "new", "vfio.conf.before-dryboot": "old"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    # Tools that run every executable of a directory must not run the copy.
    assert stat.S_IMODE((tmp_path / "vfio.conf.before-dryboot").stat().st_mode) == 0o640


def test_an_older_copy_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    for new in ("2", "3", "4"):
        write([one(path, new)])
    assert contents(tmp_path) == {
        "a": "4",
        "a.before-dryboot": "1",
        "a.before-dryboot.2": "2",
        "a.before-dryboot.3": "3",
    }


def test_bytes_that_are_no_text_stay(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"# \xff\xfe\r\nx")
    target = Target(path=path)
    write([Mend(target=target, old=read(target), new=read(target).replace("x", "é"))])
    assert path.read_bytes() == b"# \xff\xfe\r\n\xc3\xa9"


def test_owner_and_attributes_stay(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    if os.geteuid() == 0:
        os.chown(path, 1234, 4321)
    try:
        os.setxattr(path, "user.dryboot", b"x")
    except OSError:
        attributes = []
    else:
        attributes = ["user.dryboot"]
    before = path.stat()
    write([one(path, "new")])
    after = path.stat()
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert [name for name in os.listxattr(path) if name.startswith("user.")] == attributes


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("old")
    (tmp_path / "etc").symlink_to("real")
    (tmp_path / "real/link").symlink_to("a")
    write([one(Path("etc/link"), "new", root=tmp_path)])
    assert (tmp_path / "real/link").is_symlink()
    assert contents(tmp_path / "real") == {"a": "new", "a.before-dryboot": "old", "link": "new"}


@pytest.mark.parametrize("how", ["file", "folder", "up", "absolute"])
def test_nothing_outside_the_root_is_written(tmp_path: Path, how: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "etc").mkdir(parents=True)
    outside.mkdir()
    (outside / "a").write_text("mine")
    path = Path("etc/a")
    match how:
        case "file":
            (root / "etc/a").symlink_to("../../outside/a")
        case "folder":
            (root / "etc").rmdir()
            (root / "etc").symlink_to("../outside")
        case "up":
            path = Path("../outside/a")
        case "absolute":
            (root / "etc/a").symlink_to(outside / "a")
    with pytest.raises(BadInput, match="outside of"):
        write([one(path, "new", root=root, old="mine")])
    assert contents(outside) == {"a": "mine"}


def test_a_file_that_changed_meanwhile_is_left(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").write_text("b")
    mends = [one(tmp_path / "b", "new"), one(tmp_path / "a", "new")]
    (tmp_path / "a").write_text("edited")
    with pytest.raises(BadInput, match="changed meanwhile"):
        write(mends)
    assert contents(tmp_path) == {"a": "edited", "b": "b"}


@pytest.mark.parametrize("step", ["_keep", "_copy", "rename"])
def test_where_one_of_several_cannot_be_written_none_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
        (tmp_path / name).chmod(0o755)
    calls = 0
    owner = mend if step.startswith("_") else mend.os
    real = getattr(owner, step)

    def fails(*arguments: object, **names: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(28, "No space left on device")
        return real(*arguments, **names)

    mends = [one(tmp_path / name, "new") for name in ("a", "b")]
    monkeypatch.setattr(owner, step, fails)
    with pytest.raises(BadInput, match="No space left"):
        write(mends)
    monkeypatch.undo()
    assert contents(tmp_path) == {"a": "old", "b": "old"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o755}


@pytest.mark.parametrize("kind", ["none", "folder", "fifo", "large"])
def test_what_is_no_plain_file_is_bad_input(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "large":
            with path.open("wb") as file:
                file.truncate((8 << 20) + 1)
    with pytest.raises(BadInput):
        read(Target(path=path))


def test_an_interruption_finds_every_file_whole(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.conf").write_text("old")
    code = f"""
import signal
from pathlib import Path
from pipeline.inputs import Target
from pipeline.mend import Mend, write
def stop(*_): raise KeyboardInterrupt
signal.signal(signal.SIGTERM, stop)
mends = [
    Mend(target=Target(path=Path({str(tmp_path)!r}) / f"{{n}}.conf"), old="old", new="new") for n in range(30)
]
print("ready", flush=True)
write(mends)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    left = contents(tmp_path)
    files = {name: text for name, text in left.items() if name.endswith(".conf")}
    assert len(files) == 30
    assert set(files.values()) in ({"old"}, {"new"})
    copies = len(left) - 30
    assert copies == (30 if "new" in files.values() else 0)


def test_copies_are_not_read_as_files_of_the_machine(tmp_path: Path) -> None:
    folder = tmp_path / "etc/default"
    folder.mkdir(parents=True)
    for name in ("grub", "a.before-dryboot.conf"):
        (folder / name).write_text("1")
    for new in ("2", "3"):
        write([one(folder / "grub", new)])
    with closing(Directory(tmp_path)) as tree:
        assert Reader(tree, shown="").names("etc/default") == ("a.before-dryboot.conf", "grub")
