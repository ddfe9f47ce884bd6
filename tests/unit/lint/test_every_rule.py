"""What holds for all rules together: codes, explanations, and no false alarm."""

import re
from collections import Counter
from itertools import chain
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.lint import (
    RULES,
    Severity,
    acs,
    blacklists,
    framebuffer,
    images,
    iommu,
    lint,
    load_order,
    loaders,
    options,
    parameters,
    softdeps,
)
from pipeline.lint.rule import Rule
from pipeline.setup import Setup
from pipeline.setup.model import GrubState, Parameters
from pipeline.shipped import names
from tests.unit.lint.setups import (
    functions,
    host,
    initramfs,
    kernel,
    line,
    modprobe,
    of,
    option,
    softdep,
    words,
)

HOST = (options, blacklists, softdeps, load_order, framebuffer, images, iommu, parameters, loaders, acs)
# What lint says of the shipped scenarios is right: two of them show a mistake, one a driver that is built in.
ALARMS = {
    "bad-group": ["DB504"],
    "intel-geforce": ["DB204"],
    "rx560-2019": ["DB605", "DB701"],
}


@pytest.mark.parametrize("name", names())
def test_no_false_alarm(name: str) -> None:
    found = [one.code for one in lint(of(name)) if one.severity is not Severity.NOTE]
    assert sorted(found) == ALARMS.get(name, [])


def test_a_code_is_that_of_one_rule() -> None:
    assert [code for code, count in Counter(rule.code for rule in RULES).items() if count > 1] == []


@pytest.mark.parametrize("module", HOST, ids=lambda module: str(module.__name__))
def test_every_rule_of_a_module_is_applied(module: ModuleType) -> None:
    assert {rule.code for rule in module.RULES} <= {rule.code for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.code))
def test_every_rule_is_explained(rule: Rule) -> None:
    assert re.fullmatch(r"DB\d{3}", rule.code)
    assert rule.title.endswith(".")
    assert len(rule.explanation) > 20
    assert rule.holds
    assert rule.source


CHANGES = [
    lambda setup: modprobe(setup, vfio_ids=words("", "::", "0x", "1002:67ef:::", "01:00.0", "é", "1002:67ef")),
    lambda setup: modprobe(setup, vfio_ids=()),
    lambda setup: modprobe(setup, options=(option("", ""), option("vfio-pci", "ids", ",,"), option("vfio", "ids"))),
    lambda setup: modprobe(setup, softdeps=(softdep("", [""], [""]), softdep("[", ["vfio"]), softdep("*", [], []))),
    lambda setup: modprobe(setup, blacklists=words("", "amdgpu", "vfio-pci", "vfio-pci")),
    lambda setup: modprobe(setup, installs=words("vfio-pci", "")),
    lambda setup: line(setup, "", "=", "video=", "video=,", "pcie_acs_override", "vfio-pci.ids"),
    lambda setup: line(setup, "modprobe.blacklist=,", "module_blacklist", "iommu", "rd.driver.pre"),
    lambda setup: line(setup, "intel_iomu=on", "nomodeset", "rd.driver.pre=,", "pci-stub.ids=,x", "vfio-pci.=1"),
    lambda setup: host(setup, command_line=None),
    lambda setup: line(setup),
    lambda setup: initramfs(setup, modules=words("", "?", "nvidia_drm", "vfio_pci?"), hooks=()),
    lambda setup: initramfs(setup, generator="booster", host_only=False),
    lambda setup: initramfs(setup, generator="initramfs-tools", modules=(), late=words("vfio_pci")),
    lambda setup: initramfs(setup, generator="dracut", host_only=False, omitted=words("vfio"), modules=words("vfio")),
    lambda setup: host(setup, commands=words("grub-mkconfig -o", "mkinitcpio -g", "'", "sh -c", "update-initramfs -u")),
    lambda setup: host(setup, grub=GrubState(broken=words("x"), missing=words("", "iommu=pt"))),
    lambda setup: host(
        setup,
        other_loaders=(Parameters(loader="GRUB", parameters=words("", "iommu=pt"), place=words("x")[0].place),),
    ),
    lambda setup: kernel(setup, "5.4"),
    lambda setup: kernel(setup, "99.9"),
    lambda setup: host(setup, distribution="ubuntu", facts=None),
    lambda setup: host(setup, cpu_vendor=None, bootloader=None),
    lambda setup: functions(setup, "01:00.0", subsystem=None, class_code="03", drivers=()),
    lambda setup: host(setup, modprobe=None, initramfs=None),  # the last: the others need them
]  # fmt: skip


@settings(max_examples=150)
@given(st.lists(st.sampled_from(range(len(CHANGES))), max_size=6, unique=True), st.sampled_from(names()))
def test_rules_take_every_set_up(chosen: list[int], name: str) -> None:
    setup: Setup = of(name)
    for index in sorted(chosen):
        setup = CHANGES[index](setup)
    for finding in chain.from_iterable(rule(setup) for rule in RULES):
        assert finding.fix
        assert "None" not in f"{finding} {finding.why} {finding.fix}"
        assert finding.place.file
