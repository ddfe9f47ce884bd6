"""The hardware of L1 as QEMU arguments; pure."""

from __future__ import annotations

from typing import Literal

from pipeline.lab.board import Board

MEMORY_MIB = 2048
# Without the instructions for ciphers no modules are loaded that use them.
_NO_CIPHERS = "-aes,-pclmulqdq,-sha-ni"
_EMULATED_CPU = {"amd": f"EPYC,-svm,{_NO_CIPHERS}", "intel": f"Skylake-Client,{_NO_CIPHERS}"}


def hardware(board: Board, *, accelerator: Literal["kvm", "tcg"], cpu_vendor: str) -> list[str]:
    """Processor, memory and board; what it boots from is not in it."""
    cpu = "host" if accelerator == "kvm" else _EMULATED_CPU[cpu_vendor]
    irqchip = ""
    if cpu_vendor == "intel":
        # Interrupt remapping of intel-iommu wants it (hw/i386/intel_iommu.c vtd_decide_config).
        irqchip = ",kernel_irqchip=" + ("split" if accelerator == "kvm" else "off")
    accel = "kvm" if accelerator == "kvm" else "tcg,thread=multi"
    return [
        *(
            "-machine",
            f"q35,memory-backend=memory,sata=off,smbus=off,i8042=off{irqchip}",
            "-accel",
            accel,
            "-cpu",
            cpu,
            "-smp",
            "2",
        ),
        # The servers of the emulated functions map the guest's memory, so it is shared.
        *("-m", f"{MEMORY_MIB}M", "-object", f"memory-backend-memfd,id=memory,size={MEMORY_MIB}M,share=on"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-no-reboot"),
        *board.arguments,
    ]
