"""Pages that are kept for guests: by kernel parameters and by sysctl.

Source: kernel Documentation/admin-guide/kernel-parameters.txt hugepages=, mm/hugetlb.c; sysctl.d(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.files.cmdline import values
from pipeline.files.modprobe import in_effect
from pipeline.files.reader import Reader
from pipeline.plan.model import Written

_FOLDERS = ("etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d")
_OLD = "etc/sysctl.conf"
_KEY = re.compile(r"[ \t]*-?[ \t]*vm[./]nr_hugepages[ \t]*=[ \t]*([0-9]{1,12})[ \t]*")
_SIZE = re.compile(r"([0-9]{1,12})([kKmMgG]?)")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_USUAL = 2 << 20


def hugepages(reader: Reader, parameters: Iterable[Written[str]]) -> Written[int] | None:
    """Bytes in huge pages and the place that says so last; None where nothing does.

    `hugepages=` counts pages of the `hugepagesz=` before it, else of the default size; sysctl's count is of the
    default size, and takes the place of the parameter's.
    """
    parameters = tuple(parameters)
    sizes = values(parameters, "default_hugepagesz")
    usual = (_bytes(sizes[-1].value) if sizes else 0) or _USUAL
    size = usual
    pools: dict[int, int] = {}
    place = None
    for one in parameters:
        name, _, value = one.value.partition("=")
        if name == "hugepagesz":
            size = _bytes(value) or usual
        elif name == "hugepages":
            counts = [part.rpartition(":")[2] for part in value.split(",")]
            if all(re.fullmatch("[0-9]{1,12}", count) for count in counts):
                pools[size] = sum(int(count) for count in counts)
                place = one.place
    for path in (*in_effect(reader, _FOLDERS), _OLD):
        text = reader.text(path)
        for number, line in enumerate(text.lines if text else (), 1):
            if text and (found := _KEY.fullmatch(line)):
                pools[usual] = int(found[1])
                place = text.place(number, found.start(1) + 1)
    return Written(value=sum(size * count for size, count in pools.items()), place=place) if place else None


def _bytes(size: str) -> int:
    found = _SIZE.fullmatch(size)
    return int(found[1]) * _UNITS[found[2].lower()] if found else 0
