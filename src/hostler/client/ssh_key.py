"""Signing with the key a person has for ssh, by OpenSSH's own program: from a file, an agent or a token."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.client.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE = "hostler-login"
"""What the signature is for (PROTOCOL.sshsig of OpenSSH): one made for anything else is of no use here."""

_SIGN_SECONDS = 120.0
"""A person may have to type a passphrase or touch a security key."""

_AGENT_SECONDS = 10.0
_USUAL = ("id_ed25519.pub", "id_ecdsa.pub", "id_ed25519_sk.pub", "id_ecdsa_sk.pub", "id_rsa.pub")


@dataclass(frozen=True, slots=True)
class SshKey:
    """A key that can sign.

    Attributes:
        public: ``ssh-ed25519 AAAA…``, without a comment.
        file: Where it is, private or public half; None when only the agent has it.
    """

    public: str
    file: Path | None = None

    def sign(self, message: bytes) -> str:
        """Return the armoured signature (SSHSIG) of a message; it may ask for a passphrase on the terminal.

        Raises:
            SettingsError: ``ssh-keygen`` is missing or could not sign.
        """
        with tempfile.TemporaryDirectory(prefix="hostler-") as folder:
            file = self.file
            if file is None:
                # Given the public half alone, ssh-keygen lets the agent sign.
                file = Path(folder, "key.pub")
                file.write_text(f"{self.public}\n", encoding="ascii")
            what = f"the ssh key {self.file or 'of the agent'}"
            # From a file, and stderr left alone: what it asks of a person must be seen.
            text = Path(folder, "challenge")
            text.write_bytes(message)
            try:
                done = subprocess.run(
                    ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(file), str(text)],
                    stdout=subprocess.DEVNULL, timeout=_SIGN_SECONDS, check=False,
                )  # fmt: skip
            except FileNotFoundError:
                raise SettingsError("ssh-keygen is not there", "install openssh-client") from None
            except subprocess.TimeoutExpired:
                raise SettingsError(f"{what} did not sign within {_SIGN_SECONDS:.0f} s") from None
            if done.returncode != 0:
                raise SettingsError(
                    f"{what} cannot sign: ssh-keygen ended with {done.returncode}",
                    "load it into the agent with ssh-add, or choose another with --key",
                )
            return text.with_name("challenge.sig").read_text(encoding="ascii")


def find_key(chosen: Path | None = None, environ: Mapping[str, str] = os.environ) -> SshKey:
    """Return the key to log in with: the chosen one, else the first usual one, else the agent's first.

    Args:
        chosen: Private or public half.
        environ: Where ``HOME`` and the agent are.

    Raises:
        SettingsError: there is none, or its public half cannot be read.
    """
    if chosen is not None:
        return _from_file(chosen)
    folder = Path(environ.get("HOME", "~")).expanduser() / ".ssh"
    for name in _USUAL:
        if (folder / name).exists():
            return _from_file(folder / name)
    for line in _agent_keys(environ):
        return SshKey(_public(line))
    raise SettingsError(
        f"there is no ssh key: none of {', '.join(_USUAL)} in {folder}, and none in an agent",
        "make one with ssh-keygen, choose one with --key, or log in with a token: --token -",
    )


def _from_file(path: Path) -> SshKey:
    path = path.expanduser()
    half = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
    try:
        public = _public(half.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the public half of the ssh key cannot be read: {error}") from None
    if not public:
        raise SettingsError(f"{half} is no public ssh key")
    return SshKey(public, path)


def _agent_keys(environ: Mapping[str, str]) -> list[str]:
    if not environ.get("SSH_AUTH_SOCK"):
        return []
    try:
        done = subprocess.run(
            ["ssh-add", "-L"], capture_output=True, text=True, errors="replace", timeout=_AGENT_SECONDS,
            check=False, env=dict(environ),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line for line in done.stdout.splitlines() if _public(line)] if done.returncode == 0 else []


def _public(line: str) -> str:
    """Return kind and key of a line of a public key file, or an empty text."""
    words = line.split()
    return " ".join(words[:2]) if len(words) >= 2 and words[1].startswith("AAAA") else ""
