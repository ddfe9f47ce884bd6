"""dracut's configuration.

Source: dracut.conf(5); dracut.sh: /etc/dracut.conf is sourced, then the *.conf of both directories in the order of
their names, those in /etc hiding their namesakes. dracut 106: force_drivers are loaded before udev looks at any device,
add_drivers are only in the image, and omit_drivers takes out nothing that either names; rd.driver.pre= of the command
line loads as force_drivers does (dracut.cmdline(7)).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.facts.kernels import canonical
from pipeline.files.cmdline import values
from pipeline.files.modprobe import in_effect
from pipeline.files.reader import Reader
from pipeline.files.shell import Shell
from pipeline.plan.model import Written
from pipeline.setup.model import IgnoredFile, Initramfs

CONFIG = "etc/dracut.conf"
DROP_INS = "etc/dracut.conf.d"
_FOLDERS = (DROP_INS, "usr/lib/dracut/dracut.conf.d")
_FORCED, _ADDED, _OMITTED, _FILES = "force_drivers", "add_drivers", "omit_drivers", "install_items"
_LISTS = (_FORCED, _ADDED, _OMITTED, _FILES)
_HOST_ONLY = "hostonly"
_WATCHED = (*_LISTS, _HOST_ONLY)
_SETS = re.compile(rf"^[ \t]*(?:{'|'.join(_WATCHED)})\+?=", re.M)
_USUAL = f"{DROP_INS}/10-vfio.conf"


def read(reader: Reader, *, parameters: tuple[Written[str], ...]) -> Initramfs:
    """What goes into the image, and what `parameters` of the kernel load early of it."""
    shell = Shell(note=reader.note, watched=_WATCHED.__contains__, own=_WATCHED.__contains__)
    for path in (CONFIG, *in_effect(reader, _FOLDERS)):
        text = reader.text(path)
        if text:
            shell.run(text)
    for fault in shell.broken:
        reader.note(fault.place, fault.value)
    host_only = shell.text(_HOST_ONLY)
    left_out = shell.words(_OMITTED) or ()
    forced, added = ([*(shell.words(name) or ())] for name in (_FORCED, _ADDED))
    there = {canonical(one.value) for one in (*forced, *added)}
    early = [
        Written(value=name, place=one.place)
        for one in values(parameters, "rd.driver.pre")
        for name in one.value.split(",")
        if canonical(name) in there
    ]
    known = {canonical(one.value) for one in early}
    modules = (*early, *(one for one in forced if canonical(one.value) not in known))
    loaded = {canonical(one.value) for one in modules}
    return Initramfs(
        generator="dracut",
        modules=modules,
        modules_where=shell.place(_FORCED) or reader.whole(_USUAL),
        hooks=(),
        hooks_where=reader.whole(CONFIG),
        files=shell.words(_FILES) or (),
        late=tuple(one for one in added if canonical(one.value) not in loaded),
        omitted=left_out,
        host_only=None if host_only is None else host_only.value == "yes",
        ignored=tuple(_without_ending(reader)),
    )


def _without_ending(reader: Reader) -> Iterator[IgnoredFile]:
    """Files of the drop-in directory that set a list of ours and are not read, as their names do not end in .conf."""
    for name in reader.names(DROP_INS):
        text = None if name.endswith(".conf") or name.startswith(".") else reader.text(f"{DROP_INS}/{name}")
        if text and _SETS.search(text.content):
            yield IgnoredFile(
                place=text.whole,
                why="dracut reads files whose names end in .conf only",
                fix=f"mv /{DROP_INS}/{name} /{DROP_INS}/{name}.conf, or remove it if it is a copy",
            )
