"""What real mkinitcpio (v41, QEMU, kernels 6.1 and 6.12) was measured to do with vfio: one row a measurement.

Bochs-display, intel-hda and e1000e are listed in ids=; each row says how the build ended and which driver held
the three when udev had settled in the initramfs.
"""

from __future__ import annotations

from dataclasses import dataclass

BOCHS = "pci:v00001234d00001111sv00001AF4sd00001100bc03sc80i00"
HDA = "pci:v00008086d00002668sv00001AF4sd00001100bc04sc03i00"
E1000E = "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00"
MODALIASES = (BOCHS, HDA, E1000E)

VFIO_CONF = "options vfio-pci ids=1234:1111,8086:2668,8086:10d3\n"
VFIO = ("vfio_pci", "vfio", "vfio_iommu_type1")
VIRQFD = (*VFIO, "vfio_virqfd")
HOOKS = ("base", "udev", "autodetect", "modconf", "kms", "keyboard", "block", "filesystems", "fsck")
NO_MODCONF = tuple(hook for hook in HOOKS if hook != "modconf")
KMS_FIRST = tuple({"modconf": "kms", "kms": "modconf"}.get(hook, hook) for hook in HOOKS)

ALL = ("vfio-pci", "vfio-pci", "vfio-pci")
NONE = ("bochs-drm", "none", "none")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A configuration, and what came of it: exit status of the build, drivers of the three functions."""

    name: str
    kernels: tuple[str, ...] = ("6.1", "6.12")
    modules: tuple[str, ...] | None = None  # None: those of the kernel, all of which it has
    hooks: tuple[str, ...] = HOOKS
    files: tuple[str, ...] = ()
    modprobe_d: str = VFIO_CONF
    command_line: str = ""
    status: int = 0
    drivers: tuple[str, str, str] = ALL

    def modules_for(self, kernel: str) -> tuple[str, ...]:
        if self.modules is not None:
            return self.modules
        return VIRQFD if kernel == "6.1" else VFIO

    def configuration(self, kernel: str) -> str:
        modules, files = " ".join(self.modules_for(kernel)), " ".join(self.files)
        return f"MODULES=({modules})\nBINARIES=()\nFILES=({files})\nHOOKS=({' '.join(self.hooks)})\n"


ROWS = (
    Row(name="four modules", kernels=("6.1",), modules=VIRQFD),
    Row(name="four modules", kernels=("6.12",), modules=VIRQFD, status=1),
    Row(name="an optional module", kernels=("6.12",), modules=(*VFIO, "vfio_virqfd?")),
    Row(name="no modconf", kernels=("6.1",), modules=VIRQFD, hooks=NO_MODCONF, drivers=NONE),
    Row(
        name="no modconf, ids on the command line",
        hooks=NO_MODCONF,
        command_line="vfio-pci.ids=1234:1111",
        drivers=("vfio-pci", "none", "none"),
    ),
    Row(name="FILES for modconf", modules=VFIO, hooks=NO_MODCONF, files=("/etc/modprobe.d/vfio.conf",)),
    Row(
        name="bochs first",
        modules=("bochs", *VFIO),
        drivers=("bochs-drm", "vfio-pci", "vfio-pci"),
    ),
    Row(
        name="a softdep alone",
        modules=(),
        modprobe_d=VFIO_CONF + "softdep bochs pre: vfio-pci\n",
        drivers=NONE,
    ),
    Row(name="kms before modconf", hooks=KMS_FIRST),
    Row(name="amd_iommu=off", command_line="amd_iommu=off", drivers=NONE),
)
CASES = tuple((row, kernel) for row in ROWS for kernel in row.kernels)
