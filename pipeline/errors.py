"""The ways a run can end other than well, each with the exit code of its kind."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What a task's exit status means."""

    HELD = 0
    FAILED = 1
    BAD_INPUT = 2
    LAB_FAULT = 3
    INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where something was written: a file (or option) with 1-based line and column."""

    file: str
    line: int = 0
    column: int = 0
    text: str = ""

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


class DrybootError(Exception):
    """Base of every error that ends a task; `exit_code` is the task's exit status."""

    exit_code = ExitCode.LAB_FAULT

    def __init__(self, message: str, *, place: Place | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        head = f"{self.place}: {self.message}" if self.place else self.message
        return f"{head}\n  hint: {self.hint}" if self.hint else head


class BadInput(DrybootError):
    """The user's input cannot be used: nothing was written."""

    exit_code = ExitCode.BAD_INPUT


class ScenarioFails(DrybootError):
    """The scenario is readable, but what it asks for will not work (an error finding)."""

    exit_code = ExitCode.FAILED


class LabFault(DrybootError):
    """The harness, QEMU or the machine failed: says nothing about the scenario."""

    exit_code = ExitCode.LAB_FAULT
