"""Positions of what was written."""

import pytest

from pipeline.scenario import loads
from pipeline.scenario.loader import SHIPPED
from pipeline.scenario.source import Path

SOURCE = loads((SHIPPED / "rx560.yaml").read_text(encoding="utf-8"), file="s.yaml").source


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), "s.yaml:1:1"),
        (("guest",), "s.yaml:68:1"),
        (("guest", "machine"), "s.yaml:71:12"),
        (("host", "kernel_parameters", 2), "s.yaml:16:51"),
        (("host", "vfio", "ids"), "s.yaml:8:1"),
        (("board", "root_ports", 1, "functions", 0, "id"), "s.yaml:46:53"),
        (("passthrough", 7), "s.yaml:67:14"),
    ],
)
def test_places(path: Path, place: str) -> None:
    assert str(SOURCE.place(path)) == place


def test_the_line_is_quoted() -> None:
    assert SOURCE.place(("guest", "machine")).text == "machine: pc-q35-9.2"
