"""What a shell reads otherwise than its writer meant: quotes, blanks around `=`, quotes of a word processor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tree_sitter import Node

from pipeline.errors import Place
from pipeline.files.syntax import Script, walk

# Double and single ones, low, high and reversed, and angled ones.
_TYPOGRAPHIC = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb"
_STATEMENT = re.compile(r"\n[ \t]*(?:export[ \t]+)?[A-Za-z_]\w*\+?=")
_QUOTED = {"string", "raw_string", "ansi_c_string"}
Fault = tuple[str, Place]


def quote(script: Script) -> tuple[Node, Fault] | None:
    """The statement with the quote that has no end, and what that means: None where all have one.

    A quote that is closed only by the next assignment's has none of its own.
    """
    failing = script.root.has_error
    for node in walk(script.root):
        if node.type in _QUOTED:
            missing = any(child.is_missing for child in node.children)
            if missing or (
                node.start_point[0] != node.end_point[0] and _STATEMENT.search(script.source(node))
            ):
                opening = script.source(node)[0]
                what = f"the quote {opening} has no end in this line, so the shell reads on"
                return _before(node), (what, script.place(node))
        elif failing and node.type == "ERROR":
            source = script.source(node)
            for mark in "\"'":
                if source.count(mark) % 2:
                    what = f"a quote {mark} has no end, so the shell reads on and then gives up"
                    return node, (what, script.place(node))
    return None


def _before(node: Node) -> Node:
    """The outermost statement that begins in the line of a node."""
    while (
        node.parent is not None
        and node.parent.type != "program"
        and node.parent.start_point[0] == node.start_point[0]
    ):
        node = node.parent
    return node


def statement(script: Script, node: Node, own: Callable[[str], bool]) -> Iterator[Fault]:
    """What a statement at the top of a script does that nobody means, where it concerns the names of `own`."""
    children = node.children
    if node.type == "command":
        yield from _command(script, node, own)
    elif node.type == "variable_assignments":
        first, second = children[0], children[1]
        if own(_name(script, first)):
            yield (
                f"the value of {_name(script, first)} ends at the blank: {script.source(second)} sets another "
                "variable; a value with blanks needs quotes around the whole of it",
                script.place(second),
            )
    elif node.type == "variable_assignment" and own(_name(script, node)):
        following = node.next_sibling
        if following is not None and following.type == "&":
            yield (
                f"the & ends the value of {_name(script, node)}, which is then set nowhere",
                script.place(following),
            )
    for one in children if node.type == "variable_assignments" else [node]:
        if one.type in {"variable_assignment", "command"}:
            yield from _typographic(script, one, own)


def _command(script: Script, node: Node, own: Callable[[str], bool]) -> Iterator[Fault]:
    first = node.children[0]
    name = node.child_by_field_name("name")
    if name is None:
        return
    if first.type == "variable_assignment" and own(_name(script, first)):
        variable = _name(script, first)
        if len(first.children) < 3:
            what = f"there is a blank after the = of {variable}"
        else:
            what = f"the value of {variable} ends at the blank or quote before {script.source(name)[:40]}"
        yield (
            f"{what}: the shell runs {script.source(name)[:40]} as a command and leaves {variable} as it was; a value "
            "with blanks needs quotes around the whole of it",
            script.place(name),
        )
    argument = name.next_sibling
    if argument is not None and own(script.source(name)) and script.source(argument)[:1] == "=":
        yield (
            f"there is a blank before the = of {script.source(name)}: the shell runs it as a command",
            script.place(name),
        )


def _typographic(script: Script, node: Node, own: Callable[[str], bool]) -> Iterator[Fault]:
    assignment = node if node.type == "variable_assignment" else node.children[0]
    if assignment.type != "variable_assignment" or not own(_name(script, assignment)):
        return
    value = script.source(assignment).partition("=")[2]
    if value[:1] and value[0] in _TYPOGRAPHIC:
        yield (
            f'{value[0]} is no quote to the shell but a part of the value; write " in its place',
            script.place(assignment),
        )


def _name(script: Script, assignment: Node) -> str:
    return script.source(assignment.children[0])
