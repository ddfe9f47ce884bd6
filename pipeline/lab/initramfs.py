"""How a host's initramfs is made on L1's file system: what has to lie there, and the command of its generator."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from pipeline.facts.distributions import Distribution
from pipeline.facts.initramfs import generator
from pipeline.lab.board import Board
from pipeline.lab.image import HostImage
from pipeline.lab.overlay import Put
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.sandbox import Step
from pipeline.plan.model import HostPlan

_PRESET = """ALL_kver="{kernel}"
{config}PRESETS=({presets})
default_image="{image}"
fallback_image="{fallback}"
fallback_options="-S autodetect"
"""
# hostonly would take the drivers of the machine that the lab runs on. Compression costs more than it saves here.
_DRACUT = b'hostonly="no"\ncompress="cat"\n'
_CONFIG = "/etc/mkinitcpio.conf"
_BEFORE = Put(data=b"what was here before\n")
_DRACUT_DROP_IN = "/usr/lib/dracut/dracut.conf.d/99-dryboot.conf"


@dataclass(frozen=True, kw_only=True, slots=True)
class Making:
    """The way to an initramfs: files of the host's packages by their paths, the step, where it stands in.

    Files of the bundle replace those of the same path.
    """

    step: Step
    files: dict[str, Put] = field(default_factory=dict)
    stand_ins: tuple[str, ...] = ()


def making(host: HostPlan, image: HostImage, board: Board, run: RunDirectory) -> Making:
    """How `host`'s initramfs is made on the file system of `image`; `run` gets what the step reads."""
    facts = host.distribution.at(image.release)
    if host.generator == "mkinitcpio":
        files = (
            _preset(facts, image)
            | _config(facts, image)
            | ({facts.uki: _BEFORE} if host.bootloader == "uki" else {})
        )
        return Making(step=_mkinitcpio(image, board, run), files=files)
    step = Step(argv=generator(host.generator).command)
    if host.generator == "dracut":
        return Making(
            step=step,
            files={_DRACUT_DROP_IN: Put(data=_DRACUT)},
            stand_ins=(
                "dracut puts the drivers of every machine into the image, not of this one, uncompressed",
            ),
        )
    # update-initramfs -u replaces the image of each kernel that has one: an installed host does.
    return Making(step=step, files={facts.initramfs_image: _BEFORE})


def _mkinitcpio(image: HostImage, board: Board, run: RunDirectory) -> Step:
    """`mkinitcpio -P`: the host's own, else by the substitute, which works on the tree from outside."""
    if "mkinitcpio" in image.generators:
        return Step(argv=("mkinitcpio", "-P"))
    aliases = run.path / "modaliases"
    aliases.write_text("".join(f"{alias}\n" for alias in board.modaliases))
    options = ("--root", "{root}", "--base", str(image.base), "--modalias-file", str(aliases))
    running = ("--running", image.release)
    return Step(
        argv=(sys.executable, "-m", "pipeline.lab.initcpio", *options, *running, "--", "-P"), outside=True
    )


def _config(facts: Distribution, image: HostImage) -> dict[str, Put]:
    """The mkinitcpio.conf of the distribution's package, for a bundle that has none: it changes nothing in it."""
    if image.own == facts.distribution and (image.tree / _CONFIG.lstrip("/")).is_file():
        return {}
    text = f"MODULES=()\nBINARIES=()\nFILES=()\nHOOKS=({' '.join(facts.hooks)})\n"
    return {_CONFIG: Put(data=text.encode())}


def _preset(facts: Distribution, image: HostImage) -> dict[str, Put]:
    """The preset as the kernel's package writes it, where the image has not that of its own packages."""
    if image.own == facts.distribution and (image.tree / facts.preset.lstrip("/")).is_file():
        return {}
    text = _PRESET.format(
        kernel=facts.kernel_image,
        config='ALL_config="/etc/mkinitcpio.conf"\n' if facts.preset_names_config else "",
        presets="'default' 'fallback'" if facts.fallback_by_default else "'default'",
        image=facts.initramfs_image,
        fallback=facts.fallback_image,
    )
    return {facts.preset: Put(data=text.encode())}
