"""How a task ends: its exit status, and every error as one message."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from pipeline.errors import DrybootError, ExitCode, LabFault


def end(command: Callable[..., ExitCode], *arguments: Any, **options: Any) -> NoReturn:
    """Run a command and leave with its exit status; every error is one message without a traceback."""
    # mke2fs and debugfs are there on every distribution, but not on every user's path.
    os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
    # SIGINT too: in the background of a script it is ignored unless it is asked for.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        status = command(*arguments, **options)
    except DrybootError as error:
        _say(error)
        status = error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = ExitCode.INTERRUPTED
    except Exception as error:
        # Ours, whatever it is: status 1 would say that the scenario fails.
        traceback.print_exc()
        _say(LabFault(f"a mistake in Dryboot itself: {error!r}"))
        status = ExitCode.LAB_FAULT
    sys.stdout.flush()
    sys.exit(int(status))


def _say(error: DrybootError) -> None:
    from rich.console import Console

    from pipeline.report import problems

    problems.error(Console(stderr=True), error)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
