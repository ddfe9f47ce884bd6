"""Which generator makes the initramfs, by what is there of it, and what it is told."""

from __future__ import annotations

from dataclasses import replace

from pipeline.files import dracut, initramfs_tools, mkinitcpio, modules_load
from pipeline.files.mkinitcpio import Preset
from pipeline.files.reader import Reader
from pipeline.plan.model import Written
from pipeline.setup.model import Initramfs

_BOOSTER = "etc/booster.yaml"
_USUAL = {"arch": "mkinitcpio", "manjaro": "mkinitcpio", "debian": "initramfs-tools", "fedora": "dracut"}


def read(
    reader: Reader, *, distribution: str | None, preset: Preset | None, parameters: tuple[Written[str], ...]
) -> Initramfs | None:
    """The configuration of the generator in use; None where nothing is there of any that is understood.

    Where several are there, the distribution's own decides.
    """
    present = [
        name
        for name, there in (
            ("mkinitcpio", mkinitcpio.known(reader, preset)),
            ("initramfs-tools", reader.tree.is_directory(initramfs_tools.FOLDER)),
            ("dracut", bool(reader.names(dracut.DROP_INS)) or reader.tree.exists(dracut.CONFIG)),
        )
        if there
    ]
    if reader.tree.exists(_BOOSTER):
        reader.note(reader.whole(_BOOSTER), "booster's configuration is not understood")
    if not present:
        return None
    usual = _USUAL.get(distribution or "", "")
    name = usual if usual in present else present[0]
    if len(present) > 1:
        rest = " and ".join(one for one in present if one != name)
        reader.note(
            reader.whole("etc"), f"there is configuration of {rest} too: taken for a host that uses {name}"
        )
    match name:
        case "mkinitcpio":
            found = mkinitcpio.read(reader, preset)
        case "dracut":
            found = dracut.read(reader, parameters=parameters)
        case _:
            found = initramfs_tools.read(reader)
    return replace(found, after_boot=modules_load.read(reader))
