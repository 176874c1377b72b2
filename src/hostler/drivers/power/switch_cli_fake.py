"""Switches to talk to over telnet and ssh: TP-Link's JetStream and a UniFi switch, as their sessions look."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from hostler.wire.telnet import ECHO, SUPPRESS_GO_AHEAD, Telnet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


_UP = {"(config-if)#": "(config)#", "(config-vlan)#": "(config)#", "(config)#": "#"}
"""Where ``exit`` leads."""


class FakeSwitch:
    """A switch with eight PoE ports and something on each.

    Attributes:
        powered: State by port number.
        vlans: Name by VLAN; TP-Link's only, like the two that follow.
        members: By port: ``Tagged`` or ``Untagged`` by VLAN.
        pvid: By port.
        misbehaviour: Empty, ``lie`` (agrees and does nothing), ``hang`` or ``drop`` at the first line of
            a privileged session, ``neighbour`` (switches the next port), ``overload`` (feeds nothing).
        lines: Every line said after login.
    """

    def __init__(
        self,
        make: str = "tp-link",
        password: str = "",
        *,
        prompts: tuple[str, str] = ("User:", "Password:"),
        enable_password: str = "",
        page: bool = False,
        asks_again: bool = False,
        privileged: bool = False,
    ) -> None:
        self.powered = dict.fromkeys(range(1, 9), False)
        self.vlans = {1: "System-VLAN"}
        self.members = {port: {1: "Untagged"} for port in self.powered}
        self.pvid = dict.fromkeys(self.powered, 1)
        self.misbehaviour = ""
        self.lines: list[str] = []
        self._make, self._password, self._prompts = make, password, prompts
        self._enable_password, self._page, self._asks_again = enable_password, page, asks_again
        self._mode = "#" if privileged else ">"

    @asynccontextmanager
    async def telnet(self) -> AsyncIterator[str]:
        """Serve telnet on a free port of loopback; yields ``host:port``."""
        tasks = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.current_task())
            with suppress(OSError, EOFError):
                await self._talk(_TelnetTerminal(reader, writer), logged_in=False)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            host, port = server.sockets[0].getsockname()
            yield f"{host}:{port}"
        finally:
            server.close()
            for task in tasks:
                if task is not None:
                    task.cancel()

    @asynccontextmanager
    async def ssh(self) -> AsyncIterator[tuple[str, str]]:
        """Serve ssh on a free port of loopback; yields ``host:port`` and the host key's fingerprint."""
        import asyncssh

        password = self._password

        class Server(asyncssh.SSHServer):
            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password_given: str) -> bool:
                return (username, password_given) == ("admin", password)

        async def serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
            with suppress(OSError, EOFError, asyncssh.Error):
                await self._talk(_SshTerminal(process), logged_in=not self._asks_again)
            process.exit(0)

        key = asyncssh.generate_private_key("ssh-ed25519")
        server = await asyncssh.create_server(
            Server, "127.0.0.1", 0, server_host_keys=[key], process_factory=serve, encoding=None,
            line_editor=False,
        )  # fmt: skip
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", key.get_fingerprint()
        finally:
            server.close()

    async def _talk(self, terminal: _Terminal, *, logged_in: bool) -> None:
        if not logged_in:
            terminal.write(f"\r\n************ {self._make} ************\r\n\r\n{self._prompts[0]} ")
            user = await _line(terminal, echo=True)
            terminal.write(self._prompts[1])
            password = await _line(terminal, echo=False)
            if (user, password) != ("admin", self._password):
                terminal.write(f"\r\nLogin invalid.\r\n\r\n{self._prompts[0]} ")
                await _line(terminal, echo=True)
                return
        await (self._jetstream(terminal) if self._make == "tp-link" else self._unifi(terminal))

    async def _jetstream(self, terminal: _Terminal) -> None:
        name, mode, port = "TL-SG2210P", self._mode, 0
        while True:
            terminal.write(f"\r\n\x1b[0m{name}")
            await asyncio.sleep(0)
            terminal.write(mode)
            line = await _line(terminal, echo=True)
            if await self._misbehaves(line):
                return
            words = line.split()
            chosen = re.fullmatch(r"1/0/([1-8])", words[-1]) if words else None
            if line == "enable" and mode == ">":
                if self._enable_password:
                    terminal.write("Password:")
                    if await _line(terminal, echo=False) != self._enable_password:
                        terminal.write("\r\nError: Bad password\r\n")
                        continue
                mode = "#"
            elif line in ("configure", "config") and mode == "#":
                mode = "(config)#"
            elif mode != ">" and (answer := self._vlan_line(line, words, mode, port)) is not None:
                mode = "(config-vlan)#" if words[0] == "vlan" and not answer else mode
                terminal.write(answer)
            elif line == "exit" and mode in _UP:
                mode = _UP[mode]
            elif words[:2] == ["interface", "gigabitEthernet"] and mode == "(config)#":
                if chosen:
                    mode, port = "(config-if)#", int(chosen[1])
                else:
                    terminal.write("Error: Invalid port.\r\n")
            elif line.startswith("power inline supply ") and mode == "(config-if)#":
                self._switch(port, words[-1] == "enable")
            elif line.startswith("show power inline information interface") and mode != ">":
                if chosen:
                    await self._page_out(terminal, self._jetstream_row(int(chosen[1])))
                else:
                    terminal.write("Error: Invalid port.\r\n")
            elif words:
                terminal.write(f"{' ' * 9}^\r\nError: Bad command\r\n")

    def _vlan_line(self, line: str, words: list[str], mode: str, port: int) -> str | None:
        """Do what a line about VLANs says and return the answer; None: it is about something else."""
        number = int(words[-1]) if words and words[-1].isdigit() else 0
        if words[:1] == ["vlan"] and mode == "(config)#":
            self.vlans.setdefault(number, "")
        elif words[:2] == ["no", "vlan"] and mode == "(config)#":
            if number not in self.vlans:
                return "Error: VLAN does not exist.\r\n"
            del self.vlans[number]
        elif words[:1] == ["name"] and mode == "(config-vlan)#":
            self.vlans[max(self.vlans)] = words[1]
        elif words[:4] == ["switchport", "general", "allowed", "vlan"] and mode == "(config-if)#":
            if int(words[4]) not in self.vlans:
                return "Error: VLAN does not exist.\r\n"
            if self.misbehaviour != "lie":
                self.members[port][int(words[4])] = words[5].capitalize()
        elif words[:4] == ["no", "switchport", "general", "allowed"] and mode == "(config-if)#":
            self.members[port].pop(number, None)
        elif words[:2] == ["switchport", "pvid"] and mode == "(config-if)#":
            self.pvid[port] = number
        elif line == "show vlan":
            rows = (f" {vlan:<7} {name or 'N/A':<20} active    \r\n" for vlan, name in self.vlans.items())
            return f" VLAN    Name                 Status    Ports\r\n{''.join(rows)}"
        elif line.startswith("show interface switchport gigabitEthernet "):
            asked = int(line.rpartition("/")[2])
            if asked not in self.members:
                return "Error: Invalid port.\r\n"
            rows = (f" {vlan:<7} name         {rule}\r\n" for vlan, rule in self.members[asked].items())
            head = f" Port Gi1/0/{asked}:\r\n PVID: {self.pvid[asked]}\r\n Member in VLAN:\r\n"
            return f"{head} Vlan    Name         Egress-rule\r\n{''.join(rows)}"
        elif line != "copy running-config startup-config":
            return None
        return ""

    def _jetstream_row(self, port: int) -> str:
        figures, status = ("0.0       0            0.0       ", "OFF")
        if self.powered[port] and self.misbehaviour == "overload":
            status = "Overload"
        elif self.powered[port]:
            figures, status = "4.3       81           53.1      ", "ON"
        return (
            " Interface   Power(w)  Current(mA)  Voltage(v)  PD-Class   Power-Status\r\n"
            " ----------  --------  -----------  ----------  ---------  ------------\r\n"
            f" Gi1/0/{port}     {figures}  Class 4    {status}\r\n"
        )

    async def _page_out(self, terminal: _Terminal, text: str) -> None:
        if self._page:
            head, _, text = text.partition("\n")
            terminal.write(head + "\nPress any key to continue (Q to quit)")
            await terminal.key()
            terminal.write("\r" + " " * 40 + "\r")
        terminal.write(text)

    async def _unifi(self, terminal: _Terminal) -> None:
        fastpath, port = "", 0
        terminal.write("\r\nBusyBox v1.25.1 () built-in shell (ash)\r\n\r\n")
        while True:
            terminal.write(f"\r\n(UBNT) {fastpath}" if fastpath else "US-24-250W-US.v6.2.5# ")
            line = await _line(terminal, echo=True)
            if await self._misbehaves(line):
                return
            words = line.split()
            number = int(words[-1].removeprefix("0/")) if words and words[-1][-1].isdigit() else 0
            if fastpath:
                moves = {(">", "enable"): "#", ("#", "configure"): "(Config)#"}
                if (fastpath, line) in moves:
                    fastpath = moves[fastpath, line]
                elif words[:1] == ["interface"] and fastpath == "(Config)#" and number in self.powered:
                    fastpath, port = f"(Interface 0/{number})#", number
                elif words[:2] == ["poe", "opmode"] and port:
                    self._switch(port, words[2] == "auto")
                else:
                    terminal.write("\r\n% Invalid input detected at '^' marker.\r\n")
            elif line == "telnet localhost":
                terminal.write("\r\nEntering character mode\r\nEscape character is '^]'.\r\n")
                fastpath = ">"
            elif words[:2] == ["swctrl", "poe"] and words[2] == "set" and number in self.powered:
                self._switch(number, words[3] == "auto")
            elif words[:2] == ["swctrl", "poe"] and words[2] == "show":
                terminal.write(self._unifi_table(number))
            elif words:
                terminal.write(f"-sh: {words[0]}: not found\r\n")

    def _unifi_table(self, port: int) -> str:
        row = ""
        if port in self.powered:
            feeds = self.powered[port]
            told = "Auto  " if feeds else "Off   "
            drawn = "On     Good      4.18       53.04        78.88" if feeds else "Off      Bad      0.00"
            row = f"  {port:2}  {told}      Dot3at     32000  Class 4     {drawn}\r\n"
        return (
            "Total Power Limit(mW): 250000\r\n\r\n"
            "Port  OpMode      HpMode    PwrLimit   Class   PoEPwr  PwrGood  Power(W)  Voltage(V)\r\n"
            f"----  ------  ------------  --------  -------  ------  -------  --------  ----------\r\n{row}"
        )

    def _switch(self, port: int, on: bool) -> None:
        if self.misbehaviour == "neighbour":
            port += 1
        if self.misbehaviour != "lie":
            self.powered[port] = on

    async def _misbehaves(self, line: str) -> bool:
        self.lines.append(line)
        if self.misbehaviour == "hang":
            await asyncio.sleep(3600)
        return self.misbehaviour == "drop"


class _Terminal(Protocol):
    async def key(self) -> bytes: ...
    def write(self, text: str) -> None: ...


async def _line(terminal: _Terminal, *, echo: bool) -> str:
    """Read up to Enter; the line feed some send after it is none of its own."""
    line = b""
    while (key := await terminal.key()) != b"\r":
        if key == b"\n":
            continue
        line += key
        if echo:
            terminal.write(key.decode())
    terminal.write("\r\n")
    return line.decode()


class _TelnetTerminal:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._telnet = Telnet(ours=[ECHO, SUPPRESS_GO_AHEAD])
        self._telnet.offer(ECHO)
        self._telnet.offer(SUPPRESS_GO_AHEAD)
        self._keys = b""

    async def key(self) -> bytes:
        while not self._keys:
            data = await self._reader.read(1024)
            if not data:
                raise EOFError
            self._keys = self._telnet.receive(data)
            self._writer.write(self._telnet.bytes_to_send())
        key, self._keys = self._keys[:1], self._keys[1:]
        return key

    def write(self, text: str) -> None:
        self._telnet.send(text.encode())
        self._writer.write(self._telnet.bytes_to_send())


class _SshTerminal:
    def __init__(self, process: Any) -> None:
        self._process = process

    async def key(self) -> bytes:
        key: bytes = await self._process.stdin.read(1)
        if not key:
            raise EOFError
        return key

    def write(self, text: str) -> None:
        self._process.stdout.write(text.encode())
