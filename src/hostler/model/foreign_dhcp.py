"""The lines with which somebody else's DHCP server sends boards here: one text for each kind of server.

Every one of them says the same: whoever already runs iPXE gets the boot script's address, other firmware the
file for its architecture (option 93) from this host, by TFTP or as the URL that HTTP boot asks for. U-Boot
and operating systems get no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from hostler.model.first_stages import FIRST_STAGES, HTTP_FIRST_STAGES

# Sent raw, as iPXE does, or with its length before it (RFC 3004).
_KEA_IPXE = "option[77].hex == 'iPXE' or option[77].hex == 0x0469505845"
_NAMES = {
    0: "BIOS",
    7: "UEFI x64",
    9: "UEFI x64 (as EBC)",
    11: "UEFI ARM64",
    16: "UEFI x64 by HTTP",
    19: "UEFI ARM64 by HTTP",
}


@dataclass(frozen=True, slots=True)
class ForeignNetwork:
    """What another DHCP server must know of us.

    Attributes:
        name: The network's name in ``lab.toml``.
        subnet: Where the boards are.
        server: This host's address.
        http_port: Where it serves boot scripts.
        files: Boot files by option 93 number, for PXE.
        http_files: The same for HTTP boot.
    """

    name: str
    subnet: IPv4Network
    server: IPv4Address
    http_port: int = 8067
    files: Mapping[int, str] = field(default_factory=lambda: FIRST_STAGES)
    http_files: Mapping[int, str] = field(default_factory=lambda: HTTP_FIRST_STAGES)

    @classmethod
    def of_plan(cls, name: str, networks: Mapping[str, Mapping[str, Any]]) -> ForeignNetwork:
        """Read one network of an inventory."""
        values = networks[name]
        here = networks[values["relayed"]] if values.get("relayed") else values
        server = IPv4Interface(here["address"])
        subnet = IPv4Network(values["subnet"]) if values.get("subnet") else server.network
        return cls(name, subnet, server.ip, int(here.get("http_port", 8067)))

    @property
    def script(self) -> str:
        """Address of the boot script."""
        return f"http://{self.server}:{self.http_port}/boot/ipxe"

    @property
    def urls(self) -> dict[int, str]:
        """What HTTP boot is told, by option 93 number."""
        base = f"http://{self.server}:{self.http_port}/boot"
        return {number: f"{base}/{file}" for number, file in self.http_files.items()}


def isc(network: ForeignNetwork) -> str:
    """Return lines for ISC dhcpd's ``dhcpd.conf``."""
    lines = [
        "# Before the subnet:",
        "option arch code 93 = unsigned integer 16;",
        f"# Inside subnet {network.subnet.network_address} netmask {network.subnet.netmask} {{ ... }}:",
        f"next-server {network.server};",
        'if option user-class = "iPXE" {',
        f'  filename "{network.script}";',
    ]
    for number, file in network.files.items():
        lines += [
            f'}} elsif substring(option vendor-class-identifier, 0, 9) = "PXEClient"'
            f" and option arch = 00:{number:02x} {{  # {_NAMES[number]}",
            f'  filename "{file}";',
        ]
    for number, url in network.urls.items():
        lines += [
            f'}} elsif substring(option vendor-class-identifier, 0, 10) = "HTTPClient"'
            f" and option arch = 00:{number:02x} {{  # {_NAMES[number]}",
            '  option vendor-class-identifier "HTTPClient";',
            f'  filename "{url}";',
        ]
    return _text(*lines, "}")


def kea(network: ForeignNetwork) -> str:
    """Return classes for Kea's ``kea-dhcp4.conf``, the value of ``Dhcp4``'s key ``client-classes``."""
    classes = [("hostler-ipxe", _KEA_IPXE, network.script)]
    for number, file in network.files.items():
        classes.append(
            (
                f"hostler-{number}",
                "not member('hostler-ipxe') and substring(option[60].hex, 0, 9) == 'PXEClient'"
                f" and option[93].hex == 0x{number:04x}",
                file,
            )
        )
    entries = [
        f'  {{ "name": "{name}", "test": "{test}",\n'
        f'    "next-server": "{network.server}", "boot-file-name": "{file}" }}'
        for name, test, file in classes
    ]
    for number, url in network.urls.items():
        test = f"substring(option[60].hex, 0, 10) == 'HTTPClient' and option[93].hex == 0x{number:04x}"
        entries.append(
            f'  {{ "name": "hostler-{number}", "test": "{test}",\n    "boot-file-name": "{url}",\n'
            '    "option-data": [\n'
            '      { "name": "vendor-class-identifier", "data": "HTTPClient", "always-send": true } ] }'
        )
    return '"client-classes": [\n' + ",\n".join(entries) + "\n]\n"


def dnsmasq(network: ForeignNetwork) -> str:
    """Return lines for ``dnsmasq.conf``."""
    lines = ["dhcp-userclass=set:hostler-ipxe,iPXE", f"dhcp-boot=tag:hostler-ipxe,{network.script}"]
    for number, file in network.files.items():
        tag = f"hostler-{number}"
        lines += [
            f"# {_NAMES[number]}",
            f"dhcp-match=set:{tag},option:client-arch,{number}",
            f"dhcp-boot=tag:{tag},tag:!hostler-ipxe,{file},,{network.server}",
        ]
    for number, url in network.urls.items():
        tag = f"hostler-{number}"
        lines += [
            f"# {_NAMES[number]}",
            f"dhcp-match=set:{tag},option:client-arch,{number}",
            # Firmware does not ask for option 60, and takes no offer without it.
            f"dhcp-option-force=tag:{tag},tag:!hostler-ipxe,60,HTTPClient",
            f"dhcp-boot=tag:{tag},tag:!hostler-ipxe,{url}",
        ]
    return _text(*lines)


def windows(network: ForeignNetwork) -> str:
    """Return PowerShell commands for Windows Server's DHCP (2012 and later)."""
    scope = network.subnet.network_address
    lines = [
        f'Set-DhcpServerv4OptionValue -ScopeId {scope} -OptionId 66 -Value "{network.server}"',
        'Add-DhcpServerv4Class -Name "hostler-ipxe" -Type User -Data "iPXE"',
        f'Add-DhcpServerv4Policy -Name "hostler-ipxe" -ScopeId {scope} -Condition OR -ProcessingOrder 1'
        ' -UserClass EQ,"hostler-ipxe"',
        f'Set-DhcpServerv4OptionValue -ScopeId {scope} -PolicyName "hostler-ipxe" -OptionId 67'
        f' -Value "{network.script}"',
    ]
    for order, (number, file) in enumerate(network.files.items(), 2):
        name = f"hostler-{number}"
        lines += [
            f"# {_NAMES[number]}",
            f'Add-DhcpServerv4Class -Name "{name}" -Type Vendor -Data "PXEClient:Arch:{number:05}"',
            f'Add-DhcpServerv4Policy -Name "{name}" -ScopeId {scope} -Condition OR -ProcessingOrder {order}'
            f' -VendorClass EQ,"{name}*"',
            f'Set-DhcpServerv4OptionValue -ScopeId {scope} -PolicyName "{name}" -OptionId 67 -Value "{file}"',
        ]
    lines += [
        "# HTTP boot; an error here only says that the option is defined already",
        'Add-DhcpServerv4OptionDefinition -OptionId 60 -Name "vendor class" -Type String',
    ]
    for order, (number, url) in enumerate(network.urls.items(), 2 + len(network.files)):
        name = f"hostler-{number}"
        value = f'Set-DhcpServerv4OptionValue -ScopeId {scope} -PolicyName "{name}" -OptionId'
        lines += [
            f"# {_NAMES[number]}",
            f'Add-DhcpServerv4Class -Name "{name}" -Type Vendor -Data "HTTPClient:Arch:{number:05}"',
            f'Add-DhcpServerv4Policy -Name "{name}" -ScopeId {scope} -Condition OR -ProcessingOrder {order}'
            f' -VendorClass EQ,"{name}*"',
            f'{value} 60 -Value "HTTPClient"',
            f'{value} 67 -Value "{url}"',
        ]
    return _text(*lines)


def mikrotik(network: ForeignNetwork) -> str:
    """Return commands for RouterOS 7.4 and later; ``SERVER`` and ``POOL`` stand for names in use there."""
    files = {**network.files, **network.urls}
    options = [("hostler-ipxe", network.script), *((f"hostler-{n}", file) for n, file in files.items())]
    lines = ["/ip dhcp-server network", f"set [find address={network.subnet}] next-server={network.server}"]
    lines.append("/ip dhcp-server option")
    lines += [f"add name={name} code=67 value=\"s'{file}'\"" for name, file in options]
    lines.append("add name=hostler-http code=60 value=\"s'HTTPClient'\"")
    lines.append("/ip dhcp-server option sets")
    http = {f"hostler-{number}" for number in network.urls}
    lines += [
        f"add name={name} options={name}{',hostler-http' if name in http else ''}" for name, _ in options
    ]
    lines += [
        "/ip dhcp-server matcher",
        "# In this order: iPXE tells its architecture as well.",
        "add name=hostler-ipxe server=SERVER address-pool=POOL code=77 matching-type=substring value=iPXE"
        " option-set=hostler-ipxe",
    ]
    lines += [
        f"add name=hostler-{number} server=SERVER address-pool=POOL code=60 matching-type=substring"
        f' value="{"HTTP" if number in network.urls else "PXE"}Client:Arch:{number:05}"'
        f" option-set=hostler-{number}"
        for number in files
    ]
    return _text(*lines)


def _text(*lines: str) -> str:
    return "\n".join(lines) + "\n"


WRITERS: dict[str, Callable[[ForeignNetwork], str]] = {
    "isc": isc,
    "kea": kea,
    "dnsmasq": dnsmasq,
    "windows": windows,
    "mikrotik": mikrotik,
}
"""Kinds of DHCP server by the name people choose them by."""
