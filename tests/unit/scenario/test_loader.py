"""Text to Scenario: what is refused, and where the message points."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.scenario import Loaded, find, load, loads, read
from pipeline.scenario.document import SIZE_LIMIT
from pipeline.scenario.loader import SHIPPED

TEXT = (SHIPPED / "rx560.yaml").read_text(encoding="utf-8")


def refused(text: str, *settings: str) -> BadInput:
    with pytest.raises(BadInput) as caught:
        loads(text, file="s.yaml", settings=settings)
    return caught.value


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.yaml")))
def test_shipped_scenarios_load(name: str) -> None:
    assert read(name).scenario.name == name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "year: 2026",
            "year: 1999",
            "s.yaml:10:9: host.year: 1999 is not allowed\n  hint: allowed: 2019 or more",
        ),
        (
            'kernel: "6.12"',
            "kernel: 6.12",
            "s.yaml:13:11: host.kernel: 6.12 is not allowed\n"
            "  hint: allowed: a kernel series in quotes: two numbers and a dot, such as '6.12'",
        ),
        (
            "memory: 16 GiB",
            "memory: 16 Gb",
            "s.yaml:12:11: host.memory: '16 Gb' is not allowed\n"
            "  hint: allowed: a number and a unit (MiB, GiB, TiB), a whole number of MiB, such as '8 GiB'",
        ),
        (
            "distribution: manjaro",
            "distribution: gentoo",
            "s.yaml:9:17: host.distribution: 'gentoo' is not allowed\n"
            "  hint: allowed: 'manjaro', 'arch', 'debian' or 'fedora'",
        ),
        (
            "[quiet, udev.log_priority=3, iommu=pt]",
            "[quiet, 'a b']",
            "s.yaml:16:30: host.kernel_parameters.1: 'a b' is not allowed\n"
            "  hint: allowed: one kernel parameter without spaces or quotes, such as 'iommu=pt'",
        ),
        (
            "network: {bridge: br0}",
            "network: {}",
            "s.yaml:80:3: guest.network.bridge is missing\n"
            "  hint: the keys are in scenarios/scenario.schema.json (an editor completes from it) "
            "and docs/scenario.md",
        ),
        (
            "  os: windows10",
            "  so: windows10",
            "s.yaml:68:1: guest.os is missing\ns.yaml:70:7: guest.so is not a key that a scenario has; "
            "the keys are in scenarios/scenario.schema.json (an editor completes from it) "
            "and docs/scenario.md\n  hint: the keys are in scenarios/scenario.schema.json "
            "(an editor completes from it) and docs/scenario.md",
        ),
        (
            'passthrough: ["01:00.0", "01:00.1"]',
            'passthrough: ["01:00.0", "07:00.0"]',
            "s.yaml:67:26: 07:00.0 is not a function of the board\n"
            "  hint: there are: 01:00.0, 01:00.1, 02:00.0, 03:00.0, 04:00.0, 05:00.0, 06:00.0",
        ),
        (
            'passthrough: ["01:00.0", "01:00.1"]',
            'passthrough: ["01:00.0", "0000:01:00.0"]',
            "s.yaml:67:26: 01:00.0 is passed through twice",
        ),
        (
            'address: "02:00.0"',
            'address: "03:00.0"',
            "s.yaml:50:21: 03:00.0 is on the board twice\n  hint: first at s.yaml:46:21",
        ),
        (
            'address: "01:00.1"',
            'address: "07:00.1"',
            "s.yaml:35:20: 07:00.1 cannot be behind the root port 00:01.1\n"
            "  hint: behind a root port is one bus other than 00 with device 00 and its functions",
        ),
        (
            'address: "02:00.0"',
            'address: "02:00.1"',
            "s.yaml:46:21: the slot of 02:00.1 has no function 0\n"
            "  hint: without a function 0 nothing looks for the others",
        ),
        (
            'address: "00:01.2"',
            'address: "08:01.2"',
            "s.yaml:43:16: 08:01.2 is not on bus 00\n  hint: root ports are on bus 00",
        ),
    ],
)
def test_errors_name_place_value_and_what_is_allowed(old: str, new: str, message: str) -> None:
    assert TEXT.count(old) == 1
    assert str(refused(TEXT.replace(old, new))) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema: 1\nname: a\nname: b\n", 's.yaml:3:1: not YAML: found duplicate key "name"'),
        ("schema: 1\n\tname: a\n", "s.yaml:2:1: not YAML: found character '\\t'"),
        ("a: &x 1\nb: *x\n", "s.yaml:1:4: anchors and aliases are not allowed"),
        ("schema: 1\nname: !!python/name:os.system x\n", "s.yaml:2:7: tags are not allowed"),
        ("<<: {schema: 1}\n", "s.yaml:1:1: merge keys are not allowed"),
        ("a: " + "[" * 100_000, "s.yaml:1:19: nested too deeply"),
        ("- 1\n", "s.yaml:1: a scenario is a mapping"),
        ("", "s.yaml:1: a scenario is a mapping"),
        ("a: {}\n---\nb: {}\n", "s.yaml:2:1: not YAML: but found another document"),
        ("schema: " + "9" * 5000 + "\n", "s.yaml: not YAML: Exceeds the limit"),
        ("x" * (SIZE_LIMIT + 1), f"s.yaml: a scenario has at most {SIZE_LIMIT} characters"),
        ("a: b\0c\n", "s.yaml: not YAML: "),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_texts_that_are_no_scenario(text: str, message: str) -> None:
    assert str(refused(text)).startswith(message)


def test_a_key_in_a_message_cannot_forge_lines() -> None:
    text = str(refused('schema: 1\n"x\\nrx560.yaml:1:1: fine\\u202e": 1\n'))
    assert "\u202e" not in text
    assert "\nrx560.yaml:1:1" not in text


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    with pytest.raises(BadInput, match="cannot read the scenario: No such file"):
        load(path)
    path.write_bytes(b"schema: 1\nname: \xc3\xa4\xff\n")
    with pytest.raises(BadInput) as caught:
        load(path, file="mine.yaml")
    assert str(caught.value) == "mine.yaml:2:8: not UTF-8 text"
    path.write_bytes(b"#" * (SIZE_LIMIT + 1))
    with pytest.raises(BadInput, match="at most"):
        load(path)


def test_places_name_the_file_as_given(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(TEXT, encoding="utf-8")
    assert read("./mine.yaml", base=tmp_path).source.file == "./mine.yaml"
    assert read("rx560").source.file == "scenarios/rx560.yaml"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "nothing",
        "scenario.schema",
        "scenarios/scenario.schema.json",
        "scenarios/",
        "a\0b",
        "x" * 5000,
    ],
)
def test_names_of_no_scenario(name: str) -> None:
    with pytest.raises(BadInput, match="no scenario") as caught:
        find(name, base=SHIPPED.parent)
    assert caught.value.hint.endswith("rx560, rx560-2019, single-gpu")


def test_settings_are_applied_and_their_errors_name_them() -> None:
    loaded = loads(
        TEXT,
        file="s.yaml",
        settings=[
            "host.qemu=10.0",
            "guest.network.model=virtio",
            "host.vfio.ids=[1002:67ef]",
            "guest.memory=4 GiB",
        ],
    )
    assert loaded.scenario.host.qemu == "10.0"
    assert loaded.scenario.guest.network is not None
    assert loaded.scenario.guest.network.model == "virtio"
    assert loaded.scenario.guest.memory == 4 << 30
    assert str(loaded.source.place(("host", "vfio", "ids", 0))) == "--set host.vfio.ids"
    assert str(loaded.source.place(("host", "vfio"))) == "--set host.vfio.ids"
    assert str(loaded.source.place(("guest", "network", "bridge"))) == "s.yaml:80:21"


def test_a_later_setting_hides_the_earlier_ones_below_it() -> None:
    loaded = loads(TEXT, file="s.yaml", settings=["passthrough.1=01:00.1", 'passthrough=["01:00.0"]'])
    assert str(loaded.source.place(("passthrough", 1))) == "--set passthrough"
    assert loaded.scenario.passthrough == ("01:00.0",)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("guest", "cannot read --set 'guest'"),
        ("=x", "cannot read --set '=x'"),
        ("a..b=1", "cannot read --set 'a..b=1'"),
        ("0=1", "cannot read --set '0=1'"),
        ("guest\u202e=1", "cannot read --set 'guest\\u202e=1'"),
        ("guest.name=[", "--set guest.name: not YAML"),
        ("guest.name.x=1", "--set guest.name.x: there is no 'name' to set something in"),
        ("passthrough.2=x", "--set passthrough.2: the list has 2 entries, there is no 2"),
        ("passthrough.x=x", "--set passthrough.x: the list has 2 entries, there is no 'x'"),
        ("a.b=1", "--set a.b: a is not a key that a scenario has"),
        (
            "host.cpu.cores=0",
            "--set host.cpu.cores: host.cpu.cores: 0 is not allowed\n  hint: allowed: 1 or more",
        ),
        ("guest.name=*x", "--set guest.name: anchors and aliases are not allowed"),
        ("host.year=" + "9" * 5000, "--set host.year: not YAML"),
    ],
)
def test_settings_that_cannot_be_applied(setting: str, message: str) -> None:
    assert str(refused(TEXT, setting)).startswith(message)


def _bad_or_loaded(text: str, *settings: str) -> None:
    try:
        assert isinstance(loads(text, file="s.yaml", settings=settings), Loaded)
    except BadInput as error:
        assert str(error)


CHARACTERS = st.sampled_from("abx01: -[]{}#&*!|>'\"%@`\n\t,?<=~\\\u2028\x85\ud800é")


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=60), st.text(alphabet=CHARACTERS, max_size=60)))
def test_any_text_is_loaded_or_refused(text: str) -> None:
    _bad_or_loaded(text)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(TEXT)), st.integers(0, 12), st.text(alphabet=CHARACTERS, max_size=12))
def test_any_change_of_a_scenario_is_loaded_or_refused(start: int, length: int, new: str) -> None:
    _bad_or_loaded(TEXT[:start] + new + TEXT[start + length :])


@settings(max_examples=25)
@given(
    st.sampled_from(
        ["guest.name", "guest", "host.vfio.ids.0", "passthrough.0", "board.root_ports.0.functions"]
    ),
    st.text(alphabet=CHARACTERS, max_size=20),
)
def test_any_setting_is_applied_or_refused(key: str, value: str) -> None:
    _bad_or_loaded(TEXT, f"{key}={value}")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=80))
def test_any_bytes_are_loaded_or_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(raw)
    with pytest.raises(BadInput):
        load(path)


def test_unicode_letters_are_fine_in_paths() -> None:
    loaded = loads(
        TEXT,
        file="s.yaml",
        settings=[f"guest.disk.path={json.dumps('/срв/диск 1.qcow2', ensure_ascii=False)}"],
    )
    assert loaded.scenario.guest.disk.path == "/срв/диск 1.qcow2"


def test_a_list_whose_entry_is_refused_is_not_called_too_short() -> None:
    text = (SHIPPED / "rx560.yaml").read_text().replace("name: NVMe disk", 'name: "NVMe\'s disk"')
    with pytest.raises(BadInput) as caught:
        loads(text, file="s.yaml")
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("board.root_ports.1.functions.0.name: ")


def test_an_empty_list_is_too_short() -> None:
    text = (
        (SHIPPED / "rx560.yaml").read_text().replace('passthrough: ["01:00.0", "01:00.1"]', "passthrough: []")
    )
    with pytest.raises(BadInput, match=r"^.*passthrough: an empty list is not allowed"):
        loads(text, file="s.yaml")
