"""The command line of unified kernel images: /etc/kernel/cmdline and the directories beside it.

Source: mkinitcpio(8) --cmdline, ukify(1), kernel-install(8).
"""

from __future__ import annotations

from pipeline.files.cmdline import of_file
from pipeline.files.entries import ROOTS
from pipeline.files.reader import Reader
from pipeline.plan.model import Written
from pipeline.setup.model import CommandLine

FILE = "etc/kernel/cmdline"
_FOLDERS = ("etc/cmdline.d", "etc/kernel/cmdline.d")
_ELSE = "usr/lib/kernel/cmdline"


def command_line(reader: Reader, *, named: str = "") -> CommandLine | None:
    """What goes into the image; `named` is the file that a preset gives. None where there is no such file."""
    if named:
        text = reader.text(named.lstrip("/"))
        texts = [text] if text else []
    else:
        texts = [
            text
            for folder in _FOLDERS
            for name in reader.names(folder, end=".conf")
            if (text := reader.text(f"{folder}/{name}"))
        ]
        if not texts or reader.tree.exists(FILE):
            first = reader.first((FILE, _ELSE))
            texts = [*([first] if first else []), *texts]
    if not texts:
        return None
    found: list[Written[str]] = [one for text in texts for one in of_file(text)]
    where = found[-1].place if found else texts[-1].place(1)
    return CommandLine(parameters=tuple(found), where=where, shown=f"/{texts[-1].path}")


def images(reader: Reader) -> bool:
    """Whether there are unified kernel images where systemd-boot and firmware look for them."""
    return any(reader.names(f"{root}/EFI/Linux", end=".efi") for root in ROOTS)
