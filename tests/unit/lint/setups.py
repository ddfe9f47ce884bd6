"""Small set-ups for the rules: that of a shipped scenario with one thing changed."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

from pipeline.errors import Place
from pipeline.lint.edit import Kind
from pipeline.lint.finding import Finding
from pipeline.lint.rule import Rule
from pipeline.plan import resolve
from pipeline.plan.model import Written
from pipeline.scenario import read
from pipeline.setup import Setup
from pipeline.setup.from_plan import from_plan
from pipeline.setup.model import CommandLine, Function, Option, Softdep

GRUB = "etc/default/grub"
VFIO = "etc/modprobe.d/vfio.conf"


@cache
def of(name: str = "rx560", *settings: str) -> Setup:
    loaded = read(name, settings=settings)
    return from_plan(resolve(loaded), loaded)


def written(value: str, file: str = GRUB, *, line: int = 1, text: str = "") -> Written[str]:
    return Written(value=value, place=Place(file=file, line=line, column=1, text=text or value))


def words(*values: str, file: str = GRUB) -> tuple[Written[str], ...]:
    return tuple(written(value, file, line=index) for index, value in enumerate(values, 1))


def host(setup: Setup, **changes: Any) -> Setup:
    return replace(setup, host=replace(setup.host, **changes))


def line(setup: Setup, *parameters: str) -> Setup:
    """With this kernel command line."""
    there = CommandLine(
        parameters=words(*parameters), where=Place(file=GRUB, line=6), shown="/etc/default/grub"
    )
    return host(setup, command_line=there)


def modprobe(setup: Setup, **changes: Any) -> Setup:
    assert setup.host.modprobe is not None
    return host(setup, modprobe=replace(setup.host.modprobe, **changes))


def initramfs(setup: Setup, **changes: Any) -> Setup:
    assert setup.host.initramfs is not None
    return host(setup, initramfs=replace(setup.host.initramfs, **changes))


def kernel(setup: Setup, series: str) -> Setup:
    return host(setup, kernel=written(series, "proc/version"))


def functions(setup: Setup, address: str, /, **changes: Any) -> Setup:
    """With the function at `address` changed."""
    assert setup.board is not None

    def changed(one: Function) -> Function:
        return replace(one, **changes) if str(one.address) == address else one

    board = replace(
        setup.board, functions=tuple(changed(one) for one in setup.board.functions), topology=None
    )
    return replace(setup, board=board)


def option(module: str, key: str, value: str = "", *, file: str = VFIO, at: int = 1) -> Option:
    return Option(module=module, key=key, value=value, place=Place(file=file, line=at, column=9))


def softdep(module: str, before: Iterable[str] = (), after: Iterable[str] = ()) -> Softdep:
    return Softdep(module=module, before=tuple(before), after=tuple(after), place=Place(file=VFIO, line=4))


def brief(rule: Rule, setup: Setup) -> list[tuple[str, str]]:
    """What a rule finds: severity and text of each."""
    return [(one.severity.value, one.found) for one in complete(rule, setup)]


def complete(rule: Rule, setup: Setup) -> list[Finding]:
    """What a rule finds, each with all that a finding must have."""
    found = list(rule(setup))
    for one in found:
        assert one.code == rule.code
        assert one.found and one.why and one.fix and one.source
        assert "None" not in f"{one.found} {one.why} {one.fix}"
        assert one.place.file
        for edit in one.edits:
            assert bool(edit.old) is (edit.kind is not Kind.ADD_LINE)
            assert edit.place.file
    return found


def edits(rule: Rule, setup: Setup) -> list[tuple[str, str, str]]:
    """The exact changes that a rule proposes: kind, old, new."""
    return [(edit.kind.value, edit.old, edit.new) for one in complete(rule, setup) for edit in one.edits]
