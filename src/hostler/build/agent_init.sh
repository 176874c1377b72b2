#!/bin/sh
# First process on a board that runs the agent: devices, drivers, network, then the agent itself.
# Nothing here may end: when PID 1 exits the kernel panics.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux
mount -t devtmpfs -o mode=755 dev /dev
exec </dev/console >/dev/console 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/hostler /dev/shm
hostname hostler-agent

# Kernel chatter must not cut the agent's marker lines in two.
dmesg -n 4

uptime_now() { read -r now _ </proc/uptime; echo "$now"; }
say() { echo "hostler: [$(uptime_now)] $*"; }
# A marker line: one JSON object a person and the console broker can both read; perhaps with a cause that
# programs know (hostler.model.verdict_agent).
lost() { echo "@hostler {\"event\":\"lost\",\"why\":\"$1\"${2:+,\"cause\":\"$2\"}}"; }

# Wait for N seconds, then restart: what a watching person would do, done by the deadline instead.
again() { lost "$1; restarting in ${2:-10} s" "${3:-}"; sync; sleep "${2:-10}"; reboot -f; sleep 60; }

argument() {
    for word in $(cat /proc/cmdline); do
        case $word in "$1"=*) echo "${word#*=}"; return ;; esac
    done
}
# From a medium: where the rack is, and for one board its MACs and perhaps its address.
medium=$(argument hostler.rack)
dhcp_seconds=$(argument hostler.dhcp_seconds)
dhcp_seconds=${dhcp_seconds:-300}

# Drivers: whatever the devices ask for by their modalias, until a round brings nothing new.
known=/run/hostler/modalias
: >$known
drivers() {
    {
        find /sys/devices -name modalias -exec cat {} +
        # SD cards and eMMC tell theirs as an event alone.
        cat /sys/bus/mmc/devices/*/uevent | sed -n 's/^MODALIAS=//p'
    } 2>/dev/null | sort -u >$known.now
    if cmp -s $known $known.now; then return 1; fi
    mv $known.now $known
    xargs modprobe -qab <$known >/dev/null 2>&1
    return 0
}
rounds=0
while [ $rounds -lt 10 ] && drivers; do rounds=$((rounds + 1)); done
say "drivers loaded in $rounds rounds"
# The firmware's settings: how a board that came from a medium gets to its disk.
if [ -d /sys/firmware/efi/efivars ]; then
    modprobe -q efivarfs
    mount -t efivarfs efivarfs /sys/firmware/efi/efivars
fi
# Disks and network cards on USB, or behind a slow link, come late.
( for _ in 1 2 3 4 5 6 7 8 9 10 15 20 30 60; do sleep 1; drivers; done ) &

# Network: the interface the firmware booted from when it said so, else every one that has a cable;
# the first that gets an answer is used.
ip link set lo up
wanted=$(argument BOOTIF | sed 's/^01-//; s/-/:/g' | tr A-F a-f)
wanted=${wanted:-$(argument hostler.macs)}
fixed=$(argument hostler.address)
# Firmware that netboots tells the machine's UUID by DHCP (option 97, RFC 4578); without it, this does.
machine=
uuid=
[ ! -r /sys/class/dmi/id/product_uuid ] || uuid=$(tr -d - </sys/class/dmi/id/product_uuid)
if [ -n "$medium" ] && [ ${#uuid} = 32 ]; then
    machine="-x 0x61:00$(echo "$uuid" | sed 's/^\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)/\4\3\2\1\6\5\8\7/')"
fi
is_wanted() {
    case ",${wanted:-$1}," in *",$1,"*) return 0 ;; esac
    return 1
}
# The address is given: the first wanted interface with a cable gets it.
set_fixed() {
    ip addr replace "$fixed" dev "$1" && ip link set "$1" up
    gateway=$(argument hostler.router)
    [ -z "$gateway" ] || ip route replace default via "$gateway" dev "$1"
    : >/run/hostler/clients
    echo "$1 $fixed" >/run/hostler/lease
}
# Why no interface could be asked on: a card without a driver is none to the kernel, but it is on its bus.
no_interface() {
    why="no network cable found" cause=no-cable
    for path in /sys/class/net/*/device; do if [ -e "$path" ]; then return; fi; done
    cards=
    for path in /sys/bus/pci/devices/*; do
        case $(cat "$path/class" 2>/dev/null) in
            0x02*) cards="$cards $(cat "$path/vendor"):$(cat "$path/device")" ;;
        esac
    done
    cause=no-card
    if [ -n "$cards" ]; then
        why="this kernel has no driver for its network card (PCI$cards)"
    else
        why="no network card found"
    fi
}
asked=' '
ask() {
    for path in /sys/class/net/*; do
        name=${path##*/}
        [ -e "$path/device" ] || continue
        is_wanted "$(cat "$path/address" 2>/dev/null)" || continue
        [ "$(cat "$path/operstate")" != down ] || ip link set "$name" up
        case $asked in *" $name "*) continue ;; esac
        [ "$(cat "$path/carrier" 2>/dev/null)" = 1 ] || continue
        asked="$asked$name "
        if [ -n "$fixed" ]; then set_fixed "$name"; return; fi
        say "asking for an address on $name"
        udhcpc -f -i "$name" -s /etc/udhcpc.sh -t 4 -T 2 -A 3 -S -x hostname:hostler-agent $machine >/dev/null 2>&1 &
        echo "$! $name" >>/run/hostler/clients
    done
}
start=$(uptime_now); start=${start%.*}
now=$start
told=$start
cause=
while [ ! -e /run/hostler/lease ]; do
    # Some firmware asks with an address that no interface has (U-Boot, from its environment).
    if [ -n "$wanted" ] && [ $((now - start)) -ge 5 ] &&
        ! echo "$wanted" | tr , '\n' | grep -qxFf - /sys/class/net/*/address; then
        say "no interface has the address $wanted; trying them all"
        wanted=
    fi
    ask
    [ -e /run/hostler/lease ] && break
    sleep 0.1
    now=$(uptime_now); now=${now%.*}
    if [ $((now - told)) -ge 30 ]; then
        told=$now
        if [ "$asked" = ' ' ]; then no_interface; else why="no DHCP answer on$asked" cause=no-answer; fi
        lost "${why% } for $((now - start)) s" $cause
    fi
    [ $((now - start)) -lt "$dhcp_seconds" ] || again "no network for $dhcp_seconds s" 10 "$cause"
done
read -r interface address </run/hostler/lease
while read -r client name; do [ "$name" = "$interface" ] || kill "$client"; done </run/hostler/clients
say "$interface has $address"

[ -e /etc/hostler/boot.json ] || [ -n "$medium" ] || again "no boot.json: the initramfs came without this board's configuration" 60

# The agent says by its exit status what is to become of the board: 10 restart, 11 power off.
# Anything else is a crash: it gets two more chances, for its rack is the better judge.
for try in 1 2 3; do
    say "starting the agent"
    PYTHONPATH=/usr/lib/hostler python3 -SPBu -m hostler.agent
    code=$?
    sync
    case $code in
        10) reboot -f; sleep 60 ;;
        11) poweroff -f; sleep 60 ;;
    esac
    lost "the agent ended with status $code (try $try of 3)" ended
    sleep 3
done
lost "the agent ended three times; waiting to be switched off" ended
while :; do sleep 3600; done
