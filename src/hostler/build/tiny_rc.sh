#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t tmpfs -o mode=755 run /run
hostname -F /etc/hostname
ip link set lo up
# The prompt does not wait for an address.
for path in /sys/class/net/*; do
    [ -e "$path/device" ] || continue
    ip link set "${path##*/}" up
    udhcpc -b -S -i "${path##*/}" -s /etc/udhcpc.sh -t 5 -T 3 -A 20 >/dev/null 2>&1 &
done
