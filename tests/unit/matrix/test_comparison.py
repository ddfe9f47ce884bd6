"""A cell against its baseline, and one release's machine types against another's."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from pipeline.matrix import baseline, comparison_report
from pipeline.matrix.answer import answer
from pipeline.matrix.baseline import Baseline
from pipeline.matrix.cell import Cell
from pipeline.matrix.comparison import State, against, compare_all, compare_types
from pipeline.matrix.result import CellResult, Ended
from tests.unit.matrix.cells import cell, fingerprint, releases, result, told

OLD = cell("10.0", "pc-q35-9.1")
NEW = cell("11.1", "pc-q35-11.1")
CHANGED: dict[str, str | None] = {
    "smbios/0/version": "2026.08",
    "smbios/1/version": "pc-q35-11.1",
    "machine/type": "pc-q35-11.1",
    "pci/00:01.0/PCIe/extended tag": "yes",
    "pci/02:00.0/odd": "1",
}


def kept(where: Cell, **options: object) -> Baseline:
    found = baseline.of(result(where, **options))  # type: ignore[arg-type]
    assert found is not None
    return found


def test_states() -> None:
    before = kept(cell())
    assert against(result(), before, {}).state is State.SAME
    assert against(result(), None, {}).state is State.NEW
    assert against(result(ended=Ended.LAB_FAULT), before, {}).state is State.UNKNOWN
    harmless = against(result(changed={"smbios/0/version": "1"}), before, {})
    assert harmless.state is State.HARMLESS
    seen = against(result(changed={"pci/01:00.0/ids": "1002:67ff"}), before, {})
    assert seen.state is State.NOTICEABLE
    broken = against(result(failed=("firmware",)), before, {})
    assert broken.state is State.BREAKS
    assert broken.explained[0].difference.path == "checks/firmware"


def test_a_cell_without_a_fingerprint() -> None:
    bare = CellResult(cell=cell(), ended=Ended.FAILED, checks=result(failed=("firmware",)).checks)
    assert against(bare, kept(cell()), {}).state is State.BREAKS
    assert against(bare, kept(cell(), failed=("firmware",)), {}).state is State.UNKNOWN
    assert against(bare, kept(cell()), {}).left_out == {"": "the cell gave no fingerprint"}


def test_a_baseline_of_10_0_compared_with_11_1() -> None:
    """Version strings, changed defaults by name, removed types; each line is explained or says that it is not."""
    found = compare_all(
        [result(NEW, changed=CHANGED)],
        [kept(OLD), kept(cell("10.0", "pc-q35-3.1"))],
        told(),
        reference="10.0",
    )
    first, gone = found
    assert first.before == OLD
    texts = {one.difference.path: one.explanation.text for one in first.explained}
    assert "OVMF" in texts["smbios/0/version"]
    assert "name of the machine type" in texts["smbios/1/version"]
    assert "pci-device.x-pcie-ext-tag=false" in texts["pci/00:01.0/PCIe/extended tag"]
    assert texts["pci/02:00.0/odd"].startswith("not explained")
    assert first.unexplained == 1
    assert [one.difference.path for one in first.defaults] == [
        "defaults/mch.extended-tseg-mbytes",
        "defaults/pci-device.x-pcie-ext-tag",
    ]
    assert (gone.state, gone.cell) == (State.GONE, cell("11.1", "pc-q35-3.1"))
    types = compare_types(releases("10.0")["10.0"], releases("11.1")["11.1"])
    assert types.removed[0] == "pc-q35-2.4"
    assert {"pc-q35-3.1", "pc-q35-5.1"} <= {*types.removed}
    assert "pc-q35-5.2" not in types.removed
    assert types.added == ("pc-q35-10.1", "pc-q35-10.2", "pc-q35-11.0", "pc-q35-11.1")
    assert types.deprecated == ("pc-q35-7.1", "pc-q35-7.2", "pc-q35-8.0", "pc-q35-8.1")
    assert (types.alias_before, types.alias_after) == ("pc-q35-10.0", "pc-q35-11.1")


def test_without_a_reference_a_cell_has_its_own_baseline() -> None:
    own, new = compare_all([result(cell()), result(NEW)], [kept(cell()), kept(OLD)], told())
    assert (own.state, own.before) == (State.SAME, cell())
    assert (new.state, new.before) == (State.NEW, None)


def test_the_compat_properties_of_a_baseline_count_where_its_release_is_not_at_hand() -> None:
    """10.0 is not prepared any more: what the baseline kept says what pc-q35-3.1 had set."""
    old = kept(cell("10.0", "pc-q35-3.1"), compat={"pcie-root-port.x-speed": "2_5"})
    last = kept(cell("10.0", "pc-q35-10.0"), compat={})
    after = result(NEW, changed={"pci/00:01.0/PCIe/link at most": "2.5 GT/s x1"})
    (found, *_) = compare_all([after], [old, last], {"11.1": told()["11.1"]}, reference="10.0/pc-q35-3.1")
    (link,) = found.explained
    assert "pcie-root-port.x-speed=2_5" in link.explanation.text


def printed(width: int = 100) -> tuple[str, dict[str, object]]:
    found = compare_all(
        [result(NEW, changed=CHANGED), result(cell("11.1", "pc-q35-8.0"))],
        [kept(OLD), kept(cell("10.0", "pc-q35-3.1"))],
        told(),
        reference="10.0",
    )
    types = [compare_types(releases("10.0")["10.0"], releases("11.1")["11.1"])]
    reply = answer("pc-q35-9.2", [result(cell())], releases("10.0", "11.1"))
    text = io.StringIO()
    console = Console(file=text, width=width)
    comparison_report.show(console, found, types)
    comparison_report.show_answer(console, reply)
    return text.getvalue(), comparison_report.as_json(found, types, reply)


def test_the_report_has_a_line_for_each_difference() -> None:
    text, _ = printed(width=200)
    assert "removed: pc-q35-2.4," in text
    assert "q35 without a version: pc-q35-10.0, now pc-q35-11.1" in text
    assert "harmless 0/version: 2025.02-8 -> 2026.08: another build of OVMF" in text
    assert "noticeable 02:00.0/odd is new: 1: not explained" in text
    assert "mch.extended-tseg-mbytes: 16 -> the driver's default: pc-q35-9.1 keeps" in text
    assert "machine type gone" in text
    assert (
        "versions: BIOS 2025.02-8 -> 2026.08; SMBIOS system version pc-q35-9.2 -> pc-q35-11.1; ACPI revision 3 on both"
        in text
    )
    assert "no machine type of this matrix is safe" in text
    assert "not explained: 1 of the differences" in text


def test_the_report_as_json_is_stable() -> None:
    _, first = printed()
    _, second = printed()
    assert json.dumps(first) == json.dumps(second)
    cells = first["cells"]
    assert isinstance(cells, list)
    for one in cells:
        for each in one["differences"]:
            assert each["explanation"]


def test_what_is_never_compared_is_said_once() -> None:
    common, own = {"cpuid/tsc": "the host's"}, {"acpi": "not read"}
    text = io.StringIO()
    found = []
    for where, left_out in ((cell(), common), (NEW, {**common, **own})):
        new = replace(result(where), fingerprint=fingerprint({"smbios/0/version": "1"}, left_out=left_out))
        found.append(against(new, kept(where), {}))
    comparison_report.show(Console(file=text, width=200), found)
    assert text.getvalue().count("cpuid/tsc") == 1
    assert "not compared in any cell: cpuid/tsc: the host's" in text.getvalue()
    assert "  not compared: acpi: not read" in text.getvalue()


def test_text_of_a_guest_cannot_colour_the_terminal() -> None:
    evil = result(cell(), changed={"smbios/0/version": "[red]\x1b[31mowned"})
    found = [against(evil, kept(cell()), {})]
    text = io.StringIO()
    comparison_report.show(Console(file=text, width=200), found)
    assert "\x1b" not in text.getvalue()
    assert "[red]\\x1b[31mowned" in text.getvalue()


@pytest.mark.parametrize("machine", ["pc-q35-9.2", "pc-q35-11.1"])
def test_a_type_that_does_not_exist_yet_is_not_gone(machine: str) -> None:
    """A baseline of 11.1 compared with cells of 10.0: 11.1's own types are new there, not gone."""
    found = compare_all(
        [result(cell("10.0", "pc-q35-9.2"))], [kept(cell("11.1", machine))], told(), reference="11.1"
    )
    assert State.GONE not in {one.state for one in found}
