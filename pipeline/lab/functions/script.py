"""The UEFI shell's script for the function tests: three boots, told apart by a variable that the firmware keeps.

The first boot reports as always, tells the configuration space of the functions and starts Linux, which uses them
and powers off. The second, when the domain is started again, tells it again and resets the machine; the third tells it
once more. So a function that does not come back once it was used is missed. Linux does not reboot itself: firmware that
unpacks itself over the code of a kernel takes two minutes of a processor emulated twice (ran: 130 s for 50 s).
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.lab import payload

CONFIG = "DRYBOOT-CONFIG"
FIRST, REBOOTED, RESTARTED = "first", "rebooted", "restarted"
KERNEL, INITRAMFS = "linux.efi", "initrd"
# The host bridge's register for it (Q35 datasheet, PCIEXBAR), and what edk2 writes there since 2022 (OvmfPkg
# PcdPciExpressBaseAddress): `dmem` tells 256 bytes in the time of one `mm`.
_PCIEXBAR = 0x60
MIRROR = 0xE000_0000
# The kernel's own tests and mitigations take their time on an emulated processor. All processors are started, and wait
# by `hlt`: firmware leaves those that are not in `mwait`, which QEMU emulates by spinning (edk2 MpInitLib
# RelocateApLoop(), QEMU target/i386/tcg/system/misc_helper.c helper_mwait(); the first one had half the speed, ran).
PARAMETERS = (
    "console=ttyS0 loglevel=0 panic=-1 idle=halt mitigations=off no_timer_check nokaslr cryptomgr.notests "
    "rodata=off init_on_alloc=0 lsm=capability tsc=reliable audit=0 initcall_blacklist="
    # What takes longest and is of no use here, half of all initcalls' time: ciphers and checksums that test or time
    # themselves, certificates, services of ports, drivers of what is not there (ran with initcall_debug, 6.12).
    "crypto_kdf108_init,jent_mod_init,load_system_certificate_list,init_encrypted,crc_t10dif_mod_init,"
    "crc64_rocksoft_mod_init,blake2s_mod_init,hwrng_modinit,pcie_portdrv_init,inet6_init,init_ima,nvme_core_init,"
    "bpf_tcp_ca_kfunc_init,bpf_dummy_struct_ops_init,i8042_init,cmos_init,fuse_init,init_mqueue_fs,"
    "snapshot_device_init,ksm_init,damon_sysfs_init"
)


def script(ports: Sequence[tuple[int, int]], buses: Sequence[int], functions: Sequence[int]) -> str:
    """The script. `ports`: see payload.script; `buses` and `functions`: where to look for what is tested."""
    lines = [
        # A variable that is not there is empty.
        "if x%dryboot%x == xx then",
        "set dryboot 1",
        *payload.report_lines(ports),
        *_dump(FIRST, buses, functions),
        "for %i in fs0 fs1 fs2 fs3 fs4 fs5",
        f"if exist %i:\\{KERNEL} then",
        "%i:",
        f"{KERNEL} initrd=\\{INITRAMFS} {PARAMETERS}",
        "endif",
        "endfor",
        # It did not start.
        "reset -s",
        "endif",
        "if x%dryboot%x == x1x then",
        "set dryboot 2",
        *_dump(RESTARTED, buses, functions),
        "reset",
        "endif",
        *_dump(REBOOTED, buses, functions),
        "reset -s",
    ]
    return payload.text(lines)


def _dump(name: str, buses: Sequence[int], functions: Sequence[int]) -> list[str]:
    """Where the host bridge has the memory that mirrors configuration space, and the functions' part of it."""
    lines = [f"echo {CONFIG} {name}", f"mm 00000000{_PCIEXBAR:02X} -w 4 -PCI -n"]
    for bus in buses:
        places = (MIRROR | bus << 20 | number << 12 for number in sorted(set(functions)))
        lines += [f"dmem {place:X} 100" for place in places]
    return [*lines, f"echo {CONFIG} end"]
