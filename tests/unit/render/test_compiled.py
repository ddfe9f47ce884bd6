from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

from pipeline.render.compiled import Compiled


def environment(templates: Path, *, made_by: bytes = b"", **options: object) -> Environment:
    cache = Compiled(templates, made_by=made_by)
    return Environment(loader=FileSystemLoader(templates), bytecode_cache=cache, **options)


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    (tmp_path / "one.j2").write_text("{% if true %}\n{{ value }}\n{% endif %}\n")
    return tmp_path


@pytest.fixture
def compiles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the templates that were compiled and not found."""
    names: list[str] = []
    compiled = Environment.compile

    def counted(self: Environment, source: str, name: str, *rest: object) -> object:
        names.append(name)
        return compiled(self, source, name, *rest)

    monkeypatch.setattr(Environment, "compile", counted)
    return names


def test_a_template_is_compiled_once(templates: Path, compiles: list[str]) -> None:
    texts = {environment(templates).get_template("one.j2").render(value=1) for _ in range(3)}
    assert (texts, compiles) == ({"\n1\n"}, ["one.j2"])


def test_a_changed_template_is_compiled_again(templates: Path) -> None:
    environment(templates).get_template("one.j2")
    (templates / "one.j2").write_text("other")
    assert environment(templates).get_template("one.j2").render() == "other"


def test_other_settings_compile_again(templates: Path) -> None:
    environment(templates, made_by=b"1").get_template("one.j2")
    trimmed = environment(templates, made_by=b"2", trim_blocks=True)
    assert trimmed.get_template("one.j2").render(value=1) == "1\n"


@pytest.mark.parametrize("kept_bytes", [0, 5, 20, 30, 60, 100, -9])
def test_one_that_was_cut_short_is_compiled_again(templates: Path, kept_bytes: int) -> None:
    environment(templates).get_template("one.j2")
    for kept in (templates / "__pycache__").iterdir():
        kept.write_bytes(kept.read_bytes()[:kept_bytes])
    assert environment(templates).get_template("one.j2").render(value=1) == "\n1\n"


def test_where_nothing_can_be_kept_it_works_all_the_same(templates: Path) -> None:
    (templates / "__pycache__").write_text("in the way")
    assert environment(templates).get_template("one.j2").render(value=1) == "\n1\n"
