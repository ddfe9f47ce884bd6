"""Edits applied to texts: what changes, what does not, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Place
from pipeline.lint import Finding, Severity
from pipeline.lint.edit import Edit, Kind
from pipeline.lint.fix import Mended, fix

YAML = "s.yaml"
GRUB = "etc/default/grub"
CONF = "etc/mkinitcpio.conf"
MODPROBE = "etc/modprobe.d/vfio.conf"
LISTED = "etc/initramfs-tools/modules"
XML = "win.xml"


def edit(kind: Kind, file: str, text: str, old: str, new: str = "", *, near: str = "", column: int = -1):
    """An edit of `old`, where `near` (which holds it) begins for the first time."""
    at = text.index(near or old)
    line = text.count("\n", 0, at) + 1
    start = text.rfind("\n", 0, at) + 1
    return Edit(
        kind=kind,
        place=Place(
            file=file,
            line=line,
            column=at - start + 1 if column < 0 else column,
            text=text[start:].split("\n")[0].strip(),
        ),
        old=old,
        new=new,
    )


def finding(*edits: Edit, found: str = "found") -> Finding:
    return Finding(
        code="DB999",
        severity=Severity.ERROR,
        place=edits[0].place,
        found=found,
        why="why",
        fix="fix",
        source="source",
        edits=edits,
    )


def mended(file: str, text: str, *findings: Finding) -> Mended:
    return fix({file: text}, findings)


def one(kind: Kind, file: str, text: str, old: str, new: str = "", **at) -> str:
    made = mended(file, text, finding(edit(kind, file, text, old, new, **at)))
    assert made.left == ()
    return made.texts.get(file, text)


def why(kind: Kind, file: str, text: str, old: str, new: str = "", **at) -> str:
    made = mended(file, text, finding(edit(kind, file, text, old, new, **at)))
    assert (made.texts, made.mended) == ({}, ())
    (left,) = made.left
    return left.why


@pytest.mark.parametrize(
    ("file", "before", "old", "after"),
    [
        (GRUB, 'A="quiet amd_iommu=on iommu=pt"\n', "amd_iommu=on", 'A="quiet iommu=pt"\n'),
        (GRUB, 'A="amd_iommu=on iommu=pt"\n', "amd_iommu=on", 'A="iommu=pt"\n'),
        (GRUB, 'A="quiet amd_iommu=on"\n', "amd_iommu=on", 'A="quiet"\n'),
        (GRUB, 'A="amd_iommu=on"\n', "amd_iommu=on", 'A=""\n'),
        (GRUB, 'A="quiet vfio-pci.ids=1:2"\n', "vfio-pci.ids=1:2", 'A="quiet"\n'),
        (CONF, "MODULES=(vfio_pci vfio vfio_virqfd)\n", "vfio_virqfd", "MODULES=(vfio_pci vfio)\n"),
        (CONF, "MODULES=(vfio_virqfd vfio_pci)\n", "vfio_virqfd", "MODULES=(vfio_pci)\n"),
        (CONF, "MODULES=(vfio_virqfd? vfio_pci)\n", "vfio_virqfd?", "MODULES=(vfio_pci)\n"),
        (CONF, "MODULES=('a' 'vfio_virqfd' 'b')\n", "vfio_virqfd", "MODULES=('a' 'b')\n"),
        (CONF, "MODULES=(\n  a\n  vfio_virqfd\n)\n", "vfio_virqfd", "MODULES=(\n  a\n)\n"),
        (CONF, "MODULES=(a)", "a", "MODULES=()"),
        (CONF, 'force_drivers+=" a b "\n', "b", 'force_drivers+=" a "\n'),
        (CONF, 'force_drivers+=" a b "\n', "a", 'force_drivers+=" b "\n'),
        (MODPROBE, "options vfio-pci ids=1002:67ef,1002:aae0\n", "1002:aae0", None),
        (
            MODPROBE,
            "options vfio-pci ids=1002:67ef,1002:aae0 disable_vga=1\n",
            "1002:67ef",
            "options vfio-pci ids=1002:aae0 disable_vga=1\n",
        ),
        (
            MODPROBE,
            "options vfio-pci ids=1002:67ef disable_vga=1\n",
            "1002:67ef",
            "options vfio-pci disable_vga=1\n",
        ),
        (MODPROBE, "a\noptions vfio-pci ids=1002:67ef\nb\n", "1002:67ef", "a\nb\n"),
        (MODPROBE, 'a\noptions vfio-pci ids="1002:67ef"\nb\n', "1002:67ef", "a\nb\n"),
        (MODPROBE, "a\nblacklist amdgpu\nb\n", "amdgpu", "a\nb\n"),
        (MODPROBE, "a\nsoftdep amdgpu pre: vfio-pci\nb\n", "vfio-pci", "a\nb\n"),
        (MODPROBE, "softdep x pre: a vfio-pci\n", "vfio-pci", "softdep x pre: a\n"),
        (MODPROBE, "a\nsoftdep amdgpu pre: vfio-pci", "softdep amdgpu pre: vfio-pci", "a"),
        (LISTED, "vfio_pci\nvfio_virqfd\n", "vfio_virqfd", "vfio_pci\n"),
        (LISTED, "vfio_pci ids=1:2\nvfio\n", "vfio_pci", "vfio\n"),
        (LISTED, "vfio_pci\r\nvfio_virqfd\r\nvfio\r\n", "vfio_virqfd", "vfio_pci\r\nvfio\r\n"),
        (LISTED, "vfio_pci\r\nvfio_virqfd", "vfio_virqfd", "vfio_pci"),
        (YAML, "m: [a, b, c]\n", "b", "m: [a, c]\n"),
        (YAML, "m: [a, b, c]\n", "a", "m: [b, c]\n"),
        (YAML, "m: [a, b, c]\n", "c", "m: [a, b]\n"),
        (YAML, "m: [a,b]\n", "a", "m: [b]\n"),
        (YAML, "m: [a]\n", "a", "m: []\n"),
        (YAML, "m: ['a', \"b\" , c]  # a, b\n", "b", "m: ['a', c]  # a, b\n"),
        (YAML, "m: [\n  a,\n  b,\n]\n", "a", "m: [\n  b,\n]\n"),
        (YAML, "m: [\n  a,\n  b\n]\n", "b", "m: [\n  a\n]\n"),
        (YAML, "m:\n  - a\n  - 'b'  # b\n  - c\n", "b", "m:\n  - a\n  - c\n"),
        (YAML, "m:\n  - a\nn: 1\n", "a", "m: []\nn: 1\n"),
        (YAML, "m:\r\n- a\r\n- b\r\n", "b", "m:\r\n- a\r\n"),
        (YAML, "m: [x, 'vfio-pci.ids=1002:67ef']\n", "1002:67ef", "m: [x]\n"),
    ],
)
def test_a_value_is_taken_out_with_one_separator(file: str, before: str, old: str, after: str | None) -> None:
    after = before.replace(",1002:aae0", "") if after is None else after
    assert one(Kind.REMOVE, file, before, old) == after


@pytest.mark.parametrize(
    ("file", "before", "old", "new", "after"),
    [
        (GRUB, 'A="quiet iommu=pt"\n', "iommu=pt", "x=y", 'A="quiet iommu=pt x=y"\n'),
        (GRUB, 'A="quiet"\n', "quiet", "x=y", 'A="quiet x=y"\n'),
        (CONF, "MODULES=(a b)\n", "a", "x", "MODULES=(a x b)\n"),
        (CONF, "MODULES=('a' 'b')\n", "b", "x", "MODULES=('a' 'b' 'x')\n"),
        (CONF, "MODULES=(\n  a\n)\n", "a", "x", "MODULES=(\n  a\n  x\n)\n"),
        (LISTED, "vfio_pci ids=1:2\r\n", "vfio_pci", "x", "vfio_pci ids=1:2\r\nx\r\n"),
        (LISTED, "vfio_pci", "vfio_pci", "x", "vfio_pci\nx"),
        ("etc/kernel/cmdline", "quiet\n", "quiet", "x=y", "quiet x=y\n"),
        (MODPROBE, "options vfio-pci ids=1002:67ef x=1\n", "1002:67ef", "1002:aae0", None),
        (MODPROBE, "softdep a pre: b\n", "b", "c", "softdep a pre: b c\n"),
        (YAML, "m: [a, b]\n", "b", "x", "m: [a, b, x]\n"),
        (YAML, "m: [a]\n", "a", "x=1,2", 'm: [a, "x=1,2"]\n'),
        (YAML, "m: [a]\n", "a", "on", 'm: [a, "on"]\n'),
        (YAML, "m: ['a']\n", "a", "x", "m: ['a', 'x']\n"),
        (YAML, "m: [a]\n", "a", "x=1 y=2", "m: [a, x=1, y=2]\n"),
        (YAML, "m:\n  - a  # first\n  - b\n", "a", "x", "m:\n  - a  # first\n  - x\n  - b\n"),
        (YAML, 'm:\r\n  - "a"', "a", "x", 'm:\r\n  - "a"\r\n  - "x"'),
        (YAML, "m: ['vfio-pci.ids=1002:67ef']\n", "1002:67ef", "1002:aae0", None),
    ],
)
def test_a_value_is_put_behind_another(file: str, before: str, old: str, new: str, after: str | None) -> None:
    after = before.replace(old, f"{old},{new}") if after is None else after
    assert one(Kind.ADD_AFTER, file, before, old, new) == after


@pytest.mark.parametrize(
    ("file", "before", "old", "new", "after"),
    [
        (YAML, "machine: pc-q35-3.1  # pc\n", "pc-q35-3.1", "pc-q35-9.2", "machine: pc-q35-9.2  # pc\n"),
        (YAML, 'm: "6.1"\n', "6.1", "6.12", 'm: "6.12"\n'),
        (YAML, "m: [iommu=pt]\n", "iommu=pt", "x=1,2", 'm: ["x=1,2"]\n'),
        (YAML, "m: ['iommu=pt']\n", "iommu=pt", "x=1,2", "m: ['x=1,2']\n"),
        (YAML, "m: 4\n", "4", "2", "m: 2\n"),
        (YAML, "m: ['a', b]\n", "a", "x=1 y=2", "m: ['x=1', 'y=2', b]\n"),
        (YAML, "m:\n  - a  # why\n  - b\n", "a", "x=1 y=2", "m:\n  - x=1  # why\n  - y=2\n  - b\n"),
        (GRUB, 'A="a b"\n', "a", "x=1 y=2", 'A="x=1 y=2 b"\n'),
        (XML, "<a b='x'/>", "x", "\"'<&>", "<a b='&quot;&apos;&lt;&amp;&gt;'/>"),
        (XML, "<a>x &amp; y</a>", "x & y", "z", "<a>z</a>"),
        (MODPROBE, "options vfio-pci ids=148C:2385\n", "148c:2385", "1002:67ef", None),
        (CONF, "HOOKS=(base udev vdev)\n", "udev", "systemd", "HOOKS=(base systemd vdev)\n"),
        (XML, "\r\n<a b='x'/>\r\n", "x", "y", "\r\n<a b='y'/>\r\n"),
    ],
)
def test_a_value_is_replaced(file: str, before: str, old: str, new: str, after: str | None) -> None:
    after = "options vfio-pci ids=1002:67ef\n" if after is None else after
    near = "x &amp; y" if "&" in old else "148C" if "148" in old else ""
    assert one(Kind.REPLACE, file, before, old, new, near=near) == after


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_line_is_put_behind_another(end: str) -> None:
    text = f"a=1{end}"
    assert one(Kind.ADD_LINE, GRUB, text, "", "b=2", near="a=1") == f"a=1{end or chr(10)}b=2{end}"


def test_the_value_is_found_in_the_quotes_or_the_word_that_the_place_points_at() -> None:
    text = 'm: [a, "vfio-pci.ids=1002:67ef,1002:aae0"]  # 1002:aae0\n'
    assert one(Kind.REMOVE, YAML, text, "1002:aae0", near='"') == text.replace(",1002:aae0", "", 1)
    text = "options vfio-pci ids=1002:67ef x=1002:67ef\n"
    assert one(Kind.REPLACE, MODPROBE, text, "1002:67ef", "1002:0001", near="ids=") == text.replace(
        "67ef", "0001", 1
    )


def test_without_a_column_the_value_has_to_stand_there_once() -> None:
    assert one(Kind.REMOVE, CONF, "MODULES=(aa a a-b)\n", "a", near="aa", column=0) == "MODULES=(aa a-b)\n"
    assert "more than once" in why(Kind.REMOVE, CONF, "MODULES=(a b a)\n", "a", column=0)


@pytest.mark.parametrize(
    ("text", "old", "reason"),
    [
        ("m: a\n", "a", "no entry of a list"),
        ("m: {x: a, y: b}\n", "b", "no entry of a list"),
        ("m: {x: 'a'}\n", "a", "no entry of a list"),
        ("m:\n  - a b\n", "a", "only a part of the entry"),
        ("m:\n  # why\n  - a\n", "a", "the only entry"),
    ],
)
def test_in_yaml_only_an_entry_of_a_list_is_taken_out(text: str, old: str, reason: str) -> None:
    assert reason in why(Kind.REMOVE, YAML, text, old)


def test_what_cannot_be_mended_says_why() -> None:
    assert "does not stand at" in why(Kind.REMOVE, CONF, "MODULES=(ab)\n", "a")
    assert "does not stand at" in why(Kind.REMOVE, CONF, "MODULES=(b a)\n", "a", near="b")
    assert "without quotes" in why(Kind.ADD_AFTER, GRUB, "A=quiet\n", "quiet", "x")
    assert "not taken out" in why(Kind.REMOVE, XML, "<a>b</a>", "b")
    assert "not put in" in why(Kind.ADD_AFTER, XML, "<a>b</a>", "b", "c")
    assert "goes on" in why(Kind.REMOVE, MODPROBE, "options x \\\n a=1\n", "x")
    assert "goes on" in why(Kind.ADD_LINE, GRUB, "A=1 \\\n", "", "b", near="A")
    for odd in ("$(id)", "a;b", "`x`", 'a"b', "a\nb", "\x1b", "a\\b", ""):
        assert "have to be quoted" in why(Kind.REPLACE, GRUB, 'A="quiet"\n', "quiet", odd)
        assert "have to be quoted" in why(Kind.REPLACE, YAML, 'A: "quiet"\n', "quiet", odd)


def test_a_place_that_is_no_line_of_a_file_is_left() -> None:
    def left(place: Place) -> str:
        made = fix({YAML: "a\n"}, [finding(Edit(kind=Kind.REMOVE, place=place, old="a"))])
        assert (made.texts, made.mended) == ({}, ())
        return made.left[0].why

    assert left(Place(file="--set host.kernel", text="a")) == "it was set by --set host.kernel, not in a file"
    assert "which line" in left(Place(file=YAML))
    assert "no line 9" in left(Place(file=YAML, line=9))
    assert "cannot be written" in left(Place(file="other", line=1))
    assert "not the line" in left(Place(file=YAML, line=1, column=1, text="b a"))


def test_a_very_long_line_is_known_by_its_beginning() -> None:
    text = f'A="{"x" * 600} quiet"\n'
    place = Place(file=GRUB, line=1, column=text.index("quiet") + 1, text=text[:500])
    made = mended(GRUB, text, finding(Edit(kind=Kind.REMOVE, place=place, old="quiet")))
    assert made.texts == {GRUB: text.replace(" quiet", "")}


def test_all_values_of_a_list_can_go() -> None:
    text = "options vfio-pci ids=1002:67ef,1002:aae0\n"
    remove = [finding(edit(Kind.REMOVE, MODPROBE, text, old)) for old in ("1002:67ef", "1002:aae0")]
    assert mended(MODPROBE, text, *remove).texts == {MODPROBE: ""}
    text = "m: [a, b, c]\n"
    remove = [finding(edit(Kind.REMOVE, YAML, text, old)) for old in "abc"]
    assert mended(YAML, text, *remove).texts == {YAML: "m: []\n"}
    text = "m:\n  - a\n  - b\n"
    remove = [finding(edit(Kind.REMOVE, YAML, text, old)) for old in "ab"]
    assert mended(YAML, text, *remove).texts == {YAML: "m: []\n"}


def test_findings_of_one_line_go_together_and_the_same_edit_is_made_once() -> None:
    text = "MODULES=(amdgpu snd vfio_pci vfio_virqfd)\n"
    to_the_end = [
        finding(
            edit(Kind.REMOVE, CONF, text, name),
            edit(Kind.ADD_AFTER, CONF, text, "vfio_pci", name),
            found=name,
        )
        for name in ("amdgpu", "snd")
    ]
    gone = [finding(edit(Kind.REMOVE, CONF, text, "vfio_virqfd"), found=str(count)) for count in range(2)]
    made = mended(CONF, text, *to_the_end, *gone)
    assert made.texts == {CONF: "MODULES=(vfio_pci amdgpu snd)\n"}
    assert (len(made.mended), made.left) == (4, ())


def test_a_value_can_be_put_behind_one_that_goes_or_changes() -> None:
    text = "MODULES=(vfio_virqfd)\n"
    made = mended(
        CONF,
        text,
        finding(edit(Kind.REMOVE, CONF, text, "vfio_virqfd")),
        finding(edit(Kind.ADD_AFTER, CONF, text, "vfio_virqfd", "vfio_pci")),
    )
    assert made.texts == {CONF: "MODULES=(vfio_pci)\n"}
    text = "m: ['148c:2385']\n"
    made = mended(
        YAML,
        text,
        finding(edit(Kind.REPLACE, YAML, text, "148c:2385", "1002:67ef")),
        finding(edit(Kind.ADD_AFTER, YAML, text, "148c:2385", "1002:aae0")),
    )
    assert made.texts == {YAML: "m: ['1002:67ef', '1002:aae0']\n"}


def test_the_later_of_two_that_are_in_each_other_s_way_waits() -> None:
    text = 'A="vfio-pci.ids=1002:67ef quiet"\n'
    first = finding(edit(Kind.REPLACE, GRUB, text, "1002:67ef", "1002:aae0"), found="first")
    second = finding(edit(Kind.REMOVE, GRUB, text, "vfio-pci.ids=1002:67ef"), found="second")
    made = mended(GRUB, text, first, second)
    assert made.texts == {GRUB: text.replace("67ef", "aae0")}
    assert ([one.found for one in made.mended], [one.finding.found for one in made.left]) == (
        ["first"],
        ["second"],
    )
    assert "in its way" in made.left[0].why


def test_a_line_that_goes_takes_nothing_else_with_it() -> None:
    text = "softdep amdgpu pre: vfio-pci\n"
    rename = finding(edit(Kind.REPLACE, MODPROBE, text, "amdgpu", "radeon"))
    gone = finding(edit(Kind.REMOVE, MODPROBE, text, "vfio-pci"))
    made = mended(MODPROBE, text, rename, gone)
    assert made.texts == {MODPROBE: text.replace("amdgpu", "radeon")}
    assert [one.finding for one in made.left] == [gone]


def test_edits_of_one_finding_are_made_all_or_none() -> None:
    text = "MODULES=(amdgpu vfio_pci)\n"
    whole = finding(
        edit(Kind.REMOVE, CONF, text, "amdgpu"), edit(Kind.REMOVE, CONF, text, "pci", near="vfio")
    )
    made = mended(CONF, text, whole)
    assert (made.texts, made.mended, [one.finding for one in made.left]) == ({}, (), [whole])


def test_a_finding_may_change_several_files() -> None:
    texts = {CONF: "MODULES=(a b)\n", GRUB: 'A="x y"\n'}
    both = finding(
        edit(Kind.REMOVE, CONF, texts[CONF], "b"), edit(Kind.ADD_AFTER, GRUB, texts[GRUB], "y", "z")
    )
    assert fix(texts, [both]).texts == {CONF: "MODULES=(a)\n", GRUB: 'A="x y z"\n'}


def test_findings_without_edits_are_none_of_its_business() -> None:
    text = "MODULES=(a)\n"
    plain = finding(edit(Kind.REMOVE, CONF, text, "a"))
    made = fix({CONF: text}, [Finding(**{name: getattr(plain, name) for name in NAMES})])
    assert (made.texts, made.mended, made.left) == ({}, (), ())


NAMES = ("code", "severity", "place", "found", "why", "fix", "source")

words = st.lists(st.from_regex(r"[a-z]{1,4}[0-9]{2}", fullmatch=True), min_size=1, max_size=6, unique=True)
around = st.text(st.characters(codec="utf-8", exclude_characters="\n\r")).map(lambda text: f"# {text}")
ends = st.sampled_from(["\n", "\r\n"])


@given(words, around, around, ends, st.data())
def test_nothing_but_the_list_changes_and_the_list_is_what_was_asked_for(
    items: list[str], before: str, behind: str, end: str, data: st.DataObject
) -> None:
    form = data.draw(st.sampled_from(["shell", "array", "ids", "flow", "block"]))
    file, head, tail, separator = {
        "shell": (GRUB, 'A="', f'"{end}', " "),
        "array": (CONF, "A=(", f"){end}", " "),
        "ids": (MODPROBE, "options vfio-pci ids=", f" x=1{end}", ","),
        "flow": (YAML, "a: [", f"]{end}", ", "),
        "block": (YAML, f"a:{end}  - ", end, f"{end}  - "),
    }[form]
    top, bottom = f"{before}{end}", f"b: 1{end}{behind}"
    text = f"{top}{head}{separator.join(items)}{tail}{bottom}"
    gone = data.draw(st.sets(st.sampled_from(items), max_size=len(items) - 1))
    anchor = data.draw(st.sampled_from(items))
    offset = len(top) + len(head)
    places = {
        item: offset + len(separator.join(items[:n])) + len(separator) * (n > 0)
        for n, item in enumerate(items)
    }

    def at(kind: Kind, item: str, new: str = "") -> Finding:
        start = text.rfind("\n", 0, places[item]) + 1
        line = text[start:].split("\n")[0]
        place = Place(
            file=file, line=text.count("\n", 0, start) + 1, column=places[item] - start + 1, text=line.strip()
        )
        return finding(Edit(kind=kind, place=place, old=item, new=new), found=f"{kind} {item}")

    made = mended(
        file, text, *(at(Kind.REMOVE, item) for item in sorted(gone)), at(Kind.ADD_AFTER, anchor, "new")
    )
    assert made.left == ()
    expected = [
        each for item in items for each in ([] if item in gone else [item]) + ["new"] * (item == anchor)
    ]
    assert made.texts[file] == f"{top}{head}{separator.join(expected)}{tail}{bottom}"


@given(st.text(), st.integers(0, 5), st.integers(0, 20), st.text(max_size=5), st.text(max_size=5), st.data())
def test_any_text_and_edit_give_a_text_or_a_reason(
    text: str, line: int, column: int, old: str, new: str, data: st.DataObject
) -> None:
    file = data.draw(st.sampled_from([YAML, GRUB, MODPROBE, LISTED, XML]))
    kind = data.draw(st.sampled_from(list(Kind)))
    wanted = finding(Edit(kind=kind, place=Place(file=file, line=line, column=column), old=old, new=new))
    made = mended(file, text, wanted)
    assert bool(made.mended) != bool(made.left)
    if made.left:
        assert made.texts == {}
        assert made.left[0].why
