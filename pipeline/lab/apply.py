"""Applies a bundle to L1's file system as its owner would: files in place, then the host's own tools on them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.lab import cache, initcpio, sandbox
from pipeline.lab.board import Board
from pipeline.lab.image import UUID, HostImage
from pipeline.lab.initramfs import making
from pipeline.lab.overlay import Put, of_tree
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.sandbox import Step, StepDone
from pipeline.lab.shape import removals, shape
from pipeline.plan.model import Plan
from pipeline.render.mode import mode

# Read after /etc/default/grub, as grub-mkconfig of Debian, Manjaro and Arch does (util/grub-mkconfig.in).
GRUB_DROP_IN = "/etc/default/grub.d/zz-dryboot.cfg"
# Every probe of a driver goes to the kernel's log: drivers/base/dd.c really_probe(). Hardening and self-tests of the
# kernel, which an emulated processor is slow at, are left out. A busy machine gives too few ticks to the test of the
# timer, which the kernel leaves out under KVM too ("timer doesn't work through Interrupt-remapped IO-APIC", ran;
# arch/x86/kernel/apic/io_apic.c timer_irq_works()).
LAB_PARAMETERS = (
    "rw console=ttyS0 mitigations=off lsm=capability nokaslr rodata=off init_on_alloc=0 cryptomgr.notests "
    'no_timer_check log_buf_len=4M dyndbg="func really_probe +p"'
)
# How the substitute of mkinitcpio begins a line about what it did not do as the real one.
STAND_IN = "stand-in: "
_AS_RENDERED: Mapping[str, int] = {}
_KEPT = 8
_KEPT_SECONDS = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """The configured host: the files that its own are replaced or joined by, and what its tools said.

    `removed` are paths that are gone. `initramfs` and `loader` are the outcomes of the generator and of the boot
    loader's tool, None where it has none.
    """

    files: Mapping[str, Put]
    removed: tuple[str, ...]
    initramfs: StepDone
    loader: StepDone | None
    stand_ins: tuple[str, ...]


def apply(
    plan: Plan,
    rendered: Mapping[str, bytes],
    *,
    board: Board,
    image: HostImage,
    run: RunDirectory,
    modes: Mapping[str, int] = _AS_RENDERED,
) -> Applied:
    """Put the `rendered` files (paths below `/`) over the image and run the host's tools.

    `modes` are the permission bits of files that do not have those of their kind.
    What the configuration gets wrong is in the result. What was applied before comes from the cache. Raises
    LabFault.
    """
    puts = {f"/{path}": Put(data=data, mode=modes.get(path, mode(path))) for path, data in rendered.items()}
    puts |= shape(plan, image) | {GRUB_DROP_IN: Put(data=_grub_drop_in())}
    gone = removals(plan, image)
    made_by = making(plan.host, image, board, run)
    puts = made_by.files | puts
    steps = [made_by.step]
    if plan.host.bootloader == "grub":
        steps.append(Step(argv=plan.host.distribution.grub_mkconfig))

    def make(fresh: Path) -> None:
        worked = sandbox.work(
            image.tree, puts, steps, uuid=UUID, run=run, removed=gone, modaliases=board.modaliases
        )
        worked.changed.rename(fresh / "changed")
        result = {
            "outcomes": [asdict(one) for one in worked.outcomes],
            "removed": worked.removed,
        }
        (fresh / "result.json").write_text(json.dumps(result))

    commands = [step.argv for step in steps if not step.outside]
    inputs = {path: [what.mode, what.link, cache.key(what.data)] for path, what in puts.items()}
    name = cache.key(image.name, inputs, commands, gone, board.modaliases, UUID, *_code())
    path = cache.prepared("applied", name, make)
    _forget(path)
    result = json.loads((path / "result.json").read_text())
    outcomes = [StepDone(**one) for one in result["outcomes"]]
    return Applied(
        files=of_tree(path / "changed"),
        removed=tuple(result["removed"]),
        initramfs=outcomes[0],
        loader=outcomes[1] if len(outcomes) > 1 else None,
        stand_ins=(
            *made_by.stand_ins,
            *(
                line.removeprefix(STAND_IN)
                for line in outcomes[0].output.splitlines()
                if line.startswith(STAND_IN)
            ),
        ),
    )


def _grub_drop_in() -> bytes:
    quoted = LAB_PARAMETERS.replace('"', r"\"")
    lines = (
        "# The lab's own: what it has to see, on the line that it reads.",
        f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {quoted}"',
        "GRUB_TIMEOUT=0",
        "GRUB_TERMINAL=console",
    )
    return "".join(f"{line}\n" for line in lines).encode()


def _code() -> list[bytes]:
    """The code that makes an initramfs: what it made before does not count when it has changed."""
    folder = Path(initcpio.__file__).parent
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]


def _forget(kept: Path) -> None:
    """Remove what was applied long ago; `kept` and what another run may be reading stay."""
    kept.touch()
    entries = [path for path in kept.parent.iterdir() if path.is_dir() and not path.name.startswith(".")]
    newest = sorted(entries, key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest[_KEPT:]:
        if time.time() - path.stat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
