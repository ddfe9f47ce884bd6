from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.lab.initcpio.rooted import inside, real


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/x", "/etc/x"),
        ("etc//./x", "/etc/x"),
        ("/../../etc", "/etc"),
        ("/absolute/x", "/etc/x"),
        ("/etc/relative", "/usr/file"),
        ("/etc/out", "/secret"),
        ("/none/../etc", "/etc"),
        ("/", "/"),
    ],
)
def test_links_are_followed_inside(tmp_path: Path, path: str, expected: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "absolute").symlink_to("/etc")
    (tmp_path / "etc/relative").symlink_to("../usr/file")
    (tmp_path / "etc/out").symlink_to("../../../secret")
    assert real(tmp_path, path) == expected
    assert inside(tmp_path, path) == tmp_path / expected.strip("/")


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("/a")
    with pytest.raises(OSError, match="too many links"):
        real(tmp_path, "/a/x")


PATHS = st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=4).map("/".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from("abc"), PATHS | PATHS.map("/{}".format), max_size=3), PATHS)
def test_nothing_is_outside(
    tmp_path_factory: pytest.TempPathFactory, links: dict[str, str], path: str
) -> None:
    root = tmp_path_factory.mktemp("root")
    for name, target in links.items():
        (root / name).symlink_to(target)
    try:
        found = inside(root, path)
    except OSError:
        return
    assert found == root or root in found.parents
    assert ".." not in found.parts
    assert not found.is_symlink()


def test_as_realpath_sees_it(tmp_path: Path) -> None:
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "l").symlink_to("d/e/../e")
    done = subprocess.run(
        ["realpath", "-m", str(tmp_path / "l/x")], capture_output=True, text=True, check=True
    )
    assert str(inside(tmp_path, "/l/x")) == done.stdout.strip()
