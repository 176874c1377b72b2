# Run by mmdebstrap when everything is installed; $1 is the new root.
# ROOT_UUID, PASSWORD_HASH and SOURCES come in the environment.
set -eu
root=$1

echo debian >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 debian\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
printf 'UUID=%s / ext4 errors=remount-ro 0 1\n' "$ROOT_UUID" >"$root/etc/fstab"
# Made anew on every board, at its first boot.
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root"/etc/ssh/ssh_host_*

echo "root:$PASSWORD_HASH" | chroot "$root" chpasswd -e

mkdir -p "$root/etc/systemd/network"
printf '[Match]\nType=ether\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\nClientIdentifier=mac\n' \
    >"$root/etc/systemd/network/80-dhcp.network"
chroot "$root" systemctl --quiet enable systemd-networkd.service systemd-resolved.service serial-getty@ttyS0.service

# Nothing that a login has to wait for.
chroot "$root" systemctl --quiet mask systemd-networkd-wait-online.service
chroot "$root" systemctl --quiet disable \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service

# Kernel messages of no consequence must not fall into the login on the serial console.
echo 'kernel.printk = 4 4 1 7' >"$root/etc/sysctl.d/30-console.conf"

# Consoles are driven by programs too: no escape sequences around each line typed.
printf '$include /etc/inputrc\nset enable-bracketed-paste off\n' >"$root/root/.inputrc"

# sshd starts with its first caller, or the keys do, a while after the login prompt: a job that
# still runs would keep the getty waiting.
chroot "$root" systemctl --quiet disable ssh.service
chroot "$root" systemctl --quiet enable ssh.socket
cat >"$root/etc/systemd/system/ssh-host-keys.service" <<'UNIT'
[Unit]
Description=Make the host keys of this board
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
Nice=10
ExecStart=/usr/bin/ssh-keygen -A
UNIT
cat >"$root/etc/systemd/system/ssh-host-keys.timer" <<'UNIT'
[Unit]
Description=Make the host keys of this board once it is up
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Timer]
OnActiveSec=20

[Install]
WantedBy=timers.target
UNIT
mkdir -p "$root/etc/systemd/system/ssh@.service.d"
printf '[Unit]\nAfter=ssh-host-keys.service\nWants=ssh-host-keys.service\n' \
    >"$root/etc/systemd/system/ssh@.service.d/host-keys.conf"
chroot "$root" systemctl --quiet enable ssh-host-keys.timer

# The package sources of the machine that built the image, with Debian's signatures.
rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
cp "$SOURCES" "$root/etc/apt/sources.list.d/debian.sources"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/log/*.log "$root"/var/log/apt
