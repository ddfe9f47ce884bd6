"""What the model refuses beyond the grammar of its texts."""

import pytest

from pipeline.errors import BadInput
from pipeline.scenario import read

BARS = "board.root_ports.0.functions.0.bars"


@pytest.mark.parametrize(
    ("bars", "message"),
    [
        ("[{index: 0, size: 3 KiB, kind: mem32}]", "the size of a BAR is a power of two"),
        ("[{index: 0, size: 512 B, kind: io}]", "an I/O BAR is at most 256 B"),
        ("[{index: 0, size: 8 B, kind: mem32}]", "a memory BAR is at least 16 B"),
        ("[{index: 5, size: 16 KiB, kind: mem64}]", "BAR 5 is the last"),
        (
            "[{index: 0, size: 1 MiB, kind: mem64}, {index: 1, size: 1 MiB, kind: mem32}]",
            "BAR 1 is used twice",
        ),
        ("[{index: 6, size: 1 MiB, kind: mem32}]", "6 is not allowed"),
    ],
)
def test_bars(bars: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read("rx560", settings=[f"{BARS}={bars}"])


@pytest.mark.parametrize(
    ("text", "size"), [("1 MiB", 1 << 20), ("8 GiB", 8 << 30), ("1 TiB", 1 << 40), ("2097152 B", 2 << 20)]
)
def test_memory(text: str, size: int) -> None:
    assert read("rx560", settings=[f"guest.memory={text}"]).scenario.guest.memory == size


@pytest.mark.parametrize(
    "text",
    ["8", "8GiB", "8 GB", "0 GiB", "-1 GiB", "1.5 GiB", "17 KiB", "8  GiB", "9999999999 TiB", "true", "null"],
)
def test_memory_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"guest\.memory"):
        read("rx560", settings=[f"guest.memory={text}"])


def test_addresses_and_ids_are_brought_to_one_form() -> None:
    scenario = read(
        "rx560", settings=["passthrough.0='0000:01:00.0'", "host.vfio.ids=['1002:67EF']"]
    ).scenario
    assert scenario.passthrough[0] == "01:00.0"
    assert scenario.host.vfio.ids == ("1002:67ef",)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("expect.groups=[['01:00.0'], ['01:00.0', '01:00.1']]", "01:00.0 is in two places of expect.groups"),
        ("expect.groups=[[]]", "an empty list is not allowed"),
        (
            "guest.host_devices=[{source: '01:00.0'}, {source: '01:00.0'}]",
            "01:00.0 is a source of two host_devices",
        ),
    ],
)
def test_lists_of_addresses(setting: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read("rx560", settings=[setting])
