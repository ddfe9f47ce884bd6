"""What a program needs at run time, read from its ELF headers: nothing of the host is executed.

Source: System V ABI, Program Loading and Dynamic Linking; ld.so(8) for the order of the search.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.lab.initcpio import rooted

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little endian
_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_ENTRY = struct.Struct("<qQ")
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRINGS, _RPATH, _RUNPATH = 1, 5, 15, 29
_FOLDERS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """Of an ELF file: its interpreter (empty for a library), the libraries it names, and where it says they are."""

    interpreter: str = ""
    libraries: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


def needs(data: bytes) -> Needs | None:
    """What an ELF file needs, None for anything else. Raises ValueError where its headers point astray."""
    if not data.startswith(_MAGIC):
        return None
    try:
        return _needs(data)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"a damaged program: {error}") from error


def _needs(data: bytes) -> Needs:
    _, _, _, _, start, _, _, _, size, count, *_ = _HEADER.unpack_from(data)
    segments = [_SEGMENT.unpack_from(data, start + number * size) for number in range(count)]
    loaded = [
        (address, offset, length) for kind, _, offset, address, _, length, *_ in segments if kind == _LOAD
    ]
    interpreter = ""
    entries: list[tuple[int, int]] = []
    for kind, _, offset, _, _, length, *_ in segments:
        if kind == _INTERPRETER:
            interpreter = _text(data, offset)
        elif kind == _DYNAMIC:
            entries = list(_ENTRY.iter_unpack(data[offset : offset + length // _ENTRY.size * _ENTRY.size]))
    table = next((value for tag, value in entries if tag == _STRINGS), None)
    if table is None:
        return Needs(interpreter=interpreter)
    place = next(
        (table - address + offset for address, offset, length in loaded if 0 <= table - address < length),
        None,
    )
    if place is None:
        raise ValueError("a damaged program: its names are nowhere")
    named = [
        (tag, _text(data, place + value)) for tag, value in entries if tag in {_NEEDED, _RPATH, _RUNPATH}
    ]
    # RPATH counts only where there is no RUNPATH (ld.so(8)).
    written = [text for tag, text in named if tag == _RUNPATH] or [
        text for tag, text in named if tag == _RPATH
    ]
    return Needs(
        interpreter=interpreter,
        libraries=tuple(text for tag, text in named if tag == _NEEDED),
        folders=tuple(folder for text in written for folder in text.split(":") if folder),
    )


def _text(data: bytes, place: int) -> str:
    end = data.find(b"\0", place)
    if end < 0:
        raise ValueError("a damaged program: a name without an end")
    return data[place:end].decode(errors="replace")


def libraries(root: Path, program: str) -> Iterator[tuple[str, str]]:
    """Interpreter and libraries of `program` (a path on the host at `root`), and what they need, each once.

    Yields name and path on the host; the path is empty where the library is not found. Raises ValueError for a
    damaged program, OSError where a file cannot be read.
    """
    seen: set[str] = set()
    todo = [program]
    while todo:
        path = todo.pop(0)
        what = needs(rooted.inside(root, path).read_bytes())
        if what is None:
            continue
        origin = path.rpartition("/")[0] or "/"
        folders = [
            folder.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", origin) for folder in what.folders
        ]
        if what.interpreter and what.interpreter not in seen:
            seen.add(what.interpreter)
            found = what.interpreter if rooted.inside(root, what.interpreter).is_file() else ""
            yield what.interpreter, found
        for name in what.libraries:
            if name in seen:
                continue
            seen.add(name)
            candidates = (
                [name] if "/" in name else [f"{folder}/{name}" for folder in (*folders, *_folders(root))]
            )
            found = next((one for one in candidates if rooted.inside(root, one).is_file()), "")
            yield name, found
            if found:
                todo.append(found)


def _folders(root: Path) -> Iterator[str]:
    """Folders of /etc/ld.so.conf and its drop-ins, then those that the loader knows by itself."""
    for folder in ("/etc/ld.so.conf", "/etc/ld.so.conf.d"):
        path = rooted.inside(root, folder)
        files = sorted(path.glob("*.conf")) if path.is_dir() else [path] if path.is_file() else []
        for one in files:
            for line in one.read_text(errors="replace").splitlines():
                if line.startswith("/"):
                    yield line.strip()
    yield from _FOLDERS
