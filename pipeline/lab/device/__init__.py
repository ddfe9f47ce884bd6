"""The emulated PCI function: config space, the vfio-user protocol, and a server for QEMU's vfio-user-pci."""
