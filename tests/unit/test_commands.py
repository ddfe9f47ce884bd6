"""The tasks as a user runs them: exit status, one clear error, nothing half written."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import commands
from pipeline import verify as run
from pipeline.errors import BadInput, ExitCode, LabFault, ScenarioFails
from pipeline.verdict import CheckResult, Outcome, Verdict

CHECKOUT = Path(__file__).resolve().parents[2]
SECONDS = 120


@pytest.fixture(autouse=True)
def own_signals_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`end` sets handlers for the whole process and adds to PATH; relative paths mean DRYBOOT_CWD."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setenv("DRYBOOT_CWD", str(tmp_path))
    monkeypatch.setenv("PATH", os.environ["PATH"])
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ended(command: Callable[..., ExitCode], *arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        commands.end(command, *arguments)
    return caught.value.code


def build(*settings: str, scenario: str = "rx560", output: str = "out") -> int:
    return ended(commands.build, scenario, output, settings)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def raising(error: BaseException) -> Callable[[], ExitCode]:
    def command() -> ExitCode:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ScenarioFails("x"), 1),
        (BadInput("x"), 2),
        (LabFault("x"), 3),
    ],
)
def test_every_error_is_one_message_and_its_exit_status(capsys, error: Exception, status: int) -> None:
    assert ended(raising(error)) == status
    assert capsys.readouterr() == ("", "error: x\n")


def test_an_interruption_is_130(capsys) -> None:
    assert ended(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("status", list(ExitCode))
def test_what_a_command_returns_is_the_exit_status(status: ExitCode) -> None:
    assert ended(lambda: status) == int(status)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_end_a_command_with_130_after_it_has_cleaned_up(
    tmp_path: Path, number: signal.Signals
) -> None:
    code = f"""
import pathlib, signal, time
from pipeline import commands
signal.signal(signal.SIGINT, signal.default_int_handler)
def command():
    try:
        print("ready", flush=True)
        time.sleep({SECONDS})
    finally:
        pathlib.Path({str(tmp_path / "clean")!r}).touch()
commands.end(command)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=SECONDS)
    assert (process.returncode, said) == (130, "interrupted\n")
    assert (tmp_path / "clean").exists()


def test_a_build_through_invoke(tmp_path: Path) -> None:
    invoke = Path(sys.executable).with_name("invoke")
    done = subprocess.run(
        [invoke, "build", "--scenario", "rx560", "--output", tmp_path / "out"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(contents(tmp_path / "out")) == {
        "apply.md",
        "etc/default/grub",
        "etc/grub.d/42_without_passthrough",
        "etc/mkinitcpio.conf",
        "etc/modprobe.d/vfio.conf",
        "libvirt/win10.xml",
        "manifest.json",
    }


def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    assert [build(output="one"), build(output="two"), build(output="one")] == [0, 0, 0]
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two")
    assert "manifest.json" in one
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["one", "two"]


def test_the_output_is_named_for_the_scenario_where_nothing_is_said(tmp_path: Path) -> None:
    assert build(output="") == 0
    assert (tmp_path / "build/rx560/manifest.json").is_file()


def test_the_article_s_own_scenario_builds_with_warnings(capsys) -> None:
    assert build(scenario="rx560-2019") == 0
    said = capsys.readouterr().out
    assert "warning DB605: QEMU 11.1 no longer has pc-q35-3.1" in said
    assert "warning DB701: kernel 4.19 has had no fixes" in said
    assert "error" not in said


def test_a_machine_type_that_qemu_no_longer_has_is_an_error_that_names_the_cure(
    tmp_path: Path, capsys
) -> None:
    assert build("guest.machine=pc-q35-3.1") == 1
    out, err = capsys.readouterr()
    assert "error DB602: QEMU 11.1 no longer has pc-q35-3.1" in out
    assert re.search(r"fix: write pc-q35-\d+\.\d+, the nearest that QEMU 11\.1 has", out)
    assert err.startswith("error: rx560 has errors, nothing was written\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "setting",
    [
        "guest.name=$(id)",
        "guest.name=../../x",
        "guest.name=a\nb",
        "guest.name='a b'",
        "guest.disk.path=/a/../b",
        "guest.disk.path='/a,b'",
        "host.kernel_parameters=['quiet\" ; id']",
        "host.kernel_parameters=['`id`']",
        "host.vfio.ids=['1002:67ef,1002:aae0']",
        'board.root_ports.0.functions.0.name="\\x1b[2J"',
        "name=..",
        "guest.nonsense=1",
        "guest",
        "=",
        "",
        "guest.memory={",
        "guest.machine=!!python/object:os.system x",
        "board.root_ports.99.address='00:01.0'",
    ],
)
def test_a_hostile_or_senseless_setting_is_bad_input_and_one_message(
    tmp_path: Path, capsys, setting: str
) -> None:
    assert build(setting) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f]", err)
    assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["none", "./none.yaml", "", "..", "\x1b[2Jx", "a\0b", "x" * 300])
def test_a_scenario_that_is_not_there_is_bad_input(tmp_path: Path, capsys, name: str) -> None:
    assert build(scenario=name) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "\x1b" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"a: [", b"- 1\n", b"&a [*a]\n"])
def test_a_file_that_is_no_scenario_is_bad_input(tmp_path: Path, capsys, data: bytes) -> None:
    (tmp_path / "s.yaml").write_bytes(data)
    assert build(scenario="./s.yaml") == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_an_output_that_is_a_file_is_bad_input_and_stays(tmp_path: Path, capsys) -> None:
    (tmp_path / "out").write_text("mine")
    assert build() == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert (tmp_path / "out").read_text() == "mine"


def test_an_output_with_foreign_files_is_bad_input_and_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    assert build() == 2
    assert contents(tmp_path / "out") == {"mine": b"mine"}


@pytest.mark.parametrize("output", ["/proc/none/out", "/dev/null/out", "file/out"])
def test_an_output_that_cannot_be_written_is_bad_input(tmp_path: Path, capsys, output: str) -> None:
    (tmp_path / "file").write_text("")
    assert build(output=output) == 2
    assert "cannot write" in capsys.readouterr().err


def lint(**options: object) -> int:
    return ended(commands.lint, commands.LintOptions(**options))


def test_lint_of_a_sound_scenario(capsys) -> None:
    assert lint(scenarios=("rx560",)) == 0
    *findings, last = capsys.readouterr().out.splitlines()
    assert last == "rx560: 0 errors, 0 warnings, 1 notes"
    assert findings[0].startswith("scenarios/rx560.yaml:10:9: note DB303: ")


def test_lint_as_json(capsys) -> None:
    assert lint(scenarios=("rx560",), settings=("guest.machine=pc-q35-3.1",), format="json") == 1
    found, note = json.loads(capsys.readouterr().out)
    assert (found["code"], found["severity"]) == ("DB602", "error")
    assert (note["code"], note["severity"]) == ("DB303", "note")
    assert found["edits"][0]["old"] == "pc-q35-3.1"


def test_lint_as_annotations(capsys) -> None:
    assert lint(scenarios=("rx560", "bad-group"), format="github") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["::notice", "::error", "::notice"]


def test_lint_as_sarif_in_a_file_has_the_fix(tmp_path: Path, capsys) -> None:
    text = (CHECKOUT / "scenarios/rx560.yaml").read_text().replace("iommu=pt]", "amd_iommu=off]")
    (tmp_path / "own.yaml").write_text(text)
    assert lint(scenarios=("own.yaml",), format="sarif", output="own.sarif") == 1
    assert capsys.readouterr() == ("", "")
    (run,) = json.loads((tmp_path / "own.sarif").read_text())["runs"]
    assert [one["ruleId"] for one in run["results"]] == ["DB402", "DB303"]
    (change,) = run["results"][0]["fixes"][0]["artifactChanges"]
    assert change["artifactLocation"]["uri"] == "own.yaml"
    (replacement,) = change["replacements"]
    assert (replacement["deletedRegion"]["startLine"], replacement["insertedContent"]["text"]) == (16, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.sarif", "own.yaml"]


def test_lint_of_a_directory(tmp_path: Path, capsys) -> None:
    for number in range(3):
        shutil.copy(CHECKOUT / "scenarios/rx560.yaml", tmp_path / f"{number}.yaml")
    (tmp_path / "1.yaml").write_text("schema: 2\n")
    assert lint(scenarios=(".",)) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ./1.yaml:1:")
    assert [line for line in out.splitlines() if "errors" in line][
        -1
    ] == "2 inputs: 0 errors, 0 warnings, 2 notes"


def test_lint_of_a_bundle_and_of_a_machine_says_what_is_not_known(tmp_path: Path, capsys) -> None:
    assert build(output="out") == 0
    capsys.readouterr()
    assert lint(bundle="out") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("rx560: 0 errors")
    assert lines[-1].startswith("rx560: not known, so what needs it was not looked at: the PCI functions")
    grub = tmp_path / "out/etc/default/grub"
    grub.write_text(grub.read_text().replace("iommu=pt", "amd_iommu=on"))
    assert lint(root="out", kernel="6.12", qemu="11.1") == 0
    assert "out/etc/default/grub:12:55: note DB401: amd_iommu=on" in capsys.readouterr().out
    assert lint(root="out", kernel="6.12", format="json") == 0
    out, err = capsys.readouterr()
    assert "DB401" in [one["code"] for one in json.loads(out)]
    assert "not known" in err
    (tmp_path / "out/manifest.json").unlink()
    assert lint(bundle="out") == 2
    assert "is no bundle" in capsys.readouterr().err


def test_lint_mends_a_machine_s_files_without_asking_where_it_is_told_to(tmp_path: Path, capsys) -> None:
    assert build(output="out") == 0
    conf = tmp_path / "out/etc/mkinitcpio.conf"
    sound = conf.read_text()
    conf.write_text(sound.replace("MODULES=(", "MODULES=(vfio_virqfd "))
    capsys.readouterr()
    # Nobody is at the terminal of a test.
    assert lint(root="out", fix=True) == lint(root="out") == 1
    assert "nothing was written" in capsys.readouterr().out
    assert lint(root="out", fix=True, yes=True, format="json") == 0
    out, err = capsys.readouterr()
    assert conf.read_text() == sound
    assert "DB201" not in [one["code"] for one in json.loads(out)]
    assert "the old out/etc/mkinitcpio.conf is kept as mkinitcpio.conf.before-dryboot" in err


def test_lint_of_a_domain_alone(tmp_path: Path, capsys) -> None:
    assert build(output="out") == 0
    capsys.readouterr()
    assert lint(domains=("out/libvirt/win10.xml",), qemu="6.0") == 1
    assert "error DB603: QEMU 6.0 does not have pc-q35-" in capsys.readouterr().out
    assert lint(domains=("out/etc/default/grub",)) == 2
    assert capsys.readouterr().err.startswith("error: out/etc/default/grub:")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scenarios": ("rx560",), "root": "."},
        {"bundle": ".", "root": "."},
        {"scenarios": ("rx560",), "domains": ("a.xml",)},
        {"bundle": ".", "domains": ("a.xml",)},
        {"root": ".", "settings": ("a=b",)},
        {"settings": ("a=b",)},
        {"scenarios": ("rx560",), "kernel": "6.12"},
        {"bundle": ".", "qemu": "11.1"},
        {"scenarios": ("rx560",), "lspci": "a"},
        {"scenarios": ("rx560",), "format": "xml"},
        {"scenarios": ("rx560",), "output": "a"},
        {"scenarios": ("rx560",), "output": "none/a", "format": "sarif"},
        {"scenarios": ("rx560",), "yes": True},
        {"explain": "DB101", "scenarios": ("rx560",)},
        {"explain": "DB101", "format": "json"},
        {"explain": "DB999"},
        {"explain": "\x1b[2J"},
        {"scenarios": ("",)},
        {"root": "none"},
        {"root": ".", "kernel": "new"},
    ],
)
def test_options_of_lint_that_make_no_sense_are_bad_input(tmp_path: Path, capsys, options) -> None:
    assert lint(**options) == 2
    out, err = capsys.readouterr()
    assert (out, err.startswith("error: "), "\x1b" in err) == ("", True, False)
    assert list(tmp_path.iterdir()) == []


def test_a_rule_is_explained(capsys) -> None:
    assert lint(explain="db101") == 0
    out = capsys.readouterr().out
    assert "DB101: The id is a subsystem id" in out
    assert "vfio_pci_fill_ids()" in out
    assert lint(explain="DB10") == 2
    assert "is one of these meant: DB10" in capsys.readouterr().err


def test_lint_through_invoke(tmp_path: Path) -> None:
    invoke = Path(sys.executable).with_name("invoke")
    arguments = [
        "--scenario",
        "rx560",
        "--scenario=bad-group",
        "--set",
        "guest.machine=q35",
        "--strict",
        "--json",
    ]
    done = subprocess.run(
        [invoke, "lint", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    codes = [one["code"] for one in json.loads(done.stdout)]
    assert codes == ["DB606", "DB303", "DB504", "DB606", "DB303"]


def test_the_schema_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    assert ended(commands.schema, "schema.json") == 0
    shipped = json.loads((CHECKOUT / "scenarios/scenario.schema.json").read_text())
    assert json.loads((tmp_path / "schema.json").read_text()) == shipped
    assert ended(commands.schema, "none/schema.json") == 2


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch):
    """`verify` without a lab: the verdict has the outcome that a test asks for."""

    def arrange(
        outcome: Outcome = Outcome.HELD, error: BaseException | None = None
    ) -> list[dict[str, object]]:
        asked: list[dict[str, object]] = []

        def verify(plan, bundle, **options) -> Verdict:
            asked.append(options)
            options["logs"].mkdir()
            if error:
                raise error
            found = Verdict(
                scenario=plan.name,
                outcome=outcome,
                findings=options["findings"],
                checks=tuple(
                    CheckResult(expectation=one, outcome=Outcome.HELD, observed=one.expected)
                    for one in plan.expectations
                ),
                stand_ins=(),
                replacements=(),
                accelerator="tcg",
                versions={},
                times={},
                peak_memory=0,
            )
            return replace(found, fault="broken") if outcome is Outcome.LAB_FAULT else found

        monkeypatch.setattr(run, "verify", verify)
        return asked

    return arrange


def verify(*settings: str, report: str = "", accelerator: str = "", refuse: bool = True) -> int:
    return ended(commands.verify, "rx560", "out", report, settings, accelerator, refuse)


@pytest.mark.parametrize(
    ("outcome", "status"), [(Outcome.HELD, 0), (Outcome.FAILED, 1), (Outcome.LAB_FAULT, 3)]
)
def test_verify_writes_its_verdict_whatever_it_is(tmp_path: Path, lab, outcome: Outcome, status: int) -> None:
    lab(outcome)
    assert verify() == status
    report = tmp_path / "out/report"
    assert json.loads((report / "verdict.json").read_text())["exit_code"] == status
    assert sorted(path.name for path in report.iterdir()) == ["junit.xml", "logs", "verdict.json"]


def test_a_second_verify_replaces_bundle_and_report(tmp_path: Path, lab) -> None:
    lab()
    assert [verify(), verify()] == [0, 0]
    assert (tmp_path / "out/manifest.json").is_file()
    assert (tmp_path / "out/report/verdict.json").is_file()


def test_a_report_may_lie_elsewhere(tmp_path: Path, lab) -> None:
    lab()
    assert verify(report="else/where") == 0
    assert (tmp_path / "else/where/verdict.json").is_file()
    assert not (tmp_path / "out/report").exists()


def test_a_report_with_foreign_files_is_refused_before_anything_is_written(
    tmp_path: Path, lab, capsys
) -> None:
    asked = lab()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine").write_text("mine")
    assert verify(report="notes") == 2
    assert "'mine'" in capsys.readouterr().err
    assert contents(tmp_path) == {"notes/mine": b"mine"}
    assert asked == []


@pytest.mark.parametrize("error", [BadInput("no room"), KeyboardInterrupt()])
def test_a_verify_that_ends_early_leaves_no_half_report(tmp_path: Path, lab, error: BaseException) -> None:
    lab(error=error)
    assert verify() == (2 if isinstance(error, BadInput) else 130)
    assert not (tmp_path / "out/report").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["out"]


def test_an_accelerator_that_there_is_not_is_bad_input(tmp_path: Path, lab) -> None:
    asked = lab()
    assert verify(accelerator="xen") == 2
    assert list(tmp_path.iterdir()) == []
    assert verify(accelerator="tcg") == 0
    assert [options["accelerator"] for options in asked] == ["tcg"]


def test_errors_of_lint_keep_verify_from_booting_unless_told_otherwise(lab) -> None:
    asked = lab()
    assert verify("host.vfio.ids=['1002:67ef']") == 1
    assert asked == []
    assert verify("host.vfio.ids=['1002:67ef']", refuse=False) == 0
    assert [[one.code for one in options["findings"]] for options in asked] == [["DB104", "DB303"]]


@pytest.mark.parametrize("functions", [True, False])
def test_verify_tests_the_functions_where_it_is_told_to(lab, functions: bool) -> None:
    asked = lab()
    options = ("", (), "", True, False, "", "default", None, functions)
    assert ended(commands.verify, "rx560", "out", *options) == 0
    assert [one["functions"] for one in asked] == [functions]


def test_the_way_back_has_no_functions_to_test(lab, capsys) -> None:
    asked = lab()
    options = ("", (), "", True, False, "", "fallback", None, True)
    assert ended(commands.verify, "rx560", "out", *options) == 2
    assert "--functions needs a guest" in capsys.readouterr().err
    assert asked == []
