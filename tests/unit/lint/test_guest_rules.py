"""The rules over a guest's domain: each fires, and is silent with the neighbouring version or setting."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from pipeline.errors import BadInput
from pipeline.files.domain import read_domains
from pipeline.lint import RULES, Severity, lint
from pipeline.lint.edit import Kind
from pipeline.plan import resolve
from pipeline.plan.model import Written
from pipeline.scenario import read
from pipeline.setup.from_plan import from_plan
from pipeline.setup.model import Setup
from pipeline.shipped import names
from tests.domains import Change, found, machine, mutated, parameters, with_ids

TYPE = "pc-q35-9.2"
VIDEO = '<model type="none"/>'
SECOND = (
    'type="pci" domain="0x0000" bus="0x01" slot="0x00" function="0x1"/>',
    'type="pci" domain="0x0000" bus="0x04" slot="0x00" function="0x0"/>',
)
FIRST_ALONE = (
    'bus="0x01" slot="0x00" function="0x0" multifunction="on"',
    'bus="0x04" slot="0x00" function="0x0"',
)
GEFORCE = "debian-geforce"
OS = r"<loader.*</nvram>"
CODE = "/usr/share/edk2/x64/OVMF_CODE.4m.fd"
VARS = "/usr/share/edk2/x64/OVMF_VARS.4m.fd"


def qemu(version: str) -> Written[str]:
    place = machine().passed_where
    return Written(value=version, place=place)


def pages(size: int) -> Written[int]:
    return Written(value=size, place=machine().passed_where)


def typed(version: str) -> Change:
    return (TYPE, version)


def inside(element: str, text: str) -> Change:
    """Put a text at the beginning of an element."""
    return (f"<{element}>", f"<{element}>{text}")


def before(element: str, text: str) -> Change:
    """Put a text before an element."""
    return (f"<{element}", f"{text}<{element}")


def pinned(*pins: str, emulator: str = "") -> Change:
    written = "".join(f"<vcpupin vcpu='{number}' cpuset='{cpus}'/>" for number, cpus in enumerate(pins))
    return before("os>", f"<cputune>{written}{emulator}</cputune>")


def all_passed(setup: Setup) -> Setup:
    """The host without the graphics that it keeps."""
    assert setup.board is not None
    kept = tuple(one for one in setup.board.functions if one.passed or not one.class_code.startswith("03"))
    return replace(setup, board=replace(setup.board, functions=kept))


def unbound(setup: Setup) -> Setup:
    assert setup.host.modprobe is not None
    return replace(setup, host=replace(setup.host, modprobe=replace(setup.host.modprobe, vfio_ids=())))


def in_use(setup: Setup, driver: str) -> Setup:
    assert setup.board is not None
    held = tuple(replace(one, in_use=driver) for one in setup.board.functions)
    return replace(setup, board=replace(setup.board, functions=held))


UNMANAGED = ('managed="yes"', 'managed="no"')
LINUX = ("<name>win10", "<name>linux")
NO_HYPERV = ("<hyperv.*</hyperv>", "")
WINDOWS_11 = ("<name>win10", "<name>win11")
BIOS = (OS, "")
EFI = [("<os>", '<os firmware="efi">'), (OS, "")]
DEBIAN = ("host.distribution=debian", "host.initramfs={}", "host.bootloader=null")
CDROM = 'device="cdrom"'
NO_ORDER = ('<boot order="."/>', "")

NOTE, WARNING, ERROR = Severity.NOTE, Severity.WARNING, Severity.ERROR

# Code, the set-up, the severity of what is found, and a part of what it says.
FIRES = [
    ("DB606", machine(typed("q35"), qemu=None), WARNING, "q35 is not pinned"),
    ("DB607", machine(typed("pc")), ERROR, "pc has no PCI Express"),
    ("DB607", machine(typed("pc-i440fx-9.2"), qemu=None), ERROR, "pc-i440fx-9.2 has no PCI Express"),
    ("DB607", machine((' machine="[^"]*"', "")), ERROR, "pc has no PCI Express"),
    ("DB651", machine(typed("pc-q35-4.0"), qemu=qemu("4.0")), WARNING, "01:00.1 needs INTx"),
    ("DB651", machine(typed("pc-q35-4.0"), qemu=qemu("5.0")), WARNING, "01:00.1 needs INTx"),
    (
        "DB651",
        machine(typed("pc-q35-4.2"), inside("features", '<ioapic driver="qemu"/>'), qemu=qemu("4.2")),
        WARNING,
        "01:00.1 needs INTx",
    ),
    ("DB811", machine(SECOND), NOTE, "01:00.1 is not in the guest's slot of 01:00.0"),
    ("DB812", machine(FIRST_ALONE), ERROR, "01:00.1 is function 1 of the guest's slot 01:00"),
    ("DB813", machine((FIRST_ALONE[0], 'bus="0x00" slot="0x09" function="0x0"')), WARNING, "bus 0"),
    (
        "DB813",
        machine((FIRST_ALONE[0], 'bus="0x00" slot="0x09" function="0x0"'), name="nic-passthrough"),
        NOTE,
        "bus 0",
    ),
    ("DB814", unbound(machine(UNMANAGED)), WARNING, "nothing binds 01:00.0"),
    ("DB814", unbound(machine((' managed="yes"', ""))), WARNING, "nothing binds 01:00.0"),
    (
        "DB815",
        machine(before('address type="pci" domain="0x0000" bus="0x01"', '<rom bar="off"/>')),
        NOTE,
        "ROM",
    ),
    ("DB816", all_passed(machine()), NOTE, "01:00.0 is the only graphics card"),
    ("DB817", machine((VIDEO, '<model type="qxl" ram="65536"/>')), WARNING, "(qxl) beside 01:00.0"),
    ("DB817", machine((f"<video>.*?{VIDEO}.*?</video>", "<graphics type='spice'/>")), WARNING, "(default)"),
    (
        "DB817",
        machine(
            (VIDEO, '<model type="vga"/>'),
            ("</domain>", '<q:commandline><q:arg value="ivshmem-plain"/></q:commandline></domain>'),
            ("<domain", '<domain xmlns:q="http://libvirt.org/schemas/domain/qemu/1.0"'),
        ),
        NOTE,
        "(vga)",
    ),
    ("DB818", machine(('<domain type="kvm">', "<domain type='qemu'>")), WARNING, "type qemu"),
    ("DB821", with_ids(machine(), "01:00.0", "1002:731f"), NOTE, "01:00.0 is a Navi 10"),
    ("DB821", with_ids(machine(), "01:00.0", "1002:687f"), NOTE, "01:00.0 is a Vega 10"),
    ("DB831", machine(("<topology[^>]*>", "")), WARNING, "Windows 10 sees 4 sockets of one processor each"),
    ("DB831", machine(("<topology[^>]*>", ""), (">4</vcpu", ">2</vcpu")), NOTE, "Windows 10 sees 2 sockets"),
    (
        "DB831",
        machine(('sockets="1"', 'sockets="4"'), ('cores="2" threads="2"', 'cores="1" threads="1"')),
        WARNING,
        "Windows 10 sees 4 sockets",
    ),
    ("DB832", machine(("<cpu.*</cpu>", "")), WARNING, "qemu64"),
    ("DB833", machine(), NOTE, "win10 has the processor host-model"),
    (
        "DB834",
        machine(inside("features", "<kvm><hidden state='on'/></kvm>"), name=GEFORCE),
        NOTE,
        "<kvm><hidden state='on'/> hides",
    ),
    (
        "DB834",
        machine(('<relaxed state="on"/>', "<vendor_id state='on' value='whatever'/>"), name=GEFORCE),
        NOTE,
        "<vendor_id> of <hyperv> hides",
    ),
    (
        "DB851",
        machine(before("os>", "<memoryBacking><hugepages/></memoryBacking>"), hugepages=pages(0)),
        WARNING,
        "the host reserves none",
    ),
    (
        "DB852",
        machine(before("os>", "<memoryBacking><hugepages/></memoryBacking>"), hugepages=pages(4 << 30)),
        WARNING,
        "win10 has 8192 MiB, and huge pages for 4096 MiB",
    ),
    ("DB853", machine(pinned("1", "8")), ERROR, "vcpu 1 is pinned to processor 8; the host has 0 to 7"),
    ("DB853", machine(pinned("6-9")), WARNING, "vcpu 0 is pinned to processor 8-9"),
    ("DB853", machine((r"<vcpu placement", "<vcpu cpuset='8-9' placement")), ERROR, "vcpu 0 is pinned"),
    ("DB854", machine(pinned("1", "2", "1")), WARNING, "vcpu 0 and vcpu 2 are both pinned to processor 1"),
    ("DB855", machine(pinned("1", "2", emulator="<emulatorpin cpuset='1-2'/>")), NOTE, "processor 1-2"),
    ("DB856", machine(pinned("1", "2"), command_line=parameters("isolcpus=1-3")), WARNING, "isolates 3"),
    ("DB856", machine(pinned("1", "2"), command_line=parameters("isolcpus=1")), NOTE, "leaves out 2"),
    ("DB856", machine(pinned("1", "2"), command_line=parameters("nohz_full=1,5")), NOTE, "leaves out 2"),
    (
        "DB857",
        machine(pinned("2-3", "1"), command_line=parameters("isolcpus=managed_irq,domain,1-3")),
        WARNING,
        "vcpu 0 may run on the isolated processors 2-3",
    ),
    (
        "DB901",
        machine((CODE, "/usr/share/ovmf/x64/OVMF_CODE.fd")),
        WARNING,
        "a path of Manjaro Linux in other years",
    ),
    ("DB901", machine((CODE, "/usr/share/OVMF/OVMF_CODE_4M.fd")), WARNING, "a path of Debian GNU/Linux"),
    ("DB901", machine(firmware_files=frozenset()), ERROR, f"{CODE} is not on this host"),
    ("DB902", machine((VARS, "/usr/share/OVMF/OVMF_VARS_4M.ms.fd")), WARNING, "a path of Debian GNU/Linux"),
    ("DB902", machine(firmware_files=frozenset({CODE})), ERROR, f"{VARS} is not on this host"),
    ("DB903", machine((VARS, "/usr/share/edk2/x64/OVMF_VARS.fd")), ERROR, "variables of 2 MiB"),
    ("DB903", machine((CODE, "/usr/share/OVMF/OVMF_CODE.fd")), ERROR, "variables of 4 MiB"),
    ("DB904", machine(*EFI, LINUX, NO_HYPERV, settings=DEBIAN), NOTE, "libvirt may choose firmware"),
    (
        "DB904",
        machine((VARS, "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"), LINUX, NO_HYPERV),
        NOTE,
        "linux has firmware with Secure Boot keys enrolled",
    ),
    ("DB905", machine(WINDOWS_11), WARNING, "win11 has no TPM 2.0"),
    ("DB906", machine(WINDOWS_11), NOTE, "the firmware of win11 has no Secure Boot"),
    ("DB906", machine(WINDOWS_11, BIOS), WARNING, "win11 has BIOS firmware"),
    ("DB907", machine(BIOS), WARNING, "win10 has BIOS firmware and gets 01:00.0"),
    ("DB907", machine(BIOS, (VIDEO, '<model type="qxl"/>')), NOTE, "win10 has BIOS firmware"),
    ("DB921", machine(('order="3"', 'order="1"')), ERROR, "boot order 1 stands at two devices of win10"),
    ("DB921", machine(("<source bridge", '<boot order="1"/><source bridge')), ERROR, "boot order 1"),
    ("DB922", machine(before("loader", '<boot dev="hd"/>')), ERROR, "win10 has <boot dev=…> in <os> beside"),
    (
        "DB922",
        machine(
            NO_ORDER,
            before("loader", '<boot dev="hd"/>'),
            ("<source bridge", '<boot order="1"/><source bridge'),
        ),
        ERROR,
        "win10 has <boot dev=…> in <os> beside",
    ),
    ("DB923", machine(NO_ORDER), NOTE, "win10 has no boot order"),
    (
        "DB924",
        machine(NO_ORDER, before("loader", '<boot dev="cdrom"/>')),
        NOTE,
        "one of 2 drives: efi-boot.iso",
    ),
    (
        "DB925",
        machine(('<target dev="sda" bus="sata"/>', '<target dev="vda" bus="virtio"/>')),
        NOTE,
        "win10.qcow2",
    ),
]

SILENT = [
    ("DB601", machine(typed("pc-q35-noble"))),
    ("DB601", machine(typed("pc-q35-rhel9.4.0"))),
    ("DB601", machine(typed("pc"))),
    ("DB606", machine(qemu=None)),
    ("DB607", machine(qemu=None)),
    ("DB607", machine(typed("pc"), ("<hostdev.*</hostdev>", ""))),
    ("DB651", machine(typed("pc-q35-4.0"), qemu=qemu("5.1"))),
    ("DB651", machine(typed("pc-q35-4.0.1"), qemu=qemu("4.0"))),
    ("DB651", machine(typed("pc-q35-4.1"), qemu=qemu("4.1"))),
    ("DB651", machine(typed("pc-q35-4.0"), qemu=None)),
    ("DB651", machine(typed("pc-q35-4.0"), inside("features", '<ioapic driver="kvm"/>'), qemu=qemu("4.0"))),
    ("DB651", machine(typed("pc-q35-4.0"), qemu=qemu("4.0"), name="nvme-passthrough")),
    ("DB811", machine()),
    ("DB811", machine((r'(<address type="pci" domain="0x0000" bus="0x01")[^>]*>', ""))),
    ("DB812", machine()),
    ("DB812", machine(SECOND)),
    ("DB813", machine()),
    ("DB813", machine(typed("pc-i440fx-9.2"), (FIRST_ALONE[0], 'bus="0x00" slot="0x09" function="0x0"'))),
    ("DB814", machine(UNMANAGED)),
    ("DB814", unbound(machine())),
    ("DB814", in_use(unbound(machine(UNMANAGED)), "vfio-pci")),
    ("DB814", unbound(machine(UNMANAGED, until_guest_starts=True))),
    ("DB814", unbound(machine(UNMANAGED, command_line=parameters("vfio-pci.ids=1002:67ef,1002:aae0")))),
    ("DB815", machine(before('address type="pci" domain="0x0000" bus="0x01"', '<rom bar="on"/>'))),
    ("DB815", machine(before('address type="pci" domain="0x0000" bus="0x01"', '<rom bar="off" file="/x"/>'))),
    ("DB816", machine()),
    (
        "DB816",
        all_passed(machine(before('address type="pci" domain="0x0000" bus="0x01"', '<rom file="/x"/>'))),
    ),
    ("DB817", machine()),
    ("DB817", machine((VIDEO, '<model type="qxl"/>'), name="nic-passthrough")),
    ("DB818", machine()),
    ("DB821", machine()),
    ("DB821", with_ids(machine(), "01:00.0", "1002:73bf")),
    ("DB831", machine()),
    ("DB831", machine(("<topology[^>]*>", ""), LINUX, NO_HYPERV)),
    ("DB832", machine()),
    ("DB833", machine(('mode="host-model"', 'mode="host-passthrough"'))),
    ("DB834", machine(inside("features", "<kvm><hidden state='on'/></kvm>"))),
    ("DB834", machine(inside("features", "<kvm><hidden state='off'/></kvm>"), name=GEFORCE)),
    ("DB851", machine(before("os>", "<memoryBacking><hugepages/></memoryBacking>"))),
    ("DB851", machine(hugepages=pages(0))),
    (
        "DB852",
        machine(before("os>", "<memoryBacking><hugepages/></memoryBacking>"), hugepages=pages(8 << 30)),
    ),
    ("DB853", machine(pinned("0", "7"))),
    ("DB853", machine(pinned("8"), threads=None)),
    ("DB853", machine(pinned("8"), command_line=parameters("nosmt=force"))),
    ("DB854", machine(pinned("1", "2", "3", "4"))),
    ("DB854", machine(pinned("0-3", "0-3"))),
    ("DB854", machine((r"<vcpu placement", "<vcpu cpuset='1' placement"))),
    ("DB855", machine(pinned("1", "2", emulator="<emulatorpin cpuset='0'/>"))),
    ("DB856", machine(pinned("1", "2", "3"), command_line=parameters("isolcpus=1-3", "nohz_full=1-3"))),
    ("DB856", machine(pinned("1"), command_line=parameters("isolcpus=managed_irq,1-3"))),
    ("DB856", machine(command_line=parameters("isolcpus=1-3"))),
    ("DB857", machine(pinned("2", "3"), command_line=parameters("isolcpus=2-3"))),
    ("DB857", machine(pinned("2-3"), command_line=parameters("isolcpus=nohz,2-3"))),
    ("DB901", machine()),
    ("DB901", machine((CODE, "/usr/share/edk2-ovmf/x64/OVMF_CODE.secboot.4m.fd"))),
    ("DB901", machine((CODE, "/srv/OVMF_CODE.fd"))),
    ("DB901", machine((CODE, "/usr/share/OVMF/OVMF_CODE_4M.fd"), facts=None)),
    ("DB901", machine(firmware_files=frozenset({CODE}))),
    ("DB901", machine((CODE, CODE.replace("edk2", "edk2-ovmf")), firmware_files=frozenset({CODE}))),
    ("DB901", machine((CODE, "/usr/share/seabios/bios.bin"), firmware_files=frozenset({CODE}))),
    ("DB902", machine()),
    ("DB902", machine(firmware_files=frozenset({CODE, VARS}))),
    ("DB903", machine()),
    ("DB903", machine((VARS, "/srv/my_vars.fd"))),
    ("DB904", machine(*EFI, settings=DEBIAN)),
    ("DB904", machine(*EFI, LINUX, NO_HYPERV)),
    ("DB904", machine(LINUX, NO_HYPERV)),
    (
        "DB904",
        machine(
            *EFI,
            LINUX,
            NO_HYPERV,
            ("</os>", "<firmware><feature enabled='no' name='secure-boot'/></firmware></os>"),
            settings=DEBIAN,
        ),
    ),
    ("DB905", machine()),
    ("DB905", machine(name=GEFORCE)),
    ("DB906", machine()),
    ("DB906", machine(WINDOWS_11, ("OVMF_CODE.4m", "OVMF_CODE.secboot.4m"))),
    ("DB906", machine(WINDOWS_11, *EFI)),
    ("DB907", machine()),
    ("DB907", machine(*EFI)),
    ("DB907", machine(BIOS, name="nvme-passthrough")),
    ("DB921", machine()),
    ("DB922", machine()),
    ("DB922", machine(NO_ORDER, before("loader", '<boot dev="cdrom"/><boot dev="hd"/>'))),
    ("DB922", machine(NO_ORDER, before("loader", '<boot dev="hd"/><boot dev="network"/>'))),
    ("DB923", machine()),
    ("DB923", machine(NO_ORDER, before("loader", '<boot dev="hd"/>'))),
    ("DB923", machine(NO_ORDER, (f'<disk type="file" {CDROM}>.*?</disk>', ""))),
    ("DB924", machine(NO_ORDER, before("loader", '<boot dev="hd"/>'))),
    ("DB925", machine()),
    (
        "DB925",
        machine(
            ('<target dev="sda" bus="sata"/>', '<target dev="vda" bus="virtio"/>'), ("efi-boot", "virtio-win")
        ),
    ),
    (
        "DB925",
        machine(
            ('<target dev="sda" bus="sata"/>', '<target dev="vda" bus="virtio"/>'), ('order="2"', 'order="0"')
        ),
    ),
    ("DB925", machine(('bus="sata"/>', 'bus="virtio"/>'), LINUX, NO_HYPERV)),
]


@pytest.mark.parametrize(
    ("code", "setup", "severity", "text"), FIRES, ids=[f"{one[0]}-{one[3]}" for one in FIRES]
)
def test_fires(code: str, setup: Setup, severity: Severity, text: str) -> None:
    findings = found(setup, code)
    assert findings
    assert findings[0].severity is severity
    assert text in findings[0].found
    for finding in findings:
        assert finding.why and finding.fix and finding.source
        assert finding.place.line
        assert "None" not in f"{finding.found} {finding.why} {finding.fix}"
        for edit in finding.edits:
            assert edit.kind is Kind.REPLACE
            assert edit.place.text.count(edit.old) >= 1
            assert edit.new not in {"", edit.old}


@pytest.mark.parametrize(
    ("code", "setup"), SILENT, ids=[f"{code}-{number}" for number, (code, _) in enumerate(SILENT)]
)
def test_silent(code: str, setup: Setup) -> None:
    assert [str(one) for one in found(setup, code)] == []


OWN = {
    rule.code
    for rule in RULES
    if rule.code > "DB650" and rule.code not in {"DB701"} and rule.code[:4] != "DB80"
}


def test_every_rule_over_domains_is_seen_firing_and_seen_silent() -> None:
    assert {one[0] for one in FIRES} - {"DB606", "DB607"} == OWN
    assert {code for code, _ in SILENT} >= OWN


def test_every_rule_says_what_and_why_and_for_which_versions() -> None:
    for rule in RULES:
        assert rule.title.endswith(".")
        assert rule.holds and rule.source
        if rule.code in OWN:
            assert len(rule.explanation) > 80


@pytest.mark.parametrize("name", names())
def test_the_rules_have_nothing_against_what_is_shipped(name: str) -> None:
    """Neither as a scenario nor as a domain of a machine: a note is all they may have."""
    loaded = read(name)
    scenario = from_plan(resolve(loaded), loaded)
    for setup in (scenario, machine(name=name)):
        assert [str(one) for one in found(setup, *OWN) if one.severity is not Severity.NOTE] == []


@pytest.mark.parametrize("name", names())
def test_nothing_known_but_the_domain_is_enough(name: str) -> None:
    bare = machine(
        name=name,
        facts=None,
        distribution=None,
        cpu_vendor=None,
        threads=None,
        memory=None,
        kernel=None,
        qemu=None,
        command_line=None,
        modprobe=None,
        initramfs=None,
    )
    setup = replace(bare, board=None)
    assert [str(one) for one in lint(setup) if one.severity is not Severity.NOTE] == []


@settings(max_examples=100)
@given(mutated())
def test_rules_take_every_domain(data: bytes) -> None:
    try:
        domains = read_domains(data, shown="x.xml")
    except BadInput:
        return
    for finding in lint(replace(machine(), domains=domains)):
        assert finding.fix
        assert "None" not in f"{finding.found} {finding.why} {finding.fix}"


def test_the_fix_of_a_path_is_the_distribution_s_own() -> None:
    (finding,) = found(machine((CODE, "/usr/share/OVMF/OVMF_CODE_4M.fd")), "DB901")
    (edit,) = finding.edits
    assert (edit.old, edit.new) == ("/usr/share/OVMF/OVMF_CODE_4M.fd", CODE)
    assert edit.place.text[edit.place.column - 5 :].startswith(edit.old)


def test_the_fix_of_a_split_controller_is_what_the_qemu_has() -> None:
    (by_type,) = found(machine(typed("pc-q35-4.0"), qemu=qemu("4.0")), "DB651")
    assert [edit.new for edit in by_type.edits] == ["pc-q35-4.0.1"]
    driver = inside("features", '<ioapic driver="qemu"/>')
    (by_driver,) = found(machine(typed("pc-q35-4.2"), driver, qemu=qemu("4.2")), "DB651")
    assert [edit.new for edit in by_driver.edits] == ["kvm"]


def test_a_guest_with_nothing_of_the_host_is_left_alone() -> None:
    plain = machine(WINDOWS_11, ("<hostdev.*</hostdev>", ""), ("<cpu.*</cpu>", ""), BIOS)
    assert [str(one) for one in lint(plain) if one.code in OWN] == []
