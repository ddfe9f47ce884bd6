#!/bin/sh
# /init of the substitute: what the init of mkinitcpio's base and udev hooks does, in its order, or in the order of
# systemd where HOOKS asks for that. /dryboot-modules says which (start) and what MODULES comes to
# (early_modules). modprobe has its path because busybox's shell prefers its own applet, which does not read
# kmod's indexes.
export PATH=/usr/bin
set -f
mount -t proc proc /proc -o nosuid,noexec,nodev
mount -t sysfs sys /sys -o nosuid,noexec,nodev
mount -t devtmpfs dev /dev -o mode=0755,nosuid
mount -t tmpfs run /run -o nosuid,nodev,mode=0755
exec >/dev/console 2>&1 </dev/console

root='' rootflags='' ro=ro init=/sbin/init earlymodules='' modules_load=''
for word in $(cat /proc/cmdline); do
    case $word in
        root=*) root=${word#root=} ;;
        rootflags=*) rootflags=${word#rootflags=} ;;
        ro|rw) ro=$word ;;
        init=*) init=${word#init=} ;;
        earlymodules=*) earlymodules=${word#earlymodules=} ;;
        modules_load=*|rd.modules_load=*) modules_load="$modules_load ${word#*modules_load=}" ;;
    esac
done
. /dryboot-modules

# What the base hook's init does with MODULES, and with earlymodules= before them.
load() {
    local IFS=' ,'
    [ -z "$earlymodules$early_modules" ] || /usr/bin/modprobe -qab $earlymodules $early_modules
}
# What systemd-modules-load does with them, and with modules_load= before them.
load_one_by_one() {
    local IFS=' ,' module
    for module in $modules_load $early_modules; do
        /usr/bin/modprobe -qb "$module"
    done
}
# Without what comes after the PCI functions (/sys/devices/system and virtual) and has neither a driver to load nor a
# rule in the image: terminals, blocks of memory. Nothing waits for it.
trigger() {
    udevadm trigger --action=add --type=subsystems
    udevadm trigger --action=add --type=devices --subsystem-nomatch=tty --subsystem-nomatch=memory \
        --subsystem-nomatch=mem --subsystem-nomatch=vc --subsystem-nomatch=workqueue
}

[ "$start" = base ] || /usr/lib/systemd/systemd-udevd --daemon --resolve-names=never
case $start in
    udev)
        load
        trigger
        ;;
    systemd)
        # Neither waits for the other: both units are only ordered before sysinit.target.
        load_one_by_one &
        trigger
        wait
        ;;
    base) load ;;
esac
[ "$start" = base ] || udevadm settle --timeout=120
. /dryboot-root
