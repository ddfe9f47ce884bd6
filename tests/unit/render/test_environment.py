from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from pipeline.errors import BadInput
from pipeline.render import environment

HOSTILE = [
    "$(touch /tmp/x)", "`id`", "${HOME}", "a\"b", "a'b", "a\\", "a\nb", "a;b", "a|b", "a b", "*", "~", "!!",
    "\r", "é", "\x81\x88", "#", "-n", "%s", "[0]=x", "{a,b}", "<(id)", "",
]  # fmt: skip
text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def run(shell: str, script: str) -> list[str]:
    done = subprocess.run([shell], input=script.encode(), capture_output=True, check=True, cwd="/")
    assert done.stderr == b""
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("shell", ["sh", "bash"])
@given(values=st.lists(text, min_size=1, max_size=20))
@example(values=HOSTILE)
@settings(max_examples=40)
def test_sh_gives_the_value_back(shell, values):
    lines = [f"V{number}={environment.sh(value)}" for number, value in enumerate(values)]
    lines += [f"printf '%s\\0' \"$V{number}\"" for number in range(len(values))]
    assert run(shell, "\n".join(lines)) == values


@given(values=st.lists(text, min_size=1, max_size=20))
@example(values=HOSTILE)
@example(values=["vfio_virqfd?"])
@settings(max_examples=40)
def test_bash_words_give_the_array_back(values):
    script = f"A=({environment.bash_words(values)})\nprintf '%s\\0' \"${{A[@]}}\""
    assert run("bash", script) == values


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
@pytest.mark.parametrize("name", ["sh", "bash_word", "modprobe", "comment", "code"])
def test_what_no_file_can_hold_is_refused(name, value):
    with pytest.raises(BadInput):
        environment.FILTERS[name](value)


@pytest.mark.parametrize(
    "value", [*HOSTILE, "1002:67ef,1002:aae0", "vfio-pci\n", "vfio-pci\ninstall x /bin/sh"]
)
def test_modprobe_refuses_all_but_names_and_ids(value):
    with pytest.raises(BadInput):
        environment.modprobe(value)


@given(text)
def test_modprobe_lets_nothing_special_through(value):
    try:
        passed = environment.modprobe(value)
    except BadInput:
        return
    assert passed == value
    assert value.isascii()
    assert value.replace("_", "").replace("-", "").replace(":", "").isalnum()


@pytest.mark.parametrize("value", [*HOSTILE, "a=$b", "a=b c", "a={b}", "quiet\n", 'a="b"', "a=b;reboot"])
def test_the_kernel_command_line_refuses_what_the_shell_or_grub_would_read(value):
    with pytest.raises(BadInput):
        environment.command_line(["quiet", value])


@pytest.mark.parametrize(
    "value", ["quiet", "udev.log_priority=3", "pcie_acs_override=downstream,multifunction"]
)
def test_the_kernel_command_line_takes_parameters(value):
    assert environment.command_line(["quiet", value]) == f'"quiet {value}"'


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\x1bb", "a\u2028b", "a\x85b"])
def test_a_comment_stays_on_its_line(value):
    with pytest.raises(BadInput):
        environment.comment(value)


@pytest.mark.parametrize("value", ["a`b", "a\nb", "", " "])
def test_a_code_span_cannot_be_left(value):
    with pytest.raises(BadInput):
        environment.code(value)


def test_templates_cannot_put_out_a_value_without_a_filter():
    template = environment.environment().from_string("{{ value }}")
    with pytest.raises(TypeError, match="without a filter"):
        template.render(value="x")


def test_templates_cannot_join_their_way_round_a_filter():
    template = environment.environment().from_string("{{ values | map('bash_word') | join(' ') }}")
    with pytest.raises(TypeError, match="without a filter"):
        template.render(values=["a", "b"])


@pytest.mark.parametrize("source", ["{{ missing | bash_word }}", "{% for x in missing %}{% endfor %}"])
def test_a_name_that_is_not_there_is_an_error(source):
    template = environment.environment().from_string(source)
    with pytest.raises((UndefinedError, TypeError)):
        template.render()


@pytest.mark.parametrize("name", ["gentoo/etc/default/grub.j2", "../pyproject.toml", "/etc/passwd"])
def test_only_templates_are_templates(name):
    with pytest.raises(BadInput, match="no template"):
        environment.fill([name])


@pytest.mark.skipif(shutil.which("dash") is None, reason="dash is not installed")
def test_a_value_is_not_run():
    script = f"V={environment.sh('$(echo run >&2)`echo run >&2`')}"
    assert run("dash", script) == []


@pytest.mark.parametrize("value", ["/a b", "relative", "/a\nb", "/a\\b", ""])
def test_a_path_that_a_boot_loader_entry_cannot_hold_is_refused(value: str) -> None:
    with pytest.raises(BadInput, match="cannot be written into a boot loader entry"):
        environment.entry(value)


@pytest.mark.parametrize("value", ["a b", 'a="b"', "a\nb", "-a", ""])
def test_options_that_a_boot_loader_entry_cannot_hold_are_refused(value: str) -> None:
    with pytest.raises(BadInput, match="cannot be written into a boot loader entry"):
        environment.entry_options(["quiet", value])


def test_a_boot_loader_entry_has_paths_and_options_as_they_are() -> None:
    assert environment.entry("/vmlinuz-linux") == "/vmlinuz-linux"
    assert environment.entry_options(["root=UUID=1-2", "quiet"]) == "root=UUID=1-2 quiet"


def test_the_distribution_s_own_template_goes_before_the_common_one() -> None:
    names = ("manjaro/etc/default/grub.j2", "common/none.j2")
    with pytest.raises(BadInput, match=r"there is no template 'none/x\.j2' or 'common/none\.j2'"):
        environment.fill(("none/x.j2", "common/none.j2"))
    values = {"scenario": "s", "parameters": ["quiet"], "parameters_from": "line 1"}
    assert b'GRUB_DISTRIBUTOR="Manjaro"' in environment.fill(names, **values)
