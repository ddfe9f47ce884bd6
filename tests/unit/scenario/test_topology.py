"""Boards that cannot be, each refused where it stands."""

from __future__ import annotations

import pytest

from pipeline.errors import BadInput
from pipeline.scenario import loads
from pipeline.scenario.loader import SHIPPED

HEAD, _, REST = (SHIPPED / "rx560.yaml").read_text(encoding="utf-8").partition("board:\n")
TAIL = "passthrough: [" + REST.partition("passthrough: [")[2].replace('"01:00.0", "01:00.1"', '"01:00.0"')
FIRST = HEAD.count("\n") + 2


def refused(board: str) -> str:
    with pytest.raises(BadInput) as caught:
        loads(f"{HEAD}board:\n{board}{TAIL}", file="s.yaml")
    return str(caught.value)


def card(address: str, more: str = "") -> str:
    return '{address: "' + address + '", class: "0300", id: "1002:67ef"' + more + "}"


def bridge(address: str, kind: str, *behind: str) -> str:
    return '{address: "' + address + f'", bridge: {kind}, functions: [{", ".join(behind)}]}}'


def board(*ports: tuple[str, str], integrated: str = "", more: str = "") -> str:
    lines = ["  root_ports:"]
    lines += [f'    - {{address: "{address}", functions: [{behind}]{more}}}' for address, behind in ports]
    return "\n".join([*lines, f"  integrated: [{integrated}]", ""])


GOOD = ("00:01.0", card("01:00.0"))


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        pytest.param(
            board(GOOD, ("00:02.0", card("01:00.0"))),
            2,
            "01:00.0 is on the board twice",
            "first at s.yaml:",
            id="twice",
        ),
        pytest.param(
            board(("00:01.0", f"{card('01:00.0')}, {card('02:00.1')}")),
            1,
            "02:00.1 cannot be behind the root port 00:01.0",
            "behind a root port is one bus",
            id="another-bus",
        ),
        pytest.param(
            board(("00:01.0", f"{card('01:00.0')}, {card('01:01.0')}")),
            1,
            "01:01.0 cannot be behind the root port 00:01.0",
            "with device 00",
            id="device-behind-a-port",
        ),
        pytest.param(
            board(GOOD, ("00:02.0", card("02:00.3"))),
            2,
            "the slot of 02:00.3 has no function 0",
            "nothing looks",
            id="no-head",
        ),
        pytest.param(
            board(("00:01.1", card("01:00.0")), more=", acs: false"),
            1,
            "the slot of 00:01.1 has no function 0",
            "write it under `integrated`",
            id="no-head-on-bus-0",
        ),
        pytest.param(
            board(("00:01.0", card("02:00.0")), ("00:02.0", card("01:00.0"))),
            2,
            "bus 01 cannot be behind 00:02.0",
            "depth first, in the order of the bridges' addresses: 00:01.0 has had 02 before",
            id="order",
        ),
        pytest.param(
            board(
                ("00:01.0", bridge("01:00.0", "pcie-to-pci", card("03:00.0"))), ("00:02.0", card("02:00.0"))
            ),
            2,
            "bus 02 cannot be behind 00:02.0",
            "01:00.0 has had 03 before",
            id="depth-first",
        ),
        pytest.param(
            board(("00:01.0", bridge("01:00.0", "pcie-to-pci", card("01:01.0")))),
            1,
            "bus 01 is in a loop of bridges",
            "01:00.0 itself is on bus 01",
            id="loop",
        ),
        pytest.param(
            board(GOOD, ("00:02.0", bridge("02:00.0", "pcie-to-pci", card("01:01.0")))),
            2,
            "bus 01 is behind two bridges",
            "it is behind 00:01.0",
            id="bus-twice",
        ),
        pytest.param(
            board(("00:01.0", bridge("01:00.0", "downstream-port", card("02:00.0")))),
            1,
            "01:00.0 cannot be behind the root port",
            "behind the upstream port of its switch",
            id="downstream-alone",
        ),
        pytest.param(
            board(("00:01.0", bridge("01:00.0", "upstream-port", card("02:00.0")))),
            1,
            "02:00.0 cannot be behind the upstream port 01:00.0",
            "with its downstream ports",
            id="card-in-a-switch",
        ),
        pytest.param(
            board(
                (
                    "00:01.0",
                    bridge("01:00.0", "pcie-to-pci", bridge("02:00.0", "pcie-to-pci", card("03:00.0"))),
                )
            ),
            1,
            "02:00.0 cannot be behind the PCIe-to-PCI bridge 01:00.0",
            "functions that are no bridges",
            id="bridge-behind-pci",
        ),
        pytest.param(
            board(("00:01.0", card("01:00.0", ", conventional: true"))),
            1,
            "01:00.0 cannot be behind the root port 00:01.0",
            "nothing is conventional",
            id="conventional-behind-a-port",
        ),
        pytest.param(
            board(GOOD, integrated=bridge("00:05.0", "upstream-port", card("02:00.0"))),
            2,
            "00:05.0 cannot be on bus 00",
            "behind another port",
            id="upstream-on-bus-0",
        ),
        pytest.param(
            board(GOOD, integrated=card("05:00.0")),
            2,
            "05:00.0 is not on bus 00",
            "`functions` of the port",
            id="integrated",
        ),
        pytest.param(
            board(("0001:00:01.0", card("01:00.0"))),
            1,
            "0001:00:01.0 is not on bus 00",
            "bus 00",
            id="domain",
        ),
        pytest.param(
            board(GOOD, integrated=card("00:05.0").replace("0300", "0604")),
            2,
            "board.integrated.0: class 0604 is that of bridges",
            "",
            id="bridge-as-function",
        ),
        pytest.param(
            board(
                GOOD,
                integrated=bridge("00:05.0", "pcie-to-pci", card("02:00.0")).replace("}]}", "}], acs: true}"),
            ),
            2,
            "board.integrated.0: acs is said of root ports and downstream ports",
            "",
            id="acs-of-a-pci-bridge",
        ),
        pytest.param(
            board(
                *(
                    (f"00:{n:02x}.0", ", ".join(card(f"{n:02x}:00.{f}") for f in range(8)))
                    for n in range(1, 12)
                )
            ),
            -1,
            "99 ports and functions are too many",
            "at most 96",
            id="too-many",
        ),
    ],
)
def test_what_cannot_be_is_refused(text: str, line: int, message: str, hint: str) -> None:
    found = refused(text)
    assert found.startswith(f"s.yaml:{FIRST + line}:")
    assert message in found
    assert hint in found.partition("\n  hint: ")[2]


def test_a_whole_board_is_taken() -> None:
    downstream = bridge("02:01.0", "downstream-port", card("03:00.0"))
    switch = bridge("01:00.2", "upstream-port", downstream)
    sound = bridge("00:1b.0", "pcie-to-pci", card("04:01.0"), card("04:02.0"))
    text = board(("00:01.0", f"{card('01:00.0')}, {switch}"), integrated=f"{sound}, {card('00:02.0')}")
    scenario = loads(f"{HEAD}board:\n{text}{TAIL}", file="s.yaml").scenario
    assert [one.address for one in scenario.functions] == [
        "01:00.0",
        "03:00.0",
        "04:01.0",
        "04:02.0",
        "00:02.0",
    ]
