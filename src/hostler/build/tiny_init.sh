#!/bin/sh
# From the kernel to the root file system of the tiny image: load drivers until it shows up.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t devtmpfs -o mode=755 dev /dev
exec </dev/console >/dev/console 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 run /run
root=
for word in $(cat /proc/cmdline); do
    case $word in root=*) root=${word#root=} ;; esac
done
: >/run/modalias
tries=0
device=
modprobe -q ext4
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
    device=$(findfs "$root" 2>/dev/null) && break
    tries=$((tries + 1))
    if [ $tries -ge 150 ]; then
        echo "tiny: no root file system $root after 30 s; restarting in 10 s"
        sleep 10
        reboot -f
    fi
    sleep 0.2
done
mount -t ext4 -o rw "$device" /mnt || { echo "tiny: cannot mount $device; restarting in 10 s"; sleep 10; reboot -f; }
umount /run
mount -o move /dev /mnt/dev
mount -o move /proc /mnt/proc
mount -o move /sys /mnt/sys
exec switch_root /mnt /sbin/init
