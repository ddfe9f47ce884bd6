"""Files that are cut, binary, huge or hostile: never a traceback, never slow, never large."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.files.setup import read_files
from tests.machines import MANJARO, OTHERS, no_domains

CHECKOUT = Path(__file__).resolve().parents[3]
FILES = {**MANJARO, **OTHERS}
SECONDS, BYTES = 1.0, 300 << 20


def damages(path: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Each way to damage a file, the same each time."""
    chance = random.Random(path)
    yield "cut", content[: chance.randrange(len(content) + 1)]
    yield "binary", chance.randbytes(4096)
    yield "nul", content[:5] + b"\0" + content[5:]
    yield "crlf", content.replace(b"\n", b"\r\n")
    yield "mark", b"\xef\xbb\xbf" + content
    yield "latin", content + b"GRUB_X=\xe4\n"
    yield "unbalanced", content.replace(b'"', b"", 1) + b"\nA='"
    yield "quote", content + b'"'
    yield "swapped", bytes(chance.choice(content or b" ") for _ in content)
    yield "nested", content + b"A=" + b"$(" * 8000 + b"\n"
    yield "line", content + b"x" * 900_000
    yield "words", content + b"MODULES+=(" + b"a " * 10_000 + b")\n"
    yield "large", content + b"# x\n" * 262_000
    yield "huge", content + bytes(5 << 20)


def corpus(path: str) -> Iterator[tuple[str, bytes]]:
    return damages(path, FILES[path].encode())


def read(path: str, data: bytes) -> tuple[float, int]:
    files = {name: content.encode() for name, content in FILES.items()}
    files[path] = data
    start = time.process_time()
    found = read_files(files, shown="m", read_domains=no_domains)
    seconds = time.process_time() - start
    assert found.host.place.file
    for unread in found.unread:
        assert unread.place.file.startswith("m/")
        assert unread.what.encode()
    return seconds, len(found.unread)


def test_there_are_enough() -> None:
    assert len({(path, hash(data)) for path in FILES for _, data in corpus(path)}) >= 200


@pytest.mark.parametrize("path", FILES)
def test_damage_is_borne(path: str) -> None:
    for kind, data in corpus(path):
        seconds, _ = read(path, data)
        assert seconds < SECONDS, f"{path} {kind} took {seconds:.2f} s"


SLOW = [
    ("etc/default/grub", b'A="$(`' * 5000),
    ("etc/default/grub", b"${" * 16_000),
    ("etc/default/grub", b"(" * 32_000),
    ("etc/default/grub", b"A=aaaa\n" + b"A=$A$A\n" * 4000),
    ("etc/default/grub", b"a<<E\n" * 6000),
    ("etc/default/grub", b"GRUB_CMDLINE_LINUX+=aaaaaaaaaaaaaaaa\n" * 800),
    ("etc/default/grub", b"\\\n" * 16_000),
    ("etc/modprobe.d/vfio.conf", b"a\\\n" * 80_000),
    ("etc/modprobe.d/vfio.conf", b"options a b\n" * 20_000),
    ("etc/modprobe.d/vfio.conf", b"options vfio-pci ids=" + b"1,," * 5000),
    ("lspci.txt", b"01:00.0 VGA [0300]: [1002:67ef]\n" * 120_000),
    ("lspci.txt", b"01:00.0 " + b"a [0300]: " * 1600),
    ("lspci.txt", b"".join(b"%04x:00:00.0 0300: 1002:67ef\n" % number for number in range(65536))),
    ("manifest.json", b"[" * 500_000),
    ("manifest.json", b'{"assumed": {"year": ' + b"9" * 10_000 + b"}}"),
    ("boot/grub/grub.cfg", b"linux /a " + b'"' * 16_000),
    ("boot/grub/grub.cfg", b"linux /a b c\n" * 80_000),
    ("usr/lib/modules/6.12.3-1-MANJARO/modules.alias", b"alias pci:v*" + b"*a" * 90 + b" x\n"),
    ("usr/lib/modules/6.12.3-1-MANJARO/modules.alias", b"alias pci:v*d*sv*sd*bc*sc*i* x\n" * 33_000),
    (
        "usr/local/bin/rebuild",
        b"#!/bin/sh\nfor a in " + b"b " * 5000 + b"; do mkinitcpio $a; done\n" * 200,
    ),
    ("etc/sysctl.d/90.conf", b"vm.nr_hugepages=1\n" * 50_000),
    ("var/lib/dpkg/status", b"Package: qemu-system-x86\n" * 400_000),
]
# VmHWM, not ru_maxrss: that begins with what the parent had (kernel fs/exec.c setmax_mm_hiwater_rss()).
LOAD = """
from tests.unit.files.test_damaged import SLOW, read
for path, content in SLOW:
    read(path, content)
lines = open("/proc/self/status").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
"""


@pytest.mark.parametrize("number", range(len(SLOW)))
def test_what_is_made_to_be_slow(number: int) -> None:
    seconds, _ = read(*SLOW[number])
    assert seconds < SECONDS


def test_memory_is_bounded() -> None:
    """Of a process that reads them all, with everything it has loaded."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) << 10 < BYTES


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("nul", "NUL byte"),
        ("crlf", "CR LF"),
        ("mark", "byte order mark"),
        ("latin", "not UTF-8"),
        ("line", "has more than"),
        ("huge", "more than"),
    ],
)
@pytest.mark.parametrize("path", ["etc/default/grub", "etc/modprobe.d/vfio.conf", "etc/mkinitcpio.conf"])
def test_what_is_wrong_is_said(path: str, kind: str, part: str) -> None:
    data = dict(corpus(path))[kind]
    files = {name: content.encode() for name, content in FILES.items()} | {path: data}
    unread = read_files(files, shown="m", read_domains=no_domains).unread
    assert [one.place.file for one in unread if part in one.what] == [f"m/{path}"]


@settings(max_examples=200)
@given(st.sampled_from(sorted(FILES)), st.binary(max_size=300))
def test_arbitrary_bytes(path: str, data: bytes) -> None:
    read(path, data)


@settings(max_examples=200)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_arbitrary_changes(path: str, data: st.DataObject) -> None:
    content = FILES[path].encode()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    new = data.draw(
        st.one_of(
            st.binary(max_size=8), st.text(st.sampled_from("\"'()$`\\\n= #;&{}"), max_size=8).map(str.encode)
        )
    )
    read(path, content[:start] + new + content[end:])
