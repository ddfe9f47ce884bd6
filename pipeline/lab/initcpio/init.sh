#!/bin/sh
# /init of the substitute: what mkinitcpio's base and udev hooks do, in their order. MODULES are loaded
# before the udev trigger, so they get their devices before anything that is loaded by alias. modprobe has its
# path because busybox's shell prefers its own applet, which does not read kmod's indexes.
export PATH=/usr/bin
mount -t proc proc /proc -o nosuid,noexec,nodev
mount -t sysfs sys /sys -o nosuid,noexec,nodev
mount -t devtmpfs dev /dev -o mode=0755,nosuid
mount -t tmpfs run /run -o nosuid,nodev,mode=0755
exec >/dev/console 2>&1 </dev/console

root='' rootflags='' ro=ro init=/sbin/init
for word in $(cat /proc/cmdline); do
    case $word in
        root=*) root=${word#root=} ;;
        rootflags=*) rootflags=${word#rootflags=} ;;
        ro|rw) ro=$word ;;
        init=*) init=${word#init=} ;;
    esac
done

/usr/lib/systemd/systemd-udevd --daemon --resolve-names=never
. /dryboot-modules
[ -z "$early_modules" ] || /usr/bin/modprobe -qab $early_modules
udevadm trigger --action=add --type=subsystems
udevadm trigger --action=add --type=devices
udevadm settle --timeout=120

case $root in
    LABEL=*) device=/dev/disk/by-label/${root#LABEL=} ;;
    UUID=*) device=/dev/disk/by-uuid/${root#UUID=} ;;
    *) device=$root ;;
esac
if [ ! -e "$device" ]; then
    echo "DRYBOOT: no root device $device"
    sleep 2
    reboot -f -n
fi
fstype=$(udevadm info --query=property --property=ID_FS_TYPE --value "$device")
mount -t "$fstype" -o "$ro${rootflags:+,$rootflags}" "$device" /new_root || { echo "DRYBOOT: cannot mount $device"; reboot -f; }
udevadm control --exit
udevadm info --cleanup-db
for point in dev proc sys run; do mount --move "/$point" "/new_root/$point"; done
exec switch_root /new_root "$init"
