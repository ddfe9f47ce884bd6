"""pacman 6.0.2's own texts, as real runs against small repositories gave them, and what each means."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BadInput, DrybootError, LabFault
from pipeline.lab.image.pacman_failure import (
    BadSignature,
    CorruptedPackage,
    MissingDependency,
    MissingPackage,
    NoRepository,
    PacmanFailed,
    UnknownKey,
    Unreachable,
    UntrustedKey,
    failure,
)

SERVER = "https://mirror.invalid/stable/$repo/$arch"
HEAD = """\
==> Creating install root at /run/tree
==> Installing packages to /run/tree
:: Synchronizing package databases...
 core downloading...
"""
CHECKED = """\
resolving dependencies...
looking for conflicting packages...

Packages (1) base-1-1

:: Retrieving packages...
 base-1-1-x86_64 downloading...
checking keyring...
"""
TAIL = "==> ERROR: Failed to install packages to new root\n"
NOT_VALID = """\
:: File /run/p/packages/base-1-1-x86_64.pkg.tar.gz is corrupted (invalid or corrupted package{0}).
Do you want to delete it? [Y/n] error: failed to commit transaction (invalid or corrupted package{0})

Errors occurred, no packages were upgraded.
"""
PGP = NOT_VALID.format(" (PGP signature)")

TEXTS: list[tuple[str, type[DrybootError], str]] = [
    (
        "error: failed retrieving file 'core.db' from nowhere.invalid : Could not resolve host: nowhere.invalid\n"
        "warning: too many errors from nowhere.invalid, skipping for the remainder of this transaction\n"
        "error: failed to synchronize all databases (invalid url for server)\n",
        Unreachable,
        "does not answer: Could not resolve host: nowhere.invalid",
    ),
    (
        "error: failed retrieving file 'core.db' from 127.0.0.1:9 : Failed to connect to 127.0.0.1 port 9 after 0 ms:"
        " Couldn't connect to server\nerror: failed to synchronize all databases (download library error)\n",
        Unreachable,
        "does not answer: Failed to connect to 127.0.0.1 port 9",
    ),
    (
        "error: failed retrieving file 'core.db' from 127.0.0.1:40371 : OpenSSL/3.0.19: error:0A00010B:SSL routines::"
        "wrong version number\nerror: failed to synchronize all databases (download library error)\n",
        Unreachable,
        "wrong version number",
    ),
    (
        "error: failed retrieving file 'core.db' from 127.0.0.1:40371 : The requested URL returned error: 503\n"
        "error: failed to synchronize all databases (failed to retrieve some files)\n",
        Unreachable,
        "returned error: 503",
    ),
    (
        "error: failed retrieving file 'core.db' from 127.0.0.1:40371 : The requested URL returned error: 404\n"
        "error: failed to synchronize all databases (failed to retrieve some files)\n",
        NoRepository,
        "has no repository core",
    ),
    (
        "error: failed retrieving file 'extra.db' from disk : Couldn't open file /nonexist/extra.db\n"
        "error: failed to synchronize all databases (download library error)\n",
        NoRepository,
        "has no repository extra",
    ),
    (
        "error: target not found: nothere\nerror: target not found: linux612\n",
        MissingPackage,
        "does not have nothere, linux612",
    ),
    (
        "error: failed retrieving file 'base-1-1-x86_64.pkg.tar.gz' from disk : Couldn't open file /r/base\n"
        "warning: failed to retrieve some files\n"
        "error: failed to commit transaction (download library error)\n",
        MissingPackage,
        "lists base-1-1-x86_64.pkg.tar.gz, but does not have it",
    ),
    (
        'resolving dependencies...\nwarning: cannot resolve "nope", a dependency of "dep"\n'
        ":: The following package cannot be upgraded due to unresolvable dependencies:\n      dep\n\n"
        ":: Do you want to skip the above package for this upgrade? [y/N] error: failed to prepare transaction "
        "(could not satisfy dependencies)\n\n:: unable to satisfy dependency 'nope' required by dep\n",
        MissingDependency,
        r"does not have nope \(needed by dep\)",
    ),
    (
        CHECKED
        + 'checking package integrity...\nerror: base: signature from "a <a@x.invalid>" is invalid\n'
        + PGP,
        BadSignature,
        'base of the mirror .* its signature from "a <a@x.invalid>" is invalid',
    ),
    (
        "error: failed retrieving file 'nos-1-1-x86_64.pkg.tar.gz.sig' from disk : Couldn't open file /r/nos.sig\n"
        "warning: failed to retrieve some files\n"
        "error: failed to commit transaction (download library error)\n",
        BadSignature,
        "nos-1-1-x86_64.pkg.tar.gz on the mirror .* has no signature",
    ),
    (
        CHECKED + "error: base: missing required signature\n" + PGP,
        BadSignature,
        "base of the mirror .* has no signature",
    ),
    (
        CHECKED + "downloading required keys...\n"
        ':: Import PGP key E1FDD37C9710FDBF, "tests"? [Y/n] error: key "E1FDD37C9710FDBF" could not be looked up '
        "remotely\n\nerror: required key missing from keyring\n"
        "error: failed to commit transaction (unexpected error)\nErrors occurred, no packages were upgraded.\n",
        UnknownKey,
        "signed with the key E1FDD37C9710FDBF that is not in my keyring",
    ),
    (
        CHECKED + 'error: base: key "E1FDD37C9710FDBF" is unknown\n' + PGP,
        UnknownKey,
        "signed with the key E1FDD37C9710FDBF that is not in my keyring",
    ),
    (
        CHECKED + "error: required key missing from keyring\n",
        UnknownKey,
        "signed with a key that is not in my keyring",
    ),
    (
        CHECKED + 'error: base: signature from "a <a@x.invalid>" is unknown trust\n' + PGP,
        UntrustedKey,
        "base of the mirror .* signed by a <a@x.invalid>, a key that is not trusted in my keyring",
    ),
    (
        CHECKED + 'error: base: signature from "a <a@x.invalid>" is marginal trust\n' + PGP,
        UntrustedKey,
        "not locally signed",
    ),
    (
        CHECKED + NOT_VALID.format(""),
        CorruptedPackage,
        "base-1-1-x86_64.pkg.tar.gz of the mirror .* is damaged",
    ),
    (
        CHECKED
        + "error: failed to commit transaction (conflicting files)\nbase: /r/usr exists in filesystem\n",
        PacmanFailed,
        "exists in filesystem",
    ),
    ("", PacmanFailed, "pacman failed"),
]


@pytest.mark.parametrize(("said", "kind", "message"), TEXTS)
def test_each_text_has_its_error(said: str, kind: type[DrybootError], message: str) -> None:
    error = failure(HEAD + said + TAIL, server=SERVER, keyring="my keyring")
    assert type(error) is kind
    assert re.search(message, error.message)
    assert bool(error.hint) is (kind is not PacmanFailed)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (Unreachable, LabFault),
        (NoRepository, BadInput),
        (MissingPackage, BadInput),
        (MissingDependency, LabFault),
        (BadSignature, LabFault),
        (UnknownKey, BadInput),
        (UntrustedKey, BadInput),
        (CorruptedPackage, LabFault),
        (PacmanFailed, LabFault),
    ],
)
def test_what_another_choice_would_mend_is_bad_input(
    kind: type[DrybootError], base: type[DrybootError]
) -> None:
    assert issubclass(kind, base)
    assert any(kind is expected for _, expected, _ in TEXTS)


def test_an_unknown_failure_shows_the_last_lines_only() -> None:
    said = "".join(f"line {number}\n" for number in range(1, 40))
    error = failure(said, server=SERVER, keyring="")
    assert "line 39" in error.message
    assert "line 25\n" in error.message
    assert "line 24\n" not in error.message


@given(st.text())
def test_any_text_is_an_error_of_ours(said: str) -> None:
    assert isinstance(failure(said, server=SERVER, keyring=""), DrybootError)
