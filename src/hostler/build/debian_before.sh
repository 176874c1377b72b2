# Run by mmdebstrap before anything but the essential packages is installed; $1 is the new root.
set -eu
root=$1
mkdir -p "$root/etc/initramfs-tools/conf.d" "$root/etc/initramfs-tools/hooks"

# A small initramfs: it is read by firmware and unpacked before anything else happens.
printf 'MODULES=list\nCOMPRESS=zstd\nRESUME=none\nFSTYPE=ext4\n' >"$root/etc/initramfs-tools/conf.d/hostler.conf"
cat >"$root/etc/initramfs-tools/hooks/hostler-disks" <<'HOOK'
#!/bin/sh
# The disks this image may find its root on.
[ "${1:-}" != prereqs ] || exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules virtio_pci virtio_blk virtio_scsi sd_mod ahci ata_piix nvme ext4 crc32c_generic
HOOK
chmod 755 "$root/etc/initramfs-tools/hooks/hostler-disks"
