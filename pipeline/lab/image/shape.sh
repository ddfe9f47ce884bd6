# Runs as a hook of mmdebstrap with the root's path as $1: leaves only the units that the checks and L2 need
# and sets aside what the initramfs is made from.
set -eu
root=$1

for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    logrotate.timer systemd-tmpfiles-clean.timer e2scrub_reap.service getty@tty1.service serial-getty@ttyS0.service \
    getty.target libvirt-guests.service remote-fs.target systemd-pstore.service systemd-journal-flush.service \
    systemd-random-seed.service systemd-update-utmp.service systemd-user-sessions.service systemd-logind.service \
    systemd-hwdb-update.service ldconfig.service systemd-journal-catalog-update.service systemd-networkd.service \
    systemd-update-done.service systemd-binfmt.service polkit.service dev-hugepages.mount dev-mqueue.mount \
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount sys-kernel-config.mount \
    modprobe@configfs.service modprobe@fuse.service modprobe@drm.service modprobe@loop.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
for unit in libvirtd.service virtlogd.service libvirt-guests.service; do
    rm -f "$root/etc/systemd/system/multi-user.target.wants/$unit"
done
ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/libvirt/qemu/networks/autostart/default.xml"
ln -sf /dev/null "$root/usr/lib/systemd/system-generators/systemd-ssh-generator"
printf 'LABEL=dryboot / ext4 rw,noatime 0 0\n' > "$root/etc/fstab"
printf 'dryboot\n' > "$root/etc/hostname"
printf '6472796264727962647279626472796f\n' | tr o 0 > "$root/etc/machine-id"
printf 'PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\nUsePAM no\nHostKey /etc/ssh/ssh_host_ed25519_key\n' \
    > "$root/etc/ssh/sshd_config.d/dryboot.conf"
# virtlogd is one more process to start; the log of the domain's serial line is written by QEMU itself.
printf 'stdio_handler = "file"\nsecurity_driver = "none"\n' >> "$root/etc/libvirt/qemu.conf"
mkdir -p "$root/root/.ssh" "$root/var/lib/libvirt/images" "$root/etc/default" "$root/etc/modprobe.d" "$root/etc/mkinitcpio.d"
chmod 700 "$root/root/.ssh"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root/usr/share/firmware-licenses"
mkdir -p "$root/var/log/libvirt/qemu"

out=$root/.dryboot
mkdir -p "$out/base/usr/bin" "$out/base/usr/lib/systemd" "$out/base/usr/lib/udev/rules.d" "$out/boot"
cp "$root/usr/bin/busybox" "$root/usr/bin/udevadm" "$root/usr/bin/kmod" "$out/base/usr/bin/"
for rules in 50-udev-default 60-persistent-storage 80-drivers; do
    cp "$root/usr/lib/udev/rules.d/$rules.rules" "$out/base/usr/lib/udev/rules.d/"
done
# The last ones are opened at run time, so ldd does not name them.
libraries=$(chroot "$root" ldd /usr/bin/udevadm /usr/bin/kmod | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p')
directory=/usr/lib/x86_64-linux-gnu
for library in $libraries $directory/libkmod.so.2 $directory/libblkid.so.1 $directory/liblzma.so.5 \
    $directory/libzstd.so.1 $directory/libacl.so.1 $directory/libselinux.so.1 $directory/libpcre2-8.so.0; do
    case $library in /usr/*) name=$library ;; *) name=/usr$library ;; esac
    mkdir -p "$out/base${name%/*}"
    cp -L "$root$library" "$out/base$name"
done
mkdir -p "$out/base/usr/lib64"
cp -L "$root/lib64/ld-linux-x86-64.so.2" "$out/base/usr/lib64/"
cp "$root"/boot/vmlinuz-* "$out/boot/"
