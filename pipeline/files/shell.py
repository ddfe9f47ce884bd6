"""What variables a shell script sets, told from its text: assignments are evaluated, nothing is executed.

For configuration in shell: /etc/default/grub, mkinitcpio.conf, presets, dracut.conf. What only running it would tell,
such as the output of a command or what stands in a condition, is noted and leaves the variable without value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from tree_sitter import Node

from pipeline.errors import Place
from pipeline.files import faults
from pipeline.files.syntax import NoScript, Script, Traced, parse, walk
from pipeline.files.text import Text
from pipeline.files.words import LONGEST, MOST, Dynamic, elements, scalar
from pipeline.plan.model import Written

_BUDGET = 1 << 18
_IGNORED = {"comment", ";", "&", "\n", ";;", "heredoc_body", "test_command"}
_SEVERAL = {"variable_assignments", "declaration_command", "command"}
_SETTING = {
    "eval",
    ".",
    "source",
    "read",
    "mapfile",
    "readarray",
    "alias",
    "trap",
    "set",
    "shopt",
    "exec",
    "let",
}
_ENDING = {"exit", "return"}
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Variable:
    """The words of an array, or the one of a text; None where the value is not known. `place`: its last assignment."""

    words: tuple[Traced, ...] | None
    array: bool
    place: Place


@dataclass(frozen=True, slots=True)
class Assignment:
    """One `NAME=…` or `NAME+=…` in the order of reading, with what was known of NAME before it."""

    name: str
    added: bool
    place: Place
    before: Variable | None


class Shell:
    """The variables after the scripts that were run, one after the other.

    `watched` tells the names whose values matter: only of them it is noted what could not be told. `own` tells names
    that nobody gives to a command: with them, what the shell does not read as meant is in `broken`.
    """

    def __init__(
        self,
        *,
        note: Callable[[Place, str], None],
        watched: Callable[[str], bool],
        own: Callable[[str], bool] = lambda name: name.isupper(),
    ) -> None:
        self.variables: dict[str, Variable] = {}
        self.assignments: list[Assignment] = []
        self.broken: list[Written[str]] = []
        self._note = note
        self._watched = watched
        self._own = own
        self._functions: dict[str, frozenset[str]] = {}
        self._spent = 0

    def run(self, text: Text) -> None:
        """Read a script as if the shell sourced it now."""
        try:
            script = parse(text)
        except NoScript as error:
            self._note(text.whole, f"not read: {error}")
            return
        fault = faults.quote(script)
        end = len(script.content.encode())
        if fault:
            node, (what, where) = fault
            self.broken.append(Written(value=what, place=where))
            end = node.start_byte
            for found in re.finditer(r"([A-Za-z_]\w*)\+?=", script.content):
                if script.text.at(script.origins[found.start()]).line >= script.place(node).line:
                    self._set(found[1], None, array=True, place=where, added=False)
        for node in script.root.children:
            if node.start_byte >= end or (fault and node.end_byte > end):
                break
            if not self._statement(script, node):
                self._note(script.place(node), "the script ends here: what follows is not read")
                break

    def text(self, name: str) -> Traced | None:
        """The value as `$NAME` gives it; None where it is not set or not known."""
        variable = self.variables.get(name)
        if variable is None or variable.words is None:
            return None
        return variable.words[0] if variable.words else Traced("", ())

    def words(self, name: str) -> tuple[Written[str], ...] | None:
        """The elements of an array, or the words of a text; None where it is not set or not known."""
        variable = self.variables.get(name)
        if variable is None or variable.words is None:
            return None
        words = (
            variable.words if variable.array else [part for word in variable.words for part in word.split()]
        )
        return tuple(Written(value=word.value, place=word.place or variable.place) for word in words)

    def place(self, name: str) -> Place | None:
        """Where it was assigned last."""
        variable = self.variables.get(name)
        return variable.place if variable else None

    def _statement(self, script: Script, node: Node) -> bool:
        """Take a statement in; False where it ends the script."""
        kind = node.type
        if kind in _IGNORED:
            return True
        if not _whole(script, node):
            self._note(script.place(node), "a backslash outside of quotes: it was not understood")
            self._touched(script, node)
            return True
        for what, where in faults.statement(script, node, self._own):
            self.broken.append(Written(value=what, place=where))
        if node.has_error:
            self._note(
                script.place(node), "the shell's grammar has no such statement, so it was not understood"
            )
            self._touched(script, node)
        elif kind in {"variable_assignment", "variable_assignments"} and not _in_background(node):
            for one in [node] if kind == "variable_assignment" else node.children:
                self._assign(script, one)
        elif kind == "declaration_command":
            self._declare(script, node)
        elif kind == "unset_command":
            for child in node.children:
                if child.type == "variable_name":
                    self.variables.pop(script.source(child), None)
        elif kind == "function_definition":
            name = node.child_by_field_name("name")
            if name is not None:
                self._functions[script.source(name)] = frozenset(one for one, _ in _assigned(script, node))
        elif kind == "command":
            return self._command(script, node)
        else:
            self._control(script, node)
        return True

    def _control(self, script: Script, node: Node) -> None:
        """A condition, loop, list or pipeline: whether it runs, or how often, is not known."""
        for one in walk(node):
            if one.type == "command" and _name(script, one) in _SETTING | _ENDING - {"set", "shopt", "trap"}:
                self._note(
                    script.place(one), f"what {_name(script, one)} does here is known only when it runs"
                )
        self._touched(script, node)

    def _command(self, script: Script, node: Node) -> bool:
        name = _name(script, node)
        if name in _ENDING:
            return False
        if name in _SETTING - {"set", "shopt", "trap", "exec"}:
            self._note(
                script.place(node), f"{name} may set anything: what it does is known only when it runs"
            )
            self._touched(script, node)
        elif name in self._functions:
            self._note(
                script.place(node), f"the function {name} is called: what it does is known only when it runs"
            )
            for one in sorted(self._functions[name]):
                self._forget(one, script.place(node))
        elif name == "printf" and "-v" in script.source(node).split():
            self._note(script.place(node), "printf -v: what it sets is known only when it runs")
        return True

    def _declare(self, script: Script, node: Node) -> None:
        children = node.children
        plain = script.source(children[0]) in {"export", "readonly"} and not any(
            child.type == "word" for child in children
        )
        for child in children[1:]:
            if child.type != "variable_assignment":
                continue
            if plain:
                self._assign(script, child)
            else:
                self._touched(script, child)

    def _touched(self, script: Script, node: Node) -> None:
        """Forget what a statement assigns that is not understood."""
        for name, where in _assigned(script, node):
            self._forget(name, where)

    def _forget(self, name: str, place: Place) -> None:
        if self._watched(name):
            self._note(place, f"the value of {name} is known only when the script runs")
        # It may have become an array: of that, a text replaces the first element alone.
        self._set(name, None, array=True, place=place, added=False)

    def _set(
        self, name: str, words: tuple[Traced, ...] | None, *, array: bool, place: Place, added: bool
    ) -> None:
        if len(self.assignments) < MOST:
            before = self.variables.get(name)
            self.assignments.append(Assignment(name, added, place, before))
        self.variables[name] = Variable(words, array, place)

    def _assign(self, script: Script, node: Node) -> None:
        place = script.place(node)
        target, operator = node.children[0], node.children[1]
        name = script.source(target)
        if target.type != "variable_name":
            found = _NAME.match(name)
            self._forget(found[0] if found else name, place)
            return
        right = node.children[2] if len(node.children) > 2 else None
        added = operator.type == "+="
        before = self.variables.get(name)
        array = right is not None and right.type == "array"
        try:
            if right is not None and right.start_byte != operator.end_byte:
                raise Dynamic(place, "a backslash outside of quotes")
            if right is not None and array:
                new = elements(script, right, self._value)
            else:
                new = (scalar(script, right, self._value),)
            self._spend(place, new)
            variable = _combined(before if added or not array else None, new, array, added, place)
            self._spend(place, variable.words or ())
        except Dynamic as error:
            if self._watched(name):
                self._note(
                    error.place, f"{name} holds {error.what}: its value is known only when the script runs"
                )
            array = array or (before is not None and before.array)
            self._set(name, None, array=array, place=place, added=added)
            return
        self._set(name, variable.words, array=variable.array, place=place, added=added)

    def _spend(self, place: Place, words: tuple[Traced, ...]) -> None:
        self._spent += sum(len(word.value) + 1 for word in words)
        if self._spent > _BUDGET or len(words) > MOST or any(len(word.value) > LONGEST for word in words):
            raise Dynamic(place, "more text than is evaluated here")

    def _value(self, name: str) -> tuple[Traced, ...] | None:
        variable = self.variables.get(name)
        return variable.words if variable else None


def _combined(
    before: Variable | None, new: tuple[Traced, ...], array: bool, added: bool, place: Place
) -> Variable:
    """The value after an assignment, as bash has it."""
    if before is None:
        return Variable(new, array, place)
    if before.words is None:
        if added or before.array:
            raise Dynamic(place, "an addition to a value that is not known")
        return Variable(new, array, place)
    if array:
        return Variable((*before.words, *new), True, place)
    if not added:
        return Variable((*new, *before.words[1:]), before.array, place)
    first = before.words[0] if before.words else Traced("", ())
    joined = Traced(first.value + new[0].value, first.marks + new[0].marks)
    return replace(before, words=(joined, *before.words[1:]), place=place)


def _assigned(script: Script, node: Node) -> Iterator[tuple[str, Place]]:
    for one in walk(node):
        if one.type == "variable_assignment" and (found := _NAME.match(script.source(one))):
            yield found[0], script.place(one)


def _name(script: Script, command: Node) -> str:
    name = command.child_by_field_name("name")
    return script.source(name).rpartition("/")[2] if name is not None else ""


def _whole(script: Script, node: Node) -> bool:
    """Whether the grammar cut assignments where the shell does: it takes a backslash for the end of some words."""
    pairs = pairwise(node.children) if node.type in _SEVERAL else ()
    return script.apart(node, node.next_sibling) and all(
        script.apart(one, other) and one.end_byte < other.start_byte
        for one, other in pairs
        if one.type == "variable_assignment"
    )


def _in_background(node: Node) -> bool:
    following = node.next_sibling
    return following is not None and following.type == "&"
