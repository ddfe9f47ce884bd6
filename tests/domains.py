"""Domains of a machine for tests: that of a shipped scenario, as XML with changes, on the scenario's host."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pipeline.files.domain import read_domains
from pipeline.lint import Finding
from pipeline.lint.rules import RULES
from pipeline.pci import Address, IdPair
from pipeline.plan import resolve
from pipeline.plan.model import Written
from pipeline.scenario import read
from pipeline.setup import Setup
from pipeline.setup.domain import Domain
from pipeline.setup.from_plan import from_plan
from pipeline.setup.model import CommandLine, Origin
from pipeline.shipped import names

GOLDEN = Path(__file__).parent / "golden"
SHOWN = "/etc/libvirt/qemu/guest.xml"

Change = tuple[str, str]


def xml(name: str) -> str:
    """The domain that a shipped scenario renders to."""
    (path,) = (GOLDEN / name / "libvirt").glob("*.xml")
    return path.read_text()


def changed(name: str, *changes: Change) -> str:
    """The same with each first text, a regular expression that has to be there, replaced by the second."""
    text = xml(name)
    for old, new in changes:
        text, count = re.subn(old, lambda _, new=new: new, text, flags=re.DOTALL)
        assert count, f"{old} is not in the domain"
    return text


def domain(text: str) -> Domain:
    """The one domain of a text."""
    (one,) = read_domains(text.encode(), shown=SHOWN)
    return one


@cache
def _scenario(name: str, settings: tuple[str, ...]) -> Setup:
    loaded = read(name, settings=settings)
    return from_plan(resolve(loaded), loaded)


def machine(*changes: Change, name: str = "rx560", settings: tuple[str, ...] = (), **host: Any) -> Setup:
    """The host of a shipped scenario with its domain read from XML; `host` replaces what is known of the host."""
    setup = _scenario(name, settings)
    return replace(
        setup,
        origin=Origin.FILES,
        host=replace(setup.host, **host),
        domains=(domain(changed(name, *changes)),),
    )


def with_ids(setup: Setup, address: str, ids: str) -> Setup:
    """The same where a function has other ids."""
    assert setup.board is not None
    where, pair = Address.parse(address), IdPair.parse(ids)
    functions = tuple(
        replace(one, ids=pair) if one.address == where else one for one in setup.board.functions
    )
    return replace(setup, board=replace(setup.board, functions=functions))


def parameters(*values: str) -> CommandLine:
    """A kernel command line."""
    base = _scenario("rx560", ()).host.command_line
    assert base is not None
    written = tuple(Written(value=value, place=base.where) for value in values)
    return replace(base, parameters=written)


def found(setup: Setup, *codes: str) -> tuple[Finding, ...]:
    """What the rules with these codes find."""
    chosen = [rule for rule in RULES if rule.code in codes]
    assert {rule.code for rule in chosen} == set(codes)
    return tuple(finding for rule in chosen for finding in rule(setup))


MARKUP = b"< > /> </ <!-- --> <![CDATA[ ]]> <? ?> ' \" = &a; &#0; &#38; domain </domain> \0 \xff".split(b" ")
TOKENS = st.sampled_from([*MARKUP, b" ", b"\n", b"<!DOCTYPE x>", b"<domain type='kvm'>"])


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A shipped domain with lines lost, doubled and swapped, and with texts put where they do not belong."""
    lines = xml(draw(st.sampled_from(names()))).encode().splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["drop", "double", "swap", "insert", "value", "number"]))
        if kind == "drop" and len(lines) > 1:
            del lines[at]
        elif kind == "double":
            lines.insert(at, lines[at])
        elif kind == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == "insert":
            cut = draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:cut] + draw(TOKENS) + lines[at][cut:]
        elif kind == "value":
            new = draw(st.text(max_size=8)).encode("utf-8", "replace")
            head, quote, tail = lines[at].partition(b'="')
            lines[at] = head + quote + new + tail
        else:
            number = str(draw(st.integers(-(10**30), 10**30))).encode()
            lines[at] = lines[at].replace(b"0", number)
    return b"".join(lines)
