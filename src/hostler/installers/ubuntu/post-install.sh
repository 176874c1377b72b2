#!/bin/sh
# Run in the installed system before its first boot, as root.
set -eu
printf 'GRUB_CMDLINE_LINUX="console=%s"\n' {{ board.console | quote }} > /etc/default/grub.d/90-console.cfg
update-grub
