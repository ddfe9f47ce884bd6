# The last part of the substitute's /init: find the root file system, mount it and go there.
case $start,$root in
    # Without udev nobody makes links to the disks.
    base,LABEL=*|base,UUID=*) device=$(busybox findfs "$root") ;;
    *,LABEL=*) device=/dev/disk/by-label/${root#LABEL=} ;;
    *,UUID=*) device=/dev/disk/by-uuid/${root#UUID=} ;;
    *) device=$root ;;
esac
if [ -z "$device" ] || [ ! -e "$device" ]; then
    echo "DRYBOOT: no root device ${device:-$root}"
    sleep 2
    reboot -f -n
fi
if [ "$start" = base ]; then
    for word in $(busybox blkid "$device"); do
        case $word in TYPE=*) fstype=${word#TYPE=\"} fstype=${fstype%\"} ;; esac
    done
else
    fstype=$(udevadm info --query=property --property=ID_FS_TYPE --value "$device")
fi
mount -t "$fstype" -o "$ro${rootflags:+,$rootflags}" "$device" /new_root || { echo "DRYBOOT: cannot mount $device"; reboot -f; }
if [ "$start" != base ]; then
    udevadm control --exit
    udevadm info --cleanup-db
fi
for point in dev proc sys run; do mount --move "/$point" "/new_root/$point"; done
exec switch_root /new_root "$init"
