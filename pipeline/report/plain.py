"""Text from elsewhere (a booted host, a tool, a file's name), fit for terminals and XML."""

from __future__ import annotations

import re

# Controls, what turns the direction of writing, and what XML has no place for; line feed and tab stay.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def plain(text: str) -> str:
    """`text` with everything that a reader cannot see written as an escape."""
    return _ODD.sub(lambda match: repr(match[0])[1:-1], text)
