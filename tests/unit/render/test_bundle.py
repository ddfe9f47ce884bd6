from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import BadInput
from pipeline.render import Bundle, Inputs, render

ROOT = Path(__file__).parents[3]
INPUTS = Inputs(scenario=b"scenario")
PRINT_HASHES = """
import hashlib
from pipeline.plan import resolve
from pipeline.render import Inputs, render
from pipeline.scenario import find, load
path = find("rx560")
bundle = render(resolve(load(path)), inputs=Inputs(scenario=path.read_bytes()))
for name, data in bundle.files.items():
    print(name, hashlib.sha256(data).hexdigest())
"""


def test_the_layout(bundle):
    assert list(bundle.files) == [
        "apply.md",
        "etc/default/grub",
        "etc/grub.d/42_without_passthrough",
        "etc/mkinitcpio.conf",
        "etc/modprobe.d/vfio.conf",
        "libvirt/win10.xml",
        "manifest.json",
    ]


def test_the_manifest_lists_every_other_file(bundle):
    manifest = json.loads(bundle.files["manifest.json"])
    assert manifest["files"] == {
        path: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for path, data in bundle.files.items()
        if path != "manifest.json"
    }


def test_the_manifest_says_what_it_was_made_from(bundle):
    manifest = json.loads(bundle.files["manifest.json"])
    scenario = (ROOT / "scenarios" / "rx560.yaml").read_bytes()
    assert manifest["tool"]["name"] == "dryboot"
    assert manifest["scenario"]["name"] == "rx560"
    assert manifest["scenario"]["sha256"] == hashlib.sha256(scenario).hexdigest()
    assert manifest["assumed"]["machine"] == "pc-q35-9.2"


def test_settings_show_in_the_manifest(plan):
    def manifest(*settings):
        return json.loads(render(plan, inputs=replace(INPUTS, settings=settings)).files["manifest.json"])

    assert manifest("a=1") != manifest()
    assert manifest("a=1", "b=2") != manifest("b=2", "a=1")
    assert manifest("a=1") == manifest("a=1")


def test_the_checkouts_path_is_not_in_the_bundle(bundle):
    assert all(str(ROOT).encode() not in data for data in bundle.files.values())


def test_two_builds_are_equal_whatever_the_environment(tmp_path):
    outputs = set()
    for seed, zone, language, directory in (
        ("0", "UTC", "C", ROOT),
        ("1", "Asia/Tokyo", "C.UTF-8", tmp_path),
        ("2", "America/New_York", "tr_TR.UTF-8", Path("/")),
    ):
        environment = {
            "PYTHONHASHSEED": seed,
            "TZ": zone,
            "LC_ALL": language,
            "PYTHONPATH": str(ROOT),
            "PATH": os.environ["PATH"],
        }
        done = subprocess.run(
            [sys.executable, "-c", PRINT_HASHES],
            env=environment,
            cwd=directory,
            capture_output=True,
            check=True,
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert outputs.pop().count(b"\n") == 7


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../b", "a//b", ".hidden", "a\nb", "a b", "", "a/", "a/.b", "a\0b"]
)
def test_a_bundle_has_no_path_that_leads_elsewhere(path):
    with pytest.raises(BadInput):
        Bundle(files={path: b""})


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", ".x", "a b"])
def test_a_hostile_guest_name_is_no_path(plan, name):
    with pytest.raises(BadInput):
        render(replace(plan, guest=replace(plan.guest, name=name)), inputs=INPUTS)


def test_a_bundle_does_not_change(bundle):
    with pytest.raises(TypeError):
        bundle.files["x"] = b""  # type: ignore[index]
