"""Shell is evaluated as bash does it, or not at all; bash runs here only, to be compared with."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import Place
from pipeline.files.shell import Shell
from pipeline.files.syntax import LIMIT
from pipeline.files.text import Text

BASH = shutil.which("bash") or "/bin/bash"
NAMES = ("A", "B", "GRUB_X", "MODULES")
PRINT = r"""
. ./script 2>/dev/null
for name in A B GRUB_X MODULES; do
    declare -n reference=$name
    printf '%s\0%s\0' "$name" "${#reference[@]}"
    for value in "${reference[@]}"; do printf '%s\0' "$value"; done
done
"""


class Run:
    """A shell that has read `scripts`, and what it noted."""

    def __init__(self, *scripts: str) -> None:
        self.notes: list[tuple[str, str]] = []
        self.shell = Shell(note=self._note, watched=lambda name: True)
        for number, content in enumerate(scripts):
            self.shell.run(Text(file=f"f{number}", path=f"f{number}", content=content))

    def _note(self, place: Place, what: str) -> None:
        self.notes.append((str(place), what))

    def words(self, name: str) -> list[str] | None:
        found = self.shell.words(name)
        return None if found is None else [one.value for one in found]

    def broken(self) -> list[tuple[str, str]]:
        return [(str(one.place), one.value) for one in self.shell.broken]


def by_bash(folder: Path, script: str) -> dict[str, list[str]]:
    (folder / "script").write_text(script)
    done = subprocess.run(
        [BASH, "--norc", "--noprofile", "-c", PRINT],
        cwd=folder,
        env={"PATH": "/nowhere", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        timeout=20,
        check=True,
    )
    fields = iter(done.stdout.decode().split("\0")[:-1])
    return {name: [next(fields) for _ in range(int(next(fields)))] for name in fields}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("A=quiet", ["quiet"]),
        ('A="quiet iommu=pt"', ["quiet", "iommu=pt"]),
        ("A='a \"b\" c'", ["a", '"b"', "c"]),
        ("A=\"a\"b'c'd", ["abcd"]),
        ("A=$'a\\tb\\x41'", ["a", "bA"]),
        ("A=a\\ b", ["a", "b"]),
        ("A=\\ a\nB=b", ["a"]),
        ("A=(a \\ b c\\ d)", ["a", " b", "c d"]),
        ('B=1; A="x $B ${B}y"', ["x", "1", "1y"]),
        ('A="a"\nA+=" b"', ["a", "b"]),
        ('A=(a "b c" d?)', ["a", "b c", "d?"]),
        ("A=(a)\nA+=(b # comment\n c)", ["a", "b", "c"]),
        ('A=(a b)\nA=("${A[@]}" c)', ["a", "b", "c"]),
        ('B="a b"\nA=($B c)', ["a", "b", "c"]),
        ("A=(a b)\nA=c", ["c", "b"]),
        ('export A="a b"', ["a", "b"]),
        ("readonly A=a", ["a"]),
        ("A=a # b", ["a"]),
        ("A=a#b", ["a#b"]),
        ('A="a \\\n  b"', ["a", "b"]),
        ("A=a\\\nb", ["ab"]),
        ('A="x"\\\n  B=c', ["x"]),
        ("A='a\\\nb'", ["a\\", "b"]),
        ('A="a\\$b \\" \\x"', ["a$b", '"', "\\x"]),
        ('A="a$"', ["a$"]),
        ("A=", []),
        ("A=()", []),
        ("A=a; unset B", ["a"]),
        ("A=a B=b", ["a"]),
        ("true\nA=a", ["a"]),
        ("f() { A=b; }\nA=a", ["a"]),
        ("A=ä\nA+=ö", ["äö"]),
    ],
)
def test_values(tmp_path: Path, script: str, expected: list[str]) -> None:
    run = Run(script)
    assert run.words("A") == expected
    assert not run.notes
    joined = by_bash(tmp_path, script)["A"]
    variable = run.shell.variables["A"]
    assert [word.value for word in variable.words or ()] == joined


@pytest.mark.parametrize(
    ("script", "place"),
    [
        ("A=$(hostname)", "f0:1:3"),
        ("A=`hostname`", "f0:1:3"),
        ('A="a $(hostname)"', "f0:1:6"),
        ("A=$UNKNOWN", "f0:1:3"),
        ("A=${B:-c}", "f0:1:3"),
        ("A=~/x", "f0:1:3"),
        ("A=(a{1,2})", "f0:1:4"),
        ("A=([3]=a)", "f0:1:4"),
        ("A=$((1 + 1))", "f0:1:3"),
        ("if true; then A=b; fi", "f0:1:15"),
        ("true && A=b", "f0:1:9"),
        ("for A in a b; do A=$A; done", "f0:1:18"),
        ("f() { A=b; }\nf", "f0:2:1"),
        ("A[1]=b", "f0:1:1"),
        ("declare -i A=1", "f0:1:12"),
        ("eval A=b", "f0:1:1"),
        ("A=$(x)\nA+=' b'", "f0:1:3"),
        ("A=a &", "f0:1:1"),
    ],
)
def test_what_only_running_tells(script: str, place: str) -> None:
    run = Run(script)
    assert run.words("A") is None
    assert run.notes[0][0] == place


def test_nobody_hears_of_what_nobody_asked() -> None:
    notes: list[str] = []
    shell = Shell(note=lambda place, what: notes.append(what), watched=lambda name: name == "A")
    shell.run(Text(file="f", path="f", content="GRUB_DISTRIBUTOR=`lsb_release -i`\nA=a\n"))
    assert shell.text("A") is not None
    assert not notes


def test_a_sourced_file_is_named() -> None:
    assert Run(". /etc/other\nA=a").notes == [
        ("f0:1:1", ". may set anything: what it does is known only when it runs")
    ]


def test_a_script_ends_where_it_says() -> None:
    run = Run("A=a\nexit\nA=b")
    assert run.words("A") == ["a"]
    assert run.notes[0][0] == "f0:2:1"


def test_a_value_has_the_place_where_its_text_stands() -> None:
    run = Run('# x\n  A="quiet  iommu=pt"\n', 'A="$A audit=0"\n')
    assert [(one.value, str(one.place)) for one in run.shell.words("A") or ()] == [
        ("quiet", "f0:2:6"),
        ("iommu=pt", "f0:2:13"),
        ("audit=0", "f1:1:7"),
    ]


@pytest.mark.parametrize(
    ("script", "place", "part"),
    [
        ('A="x"\nGRUB_X="quiet\nGRUB_Y=""\n', "f0:2:8", "has no end"),
        ("A='x\n", "f0:1:1", "has no end"),
        ('GRUB_X="quiet" iommu=pt"\nGRUB_Y="x"\n', "f0:1:24", "has no end"),
        ("GRUB_X=quiet iommu=pt\n", "f0:1:14", "another variable"),
        ("GRUB_X=quiet iommu\n", "f0:1:14", "as a command"),
        ("GRUB_X=quiet amd_iommu=on iommu\n", "f0:1:27", "as a command"),
        ('GRUB_X= "quiet"\n', "f0:1:9", "after the ="),
        ('GRUB_X = "quiet"\n', "f0:1:1", "before the ="),
        ('GRUB_X ="quiet"\n', "f0:1:1", "before the ="),
        ("GRUB_X=“quiet”\n", "f0:1:1", "no quote"),
        ("GRUB_X=a&b\n", "f0:1:9", "the &"),
    ],
)
def test_quotes_and_blanks_that_nobody_means(script: str, place: str, part: str) -> None:
    run = Run(script)
    assert [where for where, what in run.broken() if part in what] == [place]


def test_what_an_open_quote_swallows_has_no_value() -> None:
    run = Run('A=a\nGRUB_X="quiet\nMODULES=b\nB="c"\n')
    assert run.words("A") == ["a"]
    assert run.words("GRUB_X") is run.words("MODULES") is run.words("B") is None
    assert not run.notes


def test_a_script_that_is_too_long_is_not_read() -> None:
    run = Run("A=a\n" * (LIMIT // 4 + 1))
    assert run.words("A") is None
    assert run.notes == [("f0", "not read: it has more than 32 KiB")]


def test_doubling_ends() -> None:
    run = Run("A=aaaaaaaa\n" + "A=$A$A\n" * 4000)
    assert run.words("A") is None
    assert "more" in run.notes[0][1]


blanks = st.sampled_from([" ", "  ", "\t"])
plain = st.text(st.sampled_from("abz09_-.,:/=@%+ä"), min_size=1, max_size=6)
quoted = st.text(st.sampled_from("ab =;&|<>()#?~{}!é"), max_size=8)
piece = st.one_of(
    plain,
    quoted.map(lambda text: f"'{text}'"),
    quoted.map(lambda text: f'"{text}"'),
    st.sampled_from(
        ["$A", "${B}", '"$A"', '"${GRUB_X} x"', "\\ ", "\\$", '"\\$a\\\\"', "$'\\n\\'\\x41'", '"a \\\n b"']
    ),
)
word = st.lists(piece, min_size=1, max_size=4).map("".join)
separator = st.sampled_from([" ", "\n", "  # c\n ", " \\\n "])


@st.composite
def assignment(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(NAMES))
    operator = draw(st.sampled_from(["=", "=", "+="]))
    if draw(st.booleans()):
        return f"{name}{operator}{draw(word)}"
    elements = draw(st.lists(word, max_size=4))
    between = draw(separator)
    return f"{name}{operator}({between.join(elements)}{' ' if elements else ''})"


scripts = st.lists(
    st.tuples(
        st.sampled_from(["", "", "export ", "  "]),
        assignment(),
        st.sampled_from(["\n", "\n", " # c\n", "; "]),
    ),
    min_size=1,
    max_size=6,
).map(lambda lines: "".join("".join(line) for line in lines) + "\n")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scripts)
def test_agrees_with_bash(tmp_path: Path, script: str) -> None:
    """What is known is what bash has; what is not known was noted."""
    run = Run(script)
    for name, values in by_bash(tmp_path, script).items():
        variable = run.shell.variables.get(name)
        if variable is None:
            assert values == []
        elif variable.words is None:
            assert run.notes or run.shell.broken
        else:
            assert [word.value for word in variable.words] == values, script


def known(script: str) -> Iterator[str]:
    run = Run(script)
    yield from (
        name for name in NAMES if (found := run.shell.variables.get(name)) and found.words is not None
    )


def test_most_of_what_is_generated_is_known() -> None:
    """So that the comparison is one."""
    counts = []

    @settings(max_examples=100, database=None, derandomize=True)
    @given(scripts)
    def count(script: str) -> None:
        counts.append(len(list(known(script))))

    count()
    assert sum(counts) > len(counts) / 2


@settings(max_examples=200)
@given(st.lists(st.one_of(plain, quoted.filter(lambda text: text.split() == [text])), min_size=1, max_size=5))
def test_a_word_stands_at_its_place(words: list[str]) -> None:
    script = "# c\n  A=(" + " ".join(f"'{one}'" for one in words) + ')\nB="' + " ".join(words) + '"\n'
    run = Run(script)
    for name in ("A", "B"):
        found = run.shell.words(name)
        if found is None:
            continue
        assert [one.value for one in found] == words
        for one in found:
            line = script.split("\n")[one.place.line - 1]
            assert line[one.place.column - 1 :].startswith(one.value)


@settings(max_examples=300)
@given(st.text(st.sampled_from("AB=+()'\"\\$`{}[];&|<>#~!? \n\tifndo“”"), max_size=60))
def test_nothing_is_raised(script: str) -> None:
    Run(script)
