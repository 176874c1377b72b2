"""Mistakes in lab.toml: each found, each with its line and key, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.hub.labfile import LabfileError, read_labfile
from hostler.hub.toml_lines import Places
from simulated_rack import LAB

# What is replaced in a good file, with what, and what is said about it.
MISTAKES = [
    ('name = "bench"', "name =", "this is not TOML: invalid value"),
    ('name = "bench"', 'nam = "bench"', 'unknown key "nam" in [lab]; did you mean "name"?'),
    ('name = "bench"', "", '[lab] lacks "name"; add it'),
    ("[lab]", "[lob]", 'unknown key "lob" at the top; did you mean "lab"?'),
    ('interface = "eth1"', 'interface = "a name too long for linux"', "is not the name of a network"),
    ('"10.77.0.1/24"', '"10.77.0.256/24"', "networks.boot.address: "),
    ('"10.77.0.1/24"', '"10.77.0.1"', "leaves no room for boards; write it like 10.77.0.1/24"),
    ('"10.77.0.100-10.77.0.199"', '"10.77.1.100-10.77.1.199"', "is not inside 10.77.0.0/24"),
    ('"10.77.0.100-10.77.0.199"', '"10.77.0.199-10.77.0.100"', "ends before it begins"),
    ('"10.77.0.100-10.77.0.199"', '"10.77.0.1-10.77.0.100"', "holds the host's own address"),
    ('"10.77.0.100-10.77.0.199"', '"all"', "is not two addresses; write FIRST-LAST"),
    ('range = "10.77.0.100-10.77.0.199"', "", 'has dhcp = "own" and needs a range, such as "10.77.0.100-'),
    ('range = "10.77.0.100-10.77.0.199"', 'dhcp = "proxy"\nrange = "a-b"', "addresses; remove range"),
    ('interface = "eth1"', "", 'networks.boot: a network of this host lacks "interface"; add it'),
    ('interface = "eth1"', 'interface = "eth1"\nrelayed = "boot"', 'a network behind a relay lacks "subnet"'),
    ('range = "10.77.0.100-10.77.0.199"', 'dhcp = "maybe"', "networks.boot.dhcp: "),
    ('interface = "eth1"', 'interface = "eth1"\ninstalls = {}', 'needs "boards", how many at once'),
    ('interface = "eth1"', 'interface = "eth1"\ninstalls = { rate = "9" }', "is not a rate"),
    (
        'interface = "eth1"',
        'interface = "eth1"\ninstalls = { boards = 21, rate = "100M" }',
        "lets 21 boards share 100 Mbit/s; 20 at most can",
    ),
    ('interface = "eth1"', 'interface = "eth1"\nlease = "soon"', "is not a length of time"),
    ('interface = "eth1"', 'interface = "eth1"\nrouter = "10.9.9.9"', "router 10.9.9.9 is outside 10.77."),
    ('driver = "snmp-poe"', 'driver = "snmp"', 'there is no driver "snmp"; known: '),
    ('"env:RACK1"', '"public"', 'community is a secret and must not stand here; write "env:NAME"'),
    ('"arm64-uboot"', '"raspberrypi"', 'there is no platform "raspberrypi"; known: arm64-uboot, arm64-uefi'),
    ('class = "arm"', 'class = "arn"', 'there is no class "arn"; known: arm, pc'),
    ('class = "arm"', 'class = "arm"\nnetwork = "lan"', 'there is no network "lan"; known: boot'),
    ('class = "arm"', 'class = "arm"\naddress = "10.78.0.2"', 'is outside network "boot" (10.77.0.0/24)'),
    ('class = "arm"', 'class = "arm"\naddress = "10.77.0.1"', "is the host's own; give the board another"),
    ('class = "arm"', 'class = "arm"\nserial = "To be filled by O.E.M."', "is a placeholder that many"),
    ('class = "arm"', 'class = "arm"\ncolour = "red"', 'unknown key "colour" in [boards.arm-1]; '),
    ('"52:54:00:00:00:03"', '"52:54:00:00:00"', '"52:54:00:00:00" is not a MAC address; write it like'),
    ('"52:54:00:00:00:03"', '"53:54:00:00:00:03"', "is a multicast address"),
    ('"52:54:00:00:00:03"', '"52-54-00-00-00-01"', 'board "arm-1" and board "pc-1" both use MAC 52:54'),
    ('mac = "52:54:00:00:00:03"', "", 'board "arm-1" has no MAC; add mac = '),
    ("port = 3 }", "port = 2 }", 'both use port 2 of switch "rack1"; give one of them its own port'),
    ('equipment = "rack1", port = 3', 'equipment = "rack2", port = 3', 'there is no equipment "rack2"; '),
    ('equipment = "rack1", port = 3', "port = 3", "has neither equipment nor driver; add one"),
    ('driver = "raw-tcp"', 'driver = "teletype"', 'there is no console driver "teletype"; known: '),
    ('class = "arm"', 'class = "arm"\nwatts = 0', "boards.arm-1.watts: input should be greater than 0"),
    ('"arm64-uboot"', '"arm64-uboot"\nidle_off = "10s"', "classes.arm.idle_off: "),
    ('"arm64-uboot"', '"arm64-uefi"\ndevice_tree = "a.dtb"', "classes.arm.device_tree: firmware of"),
    ('"arm64-uboot"', '"arm64-uboot"\ndevice_tree = "../a.dtb"', "classes.arm.device_tree: "),
    ('"arm64-uboot"', '"arm64-uboot"\nloader = "ipxe"', "known: grub, pxelinux, uki"),
    ('driver = "snmp-poe"', 'driver = "snmp-poe"\nstagger = "soon"', "is not a length of time"),
    ('class = "arm"', 'class = "arm"\nbootctl = { driver = "boot-dance" }', "there is no bootctl driver"),
    ('class = "arm"', 'class = "arm"\nbootctl = { driver = "uboot-console" }', "and has none; add console"),
    ("[boards.arm-1]", "[boards.unknown-1]", 'begins with "unknown-", which is kept for'),
    ("[boards.arm-1]", '[boards."arm 1"]', "is not a name; use letters, digits"),
    ("[boards.arm-1]", "[boards.pc-1]", "this is not TOML: cannot declare"),
]  # fmt: skip

SECRETS = """
[equipment.box]
driver = "command"
password = "file:keys/box"
[boards.pc-9]
class = "pc"
mac = "52:54:00:00:00:09"
power = { equipment = "box", token = "file:/etc/hostler/token", environment = { A = "file:a", B = "env:B" } }
console = { driver = "telnet", host = "c", port = 1, password = "file:c" }
"""


@pytest.mark.parametrize(("good", "bad", "says"), MISTAKES, ids=[says[:40] for _, _, says in MISTAKES])
def test_a_mistake_is_told_with_its_line(good: str, bad: str, says: str):
    """One mistake gives one fault, at the line it stands in, and nothing else is complained about."""
    assert LAB.count(good) >= 1
    before, _, after = LAB.rpartition(good)
    text = before + bad + after
    with pytest.raises(LabfileError) as caught:
        read_labfile(text, "lab.toml")
    faults = caught.value.faults
    assert any(says in fault.text for fault in faults), [str(fault) for fault in faults]
    fault = next(fault for fault in faults if says in fault.text)
    assert str(fault).startswith(f"lab.toml:{fault.line}: ")
    begins = before.count("\n") + 1
    assert begins - 3 <= fault.line <= begins + bad.count("\n") + 2
    allowed = 2 if "lob" in bad or "nam =" in bad else 1
    assert len(faults) <= allowed, [str(fault) for fault in faults]


def test_all_mistakes_at_once():
    """Whoever writes the file sees everything that is wrong with it, in the order of the lines."""
    text = LAB.replace('"env:RACK1"', '"public"').replace('"arm64-uboot"', '"rpi"').replace(":02", ":01")
    with pytest.raises(LabfileError) as caught:
        read_labfile(text)
    faults = caught.value.faults
    assert len(faults) == 3
    assert [fault.line for fault in faults] == sorted(fault.line for fault in faults)
    assert caught.value.detail.count("\n") == 2


def test_a_good_file_is_an_inventory(tmp_path: Path):
    """Defaults are filled in, relative paths made absolute, MACs brought to one form."""
    text = LAB.replace('interface = "eth1"', 'interface = "eth1"\nnetns_pidfile = "lab.pid"')
    text = text.replace('"52:54:00:00:00:01"', '"52-54-00-AA-00-01"\nlabels = { ram = 4096, rev = "b" }')
    inventory = read_labfile(text, base=tmp_path)
    assert inventory.networks["boot"] == {
        "interface": "eth1", "address": "10.77.0.1/24", "range": "10.77.0.100-10.77.0.199", "dhcp": "own",
        "relayed": None, "subnet": "10.77.0.0/24", "router": None,
            "address6": None, "subnet6": None, "range6": None, "dns": [], "http_port": 8067,
        "lease": 3600.0,
        "multicast": None, "installs": None, "peers": True,
        "netns_pidfile": str(tmp_path / "lab.pid"),
    }  # fmt: skip
    board = inventory.boards["pc-1"]
    assert board.macs == ("52:54:00:aa:00:01",)
    assert board.labels == {"ram": "4096", "rev": "b"}
    assert (board.network, board.power[0].driver, board.power[0].params) == ("boot", "snmp-poe", {"port": 1})
    assert board.console.params == {"host": "127.0.0.1", "port": 16201}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{ boards = 8 }", {"boards": 8, "rate": None}),
        ('{ rate = "1G" }', {"boards": 200, "rate": 1e9}),
        ('{ rate = "2M" }', {"boards": 1, "rate": 2e6}),
        ('{ boards = 4, rate = "500M" }', {"boards": 4, "rate": 5e8}),
    ],
)
def test_how_many_may_install_at_once(written: str, told: dict[str, object]):
    """A number, or as many as a rate is enough for."""
    text = LAB.replace('interface = "eth1"', f'interface = "eth1"\ninstalls = {written}')
    assert read_labfile(text).networks["boot"]["installs"] == told


def test_drivers_are_asked_about_their_wires():
    """What a driver says of a wire's keys is told like any other mistake."""

    def check(_kind, _driver, _equipment, wire):
        return "port 3 does not exist" if wire.get("port") == 3 else ""

    with pytest.raises(LabfileError) as caught:
        read_labfile(LAB, check=check)
    assert [fault.key for fault in caught.value.faults] == ["boards.arm-1.power"]
    assert 'power wire of board "arm-1": port 3 does not exist' in caught.value.detail


def test_a_secrets_file_is_beside_the_file_that_names_it(tmp_path: Path):
    """A relative path of a secret starts at lab.toml's folder, for equipment, wires and tables in them."""
    checked = []

    def check(_kind, _driver, equipment, binding):
        checked.append((equipment, binding))
        return ""

    inventory = read_labfile(LAB + SECRETS, base=tmp_path, check=check)
    assert inventory.equipment["box"].params["password"] == f"file:{tmp_path}/keys/box"
    board = inventory.boards["pc-9"]
    assert board.power[0].params["environment"] == {"A": f"file:{tmp_path}/a", "B": "env:B"}
    assert board.power[0].params["token"] == "file:/etc/hostler/token"
    assert board.console.params["password"] == f"file:{tmp_path}/c"
    assert checked[-2][0]["password"] == f"file:{tmp_path}/keys/box", "what is checked is what will be used"


def test_lines_are_found_in_all_of_toml():
    """Quoted and dotted keys, strings and arrays over many lines do not lead astray."""
    text = """
a.b = 1
[x."y.z"]
s = '''
[not.a.table]
k = 1
'''
list = [
  { p = "]" }, # ]
  [ "=" ],
]
after = 2
[[many]]
one = 1
"""
    places = Places(text)
    assert places.line(("a", "b")) == 2
    assert places.line(("x", "y.z")) == 3
    assert places.line(("x", "y.z", "s")) == 4
    assert places.line(("not", "a")) is None
    assert places.line(("x", "y.z", "k")) == 3
    assert places.line(("x", "y.z", "list", "0", "p")) == 8
    assert places.line(("x", "y.z", "after")) == 12
    assert places.line(("many", "one")) == 14


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet="[]{}\"'=#.\n\\ab1 ", max_size=80))
def test_any_text_has_lines(text: str):
    """Whatever the text, looking for lines ends and gives lines that exist."""
    places = Places(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in places._lines.values())


@settings(deadline=None)  # the machine may be busy
@given(st.data())
def test_any_damage_is_an_error_or_a_lab(data):
    """A file with some characters changed is read or refused with faults; nothing else happens."""
    at = data.draw(st.integers(0, len(LAB) - 1))
    text = LAB[:at] + data.draw(st.text(max_size=3)) + LAB[at + data.draw(st.integers(0, 9)) :]
    try:
        inventory = read_labfile(text)
    except LabfileError as error:
        faults = error.faults
    else:
        faults = ()
        assert inventory.lab
    assert all(fault.text and fault.file for fault in faults)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file lacks [lab]; add it"),
        ("a = " + "[" * 3000 + "]" * 3000, "this cannot be read"),
        ("a = " + "9" * 5000, "this cannot be read"),
        (
            LAB.replace('class = "arm"', 'class = "arm"\naddress = "10.77.0.255"'),
            "is everybody's on 10.77.0.0/24",
        ),
        (
            LAB.replace('class = "arm"', 'class = "arm"\naddress = "10.77.0.0"'),
            "is everybody's on 10.77.0.0/24",
        ),
    ],
    ids=["empty", "deep", "long", "broadcast", "network"],
)
def test_no_text_is_a_fault_of_ours(text: str, says: str):
    """Whatever is in the file, it is read, or refused with what is wrong; who follows it lives on."""
    with pytest.raises(LabfileError) as caught:
        read_labfile(text)
    assert any(says in fault.text for fault in caught.value.faults)


def test_one_controller_may_have_a_boards_power_and_its_console():
    """Each is its only one; a second board on it is still refused."""
    text = """
lab.name = "bench"
networks.boot = { interface = "eth1", address = "10.77.0.1/24", range = "10.77.0.100-10.77.0.199" }
equipment.bmc = { driver = "ipmi", host = "10.77.0.9", user = "lab", password = "env:BMC" }
classes.server.platform = "x86-uefi"
[boards.one]
class = "server"
mac = "52:54:00:00:00:01"
power = { equipment = "bmc" }
console = { driver = "ipmi-sol", equipment = "bmc" }
"""
    assert read_labfile(text, "lab.toml", Path()).boards["one"].console is not None
    other = text.replace("boards.one", "boards.two").replace("00:01", "00:02").partition("[boards")[2]
    with pytest.raises(LabfileError, match='board "two" and board "one" both use'):
        read_labfile(f"{text}[boards{other}", "lab.toml", Path())


def test_a_board_on_a_budget_says_what_it_draws_and_fits_in() -> None:
    """Equipment with a budget is told of every board that does not say what it draws, or draws too much."""
    budget = LAB.replace('driver = "snmp-poe"', 'driver = "snmp-poe"\nbudget_watts = 30')
    with pytest.raises(LabfileError) as caught:
        read_labfile(budget.replace('"x86-bios"', '"x86-bios"\nwatts = 40'))
    told = [(fault.key, fault.text) for fault in caught.value.faults]
    assert [key for key, _ in told] == ["boards.pc-1.power", "boards.pc-2.power", "boards.arm-1.power"]
    assert "draws 40 W, more than the 30 W" in told[0][1]
    assert "add watts to it or to [classes.arm]" in told[2][1]
    fine = budget.replace('"x86-bios"', '"x86-bios"\nwatts = 12').replace(
        'class = "arm"', 'class = "arm"\nwatts = 7.5'
    )
    lab = read_labfile(fine)
    assert {name: board.watts for name, board in lab.boards.items()} == {
        "pc-1": 12.0, "pc-2": 12.0, "arm-1": 7.5,
    }  # fmt: skip
    assert lab.equipment["rack1"].budget_watts == 30.0
