"""initramfs-tools' configuration: its list of modules, and the scripts that run before udev.

Source: initramfs-tools(7); initramfs-tools 0.142 hook-functions and init: scripts/init-top is ordered by PREREQ and
then by name, only what is executable runs, and the list of modules is loaded after it, so after udev's trigger
(measured).
"""

from __future__ import annotations

import re

from pipeline.facts.kernels import canonical
from pipeline.files import scripts
from pipeline.files.modules_load import names
from pipeline.files.reader import Reader
from pipeline.files.text import Text
from pipeline.plan.model import Written
from pipeline.setup.model import IgnoredFile, Initramfs

FOLDER = "etc/initramfs-tools"
INIT_TOP = f"{FOLDER}/scripts/init-top"
_MODULES = f"{FOLDER}/modules"
_UDEV = "udev"
_PREREQ = re.compile(r"^[ \t]*PREREQS?=[\"']?([^\"'\n]*)", re.M)


def read(reader: Reader) -> Initramfs:
    """`modules` are those that scripts load before udev; `late` what the image loads after it."""
    early: list[Written[str]] = []
    late: list[Written[str]] = []
    ignored: list[IgnoredFile] = []
    for name in reader.names(INIT_TOP):
        path = f"{INIT_TOP}/{name}"
        text = scripts.text(reader, path)
        loaded = _loaded(reader, text) if text else []
        if not loaded or text is None:
            continue
        if reader.tree.executable(path) is False:
            ignored.append(
                IgnoredFile(
                    place=text.whole,
                    why="it is not executable, and update-initramfs passes over such scripts",
                    fix=f"chmod 755 /{path}",
                )
            )
            continue
        before = {word for found in _PREREQ.finditer(text.content) for word in found[1].split()}
        (early if name < _UDEV and _UDEV not in before else late).extend(loaded)
    listed = reader.text(_MODULES)
    late += names(listed) if listed else ()
    known = {canonical(one.value) for one in early}
    where = early[0].place if early else reader.whole(f"{INIT_TOP}/00-vfio")
    return Initramfs(
        generator="initramfs-tools",
        modules=tuple(early),
        modules_where=where,
        hooks=(),
        hooks_where=reader.whole(_MODULES),
        late=tuple(one for one in late if canonical(one.value) not in known),
        ignored=tuple(ignored),
    )


def _loaded(reader: Reader, text: Text) -> list[Written[str]]:
    """The modules that a script gives to modprobe, in order."""
    if "modprobe" not in text.content:
        return []
    parsed = scripts.script(reader, text)
    found: list[Written[str]] = []
    for command in scripts.commands(parsed) if parsed else ():
        start = 1 if command.name == "busybox" and len(command.words) > 1 else 0
        if command.words[start].value.rpartition("/")[2] != "modprobe":
            continue
        words = command.words[start + 1 :]
        modules = [one for one in words if re.fullmatch(r"[A-Za-z0-9_][\w-]*", one.value)]
        several = any(re.fullmatch(r"-[a-zA-Z]*a[a-zA-Z]*|--all", one.value) for one in words)
        found += modules if several else modules[:1]
    return found
