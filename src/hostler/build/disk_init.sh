#!/bin/sh
# From the kernel to a root file system that was imported without one: load drivers until its disk shows up, then
# start its init, or if it has none, a shell.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t devtmpfs -o mode=755 dev /dev
exec </dev/console >/dev/console 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 run /run
root= mode=ro type=ext4 init=
for word in $(cat /proc/cmdline); do
    case $word in
    root=*) root=${word#root=} ;;
    rootfstype=*) type=${word#rootfstype=} ;;
    init=*) init=${word#init=} ;;
    ro | rw) mode=$word ;;
    esac
done

give_up() {
    echo "initramfs: $1; restarting in 10 s"
    sleep 10
    reboot -f
}

: >/run/modalias
modprobe -q "$type"
tries=0
while :; do
    {
        find /sys/devices -name modalias -exec cat {} +
        cat /sys/bus/mmc/devices/*/uevent | sed -n 's/^MODALIAS=//p' # SD and eMMC have no such file
    } 2>/dev/null | sort -u >/run/modalias.now
    if ! cmp -s /run/modalias /run/modalias.now; then
        mv /run/modalias.now /run/modalias
        xargs modprobe -qab </run/modalias >/dev/null 2>&1
        continue # what was loaded may have brought new devices
    fi
    case $root in
    /dev/*) [ -b "$root" ] && device=$root && break ;;
    *) device=$(busybox findfs "$root" 2>/dev/null) && break ;;
    esac
    tries=$((tries + 1))
    [ $tries -lt 300 ] || give_up "no root file system $root after 60 s"
    sleep 0.2
done
mount -t "$type" -o "$mode" "$device" /mnt || give_up "cannot mount $device as $type"

# As the kernel looks for it (init/main.c). A link may lead to what is there in that root alone.
found=
for one in $init /sbin/init /etc/init /bin/init /bin/sh; do
    if [ -e "/mnt$one" ] || [ -L "/mnt$one" ]; then
        found=$one
        break
    fi
done
[ -n "$found" ] || give_up "there is neither an init nor a shell on $device"
# Nobody will do for a shell what an init does. And a container's tree may lack the places for what is mounted.
[ "$found" != /bin/sh ] || mode=rw
if [ "$mode" = rw ] || [ ! -d /mnt/dev ] || [ ! -d /mnt/proc ] || [ ! -d /mnt/sys ]; then
    mount -o remount,rw "$device" /mnt || give_up "cannot write to $device"
    mkdir -p /mnt/dev /mnt/proc /mnt/sys
    mount -o "remount,$mode" "$device" /mnt
fi
umount /run
for place in dev proc sys; do
    mount -o move "/$place" "/mnt/$place"
done
if [ "$found" = /bin/sh ]; then
    echo "initramfs: there is no init; a shell on the console instead"
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux
    exec switch_root -c /dev/console /mnt /bin/sh -i
fi
exec switch_root /mnt "$found"
