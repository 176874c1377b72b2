#!/bin/sh
# Run in the installed system before its first boot, as root.
set -eu
user={{ metadata.user | quote }}
install -d -m 700 -o "$user" -g "$user" "/home/$user/.ssh"
cat > "/home/$user/.ssh/authorized_keys" <<'KEYS'
{% for key in ssh_keys %}
{{ key }}
{% endfor %}
KEYS
chown "$user:$user" "/home/$user/.ssh/authorized_keys"
chmod 600 "/home/$user/.ssh/authorized_keys"
printf '%s ALL=(ALL) NOPASSWD: ALL\n' "$user" > /etc/sudoers.d/hostler
chmod 440 /etc/sudoers.d/hostler
