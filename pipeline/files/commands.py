"""Commands that make an initramfs or grub.cfg, in pacman's hooks and in the owner's scripts.

Source: alpm-hooks(5); installkernel(8) for /etc/kernel/postinst.d; update-initramfs(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.files import scripts
from pipeline.files.reader import Reader
from pipeline.files.text import Text
from pipeline.plan.model import Written

_NAMES = {
    "mkinitcpio",
    "update-initramfs",
    "mkinitramfs",
    "dracut",
    "dracut-rebuild",
    "booster",
    "grub-mkconfig",
    "grub2-mkconfig",
    "update-grub",
    "update-grub2",
    "grubby",
    "kernel-install",
    "sdboot-manage",
    "reinstall-kernels",
}
_MENTIONED = re.compile("|".join(map(re.escape, sorted(_NAMES))))
_HOOKS = "etc/pacman.d/hooks"
_FOLDERS = ("usr/local/bin", "usr/local/sbin", "etc/kernel/postinst.d", "etc/initramfs/post-update.d", "root")
_EXEC = re.compile(r"[ \t]*Exec[ \t]*=[ \t]*(\S.*)")
_SHELLS = {"sh", "bash", "dash"}


def read(reader: Reader) -> tuple[Written[str], ...]:
    """Each command with its words joined by a space, in the order of the files."""
    found: list[Written[str]] = []
    for name in reader.names(_HOOKS, end=".hook"):
        text = reader.text(f"{_HOOKS}/{name}")
        if text and _MENTIONED.search(text.content):
            found += _of_hook(reader, text)
    for folder in _FOLDERS:
        for name in reader.names(folder, end=".sh" if folder == "root" else ""):
            text = scripts.text(reader, f"{folder}/{name}")
            if text and _MENTIONED.search(text.content) and _is_shell(text):
                found += _of_script(reader, text)
    return tuple(found)


def _is_shell(text: Text) -> bool:
    first = text.lines[0]
    return not first.startswith("#!") or bool(re.search(r"\b(?:ba|da|k|z)?sh\b", first))


def _of_script(reader: Reader, text: Text) -> Iterator[Written[str]]:
    parsed = scripts.script(reader, text)
    for command in scripts.commands(parsed) if parsed else ():
        if command.name in _NAMES:
            yield Written(value=command.line, place=command.place)


def _of_hook(reader: Reader, text: Text) -> Iterator[Written[str]]:
    """`Exec =` holds one command with its words, as a shell would split them, and may name a shell itself."""
    for number, line in enumerate(text.lines, 1):
        found = _EXEC.fullmatch(line)
        if found is None:
            continue
        place = text.place(number, found.start(1) + 1)
        waiting = [found[1]]
        for _ in range(2):
            inner: list[str] = []
            for source in waiting:
                parsed = scripts.script(reader, Text(file=text.file, path=text.path, content=source))
                for command in scripts.commands(parsed) if parsed else ():
                    words = [one.value for one in command.words]
                    if command.name in _NAMES:
                        yield Written(value=command.line, place=place)
                    elif command.name in _SHELLS and "-c" in words[1:-1]:
                        inner.append(words[words.index("-c") + 1])
            waiting = inner
