"""The machine of the article, written by hand as an owner has it: what lint says, what --fix mends, what is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
INVOKE = Path(sys.executable).with_name("invoke")
DOMAIN = (CHECKOUT / "tests/golden/rx560/libvirt/win10.xml").read_text()

FILES = {
    "etc/os-release": 'NAME="Manjaro Linux"\nID=manjaro\n',
    "etc/default/grub": "GRUB_DEFAULT=saved\n"
    'GRUB_CMDLINE_LINUX_DEFAULT="quiet udev.log_priority=3 audit=0 amd_iommu=on iommu=pt"\n'
    'GRUB_CMDLINE_LINUX=""\n',
    "etc/modprobe.d/vfio.conf": "# the ids of lspci\noptions vfio-pci ids=148c:2385,1002:aae0\n",
    "etc/mkinitcpio.conf": "MODULES=(vfio_pci vfio vfio_iommu_type1 vfio_virqfd)\n"
    "HOOKS=(base systemd autodetect microcode modconf kms keyboard block filesystems fsck)\n",
    "etc/mkinitcpio.d/linux612.preset": "ALL_kver=/boot/vmlinuz-6.12-x86_64\nPRESETS=('default')\n"
    "default_image=/boot/initramfs-6.12-x86_64.img\n",
    "boot/vmlinuz-6.12-x86_64": "",
    "usr/local/bin/rebuild": "#!/bin/bash\nsudo mkinitcpio -g /boot/initramfs-6.12-x86_64.img\n",
    "etc/libvirt/qemu/win10.xml": DOMAIN.replace("pc-q35-9.2", "pc-q35-3.1"),
    "lspci.txt": "01:00.0 VGA compatible controller [0300]: AMD Baffin [Radeon RX 560] [1002:67ef] (rev e5)\n"
    "\tSubsystem: Tul Corporation / PowerColor Baffin [148c:2385]\n"
    "\tKernel modules: amdgpu\n"
    "01:00.1 Audio device [0403]: AMD Baffin HDMI/DP Audio [1002:aae0]\n"
    "\tSubsystem: Tul Corporation / PowerColor Baffin HDMI/DP Audio [148c:aae0]\n"
    "\tKernel modules: snd_hda_intel\n"
    "05:00.0 VGA compatible controller [0300]: AMD Raven Ridge [1002:15dd] (rev c6)\n"
    "\tKernel modules: amdgpu\n",
}
MENDED = {
    "etc/default/grub:2:": "DB401: amd_iommu=on: on is not an option of amd_iommu",
    "etc/modprobe.d/vfio.conf:2:": "DB101: 148c:2385 is the subsystem id of 01:00.0; vfio-pci needs 1002:67ef",
    "etc/mkinitcpio.conf:1:": "DB201: kernel 6.12 has no module vfio_virqfd",
    "usr/local/bin/rebuild:2:": "DB305: mkinitcpio -g without -k",
    "etc/libvirt/qemu/win10.xml:7:": "DB602: QEMU 11.1 no longer has pc-q35-3.1",
}


def lint(root: Path, *options: str) -> tuple[int, list[str]]:
    argv = [str(INVOKE), "lint", "--root", str(root), "--qemu", "11.1", *options]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def test_the_article_s_machine(tmp_path: Path) -> None:
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    status, said = lint(tmp_path)
    assert status == 1
    for place, finding in MENDED.items():
        assert [one for one in said if one.startswith(f"{tmp_path}/{place}") and finding in one], place
    status, _ = lint(tmp_path, "--fix", "--yes")
    assert status == 0
    status, said = lint(tmp_path)
    assert status == 0
    assert [one for one in said if one.startswith(f"{tmp_path}: 0 errors, 0 warnings, ")]
    assert not [one for one in said if any(code[:5] in one for code in MENDED.values())]
    for place in MENDED:
        path = tmp_path / place.partition(":")[0]
        assert path.with_name(f"{path.name}.before-dryboot").read_text() == FILES[place.partition(":")[0]]
        assert path.read_text() != FILES[place.partition(":")[0]]
