"""A machine's files with one of each kind, for the readers of files."""

from __future__ import annotations

from pipeline.files.setup import read_files
from pipeline.setup.domain import Domain
from pipeline.setup.model import Setup

LSPCI = """\
00:00.0 Host bridge [0600]: Advanced Micro Devices, Inc. [AMD] Root Complex [1022:1450]
00:03.1 PCI bridge [0604]: Advanced Micro Devices, Inc. [AMD] GPP Bridge [1022:1453]
01:00.0 VGA compatible controller [0300]: AMD [AMD/ATI] Baffin [Radeon RX 560] [1002:67ef] (rev e5)
\tSubsystem: Tul Corporation / PowerColor Baffin [148c:2385]
\tKernel driver in use: amdgpu
\tKernel modules: amdgpu
01:00.1 Audio device [0403]: AMD [AMD/ATI] Baffin HDMI/DP Audio [1002:aae0]
\tSubsystem: Tul Corporation / PowerColor Baffin HDMI [148c:aae0]
\tKernel driver in use: snd_hda_intel
\tKernel modules: snd_hda_intel
02:00.0 Non-Volatile memory controller [0108]: Samsung SM981 [144d:a808]
"""
MANJARO = {
    "etc/os-release": 'NAME="Manjaro Linux"\nID=manjaro\nID_LIKE=arch\n',
    "etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet iommu=pt"\nGRUB_CMDLINE_LINUX="audit=0"\n',
    "etc/default/grub.d/10-more.cfg": 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX hugepages=4"\n',
    "boot/grub/grub.cfg": "menuentry 'M' {\n\tlinux\t/boot/vmlinuz-6.12-x86_64 root=x audit=0 hugepages=4 quiet\n}\n",
    "boot/vmlinuz-6.12-x86_64": "",
    "etc/mkinitcpio.conf": "MODULES=(vfio_pci vfio)\nHOOKS=(base udev modconf)\nFILES=(/etc/x)\n",
    "etc/mkinitcpio.conf.d/10-btrfs.conf": "MODULES+=(btrfs)\n",
    "etc/mkinitcpio.d/linux612.preset": "ALL_kver=/boot/vmlinuz\nPRESETS=('default' 'fallback')\n"
    "default_image=/boot/initramfs.img\nfallback_options='-S autodetect'\n",
    "etc/modprobe.d/vfio.conf": "options vfio-pci ids=1002:67ef,1002:AAE0\nsoftdep amdgpu pre: vfio-pci\n",
    "etc/modules-load.d/a.conf": "# x\nkvm\n",
    "etc/modules": "loop\n",
    "etc/sysctl.d/90.conf": "vm.nr_hugepages = 8\n",
    "etc/pacman.d/hooks/a.hook": "[Action]\nExec = /usr/bin/mkinitcpio -P\n",
    "usr/local/bin/rebuild": "#!/bin/bash\nif true; then\n  sudo mkinitcpio -p linux612\nfi\nupdate-grub\n",
    "usr/share/edk2/x64/OVMF_CODE.4m.fd": "",
    "var/lib/pacman/local/qemu-base-10.1.2-1/desc": "",
    "proc/cpuinfo": "processor\t: 0\nvendor_id\t: AuthenticAMD\nprocessor\t: 1\n",
    "proc/meminfo": "MemTotal: 1024 kB\n",
    "lspci.txt": LSPCI,
    "sys/kernel/iommu_groups/13/devices/0000:01:00.0": "",
    "sys/kernel/iommu_groups/13/devices/0000:01:00.1": "",
    "sys/kernel/iommu_groups/13/devices/0000:00:03.1": "",
    "sys/kernel/iommu_groups/14/devices/0000:02:00.0": "",
    "manifest.json": '{"scenario": {"name": "mine"}, "assumed": {"distribution": "arch", "year": 2026,\n'
    ' "kernel": "6.18",\n "qemu": "11.1", "machine": "q35"}}\n',
}
OTHERS = {
    "boot/loader/loader.conf": "default arch.conf\n",
    "boot/loader/entries/arch.conf": "title Arch\nlinux /vmlinuz-linux\noptions root=UUID=x rw iommu=pt\n",
    "etc/kernel/cmdline": "root=UUID=x rw\n",
    "etc/sdboot-manage.conf": 'LINUX_OPTIONS="nowatchdog"\n',
    "etc/dracut.conf": "# none\n",
    "etc/dracut.conf.d/vfio.conf": 'force_drivers+=" vfio_pci "\nadd_drivers+=" vfio "\n',
    "etc/initramfs-tools/modules": "vfio\n",
    "etc/initramfs-tools/scripts/init-top/00-vfio": "#!/bin/sh\nPREREQ=\nmodprobe -q vfio_pci\n",
    "etc/initcpio/hooks/vfio": "echo vfio-pci > /sys/bus/pci/devices/0000:01:00.0/driver_override\n",
    "var/lib/dpkg/status": "Package: qemu-system-x86\nStatus: install ok installed\nVersion: 1:10.0.2+ds-1\n",
    "usr/lib/modules/6.12.3-1-MANJARO/modules.alias": "alias pci:v*d*sv*sd*bc01sc08i02* nvme\n",
    "boot/grub2/grubenv": "kernelopts=root=x\n",
    "etc/booster.yaml": "universal: true\n",
}


def no_domains(data: bytes, *, shown: str) -> tuple[Domain, ...]:
    """In place of the reader of domains."""
    return ()


def setup_of(files: dict[str, str], *, shown: str = "m") -> Setup:
    """The set-up that these files make."""
    return read_files(
        {path: content.encode() for path, content in files.items()}, shown=shown, read_domains=no_domains
    )


def machine(**changed: str | None) -> Setup:
    """The Manjaro machine with some files changed or left out (None); `__` stands for / and `_dot_` for a dot."""
    files = dict(MANJARO)
    for name, content in changed.items():
        path = name.replace("__", "/").replace("_dot_", ".")
        if content is None:
            files.pop(path, None)
        else:
            files[path] = content
    return setup_of(files)
