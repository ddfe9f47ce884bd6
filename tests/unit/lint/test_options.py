"""Options of the vfio modules: each rule firing, and silent beside it."""

from dataclasses import replace

import pytest

from pipeline.errors import Place
from pipeline.facts import pci_ids
from pipeline.lint import ids, options
from pipeline.lint.rule import Rule
from pipeline.pci import Address, IdPair
from pipeline.setup import Setup
from pipeline.setup.model import Function
from tests.unit.lint.setups import brief, complete, edits, host, kernel, line, modprobe, of, option, words

CARD = "1002:67ef,1002:aae0"
GIVEN = modprobe(of(), options=(option("vfio-pci", "ids", CARD),))


def test_an_address_is_no_id() -> None:
    setup = modprobe(of(), vfio_ids=words("0000:01:00.0", "1002:aae0"))
    assert brief(options.malformed_id, setup) == [
        ("error", "0000:01:00.0 is no pair of ids: it is the address of Baffin [Radeon RX 560]")
    ]
    assert edits(options.malformed_id, setup) == [("replace", "0000:01:00.0", "1002:67ef")]
    assert brief(ids.unknown_id, setup) == []


@pytest.mark.parametrize(
    "text", ["1002", "1002-67ef", "1002:67eg", "1002:67ef:", "10020:67ef", "1:2:3:4:5:6:7", "09:00.0"]
)
def test_what_vfio_pci_cannot_read(text: str) -> None:
    setup = line(of(), f"vfio-pci.ids={text},1002:aae0")
    assert brief(options.malformed_id, setup) == [("error", f"{text} is no pair of ids")]
    assert edits(options.malformed_id, setup) == []


@pytest.mark.parametrize(
    "text",
    [
        "1002:67ef",
        "0x1002:0x67EF",
        "1002:67ef:148c:2385",
        "1002:67ef:ffffffff:ffffffff",
        "1002:ffffffff:148c:2385:30000:ff0000",
    ],
)
def test_every_form_that_takes_the_card(text: str) -> None:
    setup = line(modprobe(of(), vfio_ids=()), f"vfio-pci.ids={text},1002:aae0")
    assert brief(options.malformed_id, setup) == []
    assert (
        brief(ids.unknown_id, setup) == brief(ids.id_missing, setup) == brief(ids.id_of_another, setup) == []
    )


@pytest.mark.parametrize("text", ["1002:67ef:148c:2386", "1002:67ef:ffffffff:ffffffff:40300:ffff00"])
def test_another_subsystem_or_class_is_another_card(text: str) -> None:
    setup = modprobe(of(), vfio_ids=words(text, "1002:aae0"))
    assert [severity for severity, _ in brief(ids.unknown_id, setup)] == ["warning"]
    assert [severity for severity, _ in brief(ids.id_missing, setup)] == ["error"]


def test_a_subsystem_that_is_not_known_is_taken_for_the_right_one() -> None:
    bare = Function(
        address=Address.parse("01:00.0"),
        ids=IdPair.parse("1002:67ef"),
        subsystem=None,
        class_code="0300",
        name="",
        drivers=(),
        passed=True,
        place=Place(file="lspci"),
    )
    assert ids.takes("1002:67ef:148c:2385", bare)
    assert not ids.takes("1002:67ef:148c:2385", replace(bare, subsystem=IdPair.parse("148c:0001")))
    assert not ids.takes("1002:67ef:148c:2385", bare, in_doubt=False)
    assert not ids.takes("", bare)


def test_an_unknown_id_is_named_where_the_system_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = modprobe(of(), vfio_ids=words("1002:67ef", "1002:aae0", "10de:1b80"))
    monkeypatch.setattr(pci_ids, "device", lambda pair: f"card {pair}")
    (finding,) = complete(ids.unknown_id, setup)
    assert finding.why.endswith("(10de:1b80 is a card 10de:1b80)")
    monkeypatch.setattr(pci_ids, "device", lambda pair: None)
    (finding,) = complete(ids.unknown_id, setup)
    assert finding.why.endswith("mistyped")


def test_ids_for_the_wrong_module() -> None:
    setup = modprobe(
        of(), options=(option("vfio", "ids", CARD), option("vfio_iommu_type1", "disable_hugepages", "1"))
    )
    assert brief(options.ids_of_another_module, setup) == [("error", "ids= is given to vfio")]
    assert brief(options.ids_of_another_module, GIVEN) == []


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        (
            modprobe(
                of(),
                options=(
                    option("vfio-pci", "ids", "1002:67ef"),
                    option("vfio_pci", "ids", "1002:aae0", at=2),
                ),
            ),
            [("error", "1002:67ef does not count: etc/modprobe.d/vfio.conf:2:9 gives ids= once more")],
        ),
        (
            line(
                modprobe(of(), options=(option("vfio-pci", "ids", f"{CARD},10de:1b80"),)),
                f"vfio-pci.ids={CARD}",
            ),
            [("warning", "10de:1b80 does not count: etc/default/grub:1:1 gives ids= once more")],
        ),
        (
            line(of(), "vfio_pci.ids=1002:67ef"),
            [("error", "1002:aae0 does not count: etc/default/grub:1:1 gives ids= once more")],
        ),
        (line(GIVEN, f"vfio-pci.ids={CARD.upper()}"), []),
        (line(GIVEN, "vfio-pci.ids="), []),
        (GIVEN, []),
        (line(modprobe(of(), vfio_ids=()), "vfio-pci.ids=1002:67ef"), []),
        (line(modprobe(of(), options=(option("vfio-pci", "ids", "1002:67ef"),)), f"vfio-pci.ids={CARD}"), []),
        (host(kernel(line(of(), "vfio-pci.ids=1002:67ef"), "5.4"), distribution="ubuntu"), []),
    ],
)
def test_only_the_last_list_counts(setup: Setup, expected: list[tuple[str, str]]) -> None:
    assert brief(options.ids_overridden, setup) == expected


def test_an_id_in_a_list_that_does_not_count_is_not_missing_as_well() -> None:
    lists = (option("vfio-pci", "ids", "1002:67ef"), option("vfio_pci", "ids", "1002:aae0", at=2))
    assert brief(ids.id_missing, modprobe(of(), options=lists, vfio_ids=words("1002:aae0"))) == []
    assert len(brief(ids.id_missing, modprobe(of(), options=lists[1:], vfio_ids=words("1002:aae0")))) == 1


def test_options_that_vfio_pci_does_not_have() -> None:
    blank = modprobe(of(), options=(option("vfio-pci", "ids", "1002:67ef,"), option("vfio-pci", "1002:aae0")))
    (finding,) = complete(options.option_unknown, blank)
    assert finding.found == "1002:aae0 is not an option of vfio-pci"
    assert (finding.severity.value, "blank" in finding.why) == ("error", True)
    assert brief(ids.id_missing, modprobe(blank, vfio_ids=words("1002:67ef"))) == []
    other = modprobe(of(), options=(option("vfio-pci", "10de:1b80"),))
    assert [severity for severity, _ in brief(options.option_unknown, other)] == ["warning"]
    assert brief(options.option_unknown, line(of(), "vfio-pci.nohidden=1")) == [
        ("warning", "nohidden is not an option of vfio-pci")
    ]


def test_a_command_in_place_of_vfio_pci_may_take_the_card() -> None:
    none = modprobe(of(), vfio_ids=())
    assert len(brief(ids.id_missing, none)) == 2
    assert brief(ids.id_missing, modprobe(none, installs=words("vfio_pci"))) == []
    assert len(brief(ids.id_missing, modprobe(none, installs=words("nouveau")))) == 2


def test_options_that_vfio_pci_has() -> None:
    known = modprobe(
        of(), options=(option("vfio-pci", "disable_vga", "1"), option("kvm", "ignore_msrs", "1"))
    )
    assert (
        brief(
            options.option_unknown, line(known, "vfio-pci.disable_idle_d3=1", "kvm.nested=1", "vfio-pci.id=1")
        )
        == []
    )


UNSAFE = "allow_unsafe_interrupts"


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        (modprobe(of(), options=(option("vfio_iommu_type1", UNSAFE, "1"),)), "vfio_iommu_type1"),
        (modprobe(of(), options=(option("iommufd", UNSAFE, "Y"),)), "iommufd"),
        (line(of(), f"vfio_iommu_type1.{UNSAFE}=1"), "vfio_iommu_type1"),
        (modprobe(of(), options=(option("vfio_iommu_type1", UNSAFE, "0"),)), ""),
        (modprobe(of(), options=(option("vfio_iommu_type1", "disable_hugepages", "1"),)), ""),
        (line(of(), f"vfio_iommu_type1.{UNSAFE}=N"), ""),
    ],
)
def test_unsafe_interrupts(setup: Setup, expected: str) -> None:
    found = [("warning", f"{expected} allows unsafe interrupts")] if expected else []
    assert brief(options.unsafe_interrupts, setup) == found


def test_pci_stub_holds_the_card() -> None:
    setup = line(of(), "pci-stub.ids=1002:67ef")
    assert brief(options.held_by_stub, setup) == [("note", "pci-stub holds 01:00.0 in place of vfio-pci")]
    assert edits(options.held_by_stub, setup) == [
        ("replace", "pci-stub.ids=1002:67ef", "vfio-pci.ids=1002:67ef")
    ]
    assert brief(options.held_by_stub, line(of(), "pci-stub.ids=10de:1b80", "vfio-pci.ids=1002:67ef")) == []


@pytest.mark.parametrize("rule", options.RULES, ids=lambda rule: str(rule.code))
def test_silent_without_a_board_or_modprobe(rule: Rule) -> None:
    bare = replace(host(of(), modprobe=None, command_line=None), board=None)
    assert brief(rule, bare) == []
