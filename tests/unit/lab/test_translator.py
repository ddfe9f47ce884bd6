from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LabFault
from pipeline.lab import translator
from pipeline.lab.firmware import Firmware, Pair
from pipeline.lab.releases import Release
from pipeline.lab.toolchain import Qemu


@given(st.lists(st.text()))
def test_arguments_come_after_the_emulator_unquoted(words: list[str]) -> None:
    line = f"LC_ALL=C HOME='/a b' /mnt/emulator {shlex.join(words)}\n"
    assert translator.arguments(line, emulator="/mnt/emulator") == tuple(words)


def test_an_answer_that_starts_something_else_is_a_lab_fault() -> None:
    with pytest.raises(LabFault, match="does not start the emulator"):
        translator.arguments("LC_ALL=C /usr/bin/true -S", emulator="/mnt/emulator")


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """A release, and a libvirt that is played by a script in place of its namespaces."""
    monkeypatch.setenv("DRYBOOT_CACHE", str(tmp_path / "cache"))
    tree = tmp_path / "libvirt"
    (tree / "usr/share").mkdir(parents=True)
    monkeypatch.setattr(translator, "tree", lambda _: tree)
    pair = Pair(code=tmp_path / "code", variables=tmp_path / "variables")
    folder = tmp_path / "release"
    folder.mkdir()
    qemu = Qemu(
        argv=("/the loader", "qemu"), version="9.2", origin="here", environment={"QEMU_MODULE_DIR": "/m n"}
    )
    return Release(name="mine", qemu=qemu, firmware=Firmware(plain=pair), digest="0", folder=folder)


def libvirt_says(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(translator, "_ENTER", script)
    # The script takes the place of what is run in the namespaces.
    real = translator.subprocess.run

    def run(argv: list[str], **options: object) -> object:
        at = argv.index("sh")
        return real(argv[at:], **options)

    monkeypatch.setattr(translator.subprocess, "run", run)


XML = b"<domain><devices><emulator>/usr/bin/qemu</emulator></devices></domain>"
OTHER = XML.replace(b"<domain>", b"<domain><name>other</name>")


def test_the_emulator_is_the_releases_and_starts_it_as_it_has_to_be(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    libvirt_says(monkeypatch, """x=$(cat); echo "A=b $2/emulator -name '$x'" """)
    option, xml = translator.translate(XML, release, lambda _: None)
    assert option == "-name"
    assert "/usr/bin/qemu" not in xml
    assert "/emulator</emulator>" in xml
    script = release.folder / "emulator"
    assert script.read_text().splitlines()[1:] == [
        "export QEMU_MODULE_DIR='/m n'",
        "exec '/the loader' qemu \"$@\"",
    ]
    before = script.stat()
    translator.translate(OTHER, release, lambda _: None)
    assert script.stat().st_mtime_ns == before.st_mtime_ns, "libvirt would ask the QEMU again"


def test_it_is_asked_once_for_the_same_until_the_machine_starts_again(
    release: Release, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    libvirt_says(monkeypatch, f"cat > /dev/null; echo x >> {count}; echo $2/emulator -n $(wc -l < {count})")
    said = [translator.translate(xml, release, lambda _: None) for xml in (XML, XML, OTHER)]
    assert said == [("-n", "1"), ("-n", "1"), ("-n", "2")]
    boot = tmp_path / "boot_id"
    boot.write_text("another")
    monkeypatch.setattr(translator, "_BOOT", boot)
    assert translator.translate(XML, release, lambda _: None) == ("-n", "3")
    assert len(list((tmp_path / "cache/translations").iterdir())) == 1


def test_what_libvirt_does_not_take_is_refused_in_its_words(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "error: unsupported configuration: Emulator '/x' does not support machine type 'pc-q35-3.1'"
    libvirt_says(monkeypatch, f"echo 'a warning' >&2; echo {shlex.quote(said)} >&2; exit 1")
    with pytest.raises(translator.Refused, match=r"does not support machine type 'pc-q35-3\.1'") as caught:
        translator.translate(XML, release, lambda _: None)
    assert "warning" not in caught.value.message


def test_a_libvirt_that_does_not_run_is_a_lab_fault(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    libvirt_says(monkeypatch, "echo 'mount: permission denied' >&2; exit 1")
    with pytest.raises(LabFault, match="mount: permission denied") as caught:
        translator.translate(XML, release, lambda _: None)
    assert not isinstance(caught.value, translator.Refused)


def test_its_short_path_hides_nothing_of_the_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    monkeypatch.setattr(translator, "_SHORT", (str(tmp_path / "gone"), str(one), str(two)))
    assert translator._short_path([str(two / "cache")]) == str(one)
    assert translator._short_path([str(one / "cache"), "-L"]) == str(two)
    with pytest.raises(LabFault, match="needs one of"):
        translator._short_path([str(one / "cache"), str(two / "qemu")])


def test_another_mirror_makes_another_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    before = translator.name()
    monkeypatch.setenv("DRYBOOT_DEBIAN_MIRROR", "http://mirror.invalid")
    assert translator.name() != before
