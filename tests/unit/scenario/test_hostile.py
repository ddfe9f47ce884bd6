"""No text that could mean something to a shell, XML, QEMU or a reader's eyes gets into a scenario."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.errors import BadInput
from pipeline.scenario import Scenario, loads, schema
from pipeline.scenario.document import plain
from pipeline.scenario.loader import SHIPPED
from pipeline.scenario.refusal import _path

TEXT = (SHIPPED / "rx560.yaml").read_text(encoding="utf-8")
BARS = "bars: [{index: 0, size: 4 KiB, kind: mem32}]"
FUNCTION = (
    "{address: '%s', class: '0401', id: '13f6:8788', subsystem: '1043:8467', revision: 'e5', name: Sound, "
    "drivers: [snd_virtuoso], " + BARS + "}"
)
BRIDGE = "{address: '%s', bridge: pcie-to-pci, id: '1b21:1080', name: Bridge, functions: [FUNCTION]}".replace(
    "FUNCTION", FUNCTION
)
# Every optional text, so that each field of the model is there to be attacked.
EXTRA = [
    "host.vfio.ids=['1002:67ef', '1002:aae0']",
    "host.root=LABEL=root",
    "host.display_manager=sddm",
    "host.vfio.when=boot",
    "host.initramfs.modules=[vfio_pci]",
    "host.initramfs.extra_modules=[btrfs]",
    "host.initramfs.hooks=[base, modconf]",
    "board.root_ports.0.functions.0.drivers=[amdgpu]",
    "board.root_ports.0.id='1022:1453'",
    "board.root_ports.0.name=GPP bridge",
    "board.root_ports.5={address: '00:08.2', functions: [BRIDGE]}".replace(
        "BRIDGE", BRIDGE % ("06:00.0", "07:00.0")
    ),
    "board.integrated=[FUNCTION, BRIDGE]".replace("FUNCTION", FUNCTION % "00:0a.0").replace(
        "BRIDGE", BRIDGE % ("00:0b.0", "08:00.0")
    ),
    "guest.host_devices=[{source: '01:00.0'}]",
    "expect.groups=[['01:00.0', '01:00.1']]",
    "expect.failing=[{check: 'viable[01:00.0]', because: a disk}]",
    "expect.findings=[{finding: DB504, because: a disk}]",
    "guest.disk.format=raw",
    "guest.disk.bus=sata",
    "guest.network.model=virtio",
]
SUFFIXES = [
    "$(id)",
    "${IFS}",
    "`id`",
    "'",
    '"',
    "\n",
    "\nx",
    "\r",
    "\t",
    "\\",
    ";",
    "|",
    "&",
    "<",
    ">",
    "]]>",
    "\0",
]
SUFFIXES += [
    "\x1b[2J",
    "\x7f",
    "\x85",
    "\u00a0",
    "\u200d",
    "\u200e",
    "\u202e",
    "\u2028",
    "\u2029",
    "\ufeff",
    "\ud800",
]
SUFFIXES += ["*", "~", "#", "!", "{", "}", "^"]
WHOLE = [
    "",
    "..",
    "../x",
    "../../etc/passwd",
    "/etc/../passwd",
    "/a/./b",
    "-x",
    "--help",
    " ",
    "\n",
    ",x",
    "$HOME",
]
NAMES = {
    ("board", *path, "name")
    for path in (
        ("root_ports",),
        ("root_ports", "functions"),
        ("root_ports", "functions", "functions"),
        ("integrated",),
        ("integrated", "functions"),
    )
}
COMMA_IS_FINE = {("host", "kernel_parameters")} | NAMES
EMPTY_IS_FINE = {("host", "cpu", "model")} | NAMES

# Free text, which is put nowhere but into JSON.
PROSE = {("description",), ("expect", "failing", "because"), ("expect", "findings", "because")}

Path = tuple[str | int, ...]


def keys(path: Path) -> tuple[str, ...]:
    return tuple(step for step in path if isinstance(step, str))


def leaves(node: Any, path: Path = ()) -> list[Path]:
    if isinstance(node, dict):
        return [leaf for key, value in node.items() for leaf in leaves(value, (*path, key))]
    if isinstance(node, tuple):
        return [leaf for index, value in enumerate(node) for leaf in leaves(value, (*path, index))]
    return [path] if isinstance(node, str) and keys(path) not in PROSE else []


def changed(node: Any, path: Path, value: str) -> Any:
    if not path:
        return value
    if isinstance(node, dict):
        return {**node, path[0]: changed(node[path[0]], path[1:], value)}
    return tuple(changed(one, path[1:], value) if index == path[0] else one for index, one in enumerate(node))


TREE = plain(loads(TEXT, file="s.yaml", settings=EXTRA).source.tree)
LEAVES = leaves(TREE)


def at(path: Path) -> Any:
    node = TREE
    for step in path:
        node = node[step]
    return node


def of_schema(
    node: dict[str, Any], path: tuple[str, ...] = (), inside: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Paths of everything in the schema that is a text; of what holds itself, only the outermost."""
    reference = node.get("$ref", "")
    if reference in inside:
        return
    if reference:
        node, inside = schema()["$defs"][reference.rpartition("/")[2]], (*inside, reference)
    if node.get("type") == "string":
        yield path
    below = [*node.get("anyOf", []), *node.get("oneOf", []), *([node["items"]] if "items" in node else [])]
    for one in below:
        yield from of_schema(one, path, inside)
    for key, one in node.get("properties", {}).items():
        yield from of_schema(one, (*path, key), inside)


def test_every_text_of_the_model_is_attacked() -> None:
    texts = set(of_schema(schema())) - PROSE
    assert texts == {keys(path) for path in LEAVES}
    Scenario.model_validate(TREE)


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: ".".join(map(str, path)))
def test_hostile_texts_are_refused(path: Path) -> None:
    good = at(path)
    attacks = [good + suffix for suffix in SUFFIXES] + [suffix + good for suffix in SUFFIXES] + WHOLE
    attacks += [] if keys(path) in COMMA_IS_FINE else [f"{good},x"]
    for attack in attacks:
        if attack == "" and keys(path) in EMPTY_IS_FINE:
            continue
        if attack == "/a/./b" and not str(good).startswith("/"):
            continue
        with pytest.raises(ValidationError) as caught:
            Scenario.model_validate(changed(TREE, path, attack))
        assert any(_path(error) == path for error in caught.value.errors()), attack


@pytest.mark.parametrize("attack", ["$(id)", "a\u2028b", "a\u202eb", "a\nb", "a\0b"])
def test_the_place_of_a_hostile_text_is_named(attack: str) -> None:
    escaped = "".join(f"\\u{ord(char):04x}" for char in attack)
    with pytest.raises(BadInput) as caught:
        loads(TEXT.replace("name: win10", f'name: "{escaped}"'), file="s.yaml")
    assert str(caught.value).startswith("s.yaml:69:9: guest.name: ")
    assert "\u2028" not in str(caught.value)
    assert "\u202e" not in str(caught.value)


@pytest.mark.parametrize("attack", ["a\0b", "a\x1bb", "a\u202eb", "a\u2028b", "x" * 4001])
def test_descriptions_have_no_controls(attack: str) -> None:
    with pytest.raises(ValidationError):
        Scenario.model_validate({**TREE, "description": attack})


@pytest.mark.parametrize("attack", ["a\x1b[2J", "a\u202eb", "a\0"])
def test_reasons_have_no_controls(attack: str) -> None:
    with pytest.raises(ValidationError):
        Scenario.model_validate(changed(TREE, ("expect", "failing", 0, "because"), attack))


def test_descriptions_are_free_otherwise() -> None:
    text = "$(x) `y` 'z' \"q\" <a> & ]]>\nsecond line, 中文"
    assert Scenario.model_validate({**TREE, "description": text}).description == text
