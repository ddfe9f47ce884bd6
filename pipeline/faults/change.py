"""A fault made: its base with the settings and the edited files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipeline import scenario as scenarios
from pipeline.errors import BadInput
from pipeline.faults.loader import LoadedFault
from pipeline.faults.model import Change
from pipeline.plan import Plan, resolve
from pipeline.render import Bundle, Inputs, render
from pipeline.scenario import Loaded
from pipeline.scenario.source import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A scenario with its plan and bundle."""

    loaded: Loaded
    plan: Plan
    bundle: Bundle


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A fault made: `rendered` has the settings of the fault, `bundle` its edited files too."""

    rendered: Rendered
    bundle: Bundle


def settings(found: LoadedFault) -> tuple[str, ...]:
    """The settings of a fault as `--set` takes them: a JSON text is a YAML text."""
    return tuple(
        f"{key}={json.dumps(_listed(value), ensure_ascii=False)}" for key, value in found.fault.set_.items()
    )


def _listed(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_listed(one) for one in value]
    if isinstance(value, dict):
        return {key: _listed(one) for key, one in value.items()}
    return value


@cache
def rendered(name: str, settings: tuple[str, ...] = ()) -> Rendered:
    """A shipped scenario with settings put over it. Raises BadInput."""
    loaded = scenarios.read(name, settings=settings)
    plan = resolve(loaded)
    raw = scenarios.find(name).read_bytes()
    return Rendered(
        loaded=loaded, plan=plan, bundle=render(plan, inputs=Inputs(scenario=raw, settings=settings))
    )


def make(found: LoadedFault) -> Made:
    """The faulty scenario and bundle. Raises BadInput with the place in the fault's file."""
    made = _rendered(found)
    files = dict(made.bundle.files)
    for index, change in enumerate(found.fault.files):
        _edit(files, change, found, ("files", index))
    modes = {path: bits for path, bits in made.bundle.modes.items() if path in files}
    return Made(rendered=made, bundle=Bundle(files=files, modes=modes))


def _rendered(found: LoadedFault) -> Rendered:
    fault, given = found.fault, settings(found)
    try:
        rendered(fault.base)
    except BadInput as error:
        raise BadInput(error.message, place=found.source.place(("base",)), hint=error.hint) from None
    try:
        return rendered(fault.base, given)
    except BadInput as error:
        said = f"{error.place}: {error.message}" if error.place else error.message
        raise BadInput(said, place=found.source.place(("set",)), hint=error.hint) from None


def _edit(files: dict[str, bytes], change: Change, found: LoadedFault, at: Path) -> None:
    place = found.source.place(at)
    path = change.path
    if change.write is not None:
        if path in files:
            raise BadInput(f"{path} is in the bundle already", place=place, hint="replace a part of it")
        files[path] = change.write.encode()
        return
    if path not in files:
        raise BadInput(f"the bundle has no {path}", place=place, hint=f"it has {', '.join(_shown(files))}")
    if change.remove_file:
        if path.startswith("libvirt/"):
            raise BadInput("there is no guest without its domain", place=place, hint="change it instead")
        del files[path]
        return
    text = files[path].decode()
    if change.add_line is not None:
        files[path] = f"{text.rstrip()}\n{change.add_line}\n".encode()
    if change.replace is not None and change.with_ is not None:
        times = text.count(change.replace)
        if times != 1:
            raise BadInput(
                f"the text to replace is in {path} {times} times",
                place=found.source.place((*at, "replace")),
                hint="exactly once: make it longer, or correct it",
            )
        files[path] = text.replace(change.replace, change.with_).encode()


def _shown(files: Mapping[str, bytes]) -> list[str]:
    return [path for path in sorted(files) if path.startswith(("etc/", "boot/", "usr/", "libvirt/"))]
