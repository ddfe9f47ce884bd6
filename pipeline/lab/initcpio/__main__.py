"""`python -m pipeline.lab.initcpio --root DIR --base FILE -- ARGUMENTS`: to see what the substitute makes of a host."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.lab.initcpio import unified
from pipeline.lab.initcpio.command import run


def main(arguments: Sequence[str]) -> int:
    """Run the command and print what it says; its exit status, 2 or 3 where it could not be run."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.lab.initcpio", description="mkinitcpio on a host's tree"
    )
    parser.add_argument(
        "--root", type=Path, required=True, help="directory with the host's /etc, /boot and /usr/lib"
    )
    parser.add_argument("--base", type=Path, required=True, help="cpio archive with shell, kmod and udev")
    parser.add_argument("--modalias-file", type=Path, help="the devices' modaliases, one a line")
    parser.add_argument("--running", default=os.uname().release, help="release of the running kernel")
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENTS", help="what mkinitcpio gets, after --")
    chosen = parser.parse_args(arguments)
    try:
        modaliases = chosen.modalias_file.read_text().split() if chosen.modalias_file else []
        done = run(
            chosen.arguments,
            root=chosen.root,
            base=chosen.base,
            modaliases=modaliases,
            running=chosen.running,
        )
    except LabFault as fault:
        sys.stderr.write(f"{fault}\n")
        return int(fault.exit_code)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    joined = [unified.assemble(chosen.root, one) for one in done.unified]
    lines = [*done.messages, *(line for one in joined for line in one.messages)]
    lines += [f"note: {text}" for text in done.notes]
    lines += [
        f"stand-in: {text}" for text in (*done.stand_ins, *(text for one in joined for text in one.stand_ins))
    ]
    lines += [
        f"written: {one.path} for {one.release}, init of {one.start or 'nobody'}: {' '.join(one.early)}"
        for one in done.images
    ]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return max([done.status, *(one.status for one in joined)])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
