"""A boot program that starts another with options: what lies at EFI/BOOT/BOOTX64.EFI of a disk is started without any.

The UEFI shell waits before it runs startup.nsh, for 5 s, and for a whole one even if a key is there (edk2
ShellPkg/Application/Shell/Shell.c DoStartupScript() stalls first and looks then); only an option tells it not to.

The program is inside the boot program, which has the firmware load it from memory with its own device path, so that it
finds its files where the boot program lies (UEFI 2.10, 7.4.1 LoadImage(), 9.1 EFI_LOADED_IMAGE_PROTOCOL).
"""

from __future__ import annotations

import struct
from uuid import UUID

# Offsets in EFI_BOOT_SERVICES (UEFI 2.10, 4.4.1) and EFI_LOADED_IMAGE_PROTOCOL (9.1.1).
_HANDLE_PROTOCOL, _LOAD_IMAGE, _START_IMAGE = 0x98, 0xC8, 0xD0
_OPTIONS_SIZE, _OPTIONS = 0x30, 0x38
_LOADED_IMAGE_DEVICE_PATH = UUID("bc62157e-3e33-4fec-9920-2d3b36d750df")
_LOADED_IMAGE = UUID("5b1b31a1-9562-11d2-8e3f-00a0c969723b")

# Microsoft's PE format: everything is one section, which is read and executed.
_FILE_ALIGNMENT, _PAGE = 0x200, 0x1000
_HEADERS = _FILE_ALIGNMENT
_X86_64, _PE32_PLUS, _EFI_APPLICATION = 0x8664, 0x20B, 10
_EXECUTABLE, _LARGE_ADDRESSES = 0x0002, 0x0020
_CODE, _EXECUTE, _READ = 0x00000020, 0x20000000, 0x40000000
_DIRECTORIES = 16


def launcher(program: bytes, options: str) -> bytes:
    """A boot program that starts `program`, an EFI application, with the load options `options`.

    Raises ValueError for a program that is none.
    """
    if program[:2] != b"MZ":
        raise ValueError("this is no EFI application")
    text = f"{options}\0".encode("utf-16-le")
    data = {
        "path": _LOADED_IMAGE_DEVICE_PATH.bytes_le,
        "image": _LOADED_IMAGE.bytes_le,
        "options": text,
        "program": program,
    }
    size = len(_code(dict.fromkeys(data, 0), len(text), len(program)))
    places: dict[str, int] = {}
    for name, value in data.items():
        size = _up(size, 16)
        places[name] = size
        size += len(value)
    section = bytearray(_code(places, len(text), len(program)))
    for name, value in data.items():
        section += bytes(places[name] - len(section)) + value
    return _image(bytes(section))


def _code(places: dict[str, int], options_size: int, program_size: int) -> bytes:
    """The entry point (UEFI 2.10, 2.3.4: rcx the image's handle, rdx the system table), for `places` from it."""
    code = bytearray()
    ends = []

    def add(text: str, *numbers: bytes) -> None:
        nonlocal code
        code += bytes.fromhex(text) + b"".join(numbers)

    def address(text: str, name: str) -> None:
        add(text, struct.pack("<i", places[name] - (len(code) + len(text.split()) + 4)))

    def call(offset: int) -> None:
        """A boot service of rsi; on an error go to the end with it."""
        add("ff 96", struct.pack("<i", offset))  # call [rsi+offset]
        add("48 85 c0 0f 85", bytes(4))  # test rax, rax; jnz end
        ends.append(len(code))

    add("53 56 57 48 83 ec 50")  # push rbx, rsi, rdi; sub rsp, 0x50
    add("48 89 cb 48 8b 72 60")  # mov rbx, rcx; mov rsi, [rdx+0x60]
    address("48 8d 15", "path")  # lea rdx, path
    add("4c 8d 44 24 30")  # lea r8, [rsp+0x30]
    call(_HANDLE_PROTOCOL)
    add("31 c9 48 89 da 4c 8b 44 24 30")  # xor ecx, ecx; mov rdx, rbx; mov r8, [rsp+0x30]
    address("4c 8d 0d", "program")  # lea r9, program
    add("48 c7 44 24 20", struct.pack("<i", program_size))  # mov qword [rsp+0x20], size
    add("48 8d 44 24 38 48 89 44 24 28")  # lea rax, [rsp+0x38]; mov [rsp+0x28], rax
    call(_LOAD_IMAGE)
    add("48 8b 4c 24 38")  # mov rcx, [rsp+0x38]
    address("48 8d 15", "image")  # lea rdx, image
    add("4c 8d 44 24 40")  # lea r8, [rsp+0x40]
    call(_HANDLE_PROTOCOL)
    add("48 8b 44 24 40")  # mov rax, [rsp+0x40]
    add("c7 40", bytes([_OPTIONS_SIZE]), struct.pack("<I", options_size))  # mov dword [rax+0x30], size
    address("48 8d 0d", "options")  # lea rcx, options
    add("48 89 48", bytes([_OPTIONS]))  # mov [rax+0x38], rcx
    add("48 8b 4c 24 38 31 d2 45 31 c0")  # mov rcx, [rsp+0x38]; xor edx, edx; xor r8d, r8d
    call(_START_IMAGE)
    end = len(code)
    add("48 83 c4 50 5f 5e 5b c3")  # add rsp, 0x50; pop rdi, rsi, rbx; ret
    for place in ends:
        struct.pack_into("<i", code, place - 4, end - place)
    return bytes(code)


def _image(section: bytes) -> bytes:
    """A PE image with this section, entered at its beginning."""
    raw = _up(len(section), _FILE_ALIGNMENT)
    optional = struct.pack(
        "<HBBIIIII QIIHHHHHHIIIIHHQQQQII",
        *(_PE32_PLUS, 1, 0, raw, 0, 0, _PAGE, _PAGE),
        *(0, _PAGE, _FILE_ALIGNMENT, 0, 0, 0, 0, 0, 0, 0),
        *(_PAGE + _up(len(section), _PAGE), _HEADERS, 0, _EFI_APPLICATION, 0),
        *(0, 0, 0, 0, 0, _DIRECTORIES),
    ) + bytes(8 * _DIRECTORIES)
    header = b"PE\0\0" + struct.pack(
        "<HHIIIHH", _X86_64, 1, 0, 0, 0, len(optional), _EXECUTABLE | _LARGE_ADDRESSES
    )
    table = struct.pack(
        "<8sIIIIIIHHI",
        *(b".text", len(section), _PAGE, raw, _HEADERS, 0, 0, 0, 0, _CODE | _EXECUTE | _READ),
    )
    start = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    return (start + header + optional + table).ljust(_HEADERS, b"\0") + section.ljust(raw, b"\0")


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
