"""What is taken out of a captured system so that each of its copies is a machine of its own.

A word of a ``clean`` list names one of these kinds of files, ``default`` the usual ones, and a path that
begins with ``/`` files of one's own; ``*`` and ``?`` stand for letters as in a shell.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MACHINE_ID, SSH_HOST_KEYS, SEED = "machine-id", "ssh-host-keys", "seed"

PATHS: Mapping[str, tuple[str, ...]] = {
    MACHINE_ID: ("/etc/machine-id", "/var/lib/dbus/machine-id"),
    SSH_HOST_KEYS: ("/etc/ssh/ssh_host_*_key", "/etc/ssh/ssh_host_*_key.pub"),
    "random-seed": (
        "/var/lib/systemd/random-seed",
        "/var/lib/urandom/random-seed",
        "/var/lib/random-seed",
        "/var/lib/systemd/credential.secret",
    ),
    # What `cloud-init clean --logs` removes; a seed that came with the image stays.
    "cloud-init": (
        "/var/lib/cloud/data",
        "/var/lib/cloud/instance",
        "/var/lib/cloud/instances",
        "/var/lib/cloud/sem",
        "/var/lib/cloud/scripts/per-instance",
        "/var/log/cloud-init.log",
        "/var/log/cloud-init-output.log",
    ),
    "dhcp-leases": (
        "/var/lib/dhcp/*.lease*",
        "/var/lib/dhclient/*.lease*",
        "/var/lib/dhcpcd/*.lease*",
        "/var/lib/dhcpcd5/*.lease*",
        "/var/lib/NetworkManager/*.lease",
        "/var/lib/NetworkManager/secret_key",
    ),
    "net-rules": ("/etc/udev/rules.d/70-persistent-net.rules", "/etc/udev/rules.d/70-persistent-cd.rules"),
    SEED: (),
    "history": ("/root/.*_history", "/home/*/.*_history"),
    "logs": ("/var/log/journal/*", "/var/log/*.log", "/var/log/*.[0-9]*", "/var/log/*tmp", "/var/log/syslog"),
}
"""By word, the files: removed, except that an ``/etc/machine-id`` is emptied, as machine-id(5) has it.
``seed`` is the partition that a first boot's configuration came in."""

DEFAULT = (MACHINE_ID, SSH_HOST_KEYS, "random-seed", "cloud-init", "dhcp-leases", "net-rules", SEED)
_LONGEST, _MOST = 1024, 64


class CleaningError(ValueError):
    """A word is none of a ``clean`` list; the text says what would be."""


def cleaning(words: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds and paths that a list means, each once.

    Args:
        words: For example ``default`` and ``/etc/krb5.keytab``; ``none`` alone: nothing.

    Raises:
        CleaningError: A word is neither a kind nor a path.
    """
    if list(words) == ["none"]:
        return ()
    meant: dict[str, None] = {}
    for word in words:
        if word == "default":
            meant.update(dict.fromkeys(DEFAULT))
        elif word in PATHS or _is_path(word):
            meant[word] = None
        else:
            known = ", ".join(PATHS)
            raise CleaningError(
                f'there is nothing to clean called "{word}"; write default, none alone, an absolute path, '
                f"or: {known}"
            )
    if len(meant) > _MOST:
        raise CleaningError(f"that is more than {_MOST} things to clean")
    return tuple(meant)


def paths_of(word: str) -> tuple[str, ...]:
    """Return the paths, with ``*`` and ``?``, that a word of ``cleaning``'s answer means."""
    return PATHS.get(word, (word,) if word.startswith("/") else ())


def _is_path(word: str) -> bool:
    printable = len(word) <= _LONGEST and word.isprintable()
    return printable and re.match(r"/[^/]", word) is not None and ".." not in word.split("/")
