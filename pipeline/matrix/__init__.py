"""The same domain on many QEMU releases and machine types: what each gives the guest, and what changes."""
