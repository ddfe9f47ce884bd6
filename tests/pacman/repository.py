"""Makes small pacman repositories, signed with keys of their own, out of directories."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.lab import tools


def tool(argv: Sequence[str], folder: Path, **binds: Path) -> str:
    """Run one of the hermetic tools, with `folder` where it is here."""
    with tempfile.TemporaryDirectory() as scratch:
        seen = {folder: str(folder), **{path: f"/{name}" for name, path in binds.items()}}
        done = tools.run(argv, scratch=Path(scratch), binds=seen, progress=print)
        return tools.demand(done, argv[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """An OpenPGP key without passphrase, with its secret half below `home`."""

    home: Path
    fingerprint: str

    def sign(self, path: Path) -> Path:
        """Put the detached signature of `path` beside it as PATH.sig."""
        signature = path.with_name(f"{path.name}.sig")
        _gpg(self.home, path.parent, "--yes", "--output", str(signature), "--detach-sign", str(path))
        return signature

    def keyring(self, path: Path, *, trusted: bool = True) -> Path:
        """Write the key as a keyring that pacman-key can populate from: PATH.gpg and, if trusted, PATH-trusted."""
        exported = path.with_name(f"{path.name}.gpg")
        _gpg(self.home, path.parent, "--yes", "--output", str(exported), "--export", self.fingerprint)
        owners = path.with_name(f"{path.name}-trusted")
        owners.write_text(f"{self.fingerprint}:4:\n" if trusted else "")
        return exported


@contextmanager
def key(user: str) -> Iterator[Key]:
    """A fresh key of `user`; its home is gone on leaving."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        _gpg(home, home, "--passphrase", "", "--quick-gen-key", user, "ed25519", "sign,cert", "never")
        listed = _gpg(home, home, "--with-colons", "--list-keys")
        lines = [line.split(":") for line in listed.splitlines()]
        yield Key(home=home, fingerprint=next(fields[9] for fields in lines if fields[0] == "fpr"))


def package(
    folder: Path,
    content: Path,
    *,
    name: str,
    version: str = "1-1",
    depends: Sequence[str] = (),
    install: str = "",
) -> Path:
    """Make the package `name` of everything below `content`; all of it belongs to root.

    `install` is the text of its install script. The layout is that of makepkg (PKGBUILD(5), alpm-package).
    """
    size = sum(path.stat().st_size for path in content.rglob("*") if path.is_file())
    fields = [("pkgname", name), ("pkgbase", name), ("pkgver", version), ("pkgdesc", "of a test")]
    fields += [("url", "https://example.invalid"), ("builddate", "1"), ("packager", "tests")]
    fields += [("size", str(size)), ("arch", "x86_64"), *(("depend", other) for other in depends)]
    path = folder / f"{name}-{version}-x86_64.pkg.tar.gz"
    with tempfile.TemporaryDirectory() as scratch, tarfile.open(path, "w:gz") as archive:
        info = Path(scratch, ".PKGINFO")
        info.write_text("".join(f"{field} = {value}\n" for field, value in fields))
        archive.add(info, ".PKGINFO", filter=_of_root)
        if install:
            script = Path(scratch, ".INSTALL")
            script.write_text(install)
            archive.add(script, ".INSTALL", filter=_of_root)
        for entry in sorted(content.iterdir()):
            archive.add(entry, entry.name, filter=_of_root)
    return path


def database(folder: Path, name: str, packages: Sequence[Path] = ()) -> Path:
    """Make the database `name` over `packages` in `folder`."""
    path = folder / f"{name}.db.tar.gz"
    tool(["repo-add", "--quiet", str(path), *map(str, packages)], folder)
    return path


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _gpg(home: Path, folder: Path, *arguments: str) -> str:
    # An agent's socket has at most 107 characters of path: its home is bound to a short one.
    argv = ["gpg", "--homedir", "/key", "--batch", "--quiet", "--pinentry-mode", "loopback", *arguments]
    return tool(argv, folder, key=home)
