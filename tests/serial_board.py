"""A board for console tests: a real shell on a real terminal, behind the console's WebSocket framing."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

# What getty and login do, as far as the console shows it: ask, hide the password, start a shell.
GETTY = r"""
boot=${BOOT_TEXT-}
printf '%b' "$boot"
while :; do
  printf '\ntest login: '
  read -r user || exit
  [ -n "$user" ] || continue
  stty -echo; printf 'Password: '; read -r password; stty echo; echo
  if [ "$user:$password" = root:hostler ]; then
    echo 'Linux test 6.1 GNU/Linux'
    PS1='\033[01;32mroot@test\033[00m:~# ' PS2='> ' exec bash --norc --noprofile -i
  fi
  printf '\nLogin incorrect\n'
done
"""


@contextmanager
def on_terminal(environment: dict[str, str] | None = None) -> Iterator[int]:
    """Run the getty script on a new terminal and yield the terminal's other end."""
    pid, master = pty.fork()
    if pid == 0:  # pragma: no cover
        os.execve("/bin/sh", ["sh", "-c", GETTY], {**os.environ, "TERM": "vt100", **(environment or {})})  # noqa: S606
    try:
        yield master
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(master)


@contextmanager
def console_server(master: int, *, chunk: int = 4096, replay: bytes = b"") -> Iterator[str]:
    """Serve a terminal as a board's console on loopback and yield the server's address."""
    one_at_a_time = threading.Lock()  # or the last session's reader would take bytes of the next one

    def handle(connection: ServerConnection) -> None:
        with one_at_a_time:
            attach(connection)

    def attach(connection: ServerConnection) -> None:
        attached = {"event": "attached", "writer": True, "replay": len(replay)}
        connection.send(b"\x00" + json.dumps(attached).encode())
        if replay:
            connection.send(b"\x01" + replay)
        stop = threading.Event()

        def copy() -> None:
            with suppress(OSError, ConnectionClosed):
                while not stop.is_set():
                    if select.select([master], [], [], 0.1)[0]:
                        connection.send(b"\x01" + os.read(master, chunk))

        thread = threading.Thread(target=copy)
        thread.start()
        try:
            for message in connection:
                assert isinstance(message, bytes)
                if message[0] == 1:
                    os.write(master, message[1:])
        finally:
            stop.set()
            thread.join(5)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = serve(handle, sock=listener, compression=None)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join(5)
