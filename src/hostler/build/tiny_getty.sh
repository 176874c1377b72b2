#!/bin/sh
# A login on the console the kernel speaks on: the last one it lists.
read -r consoles </sys/class/tty/console/active
exec /sbin/getty -L 115200 "${consoles##* }" vt100
