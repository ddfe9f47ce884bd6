"""Which operating system a guest has, by what a domain says of it."""

from __future__ import annotations

import re

from pipeline.facts import table


def by_id(osinfo: str) -> str | None:
    """windows10, windows11, windows or linux for an id of libosinfo; None for any other.

    `http://microsoft.com/win/10` does not stand for `http://microsoft.com/win/10x`.
    """
    for entry in table("guests")["id"]:
        for prefix in entry["prefixes"]:
            if osinfo == prefix or (prefix.endswith("/") and osinfo.startswith(prefix)):
                return str(entry["os"])
    return None


def by_name(name: str) -> str | None:
    """The same for the name of a domain: weak, for anybody may call a guest anything."""
    lower = name.lower()
    for entry in table("guests")["name"]:
        for word in entry["words"]:
            if re.search(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", lower):
                return str(entry["os"])
    return None
