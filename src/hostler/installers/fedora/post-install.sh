#!/bin/sh
# Run in the installed system before its first boot, as root.
set -eu
printf '%s ALL=(ALL) NOPASSWD: ALL\n' {{ metadata.user | quote }} > /etc/sudoers.d/hostler
chmod 440 /etc/sudoers.d/hostler
