"""OCI layouts: the layers in their order, each what its digest says, and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.lab.image import oci

LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class Layout:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, data: bytes, kind: str, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data), **more}

    def image(self, *layers: bytes, **more: Any) -> dict[str, Any]:
        listed = [self.blob(one, LAYER) for one in layers]
        return self.blob(json.dumps({"layers": listed}).encode(), MANIFEST, **more)

    def index(self, *images: dict[str, Any]) -> None:
        (self.folder / "index.json").write_text(json.dumps({"manifests": images}))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def contents(layout: Layout) -> list[bytes]:
    return [one.path.read_bytes() for one in oci.layers(layout.folder)]


def test_the_layers_come_in_order(layout: Layout) -> None:
    layout.index(layout.image(b"low", b"middle", b"low"))
    assert oci.is_layout(layout.folder)
    assert contents(layout) == [b"low", b"middle", b"low"]


def test_the_image_for_this_architecture_is_taken_through_an_index(layout: Layout) -> None:
    ours = layout.image(b"ours", platform={"architecture": "amd64", "os": "linux"})
    other = layout.image(b"other", platform={"architecture": "arm64", "os": "linux"})
    layout.index(layout.blob(json.dumps({"manifests": [other, ours]}).encode(), INDEX))
    assert contents(layout) == [b"ours"]


def test_an_index_of_itself_ends(layout: Layout) -> None:
    inner = layout.blob(json.dumps({"manifests": []}).encode(), INDEX)
    for _ in range(6):
        inner = layout.blob(json.dumps({"manifests": [inner]}).encode(), INDEX)
    layout.index(inner)
    with pytest.raises(BadInput, match="where one is wanted"):
        oci.layers(layout.folder)


def test_two_images_are_one_too_many(layout: Layout) -> None:
    layout.index(layout.image(b"a"), layout.image(b"b"))
    with pytest.raises(BadInput, match="has 2 images"):
        oci.layers(layout.folder)


@pytest.mark.parametrize("which", [0, 1])
def test_a_blob_that_is_not_what_its_digest_says(layout: Layout, which: int) -> None:
    image = layout.image(b"layer")
    layout.index(image)
    names = [image["digest"][7:], hashlib.sha256(b"layer").hexdigest()]
    with (layout.folder / "blobs/sha256" / names[which]).open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(BadInput, match="not what its digest says"):
        oci.layers(layout.folder)


@pytest.mark.parametrize("digest", ["sha256:../../x", "sha512:" + "a" * 128, "sha256:" + "A" * 64, None])
def test_a_digest_that_is_none(layout: Layout, digest: object) -> None:
    layout.index({**layout.image(b"layer"), "digest": digest})
    with pytest.raises(BadInput, match="not sha256"):
        oci.layers(layout.folder)


def test_an_unknown_kind_of_layer_and_an_image_without_any(layout: Layout) -> None:
    odd = layout.blob(b"x", "application/vnd.docker.container.image.rootfs.diff+x-gtar")
    layout.index(layout.blob(json.dumps({"layers": [odd]}).encode(), MANIFEST))
    with pytest.raises(BadInput, match="unknown kind"):
        oci.layers(layout.folder)
    layout.index(layout.image())
    with pytest.raises(BadInput, match="has no layers"):
        oci.layers(layout.folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["manifests", "layers", "digest", "platform"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON | st.binary(max_size=20))
def test_whatever_the_index_is_it_is_an_image_or_bad_input(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    folder = tmp_path_factory.mktemp("layout")
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "index.json").write_bytes(data)
    with pytest.raises(BadInput):
        oci.layers(folder)
