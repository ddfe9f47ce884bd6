"""Menu entries as grub-mkconfig 2.12 of Debian 13 wrote them (ran)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.grub import Entry, entries

WRITTEN = """\
### BEGIN /etc/grub.d/10_linux ###
menuentry 'Manjaro GNU/Linux' --class manjaro --class gnu-linux --class os $menuentry_id_option 'gnulinux-simple-1111' {
\tsavedefault
\tload_video
\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
\tinsmod ext2
\tsearch --no-floppy --fs-uuid --set=root 1111
\techo\t'Loading Linux 6.12-x86_64 ...'
\tlinux\t/boot/vmlinuz-6.12-x86_64 root=UUID=1111 ro rw dyndbg="func really_probe +p" quiet iommu=pt
\techo\t'Loading initial ramdisk ...'
\tinitrd\t/boot/amd-ucode.img /boot/initramfs-6.12-x86_64.img
}
submenu 'Advanced options for Manjaro GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1111' {
\tmenuentry 'Manjaro GNU/Linux, with Linux 6.12 (recovery mode)' --class os $menuentry_id_option 'recovery-1111' {
\t\tlinux\t/boot/vmlinuz-6.12-x86_64 root=UUID=1111 ro single\x20
\t}
}
### BEGIN /etc/grub.d/30_uefi-firmware ###
if [ "$grub_platform" = "efi" ]; then
\tfwsetup --is-supported
\tif [ "$?" = 0 ]; then
\t\tmenuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
\t\t\tfwsetup
\t\t}
\tfi
fi
### BEGIN /etc/grub.d/40_custom ###
menuentry "Owner's own" {
\tlinux /boot/own
}
"""


def test_the_entries_that_boot_a_kernel_in_the_order_of_the_menu() -> None:
    assert entries(WRITTEN) == (
        Entry(
            title="Manjaro GNU/Linux",
            identifier="gnulinux-simple-1111",
            kernel="/boot/vmlinuz-6.12-x86_64",
            parameters='root=UUID=1111 ro rw dyndbg="func really_probe +p" quiet iommu=pt',
            initrds=("/boot/amd-ucode.img", "/boot/initramfs-6.12-x86_64.img"),
        ),
        Entry(
            title="Manjaro GNU/Linux, with Linux 6.12 (recovery mode)",
            identifier="recovery-1111",
            kernel="/boot/vmlinuz-6.12-x86_64",
            parameters="root=UUID=1111 ro single",
            initrds=(),
        ),
        Entry(title="Owner's own", identifier="Owner's own", kernel="/boot/own", parameters="", initrds=()),
    )


def test_a_title_with_an_odd_quote_is_read_all_the_same() -> None:
    (found,) = entries("menuentry 'odd {\n linux /k\n}\n")
    assert found.kernel == "/k"


def test_an_entry_that_does_not_end_is_none() -> None:
    assert entries("menuentry 'x' {\n linux /k\n") == ()


LINES = st.sampled_from([*WRITTEN.splitlines(), "}", "{", "menuentry", "linux", "initrd ", "'"])


@given(st.lists(LINES | st.text(max_size=30)))
def test_any_text_gives_entries_with_a_kernel(lines: list[str]) -> None:
    assert all(entry.kernel for entry in entries("\n".join(lines)))
