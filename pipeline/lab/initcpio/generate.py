"""Builds one image, as `mkinitcpio -k KERNEL -c CONFIG -g IMAGE` does."""

from __future__ import annotations

import dataclasses
import io
import os
import tempfile
from pathlib import Path

from pipeline.lab.initcpio import archive, compression
from pipeline.lab.initcpio.build import INCOMPLETE, assemble
from pipeline.lab.initcpio.config import CONFIG, DROP_INS, Config, in_order, read_config
from pipeline.lab.initcpio.kernel import release_of
from pipeline.lab.initcpio.modules import ModuleTree
from pipeline.lab.initcpio.options import Options
from pipeline.lab.initcpio.outcome import Die, Host, UnifiedImage, Written

_POST_HOOKS = ("/etc/initcpio/post", "/usr/lib/initcpio/post")


def build_one(host: Host, options: Options, *, preset: str) -> int:
    """Build what `options` ask for; the exit status. Raises Die where nothing can be built."""
    release = _release(host, options)
    tree = ModuleTree(host.root, release)
    if not tree.directory.is_dir():
        raise Die(f"'/lib/modules/{release}' is not a valid kernel module directory")
    kernel = _kernel_image(host, options.kernel, release)
    if not kernel:
        host.warning(f"Could not find kernel image for version {release}")
    config = _config(host, options)
    names = [one for one in (*config.hooks, *options.add_hooks) if one not in options.skip_hooks]
    if not names:
        raise Die("Invalid config: No hooks found")
    wanted = options.generate or options.uki
    compressor = _compressor(host, options, config, release) if wanted else "cat"
    host.msg(f"Starting {'build' if wanted else 'dry run'}: '{release}'")
    with host.base.open("rb") as stream:
        base = archive.contents(stream)
    image = assemble(
        dataclasses.replace(config, hooks=tuple(names)),
        host_root=host.root,
        tree=tree,
        modaliases=host.modaliases,
        base=base,
    )
    host.messages += image.messages
    host.stand_ins += image.stand_ins
    if not wanted:
        host.msg("Dry run complete, use -g IMAGE to generate a real image")
        return image.status
    how = "uncompressed" if compressor == "cat" else f"{compressor}-compressed"
    host.msg(f"Creating {how} initcpio image" + (f": '{options.generate}'" if options.generate else ""))
    whole = io.BytesIO()
    whole.write(host.base.read_bytes())
    archive.write(image.entries, whole)
    data = whole.getvalue()
    if options.generate:
        _put(host.path(options.generate), data)
        host.images.append(
            Written(
                path=options.generate, release=release, start=image.start, early=image.early, preset=preset
            )
        )
    if image.status:
        host.messages.append(INCOMPLETE)
    else:
        host.messages.append("  -> Early uncompressed CPIO image generation successful")
        host.msg("Initcpio image generation successful")
    _unified(host, options, preset, release, kernel, data)
    _post_hooks(host)
    return image.status


def _release(host: Host, options: Options) -> str:
    if not options.kernel:
        if options.generate:
            host.notes.append(
                f"-g without -k builds for the running kernel {host.running}, whatever {options.generate} is called"
            )
        return host.running
    if not options.kernel.startswith("/"):
        return options.kernel
    try:
        return release_of(host.path(options.kernel))
    except (ValueError, OSError) as error:
        raise Die(f"invalid kernel specified: '{options.kernel}'") from error


def _kernel_image(host: Host, given: str, release: str) -> str:
    """The path of the kernel of `release` on the host, empty where there is none."""
    if given.startswith("/"):
        return given
    candidates = [f"/usr/lib/modules/{release}/vmlinuz"]
    boot = host.path("/boot")
    candidates += [f"/boot/{path.name}" for path in sorted(boot.glob("vmlinuz-*"))] if boot.is_dir() else []
    for candidate in candidates:
        try:
            if release_of(host.path(candidate)) == release:
                return candidate
        except (ValueError, OSError):
            continue
    return ""


def _config(host: Host, options: Options) -> Config:
    """The configuration with its drop-ins, which count only where nobody names a configuration."""
    path = options.config or CONFIG
    folder = host.path(DROP_INS)
    names = (
        in_order([one.name for one in folder.glob("*.conf") if _is_file(host, one.name)])
        if folder.is_dir()
        else []
    )
    if options.config and names:
        host.notes.append(
            f"{', '.join(f'{DROP_INS}/{name}' for name in names)}: passed over without a word, because "
            f"-c or the preset names the configuration ({options.config})"
        )
        names = []
    for name in names:
        host.msg(f"Using drop-in configuration file: '{name}'")
    try:
        return read_config(
            host.path(path), drop_ins=[host.path(f"{DROP_INS}/{name}") for name in names], shown=path
        )
    except (ValueError, OSError) as error:
        host.messages += str(error).splitlines()
        raise Die(f"Failed to read configuration '{path}'") from error


def _is_file(host: Host, name: str) -> bool:
    try:
        return host.path(f"{DROP_INS}/{name}").is_file()
    except OSError:
        return False


def _compressor(host: Host, options: Options, config: Config, release: str) -> str:
    program, warnings = compression.choose(config, options.compress, release, host.root)
    for text in warnings:
        host.warning(text)
    if program != "cat":
        host.stand_ins.append(
            f"the image is not compressed with {program}: it boots the same and faster here"
        )
    return program


def _unified(host: Host, options: Options, preset: str, release: str, kernel: str, data: bytes) -> None:
    if not options.uki:
        return
    host.unified.append(
        UnifiedImage(
            path=options.uki,
            preset=preset,
            release=release,
            kernel=kernel,
            options=options.unified,
            initramfs=data,
        )
    )


def _post_hooks(host: Host) -> None:
    for folder in _POST_HOOKS:
        path = host.path(folder)
        for one in sorted(path.iterdir()) if path.is_dir() else ():
            host.stand_ins.append(f"{folder}/{one.name}, which mkinitcpio runs after a build, was not run")


def _put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as stream:
            stream.write(data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
