"""Runs of lint with mending: what is mended holds, and what was not asked for stays."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from pipeline import linting
from pipeline.errors import BadInput, ExitCode
from pipeline.inputs import ScenarioInput, Target
from pipeline.lint import Finding, lint
from pipeline.report.findings import Terminal
from pipeline.scenario.loader import SHIPPED
from pipeline.setup import Setup

CHECKOUT = Path(__file__).resolve().parents[2]


class Run:
    """A scenario of one's own, linted and mended."""

    def __init__(self, folder: Path) -> None:
        self.base = folder
        self.path = folder / "own.yaml"
        self.text = (SHIPPED / "rx560.yaml").read_text()

    def write(self, text: str) -> None:
        self.path.write_bytes(text.encode())

    def lint(self) -> tuple[Finding, ...]:
        return lint(ScenarioInput(name="./own.yaml", base=self.base).setup({}))

    def fix(self, *, ask=lambda: True, settings: tuple[str, ...] = (), strict: bool = False):
        stream = io.StringIO()
        console = Console(file=stream, width=300)
        status = linting.run(
            [ScenarioInput(name="./own.yaml", base=self.base, settings=settings)],
            Terminal(console),
            console=console,
            errors=console,
            fixing=ask,
            strict=strict,
        )
        return status, stream.getvalue()


@pytest.fixture
def own(tmp_path: Path) -> Run:
    return Run(tmp_path)


def faulty(text: str, fault: str) -> tuple[str, str]:
    """A faulty text of the shipped scenario, and what it shall be when it is mended."""
    first, second, *_ = fault.split(" -> ")
    key = first.partition(":")[0]
    line = (
        next(line for line in text.splitlines() if line.strip().startswith(f"{key}:"))
        if key
        in {
            "kernel_parameters",
            "machine",
        }
        else None
    )
    if line is not None:
        indent = line[: len(line) - len(line.lstrip())]
        return text.replace(line, indent + first), text.replace(line, indent + second)
    anchor = "  bootloader: grub\n" if key == "vfio" else "    generator: mkinitcpio\n"
    indent = "  " if key == "vfio" else "    "
    return tuple(text.replace(anchor, f"{anchor}{indent}{one}\n") for one in (first, second))


FAULTS = {
    "DB101": 'vfio: {ids: ["148c:2385", "1002:aae0"]} -> vfio: {ids: ["1002:67ef", "1002:aae0"]}',
    "DB103": 'vfio: {ids: ["1002:67ef", "1002:aae0", "1022:15e0"]} -> vfio: {ids: ["1002:67ef", "1002:aae0"]}',
    "DB104": 'vfio: {ids: ["1002:67ef"]} -> vfio: {ids: ["1002:67ef", "1002:aae0"]}',
    "DB201": "modules: [vfio_pci, vfio_virqfd, vfio] -> modules: [vfio_pci, vfio]",
    "DB202": "modules: [vfio, vfio_iommu_type1] -> modules: [vfio, vfio_iommu_type1, vfio_pci]",
    "DB203": "modules: [amdgpu, vfio_pci] -> modules: [vfio_pci, amdgpu]",
    "DB301": "hooks: [base, udev, block] -> hooks: [base, udev, modconf, block]",
    "DB302": "hooks: [base, udev, modcnf, modconf] -> hooks: [base, udev, modconf, modconf]",
    "DB401": "kernel_parameters: [quiet, amd_iommu=on] -> kernel_parameters: [quiet]",
    "DB402": "kernel_parameters: [quiet, amd_iommu=off] -> kernel_parameters: [quiet]",
    "DB602": "machine: pc-q35-3.1 -> machine: pc-q35-8.2",
    "DB606": "machine: q35 -> machine: pc-q35-11.1",
}


@pytest.mark.parametrize("code", FAULTS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_can_be_mended_is_and_lint_no_longer_finds_it(own: Run, code: str, end: str) -> None:
    before, after = (text.replace("\n", end) for text in faulty(own.text, FAULTS[code]))
    own.write(before)
    assert code in [one.code for one in own.lint()]
    status, said = own.fix()
    assert own.path.read_bytes().decode() == after
    assert (own.base / "own.yaml.before-dryboot").read_bytes().decode() == before
    assert f" {code}: " in said.partition("mended: ")[2]
    assert code not in [one.code for one in own.lint()]
    assert status is ExitCode.HELD


def test_many_faults_are_mended_in_one_go(own: Run) -> None:
    text = own.text
    for code in ("DB101", "DB203", "DB402", "DB602"):
        text, _ = faulty(text, FAULTS[code])
    own.write(text)
    before = {one.code for one in own.lint()}
    assert before >= {"DB101", "DB203", "DB402", "DB602"}
    assert own.fix()[0] is ExitCode.HELD
    assert [one.code for one in own.lint()] == ["DB303"]
    assert sum(one.name.startswith("own.yaml.before") for one in own.base.iterdir()) == 1


def test_a_mistyped_word_is_mended_and_not_put_in_once_more(own: Run) -> None:
    anchor = "    generator: mkinitcpio\n"
    own.write(own.text.replace(anchor, f"{anchor}    hooks: [base, udev, modconfig, block]\n"))
    assert {one.code for one in own.lint()} >= {"DB301", "DB302"}
    own.fix()
    assert "    hooks: [base, udev, modconf, block]\n" in own.path.read_text()


def test_the_difference_is_shown_and_nothing_written_unless_that_is_wanted(own: Run) -> None:
    before, _ = faulty(own.text, FAULTS["DB402"])
    own.write(before)
    status, said = own.fix(ask=lambda: False)
    assert status is ExitCode.FAILED
    assert own.path.read_text() == before
    assert [one.name for one in own.base.iterdir()] == ["own.yaml"]
    lines = said.splitlines()
    assert lines[:2] == ["--- ./own.yaml", "+++ ./own.yaml (mended)"]
    assert "-  kernel_parameters: [quiet, amd_iommu=off]" in lines
    assert "+  kernel_parameters: [quiet]" in lines
    assert "nothing was written; --yes writes it without asking" in lines
    assert any("error DB402" in line for line in lines)


def test_a_sound_scenario_is_left_and_nobody_asked(own: Run) -> None:
    own.write(own.text)

    def ask() -> bool:
        raise AssertionError

    status, said = own.fix(ask=ask)
    assert status is ExitCode.HELD
    assert "there is nothing that --fix can mend" in said
    assert own.path.read_text() == own.text


def test_what_a_setting_says_is_not_mended_in_the_file(own: Run) -> None:
    own.write(own.text)
    status, said = own.fix(settings=("host.kernel_parameters=[amd_iommu=off]",))
    assert status is ExitCode.FAILED
    assert "it was set by --set host.kernel_parameters, not in a file" in said
    assert own.path.read_text() == own.text


def test_a_mend_with_which_the_input_could_not_be_read_is_not_made(own: Run) -> None:
    before, _ = faulty(own.text, FAULTS["DB402"])
    own.write(before)
    real = ScenarioInput(name="./own.yaml", base=own.base)

    class Picky:
        shown = "./own.yaml"

        def setup(self, changed) -> Setup:
            if changed:
                raise BadInput("no")
            return real.setup(changed)

        def target(self, file: str) -> Target | None:
            return real.target(file)

    made = linting.mending(Picky(), own.lint())
    assert (made.new, made.mended) == ({}, ())
    ((left, why),) = made.left
    assert (left.code, why) == ("DB402", "with it, the input could not be read: no")


class Fixed:
    """An input that gives what it was made with."""

    def __init__(self, name: str, error: BadInput | None = None) -> None:
        self.shown = name
        self.input = ScenarioInput(name=name, base=Path("/"))
        self.error = error

    def setup(self, changed) -> Setup:
        if self.error:
            raise self.error
        return self.input.setup(changed)

    def target(self, file: str) -> Target | None:
        return self.input.target(file)


def ran(inputs: Sequence[Fixed], *, strict: bool = False) -> tuple[ExitCode, str, str]:
    said, errors = io.StringIO(), io.StringIO()
    console = Console(file=said, width=300)
    status = linting.run(
        inputs, Terminal(console), console=console, errors=Console(file=errors, width=300), strict=strict
    )
    return status, said.getvalue(), errors.getvalue()


@pytest.mark.parametrize(
    ("names", "strict", "status"),
    [
        (["rx560"], False, ExitCode.HELD),
        (["rx560"], True, ExitCode.HELD),
        (["rx560-2019"], False, ExitCode.HELD),
        (["rx560-2019"], True, ExitCode.FAILED),
        (["bad-group"], False, ExitCode.FAILED),
        (["bad-group", "rx560"], False, ExitCode.FAILED),
        (["rx560", "bad-group"], False, ExitCode.FAILED),
    ],
)
def test_the_worst_finding_decides(names: list[str], strict: bool, status: ExitCode) -> None:
    assert ran([Fixed(name) for name in names], strict=strict)[0] is status


def test_of_several_inputs_one_that_cannot_be_read_does_not_keep_the_others_from_being_looked_at() -> None:
    bad = Fixed("rx560", BadInput("it is broken"))
    for inputs in ([bad, Fixed("bad-group")], [Fixed("bad-group"), bad]):
        status, said, errors = ran(inputs)
        assert status is ExitCode.BAD_INPUT
        assert "bad-group: 1 errors" in said
        assert errors == "error: it is broken\n"
    with pytest.raises(BadInput, match="it is broken"):
        ran([bad])


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [("y\n", True), ("Yes \n", True), ("n\n", False), ("\n", False), ("\x04", False), ("yep\n", False)],
)
def test_a_person_at_a_terminal_is_asked(own: Run, typed: str, wanted: bool) -> None:
    before, after = faulty(own.text, FAULTS["DB402"])
    own.write(before)
    code = (
        "from pipeline import commands; "
        "commands.end(commands.lint, commands.LintOptions(scenarios=('own.yaml',), fix=True))"
    )
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], "TERM": "xterm", "DRYBOOT_CWD": str(own.base)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(ours, 4096)
        os.write(ours, typed.encode())
        with suppress(OSError):  # what is read from a terminal whose other side is closed
            while part := os.read(ours, 4096):
                said += part
        status = process.wait(60)
    os.close(ours)
    assert own.path.read_text() == (after if wanted else before)
    assert status == (0 if wanted else 1)
    assert b"\x1b[31m-  kernel_parameters: [quiet, amd_iommu=off]" in said
