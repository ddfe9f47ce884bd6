"""The exact change that puts a scenario, and with it the domain, on another machine type."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import scenario as scenarios
from pipeline.errors import BadInput
from pipeline.lint import lists, spot
from pipeline.lint.edit import Edit, Kind
from pipeline.lint.spot import CannotMend
from pipeline.plan import resolve
from pipeline.render.bundle import domain_path
from pipeline.render.domain import domain_xml
from pipeline.scenario.loader import Loaded

_PATH = ("guest", "machine")


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """Old and new text of a scenario's `file` and of the domain that it renders to, `domain` as the bundle names it.

    The texts of the scenario differ in nothing but the machine type.
    """

    file: str
    old: str
    new: str
    domain: str
    old_domain: str
    new_domain: str
    before: str
    after: str

    @property
    def changes(self) -> bool:
        """Whether there is anything to change."""
        return self.old != self.new


def propose(text: str, *, file: str, machine: str) -> Proposal:
    """The change of a scenario's text that gives its guest the type `machine`; nothing is written.

    Raises BadInput for a text that is no scenario, or one that could not be read with the new type.
    """
    loaded = scenarios.loads(text, file=file)
    before = loaded.scenario.guest.machine
    if before == machine:
        new = text
    else:
        place = loaded.source.place(_PATH)
        edit = Edit(kind=Kind.REPLACE, place=place, old=before, new=machine)
        try:
            start, end = spot.find(text, edit)
            change = lists.put(text, start, end, machine, spot.form(file, text))
        except CannotMend as error:
            raise BadInput(
                f"the machine type cannot be put into the file: {error}",
                place=place,
                hint=f"write 'machine: {machine}' there",
            ) from error
        new = f"{text[: change.start]}{change.new}{text[change.end :]}"
    again = scenarios.loads(new, file=file)
    if again.scenario.guest.machine != machine:
        raise BadInput(
            f"{machine} cannot be put into the file",
            place=loaded.source.place(_PATH),
            hint=f"write 'machine: {machine}' there",
        )
    return Proposal(
        file=file,
        old=text,
        new=new,
        domain=domain_path(resolve(loaded)),
        old_domain=_domain(loaded),
        new_domain=_domain(again),
        before=before,
        after=machine,
    )


def _domain(loaded: Loaded) -> str:
    return domain_xml(resolve(loaded)).decode("utf-8")
