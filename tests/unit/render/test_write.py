from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from pipeline.errors import BadInput, LabFault
from pipeline.render import Bundle
from pipeline.render import write as write_function
from pipeline.render.bundle import MANIFEST

write_module = sys.modules[write_function.__module__]
write = write_function


def make(text: str, *names: str) -> Bundle:
    files = {name: text.encode() for name in ("etc/a", "b", *names)}
    listed = ", ".join(f'"{name}": {{}}' for name in files)
    manifest = f'{{"tool": {{"name": "dryboot"}}, "files": {{{listed}}}}}'
    return Bundle(files={**files, MANIFEST: manifest.encode()})


OLD, NEW = make("old", "only-old"), make("new", "only-new")


def read(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def hidden(directory: Path) -> list[str]:
    return [entry.name for entry in directory.iterdir() if entry.name.startswith(".")]


@pytest.fixture
def output(tmp_path):
    return tmp_path / "build" / "x"


@pytest.fixture(params=["exchange", "two renames"])
def either_way(request, monkeypatch):
    if request.param == "two renames":
        monkeypatch.setattr(write_module, "_exchange", lambda one, other: False)
    return request.param


def test_a_bundle_is_written(output):
    write(NEW, output)
    assert read(output) == dict(NEW.files)
    assert hidden(output.parent) == []


@pytest.mark.usefixtures("either_way")
def test_an_older_build_is_replaced_whole(output):
    write(OLD, output)
    write(NEW, output)
    assert read(output) == dict(NEW.files)
    assert hidden(output.parent) == []


@pytest.mark.usefixtures("either_way")
def test_reports_are_carried_along(output):
    write(OLD, output)
    (output / "report" / "logs").mkdir(parents=True)
    (output / "report" / "logs" / "serial").write_text("text")
    write(NEW, output)
    assert read(output) == {**NEW.files, "report/logs/serial": b"text"}


@pytest.mark.usefixtures("either_way")
def test_an_empty_directory_is_taken(output):
    output.mkdir(parents=True)
    write(NEW, output)
    assert read(output) == dict(NEW.files)


def test_a_directory_with_only_a_report_is_taken(output):
    (output / "report").mkdir(parents=True)
    (output / "report" / "r").write_text("text")
    write(NEW, output)
    assert read(output) == {**NEW.files, "report/r": b"text"}


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        b"{}",
        b"[]",
        b"null",
        b"not JSON",
        b"[" * 5000,
        b'{"tool": {"name": "other"}, "files": {"notes": {}}}',
        b'{"tool": {"name": "dryboot"}, "files": 1}',
        b'{"tool": {"name": "dryboot"}, "files": [[]]}',
    ],
)
def test_a_foreign_directory_is_left_alone(output, manifest):
    output.mkdir(parents=True)
    (output / "notes").write_text("mine")
    if manifest is not None:
        (output / MANIFEST).write_bytes(manifest)
    before = read(output)
    with pytest.raises(BadInput, match="not the output of a build"):
        write(NEW, output)
    assert read(output) == before
    assert hidden(output.parent) == []


@pytest.mark.parametrize("name", ["notes", "etc/notes", "etc/deep/notes"])
def test_a_foreign_file_among_ours_is_left_alone(output, name):
    write(OLD, output)
    (output / name).parent.mkdir(exist_ok=True)
    (output / name).write_text("mine")
    with pytest.raises(BadInput, match="notes was not written by a build"):
        write(NEW, output)
    assert read(output) == {**OLD.files, name: b"mine"}


def test_what_turns_up_meanwhile_is_put_back(output, monkeypatch):
    write(OLD, output)
    (output / "report").mkdir()
    fill = write_module._fill

    def filled(bundle, directory):
        fill(bundle, directory)
        (output / "notes").write_text("mine")

    monkeypatch.setattr(write_module, "_fill", filled)
    with pytest.raises(BadInput, match="notes was not written by a build"):
        write(NEW, output)
    assert read(output) == {**OLD.files, "notes": b"mine"}
    assert (output / "report").is_dir()
    assert hidden(output.parent) == []


def test_a_symbolic_link_is_refused(output, tmp_path):
    target = tmp_path / "target"
    write(OLD, target)
    output.parent.mkdir()
    output.symlink_to(target)
    with pytest.raises(BadInput, match="symbolic link"):
        write(NEW, output)
    assert output.is_symlink()
    assert read(target) == dict(OLD.files)


def test_a_dangling_link_is_refused(output):
    output.parent.mkdir()
    output.symlink_to("nowhere")
    with pytest.raises(BadInput, match="symbolic link"):
        write(NEW, output)
    assert not (output.parent / "nowhere").exists()


def test_a_link_to_the_parent_is_followed(output, tmp_path):
    (tmp_path / "real").mkdir()
    output.parent.symlink_to(tmp_path / "real")
    write(NEW, output)
    assert read(tmp_path / "real" / "x") == dict(NEW.files)


def test_links_inside_an_older_build_are_not_followed(output, tmp_path):
    write(OLD, output)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").write_text("mine")
    (output / "etc" / "a").unlink()
    (output / "etc").rmdir()
    (output / "etc").symlink_to(tmp_path / "mine")
    with pytest.raises(BadInput, match="etc was not written by a build"):
        write(NEW, output)
    (output / "etc").unlink()
    (output / "b").unlink()
    (output / "b").symlink_to(tmp_path / "mine" / "a")
    write(NEW, output)
    assert (tmp_path / "mine" / "a").read_text() == "mine"
    assert read(output) == dict(NEW.files)


def test_a_manifest_that_is_a_link_is_not_ours(output, tmp_path):
    write(OLD, tmp_path / "other")
    output.mkdir(parents=True)
    (output / MANIFEST).symlink_to(tmp_path / "other" / MANIFEST)
    with pytest.raises(BadInput, match="not the output of a build"):
        write(NEW, output)


def test_a_file_is_not_replaced(output):
    output.parent.mkdir()
    output.write_text("mine")
    with pytest.raises(BadInput, match="not a directory"):
        write(NEW, output)
    assert output.read_text() == "mine"


def test_a_parent_that_is_a_file_is_bad_input(output):
    output.parent.write_text("mine")
    with pytest.raises(BadInput, match="cannot write"):
        write(NEW, output)


def test_the_root_is_no_output():
    with pytest.raises(BadInput):
        write(NEW, Path("/"))


def test_the_working_directory_is_no_output(output, monkeypatch):
    write(OLD, output)
    monkeypatch.chdir(output / "etc")
    for path in (Path(".."), output):
        with pytest.raises(BadInput, match="working directory"):
            write(NEW, path)
    assert read(output) == dict(OLD.files)


def test_relative_paths_are_taken(output, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    write(NEW, Path("build/x/"))
    assert read(output) == dict(NEW.files)


def test_files_follow_the_umask(output):
    write(NEW, output)
    mask = os.umask(0)
    os.umask(mask)
    assert output.stat().st_mode & 0o777 == 0o777 & ~mask
    assert (output / "b").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("step", ["_fill", "_sync", "_swap", "_carry"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_output(output, monkeypatch, step, error):
    write(OLD, output)
    (output / "report").mkdir()
    original = getattr(write_module, step)
    calls = []

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise error
        return original(*arguments)

    monkeypatch.setattr(write_module, step, fail)
    with pytest.raises((BadInput, KeyboardInterrupt)):
        write(NEW, output)
    assert read(output) == dict(OLD.files)
    assert (output / "report").is_dir()
    assert hidden(output.parent) == []


def test_a_failed_second_rename_puts_the_old_output_back(output, monkeypatch):
    write(OLD, output)
    monkeypatch.setattr(write_module, "_exchange", lambda one, other: False)
    rename = Path.rename

    def fail(self, target):
        if ".x.tmp-" in self.name and Path(target) == output:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(BadInput, match="Input/output error"):
        write(NEW, output)
    assert read(output) == dict(OLD.files)
    assert hidden(output.parent) == []


def write_and_die(output: Path, step: int) -> int:
    """Write in a child that is killed at its `step`th call to the system; the child's exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = step

    def count(event, arguments):
        nonlocal left
        if event.startswith(("os.", "open", "shutil.", "ctypes.", "fcntl.")):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(count)
        write(NEW, output)
        os._exit(0)
    finally:
        os._exit(1)


def test_a_kill_at_any_moment_leaves_the_old_output_or_the_new(output, either_way):
    states = set()
    for step in range(1, 1000):
        write(OLD, output)
        (output / "report").mkdir(exist_ok=True)
        (output / "report" / "r").write_text("text")
        status = write_and_die(output, step)
        if output.exists():
            found = {name: data for name, data in read(output).items() if not name.startswith("report/")}
            assert found in (dict(OLD.files), dict(NEW.files)), step
            states.add("old" if found == dict(OLD.files) else "new")
        else:
            states.add("aside")
        if status == 0:
            break
        assert status == -signal.SIGKILL, step
        write(NEW, output)
        assert read(output) == {**NEW.files, "report/r": b"text"}, step
        assert hidden(output.parent) == [], step
    assert status == 0
    assert states == ({"old", "new"} if either_way == "exchange" else {"old", "new", "aside"})


def test_an_output_that_was_moved_aside_comes_back_even_if_the_next_write_fails(output, monkeypatch):
    write(OLD, output)
    output.rename(output.parent / ".x.old-1-aa")

    def fail(bundle, directory):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(write_module, "_fill", fail)
    with pytest.raises(BadInput, match="No space"):
        write(NEW, output)
    assert read(output) == dict(OLD.files)
    assert hidden(output.parent) == []


def test_writers_take_turns(output):
    bundles = [make(str(number)) for number in range(8)]
    failures = []

    def run(bundle):
        try:
            write(bundle, output)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(bundle,)) for bundle in bundles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert read(output) in [dict(bundle.files) for bundle in bundles]
    assert hidden(output.parent) == []


def test_a_lock_that_stays_is_a_lab_fault(output, monkeypatch):
    write(OLD, output)
    monkeypatch.setattr(write_module, "LOCK_TIMEOUT", 0.1)
    with write_module._turn(output.parent), pytest.raises(LabFault, match="lock"):
        write(NEW, output)
    assert read(output) == dict(OLD.files)


def test_a_file_system_without_locks_will_do(output, monkeypatch):
    def refuse(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(write_module.fcntl, "flock", refuse)
    write(OLD, output)
    (output.parent / ".x.tmp-1-other").mkdir()
    write(NEW, output)
    assert read(output) == dict(NEW.files)
    assert hidden(output.parent) == [".x.tmp-1-other"]


def test_other_hidden_directories_are_not_swept(output):
    names = [".x.tmpfile", ".y.tmp-1-a", ".x.old"]
    output.parent.mkdir()
    for name in names:
        (output.parent / name).mkdir()
    write(NEW, output)
    assert sorted(hidden(output.parent)) == sorted(names)
