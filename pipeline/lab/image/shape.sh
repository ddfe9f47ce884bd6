# Runs with the root's path as $1 (a hook of mmdebstrap, or in the tools' own root): leaves only the units that the
# checks and L2 need and sets aside what the initramfs is made from. For Debian, Manjaro, Arch and their like.
set -eu
root=$1

# What a target pulls in is named here; everything else is left out: an emulated processor starts each unit slowly.
keep=' kmod-static-nodes.service systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket
 systemd-tmpfiles-setup-dev.service systemd-tmpfiles-setup.service systemd-udev-trigger.service
 systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket dbus.service dbus.socket
 libvirtd.socket libvirtd-ro.socket virtlogd.socket ssh.service sshd.service '
for wanted in "$root"/usr/lib/systemd/system/*.wants/* "$root"/etc/systemd/system/*.wants/*; do
    # These are for the initramfs, and dracut takes them from here.
    case $wanted in */initrd*.wants/*) continue ;; esac
    case $keep in
        *[[:space:]]"${wanted##*/}"[[:space:]]*) ;;
        *) rm -f "$wanted" ;;
    esac
done
# Debian enables what it installs, Arch does not.
units=/usr/lib/systemd/system
enable() {
    mkdir -p "$root/etc/systemd/system/$1.wants"
    ln -sf "$units/$2" "$root/etc/systemd/system/$1.wants/$2"
}
if [ ! -e "$root$units/ssh.service" ]; then
    # Under the name that other units know.
    ln -sf "$units/sshd.service" "$root/etc/systemd/system/ssh.service"
    enable multi-user.target sshd.service
fi
for unit in libvirtd.socket libvirtd-ro.socket virtlogd.socket; do
    enable sockets.target "$unit"
done
# ssh does not let a locked account in, whatever its key.
if [ -e "$root/etc/shadow" ]; then sed -i 's/^root:!*:/root:*:/' "$root/etc/shadow"; fi
for unit in polkit.service systemd-hostnamed.service systemd-logind.service modprobe@drm.service \
    modprobe@fuse.service systemd-udev-load-credentials.service tmp.mount dev-hugepages.mount dev-mqueue.mount \
    sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# The hundreds of terminals and memory blocks have nothing to load; the network first, for the lab waits for it.
mkdir -p "$root/etc/systemd/system/systemd-udev-trigger.service.d" "$root/etc/systemd/journald.conf.d"
cat > "$root/etc/systemd/system/systemd-udev-trigger.service.d/dryboot.conf" <<'END'
[Service]
ExecStart=
ExecStart=udevadm trigger --action=add --prioritized-subsystem=net --subsystem-match=pci --subsystem-match=net \
    --subsystem-match=virtio --subsystem-match=block --subsystem-match=drm --subsystem-match=sound \
    --subsystem-match=hdaudio --subsystem-match=usb --subsystem-match=iommu --subsystem-match=vfio --subsystem-match=misc
END
# The kernel's log is long here, and the checks read it where it is.
printf '[Journal]\nReadKMsg=no\nAudit=no\nStorage=volatile\n' > "$root/etc/systemd/journald.conf.d/dryboot.conf"
# Masked as systemd.generator(7) says, not taken away: an initramfs with systemd is made with them.
mkdir -p "$root/etc/systemd/system-generators"
for generator in "$root"/usr/lib/systemd/system-generators/*; do
    ln -sf /dev/null "$root/etc/systemd/system-generators/${generator##*/}"
done
ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
mkdir -p "$root/etc/ssh/sshd_config.d"
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/libvirt/qemu/networks/autostart/default.xml"
printf 'dryboot\n' > "$root/etc/hostname"
printf 'PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\nUsePAM no\nHostKey /etc/ssh/ssh_host_ed25519_key\n' \
    > "$root/etc/ssh/sshd_config.d/dryboot.conf"
# virtlogd is one more process to start; the log of the domain's serial line is written by QEMU itself.
printf 'stdio_handler = "file"\nsecurity_driver = "none"\n' >> "$root/etc/libvirt/qemu.conf"
mkdir -p "$root/root/.ssh" "$root/var/lib/libvirt/images" "$root/etc/default" "$root/etc/modprobe.d" \
    "$root/etc/mkinitcpio.d"
chmod 700 "$root/root/.ssh"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/pacman/pkg/* "$root"/var/log/* "$root/usr/share/firmware-licenses"
mkdir -p "$root/var/log/libvirt/qemu"

# GRUB as grub-install leaves it: its modules beside grub.cfg, and a program for the EFI system partition that
# looks for the root file system by its label.
label=$(cat "$root/.dryboot-label") && rm -f "$root/.dryboot-label"
mkdir -p "$root/boot/grub" "$root/.dryboot/efi"
cp -a "$root/usr/lib/grub/x86_64-efi" "$root/boot/grub/"
printf 'search.fs_label %s root\nset prefix=($root)/boot/grub\n' "$label" > "$root/.dryboot/early.cfg"
chroot "$root" grub-mkimage -O x86_64-efi -p /boot/grub -c /.dryboot/early.cfg -o /.dryboot/efi/grubx64.efi \
    part_gpt part_msdos fat ext2 search search_label search_fs_uuid normal configfile

out=$root/.dryboot
mkdir -p "$out/base/usr/bin" "$out/base/usr/lib/systemd" "$out/base/usr/lib/udev/rules.d"
# mkinitcpio brings one of its own.
busybox=/usr/bin/busybox
if [ ! -e "$root$busybox" ]; then busybox=/usr/lib/initcpio/busybox; fi
cp -L "$root$busybox" "$out/base/usr/bin/busybox"
cp "$root/usr/bin/udevadm" "$root/usr/bin/kmod" "$out/base/usr/bin/"
for rules in 50-udev-default 60-persistent-storage 80-drivers; do
    cp "$root/usr/lib/udev/rules.d/$rules.rules" "$out/base/usr/lib/udev/rules.d/"
done
libraries=$(chroot "$root" ldd /usr/bin/udevadm /usr/bin/kmod "$busybox" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p')
directory=/usr/lib
if [ -d "$root/usr/lib/x86_64-linux-gnu" ]; then directory=/usr/lib/x86_64-linux-gnu; fi
# These are opened at run time, so ldd does not name them; which of them there are is the distribution's choice.
for name in libkmod.so.2 libblkid.so.1 liblzma.so.5 libzstd.so.1 libacl.so.1 libselinux.so.1 libpcre2-8.so.0; do
    if [ -e "$root$directory/$name" ]; then libraries="$libraries $directory/$name"; fi
done
for library in $libraries; do
    case $library in /usr/*) name=$library ;; *) name=/usr$library ;; esac
    mkdir -p "$out/base${name%/*}"
    cp -L "$root$library" "$out/base$name"
done
mkdir -p "$out/base/usr/lib64"
cp -L "$root/lib64/ld-linux-x86-64.so.2" "$out/base/usr/lib64/"
