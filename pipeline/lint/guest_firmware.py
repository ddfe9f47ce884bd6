"""DB90x: the guest's firmware."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts import firmware
from pipeline.facts.distributions import Distribution, ovmf_elsewhere
from pipeline.lint.edit import Edit, replace
from pipeline.lint.finding import Severity
from pipeline.lint.receiving import gpus, receiving
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.plan.model import Written
from pipeline.setup import Setup
from pipeline.setup.domain import Domain
from pipeline.setup.model import Host

_XML = "libvirt docs/formatdomain.rst, BIOS bootloader; docs/kbase/secureboot.rst"
_PACKAGES = "file lists of the packages ovmf and edk2-ovmf"
_WINDOWS_11 = "Microsoft: Windows 11 specifications and system requirements"


@rule("DB901", holds="the distribution releases that are known here", source=_PACKAGES)
def loader_absent(setup: Setup) -> Iterator[Problem]:
    """The firmware image is not on this host.

    Every distribution has OVMF in another place, and its names changed with the years (2 MiB images gave way to
    4 MiB ones, Arch put `.4m` into the name). libvirt refuses to start a guest whose image it does not find.
    """
    for domain in setup.domains:
        loader = domain.firmware.loader
        yield from _absent(setup.host, loader, code=True) if loader else ()


@rule("DB902", holds="the distribution releases that are known here", source=_PACKAGES)
def template_absent(setup: Setup) -> Iterator[Problem]:
    """The template of the guest's firmware variables is not on this host.

    libvirt copies the template to the guest's own file when the guest starts for the first time, or when that file is
    gone. Without the template it does not start.
    """
    for domain in setup.domains:
        template = domain.firmware.template
        yield from _absent(setup.host, template, code=False) if template else ()


def _absent(host: Host, written: Written[str], *, code: bool) -> Iterator[Problem]:
    """That a file is missing: seen on the host, or known to belong to another distribution or release."""
    seen, facts, path = host.firmware_files, host.facts, written.value
    if seen is not None:
        if firmware.image(path) is None or path in seen or _linked(path, seen, facts):
            return
        severity, found = Severity.ERROR, f"{path} is not on this host"
    elif facts is not None and path not in facts.ovmf_images and path in ovmf_elsewhere():
        severity = Severity.WARNING
        owner, own = ovmf_elsewhere()[path], facts.os_release["PRETTY_NAME"]
        found = f"{path} is a path of {owner}" + (f", not of {own}" if owner != own else " in other years")
    else:
        return
    other = _counterpart(path, facts)
    there = other if other and (seen is None or other in seen) else None
    yield Problem(
        severity=severity,
        place=written.place,
        found=found,
        why="libvirt does not find the image, and the guest does not start"
        if code
        else "libvirt has nothing to make the guest's variables from, and the guest does not start for the first time",
        fix=f"write {there}; code and variables have to be of one size"
        if there
        else "install the package with OVMF, and write a path that it has",
        edits=(replace(written, there),) if there else (),
    )


def _linked(path: str, seen: frozenset[str], facts: Distribution | None) -> bool:
    """Whether the path is a link that the package has beside a file that was seen."""
    names = {one.rpartition("/")[2] for one in seen}
    return facts is not None and path in facts.ovmf_images and path.rpartition("/")[2] in names


def _counterpart(path: str, facts: Distribution | None) -> str | None:
    """The distribution's own image in place of a plain one; what has Secure Boot needs a choice."""
    image = firmware.image(path)
    if facts is None or image is None or image.secure_boot or image.keys:
        return None
    return facts.ovmf_code if "_CODE" in path else facts.ovmf_vars


@rule(
    "DB903",
    holds="every OVMF since 2017",
    source="Debian NEWS of edk2 2023.11-2; edk2 OvmfPkg/README, FD_SIZE",
)
def sizes_differ(setup: Setup) -> Iterator[Problem]:
    """Code and variables of the firmware are of different sizes.

    OVMF is built for flash of 2 MiB or 4 MiB, and the layout of the variables differs. A code of one size stops with
    variables of the other before it shows anything: the screen stays dark, the processor is busy or stands still.
    """
    for domain in setup.domains:
        loader, template = domain.firmware.loader, domain.firmware.template
        code = firmware.image(loader.value) if loader else None
        variables = firmware.image(template.value) if template else None
        if loader and template and code and variables and code.size != variables.size:
            yield Problem(
                severity=Severity.ERROR,
                place=template.place,
                found=f"variables of {variables.size} MiB ({template.value}) for a code of {code.size} MiB "
                f"({loader.value})",
                why="the firmware stops before it shows anything",
                fix=f"take both of {code.size} MiB, and with the guest off move {_nvram(domain)} away if it was made "
                "from this template: its boot entries are made anew",
                edits=_fitting(template, code.size, setup.host.facts),
            )


def _nvram(domain: Domain) -> str:
    return domain.firmware.nvram.value if domain.firmware.nvram else "the guest's file of variables"


def _fitting(template: Written[str], size: int, facts: Distribution | None) -> tuple[Edit, ...]:
    own = firmware.image(facts.ovmf_vars) if facts else None
    old = firmware.image(template.value)
    if facts is None or own is None or own.size != size or (old is not None and old.keys):
        return ()
    return (replace(template, facts.ovmf_vars),)


@rule("DB904", holds="libvirt 7.2 and later; measured with 11.3", source=f"measured; {_XML}")
def keys_enrolled(setup: Setup) -> Iterator[Problem]:
    """Secure Boot may be on in the guest from its first start.

    With `firmware='efi'` and no `<feature name='secure-boot'>` libvirt chooses by the descriptors of the packages, and
    where these have an image with keys enrolled, it took that one. Programs that are not signed with Microsoft's keys
    then end in "Security Violation": the UEFI shell, the media of Arch Linux and NixOS, drivers of one's own. Windows
    and the media of Debian, Fedora and Ubuntu are signed.
    """
    for domain in receiving(setup):
        template = domain.firmware.template
        image = firmware.image(template.value) if template else None
        chosen = image is not None and image.keys and domain.firmware.secure_boot is not False
        if (domain.os or "").startswith("windows") or not (chosen or _left_open(domain, setup.host)):
            continue
        yield Problem(
            severity=Severity.NOTE,
            place=template.place if template and chosen else domain.firmware.place,
            found=f"{domain.name} has firmware with Secure Boot keys enrolled"
            if chosen
            else f"libvirt may choose firmware with Secure Boot keys enrolled for {domain.name}",
            why='what is not signed with Microsoft\'s keys ends in "Security Violation"',
            fix="for unsigned media write <firmware><feature enabled='no' name='secure-boot'/></firmware> into <os>"
            if not chosen
            else "for unsigned media take a template without keys",
        )


def _left_open(domain: Domain, host: Host) -> bool:
    """Whether libvirt chooses and may choose keys: not where the distribution has no such image."""
    one = domain.firmware
    if not one.automatic or one.secure_boot is False or one.enrolled_keys is False or one.loader:
        return False
    known = host.firmware_files
    if known is None and host.facts is not None:
        known = host.facts.ovmf_images
    return known is None or any(image.keys for image in map(firmware.image, known) if image)


@rule("DB905", holds="Windows 11", source=_WINDOWS_11)
def no_tpm(setup: Setup) -> Iterator[Problem]:
    """Windows 11 has no TPM 2.0.

    Its installer refuses ("This PC can't run Windows 11"), and so do its yearly updates, unless one has got round the
    check.
    """
    for domain in receiving(setup):
        if domain.os == "windows11" and not domain.tpm:
            yield Problem(
                severity=Severity.WARNING,
                place=domain.place,
                found=f"{domain.name} has no TPM 2.0",
                why="the installer of Windows 11 and its yearly updates refuse",
                fix="install swtpm and write <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>",
            )


@rule("DB906", holds="Windows 11", source=_WINDOWS_11)
def no_secure_boot(setup: Setup) -> Iterator[Problem]:
    """The firmware of a guest with Windows 11 cannot do Secure Boot.

    Microsoft asks for UEFI that is capable of Secure Boot; it need not be on. An installer that checks refuses
    firmware without it. Installed systems run.
    """
    for domain in receiving(setup):
        one = domain.firmware
        if domain.os != "windows11":
            continue
        bios = one.loader is None and not one.automatic
        image = firmware.image(one.loader.value) if one.loader else None
        plain = (image is not None and not image.secure_boot) or (one.automatic and one.secure_boot is False)
        if not (bios or plain):
            continue
        yield Problem(
            severity=Severity.WARNING if bios else Severity.NOTE,
            place=one.place,
            found=f"{domain.name} has BIOS firmware"
            if bios
            else f"the firmware of {domain.name} has no Secure Boot",
            why="Windows 11 starts by UEFI only"
            if bios
            else "Windows 11 asks for firmware that can do Secure Boot, and its installer may refuse",
            fix=_with_secure_boot(one.loader, setup.host.facts),
        )


def _with_secure_boot(loader: Written[str] | None, facts: Distribution | None) -> str:
    old = firmware.image(loader.value) if loader else None
    for path in sorted(facts.ovmf_images) if facts else ():
        image = firmware.image(path)
        if image and image.secure_boot and ".secboot." in path and (old is None or image.size == old.size):
            named = f"<loader readonly='yes' secure='yes' type='pflash'>{path}</loader>"
            return f"{named}, and <smm state='on'/> in <features>"
    return "<os firmware='efi'> with <feature enabled='yes' name='secure-boot'/>"


@rule(
    "DB907",
    holds="every QEMU",
    source="ArchWiki PCI passthrough via OVMF; kernel Documentation/driver-api/vfio.rst",
)
def bios_with_gpu(setup: Setup) -> Iterator[Problem]:
    """A graphics card is passed to a guest with BIOS firmware.

    SeaBIOS starts a card by the BIOS part of its ROM, which newer cards leave out, and needs the host's VGA range for
    it. OVMF uses the ROM's UEFI part and no VGA. With an emulated screen beside it the card can still do, once the
    guest's driver has started.
    """
    for domain in receiving(setup):
        one = domain.firmware
        for _, function in gpus(setup, domain)[:1] if one.loader is None and not one.automatic else ():
            alone = all(video.value == "none" for video in domain.videos)
            yield Problem(
                severity=Severity.WARNING if alone else Severity.NOTE,
                place=one.place,
                found=f"{domain.name} has BIOS firmware and gets {function.address}",
                why="SeaBIOS needs the BIOS part of the card's ROM, which newer cards leave out, and the VGA range",
                fix="define the guest with <os firmware='efi'>; an installed system has to be made to boot by UEFI",
            )


RULES: tuple[Rule, ...] = (
    loader_absent,
    template_absent,
    sizes_differ,
    keys_enrolled,
    no_tpm,
    no_secure_boot,
    bios_with_gpu,
)
