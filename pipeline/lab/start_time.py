"""When a process was started: with its id it tells the process from a later one that has the same id."""

from __future__ import annotations

from pathlib import Path


def start_time(pid: int) -> int:
    """Clock ticks from the machine's start to that of the process (proc_pid_stat(5), field 22).

    A time of day would be another one whenever somebody sets the clock. Raises ProcessLookupError.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError as error:
        raise ProcessLookupError(f"there is no process {pid}") from error
    # The name, in parentheses, may have any byte in it.
    return int(status.rpartition(b")")[2].split()[19])
