"""Reads an image in an OCI layout: which blobs its layers are, each checked against its digest.

Source: OCI image specification, image-layout.md, image-index.md, manifest.md and descriptor.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import BadInput

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)
_INDEX = "application/vnd.oci.image.index.v1+json"
_LAYER = re.compile(r"application/vnd\.oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+(?:gzip|zstd))?")
_DEPTH = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A tar archive, perhaps packed, to be put over the layers before it."""

    path: Path
    digest: str


def is_layout(folder: Path) -> bool:
    """Whether a directory is an OCI layout."""
    return (folder / "oci-layout").is_file()


def layers(layout: Path) -> tuple[Layer, ...]:
    """The layers of the layout's image for x86-64, the lowest first.

    Raises BadInput for what is no such layout, and for a blob that is not what its digest says.
    """
    manifest = _image(layout, _read(layout / "index.json"), _DEPTH)
    found = []
    for one in _list(manifest, "layers", layout):
        if not _LAYER.fullmatch(str(one.get("mediaType"))):
            raise BadInput(f"{layout} has a layer of the unknown kind {one.get('mediaType')!r}")
        path = _blob(layout, one)
        found.append(Layer(path=path, digest=str(one["digest"])))
    if not found:
        raise BadInput(f"the image in {layout} has no layers")
    return tuple(found)


def _image(layout: Path, index: dict[str, Any], depth: int) -> dict[str, Any]:
    """The manifest of the only image for x86-64 below `index`."""
    entries = [one for one in _list(index, "manifests", layout) if _is_ours(one)]
    if len(entries) != 1 or not depth:
        raise BadInput(
            f"{layout} has {len(entries)} images for x86-64 Linux where one is wanted",
            hint="copy the one that is meant into a layout of its own",
        )
    (entry,) = entries
    content = _read(_blob(layout, entry))
    return _image(layout, content, depth - 1) if entry.get("mediaType") == _INDEX else content


def _is_ours(entry: dict[str, Any]) -> bool:
    platform = entry.get("platform")
    if not isinstance(platform, dict):
        return True
    return bool(platform.get("architecture", "amd64") == "amd64" and platform.get("os", "linux") == "linux")


def _list(content: dict[str, Any], key: str, layout: Path) -> list[dict[str, Any]]:
    found = content.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadInput(f"{layout} is no OCI layout: there is no list of {key}")
    return found


def _blob(layout: Path, descriptor: dict[str, Any]) -> Path:
    """The file that a descriptor means, once its content has been seen to be that."""
    digest = _DIGEST.fullmatch(str(descriptor.get("digest")))
    if digest is None:
        raise BadInput(f"{layout} has a blob with the digest {descriptor.get('digest')!r}, not sha256")
    path = layout / "blobs/sha256" / digest[1]
    try:
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    if content != digest[1]:
        raise BadInput(f"{path} is not what its digest says", hint="copy the image again")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} is no OCI layout: not an object")
    return content
