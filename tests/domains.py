"""Domains of a machine for tests: that of a shipped scenario, as XML with changes, on the scenario's host."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

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
