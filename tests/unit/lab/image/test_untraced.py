"""Modules without signature and table of trace points."""

from __future__ import annotations

import struct

import pytest

from pipeline.lab.image.untraced import untraced

NAMES = b"\0.text\0__mcount_loc\0.symtab\0"
SIGNATURE = b"a signature" + struct.pack(">8BI", *range(8), 11) + b"~Module signature appended~\n"


@pytest.mark.parametrize("signature", [b"", SIGNATURE])
def test_the_module_is_the_same_but_for_signature_and_section(signature: bytes) -> None:
    module = b"\x7fELF code" + NAMES
    assert untraced(module + signature) == b"\x7fELF code" + NAMES.replace(b"mcount", b"ignore")
