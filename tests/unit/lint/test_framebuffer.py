"""The firmware's picture: each rule firing, and silent beside it."""

from dataclasses import replace

import pytest

from pipeline.lint import framebuffer
from pipeline.lint.rule import Rule
from pipeline.setup import Setup
from tests.unit.lint.setups import brief, complete, edits, functions, host, kernel, line, of

# A machine whose one card goes to the guest.
ONLY = functions(of(), "05:00.0", class_code="0403")


@pytest.mark.parametrize(
    ("setup", "best"),
    [
        (kernel(line(ONLY, "quiet"), "5.10"), "video=efifb:off"),
        (kernel(line(ONLY, "quiet"), "5.15"), "initcall_blacklist=sysfb_init"),
        (kernel(line(ONLY, "video=efifb:off"), "5.15"), "initcall_blacklist=sysfb_init"),
    ],
)
def test_the_picture_stays_on_the_only_card(setup: Setup, best: str) -> None:
    (finding,) = complete(framebuffer.picture_in_the_way, setup)
    assert finding.severity.value == "warning"
    assert finding.found.startswith("01:00.0 shows the firmware's picture")
    assert [(edit.kind.value, edit.new) for edit in finding.edits] == [("add after", best)]


@pytest.mark.parametrize(
    "setup",
    [
        kernel(line(ONLY, "quiet"), "6.0"),
        kernel(line(of(), "quiet"), "5.10"),
        kernel(line(ONLY, "video=efifb:off"), "5.13"),
        kernel(line(ONLY, "initcall_blacklist=sysfb_init"), "5.15"),
        kernel(line(functions(ONLY, "01:00.0", class_code="030200"), "quiet"), "5.10"),
        host(kernel(line(ONLY, "quiet"), "5.10"), until_guest_starts=True),
    ],
)
def test_nothing_in_the_way(setup: Setup) -> None:
    assert brief(framebuffer.picture_in_the_way, setup) == []


def test_parameters_against_the_picture_are_idle_since_6_0() -> None:
    setup = line(of(), "video=efifb:off", "initcall_blacklist=sysfb_init", "video=1920x1080")
    assert brief(framebuffer.picture_parameter_idle, setup) == [
        ("note", "video=efifb:off is not needed with kernel 6.12"),
        ("note", "initcall_blacklist=sysfb_init is not needed with kernel 6.12"),
    ]
    efifb, sysfb = complete(framebuffer.picture_parameter_idle, setup)
    assert "simpledrm does not read it" in efifb.why
    assert "simpledrm" not in sysfb.why
    assert edits(framebuffer.picture_parameter_idle, setup)[0] == ("remove", "video=efifb:off", "")


@pytest.mark.parametrize(
    "setup",
    [
        kernel(line(of(), "video=efifb:off"), "5.19"),
        line(functions(of(), "01:00.0", class_code="0302"), "video=efifb:off"),
        line(of("nvme-passthrough"), "video=efifb:off"),
        line(of(), "video=HDMI-A-1:1920x1080"),
    ],
)
def test_parameters_that_may_be_needed(setup: Setup) -> None:
    assert brief(framebuffer.picture_parameter_idle, setup) == []


def test_nomodeset() -> None:
    setup = line(of(), "nomodeset")
    assert brief(framebuffer.no_modesetting, setup) == [
        ("note", "nomodeset keeps amdgpu from 05:00.0, the host's own graphics")
    ]
    assert edits(framebuffer.no_modesetting, setup) == [("remove", "nomodeset", "")]
    assert brief(framebuffer.no_modesetting, line(ONLY, "nomodeset")) == []
    assert brief(framebuffer.no_modesetting, line(of(), "quiet")) == []


def test_a_second_driver_in_one_video() -> None:
    setup = line(of(), "video=efifb:off,vesafb:off")
    assert brief(framebuffer.second_driver_unread, setup) == [
        ("note", "vesafb:off in video=efifb:off,vesafb:off is not read")
    ]
    assert edits(framebuffer.second_driver_unread, setup) == [
        ("replace", "video=efifb:off,vesafb:off", "video=efifb:off video=vesafb:off")
    ]
    assert edits(framebuffer.second_driver_unread, line(of(), "video=efifb:1024x768,efifb:off,nowc")) == []
    for value in ("efifb:off", "HDMI-A-1:1920x1080,vesafb:off", "efifb:1024x768,nowc"):
        assert brief(framebuffer.second_driver_unread, line(of(), f"video={value}")) == []


@pytest.mark.parametrize("rule", framebuffer.RULES, ids=lambda rule: str(rule.code))
def test_silent_where_nothing_is_known(rule: Rule) -> None:
    bare = host(of(), command_line=None, kernel=None)
    assert brief(rule, replace(bare, board=None)) == []
