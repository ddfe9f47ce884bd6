from __future__ import annotations

from pipeline.lab import payload
from pipeline.lab.functions import script
from pipeline.lab.functions.program import PREFIX

TEXT = script.script([(1, 0), (1, 1)], [1, 3], [0, 1, 0])
LINES = TEXT.split("\r\n")


def test_the_report_is_as_without_function_tests() -> None:
    report = payload.report_lines([(1, 0), (1, 1)])
    start = LINES.index(report[0])
    assert LINES[start : start + len(report)] == report


def test_each_boot_has_its_part_and_its_end() -> None:
    dumps = [line.split()[-1] for line in LINES if line.startswith(f"echo {script.CONFIG}")]
    assert dumps == [script.FIRST, "end", script.RESTARTED, "end", script.REBOOTED, "end"]
    assert [line for line in LINES if line.startswith("reset")] == ["reset -s", "reset", "reset -s"]
    assert LINES.index("reset") > LINES.index(f"echo {script.CONFIG} {script.RESTARTED}")


def test_the_dump_is_of_each_function_of_each_bus() -> None:
    dumped = [line for line in LINES if line.startswith("dmem")]
    once = [f"dmem {0xE0000000 + (bus << 20) + (number << 12):X} 100" for bus in (1, 3) for number in (0, 1)]
    assert dumped == once * 3


def test_linux_starts_in_the_first_boot_only() -> None:
    starts = [place for place, line in enumerate(LINES) if line.startswith(script.KERNEL)]
    assert len(starts) == 1
    assert LINES.index("if x%dryboot%x == xx then") < starts[0] < LINES.index("reset -s")


def test_what_is_opened_is_closed() -> None:
    for word in ("if", "for"):
        opened = [line for line in LINES if line.startswith(f"{word} ")]
        assert len(opened) == LINES.count(f"end{word}")


def test_nothing_in_the_script_looks_like_a_report_of_the_program() -> None:
    assert PREFIX not in TEXT
