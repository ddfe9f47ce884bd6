"""The option parser, against its messages and against Python's getopt, which reads the same grammar."""

from __future__ import annotations

import getopt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.initcpio import options
from pipeline.lab.initcpio.options import Options, Usage, parse


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], Options()),
        (["-P"], Options(all_presets=True)),
        (["--allp"], Options(all_presets=True)),
        (["-p", "linux612"], Options(presets=("linux612",))),
        (["-plinux", "--preset=lts", "--preset", "zen"], Options(presets=("linux", "lts", "zen"))),
        (["-p", "lost", "-P", "-p", "/x.preset"], Options(presets=("/x.preset",), all_presets=True)),
        (
            ["-g", "/boot/x.img", "-k", "6.12", "-c", "/c"],
            Options(generate="/boot/x.img", kernel="6.12", config="/c"),
        ),
        (["-vsg/boot/x.img"], Options(generate="/boot/x.img")),
        (
            ["-S", "autodetect,fsck", "--skiphooks", "kms"],
            Options(skip_hooks=("autodetect", "fsck", "kms")),
        ),
        (["-A", "a,b", "--add", "c", "--addh=d"], Options(add_hooks=("a", "b", "c", "d"))),
        (["-z", "lz4"], Options(compress="lz4")),
        (
            ["-U", "/u.efi", "--splash", "/s", "--no-cmd"],
            Options(uki="/u.efi", unified=(("splash", "/s"), ("no-cmdline", ""))),
        ),
        (["left", "over", "-g", "/x", "--", "-P"], Options(generate="/x")),
        (["-g", "-k"], Options(generate="-k")),
        (["-V"], Options(version=True)),
    ],
)  # fmt: skip
def test_what_is_asked_for(arguments: list[str], expected: Options) -> None:
    assert parse(arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-x"], "mkinitcpio: invalid option -- 'x'"),
        (["-Px"], "mkinitcpio: invalid option -- 'x'"),
        (["--nosuch"], "mkinitcpio: unrecognized option '--nosuch'"),
        (["-g"], "mkinitcpio: option '-g' requires an argument"),
        (["-g", ""], "mkinitcpio: option '-g' requires an argument"),
        (["-vk"], "mkinitcpio: option '-k' requires an argument"),
        (["--generate"], "mkinitcpio: option '--generate' requires an argument"),
        (["--generate", ""], "mkinitcpio: option '--generate' requires an argument"),
        (["--preset="], "mkinitcpio: option '--preset' requires an argument"),
        (["--allpresets=x"], "mkinitcpio: option '--allpresets' doesn't allow an argument"),
        (["--no"], "mkinitcpio: option '--no' is ambiguous; possibilities: 'nocolor' 'nopost' 'no-cmdline' 'no-ukify'"),
        (["-D", "/hooks"], "mkinitcpio: --hookdir is not known to this substitute for mkinitcpio"),
        (["-R"], "mkinitcpio: --remove is not known to this substitute for mkinitcpio"),
    ],
)  # fmt: skip
def test_what_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(Usage) as refused:
        parse(arguments)
    assert str(refused.value) == message


_SHORT = "A:c:D:I:g:H:hk:nLMPp:Rr:S:sd:t:U:Vvz:"
_LONG = [
    *(
        "add=",
        "addhooks=",
        "include=",
        "config=",
        "generate=",
        "hookdir=",
        "hookhelp=",
        "help",
        "kernel=",
        "listhooks",
    ),
    *(
        "automods",
        "moduleroot=",
        "nocolor",
        "nopost",
        "allpresets",
        "preset=",
        "remove",
        "skiphooks=",
        "save",
    ),
    *(
        "generatedir=",
        "builddir=",
        "version",
        "verbose",
        "compress=",
        "uki=",
        "uefi=",
        "microcode=",
        "splash=",
    ),
    *("kernelimage=", "uefistub=", "cmdline=", "osrelease=", "no-cmdline", "ukiconfig=", "no-ukify"),
]
WORDS = st.one_of(
    st.sampled_from([f"-{letter}" for letter in _SHORT.replace(":", "")]),
    st.sampled_from([f"--{name.rstrip('=')}" for name in _LONG]),
    st.builds("--{}={}".format, st.sampled_from([name.rstrip("=") for name in _LONG]), st.just("v")),
    st.sampled_from(["--", "-", "x", "a,b", "/boot/x"]),
    st.text("-PvgkSA=x", min_size=1, max_size=5),
)


@given(st.lists(WORDS, max_size=6))
def test_every_command_line_is_cut_as_getopt_cuts_it(arguments: list[str]) -> None:
    try:
        expected = getopt.gnu_getopt(arguments, _SHORT, _LONG)[0]
    except getopt.GetoptError:
        with pytest.raises(Usage):
            list(options._pairs(arguments))
        return
    if any(word == "" for _, word in expected) and any("=" in word for word in arguments):
        return  # `--name=` takes the next word here
    names = {f"-{short}": long[0] for short, long, _ in options._OPTIONS if short}
    names |= {f"--{name}": long[0] for _, long, _ in options._OPTIONS for name in long}
    assert list(options._pairs(arguments)) == [(names[name], value) for name, value in expected]
