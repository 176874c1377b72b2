#!/bin/sh
# Called by udhcpc with the lease in its environment. The first interface with a lease is the one.
case $1 in
    bound | renew) ;;
    deconfig) exit 0 ;;
    *) exit 0 ;;
esac
if [ "$1" = bound ]; then mkdir /run/hostler/bound 2>/dev/null || exit 0; fi
ip addr replace "$ip/${mask:-24}" dev "$interface" valid_lft forever
for gateway in $router; do ip route replace default via "$gateway" dev "$interface" && break; done
for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
if [ "$1" = bound ]; then
    echo "$interface $ip" >/run/hostler/lease.new
    mv /run/hostler/lease.new /run/hostler/lease
fi
