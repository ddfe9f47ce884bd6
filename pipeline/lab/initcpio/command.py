"""The command `mkinitcpio`, played on the file system of a host.

Source: mkinitcpio(8), and what v41 does and prints (its script, and runs of it).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.lab.initcpio.config import CONFIG, Preset, read_preset
from pipeline.lab.initcpio.generate import build_one
from pipeline.lab.initcpio.options import Options, Usage, parse
from pipeline.lab.initcpio.outcome import Die, Host, Run

PRESETS = "/etc/mkinitcpio.d"
VERSION = "41"


def run(arguments: Sequence[str], *, root: Path, base: Path, modaliases: Sequence[str], running: str) -> Run:
    """Do what `mkinitcpio ARGUMENTS` does on the host whose file system is `root`.

    `root` has the host's /etc, /boot, /usr/lib/modules (a link to them will do) and /usr/lib/modprobe.d; `base`
    is a cpio archive with shell, kmod and udev, with which every image starts; `modaliases` are those of the
    host's devices; `running` is the release of the kernel that runs there. Images are written below `root`,
    whole or not at all. What the configuration gets wrong is in the result; raises LabFault where bash cannot
    be run, OSError where `base` cannot be read or the image not be written.
    """
    host = Host(root=root, base=base, modaliases=modaliases, running=running)
    status = _main(host, arguments)
    return Run(
        status=status,
        messages=tuple(host.messages),
        images=tuple(host.images),
        unified=tuple(host.unified),
        notes=tuple(dict.fromkeys(host.notes)),
        stand_ins=tuple(dict.fromkeys(host.stand_ins)),
    )


def _main(host: Host, arguments: Sequence[str]) -> int:
    try:
        options = parse(arguments)
        if options.version:
            host.messages.append(f'mkinitcpio "{VERSION}"')
            return 0
        _check_paths(host, options)
        presets = list(options.presets)
        if options.all_presets:
            folder = host.path(PRESETS)
            every = sorted(path.name for path in folder.glob("*.preset")) if folder.is_dir() else []
            if not every:
                raise Die(f"No presets found in {PRESETS}")
            presets = [f"{PRESETS}/{name}" for name in every] + presets
        if presets:
            _note_ignored(host, options)
            # After a failure it goes on with the next one.
            return max([_preset(host, name) for name in presets])
        return build_one(host, options, preset="")
    except Usage as usage:
        host.messages.append(str(usage))
    except Die as died:
        host.error(str(died))
    return 1


def _note_ignored(host: Host, options: Options) -> None:
    given = {"-c": options.config, "-g": options.generate, "-k": options.kernel, "-z": options.compress}
    given |= {"-S": ",".join(options.skip_hooks), "-A": ",".join(options.add_hooks), "-U": options.uki}
    if ignored := [f"{name} {value}" for name, value in given.items() if value]:
        host.notes.append(
            f"with presets mkinitcpio passes over {', '.join(ignored)}: only the preset's own values count"
        )


def _check_paths(host: Host, options: Options) -> None:
    """Refuse what mkinitcpio refuses while it reads its options."""
    for letter, path, write in (
        ("-c", options.config, False),
        ("-k", options.kernel if options.kernel.startswith("/") else "", False),
        ("-g", options.generate, True),
        ("-U", options.uki, True),
    ):
        if not path:
            continue
        what = f"Invalid option {letter} -- '{path if path.startswith('/') else f'/{path}'}'"
        try:
            there = host.path(path)
            if there.is_dir():
                raise Die(f"{what} must not be a directory")
            if write and not there.parent.is_dir():
                raise Die(f"{what} must be writable")
            if not write and not there.is_file():
                raise Die(f"{what} must be readable")
        except OSError as error:
            raise Die(f"{what}: {error.strerror}") from error


def _preset(host: Host, name: str) -> int:
    path = name if "/" in name else f"{PRESETS}/{name}.preset"
    try:
        images = read_preset(host.path(path), shown=path)
    except (ValueError, OSError) as error:
        host.messages += str(error).splitlines()
        host.error(f"Failed to load preset: '{path}'")
        return 1
    if not images:
        host.warning(f"Preset file '{path}' is empty or does not contain any presets.")
    return max((_image_of_preset(host, path, one) for one in images), default=0)


def _image_of_preset(host: Host, path: str, preset: Preset) -> int:
    host.msg(f"Building image from preset: {path}: '{preset.name}'")
    if not preset.kernel:
        host.warning(f"No kernel version specified. Skipping image '{preset.name}'")
        return 0
    words = ["-k", preset.kernel]
    if preset.config:
        words += ["-c", preset.config]
        host.msg(f"Using configuration file: '{preset.config}'")
    else:
        host.msg(f"Using default configuration file: '{CONFIG}'")
    for option, value in (("-U", preset.uki), ("--cmdline", preset.cmdline), ("--splash", preset.splash)):
        words += [option, value] if value else []
    if preset.image:
        words += ["-g", preset.image]
    elif not preset.uki:
        host.warning(f"No image or UKI specified. Skipping image '{preset.name}'")
        return 0
    words += preset.options
    if preset.microcode:
        host.warning(
            f"Deprecated option '{preset.microcode}' found. Update '{path}' to use the 'microcode' hook instead."
        )
    host.messages.append(f"  -> {' '.join(words)}")
    try:
        options = parse(words)
        if options.presets or options.all_presets:
            raise Die("You appear to be calling a preset from a preset. This is a configuration error.")
        _check_paths(host, options)
        return build_one(
            host, options, preset=f"{path.rpartition('/')[2].removesuffix('.preset')}-{preset.name}"
        )
    except Usage as usage:
        host.messages.append(str(usage))
    except Die as died:
        host.error(str(died))
    return 1
