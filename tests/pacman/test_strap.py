"""Real pacman against small signed repositories: what it fills, each way it fails, and that nothing stays."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from pipeline.errors import BadInput, DrybootError, LabFault
from pipeline.lab.debootstrap import Package
from pipeline.lab.image.mirror import Distribution, answers
from pipeline.lab.image.pacman_failure import (
    BadSignature,
    CorruptedPackage,
    MissingDependency,
    MissingPackage,
    NoRepository,
    UnknownKey,
    Unreachable,
    UntrustedKey,
)
from pipeline.lab.image.strap import strap
from tests.pacman import repository
from tests.pacman.repository import Key

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="pacstrap needs root")


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """A mirror of both distributions' shape, its keyring, and its packages' files."""

    folder: Path
    keyring: Path
    untrusted: Path
    empty: Path
    base: Path

    @property
    def address(self) -> str:
        return f"file://{self.folder}"


def sign_badly(key: Key, path: Path, other: Path) -> None:
    key.sign(other).rename(path.with_name(f"{path.name}.sig"))
    key.sign(other)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    root = tmp_path_factory.mktemp("mirror")
    core = root / "manjaro/stable/core/x86_64"
    extra = root / "manjaro/stable/extra/x86_64"
    content = root / "content"
    for folder in (core, extra, content / "usr/share/base"):
        folder.mkdir(parents=True)
    (content / "usr/share/base/text").write_text("of base\n")
    make = partial(repository.package, core, content)
    with (
        repository.key("ours <ours@example.invalid>") as ours,
        repository.key("other <o@x.invalid>") as other,
    ):
        base = make(name="base", version="1:3-2", install="post_install() { touch /scripted; }\n")
        nothing = root / "nothing"
        nothing.mkdir()
        plain = partial(repository.package, core, nothing)
        linux = [plain(name=name, version="6.12.1-1", depends=["base"]) for name in ("linux612", "linux")]
        needy, unknown = plain(name="needy", depends=["nowhere"]), plain(name="unknown")
        forged, torn, gone = plain(name="forged"), plain(name="torn"), plain(name="gone")
        for path in (base, *linux, needy, gone):
            ours.sign(path)
        other.sign(unknown)
        sign_badly(ours, forged, base)
        every = [base, *linux, needy, unknown, forged, torn, gone]
        repository.database(core, "core", every)
        # repo-add has to see it whole and without a signature, which it would take into the database.
        size = torn.stat().st_size
        torn.write_bytes(b"\0" * size)
        ours.sign(torn)
        repository.database(extra, "extra")
        gone.unlink()
        arch = root / "arch"
        for name in ("core", "extra"):
            (arch / name / "os").mkdir(parents=True)
            shutil.copytree(root / f"manjaro/stable/{name}/x86_64", arch / name / "os/x86_64", symlinks=True)
        keys = root / "keys"
        keys.mkdir()
        (keys / "empty.gpg").write_bytes(b"")
        yield Mirror(
            folder=root / "manjaro",
            keyring=ours.keyring(keys / "ours"),
            untrusted=ours.keyring(keys / "untrusted", trusted=False),
            empty=keys / "empty.gpg",
            base=base,
        )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "image/tree"
    folder.mkdir(parents=True)
    return folder


def fill(
    tree: Path,
    mirror: Mirror,
    *,
    address: str = "",
    distribution: Distribution = "manjaro",
    branch: str = "stable",
    kernel: str = "6.12",
    keyring: Path | None = None,
    packages: tuple[str, ...] = ("base",),
    told: list[str] | None = None,
) -> tuple[Package, ...]:
    return strap(
        tree,
        distribution=distribution,
        branch=branch,
        kernel=kernel,
        mirror=address or mirror.address,
        keyring=keyring or mirror.keyring,
        packages=packages,
        progress=(told if told is not None else []).append,
    )


def assert_nothing_stays(tree: Path) -> None:
    assert list(tree.parent.iterdir()) == [tree]
    assert str(tree.parent) not in Path("/proc/self/mountinfo").read_text()
    for process in psutil.process_iter(["cmdline", "name"]):
        said = " ".join(process.info["cmdline"] or [])
        assert str(tree.parent) not in said
        assert "--homedir /private" not in said


def test_a_tree_is_filled_with_signed_packages(tree: Path, mirror: Mirror) -> None:
    told: list[str] = []
    found = fill(tree, mirror, told=told)
    assert [(p.name, p.version, p.architecture) for p in found] == [
        ("base", "1:3-2", "x86_64"),
        ("linux612", "6.12.1-1", "x86_64"),
    ]
    assert found[0].sha256 == hashlib.sha256(mirror.base.read_bytes()).hexdigest()
    assert (tree / "usr/share/base/text").read_text() == "of base\n"
    assert (tree / "var/lib/pacman/local/base-1:3-2/desc").is_file()
    assert list((tree / "var/cache/pacman/pkg").iterdir()) == []
    assert not (tree / "var/log/pacman.log").exists()
    assert not (tree / "etc/pacman.d/gnupg").exists()
    assert "installing base" in told
    assert_nothing_stays(tree)


def test_a_script_that_fails_is_told(tree: Path, mirror: Mirror) -> None:
    # There is no shell in the tree.
    told: list[str] = []
    fill(tree, mirror, told=told)
    assert any("script of the packages failed" in line for line in told)


def test_arch_has_its_own_layout_and_kernel(tree: Path, mirror: Mirror) -> None:
    found = fill(tree, mirror, distribution="arch", address=f"file://{mirror.folder.parent}/arch")
    assert [package.name for package in found] == ["base", "linux"]


def test_a_directory_of_keyrings_is_one_keyring(tree: Path, mirror: Mirror) -> None:
    assert fill(tree, mirror, keyring=mirror.keyring.parent)


def test_a_mirror_behind_http(tree: Path, mirror: Mirror) -> None:
    with serving(mirror.folder) as address:
        assert fill(tree, mirror, address=address)
        assert answers(address, distribution="manjaro", branch="stable")
        assert not answers(address, distribution="manjaro", branch="testing")
        with pytest.raises(NoRepository, match="404"):
            fill(emptied(tree), mirror, address=address, branch="testing")


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("packages", "kind", "message"),
    [
        (("base", "absent"), MissingPackage, "does not have absent"),
        (("gone",), MissingPackage, "lists gone-1-1-x86_64.pkg.tar.gz, but does not have it"),
        (("needy",), MissingDependency, r"does not have nowhere \(needed by needy\)"),
        (("unknown",), UnknownKey, "signed with the key [0-9A-F]{16} that is not in .*/ours.gpg"),
        (("forged",), BadSignature, "forged .* was changed after it was signed"),
        (("torn",), CorruptedPackage, "is damaged"),
    ],
)
def test_each_failure_has_its_error(
    tree: Path, mirror: Mirror, packages: tuple[str, ...], kind: type[DrybootError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        fill(tree, mirror, packages=packages)
    assert caught.value.hint
    assert_nothing_stays(tree)


def test_a_key_that_is_not_locally_signed(tree: Path, mirror: Mirror) -> None:
    with pytest.raises(
        UntrustedKey, match=r"signed by ours <ours@example\.invalid>, a key that is not trusted"
    ):
        fill(tree, mirror, keyring=mirror.untrusted)
    assert_nothing_stays(tree)


def test_a_kernel_that_the_mirror_does_not_have(tree: Path, mirror: Mirror) -> None:
    with pytest.raises(MissingPackage, match="does not have linux419"):
        fill(tree, mirror, kernel="4.19")
    assert_nothing_stays(tree)


@pytest.mark.parametrize("address", ["http://nowhere.invalid/manjaro", "http://127.0.0.1:{port}/manjaro"])
def test_a_mirror_that_does_not_answer(tree: Path, mirror: Mirror, address: str) -> None:
    address = address.format(port=closed_port())
    with pytest.raises(Unreachable, match="does not answer"):
        fill(tree, mirror, address=address)
    assert_nothing_stays(tree)
    assert not answers(address, distribution="manjaro", branch="stable")


def test_a_directory_that_is_no_mirror(tree: Path, mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(NoRepository, match="has no repository core"):
        fill(tree, mirror, address=f"file://{tmp_path}")
    assert_nothing_stays(tree)
    assert not answers(f"file://{tmp_path}", distribution="manjaro", branch="stable")
    assert answers(mirror.address, distribution="manjaro", branch="stable")


def test_a_mirror_that_says_nothing_is_not_waited_for() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        start = time.monotonic()
        assert not answers(address, distribution="arch", branch="stable")
        assert 1 < time.monotonic() - start < 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"address": "ftp://mirror.invalid"}, "cannot be a mirror"),
        ({"address": "file:///srv\nSigLevel = Never"}, "cannot be a mirror"),
        ({"address": "https://mirror.invalid/$repo"}, "cannot be a mirror"),
        ({"branch": "stable/../.."}, "manjaro has no branch"),
        ({"address": "file:///nonexistent"}, "no directory /nonexistent"),
        ({"kernel": "6.12 --nodeps"}, "is no kernel series"),
        ({"keyring": Path("/nonexistent/ours.gpg")}, "is no keyring"),
    ],
)
def test_what_cannot_be_is_refused(
    tree: Path, mirror: Mirror, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        fill(tree, mirror, **fields)  # type: ignore[arg-type]
    assert_nothing_stays(tree)


def test_a_keyring_without_keys(tree: Path, mirror: Mirror) -> None:
    with pytest.raises(BadInput, match=r"there are no keys in .*empty\.gpg"):
        fill(tree, mirror, keyring=mirror.empty)
    assert_nothing_stays(tree)


def test_a_tree_with_something_in_it_stays_as_it_is(tree: Path, mirror: Mirror) -> None:
    (tree / "file").touch()
    with pytest.raises(LabFault, match="is not empty"):
        fill(tree, mirror)
    assert (tree / "file").exists()


def test_an_interruption_leaves_nothing(tree: Path, mirror: Mirror) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        strap(
            tree,
            distribution="manjaro",
            branch="stable",
            kernel="6.12",
            mirror=mirror.address,
            keyring=mirror.keyring,
            packages=("base",),
            progress=interrupt,
        )
    assert_nothing_stays(tree)


def test_kill_9_leaves_no_process_and_no_mount(tree: Path, mirror: Mirror) -> None:
    """The mirror accepts the connection and then says nothing, so that pacman waits when its starter is killed."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        call = (
            "from pathlib import Path; from pipeline.lab.image.strap import strap; "
            f"strap(Path({str(tree)!r}), distribution='manjaro', branch='stable', kernel='6.12', "
            f"mirror='http://127.0.0.1:{listener.getsockname()[1]}', keyring=Path({str(mirror.keyring)!r}), "
            "packages=('base',), progress=print)"
        )
        process = subprocess.Popen([sys.executable, "-c", call], cwd=Path(__file__).parents[2])
        try:
            listener.settimeout(20)
            connection, _ = listener.accept()
            with connection:
                assert users(tree)
                process.send_signal(signal.SIGKILL)
                process.wait()
                deadline = time.monotonic() + 5
                while users(tree):
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
    assert str(tree) not in Path("/proc/self/mountinfo").read_text()


def users(tree: Path) -> list[str]:
    return [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline"])
        if str(tree) in (process.info["cmdline"] or [])
    ]


def emptied(tree: Path) -> Path:
    fresh = tree.with_name("again")
    fresh.mkdir()
    return fresh


class serving:  # noqa: N801
    """Serves a directory over HTTP on a port of its own."""

    def __init__(self, folder: Path) -> None:
        handler = partial(Quiet, directory=str(folder))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    """Writes no log."""

    def log_message(self, *_: object) -> None: ...
