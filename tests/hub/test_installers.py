"""The presets: what each becomes for a board is what the installer's own tools take."""

from __future__ import annotations

import json
import subprocess
from importlib import resources
from pathlib import Path

import pytest
import yaml
from netboot_image import KEYS, imported, ordered
from pykickstart.constants import KS_SCRIPT_ONERROR
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

from hostler.client.image_bundle import Instead
from hostler.hub import ssh_keys
from hostler.hub.records import HUB, Principal, Role
from hostler.model import kernel_cmdline
from hostler.model.netboot_order import NetbootOrder, filled
from hostler.model.plan import StepKind
from simulated_rack import LAB, Lab, running

ANNA = Principal("anna", Role.MEMBER)
INSTALLERS = Path(str(resources.files("hostler") / "installers"))
PRESETS = sorted(path.parent.name for path in INSTALLERS.glob("*/image.toml"))
BASE = "http://10.77.0.1:8067"
TOKEN = "a-token"
FAIL = f"{BASE}/boot/fail?token={TOKEN}"
DONE = f"{BASE}/boot/done?token={TOKEN}"
CONSOLE = 'console = { driver = "raw-tcp", host = "127.0.0.1", port = 16203 }'
PLACES = {"mirror": "mirror", "repository": "http://mirror", "iso": "http://mirror/u.iso"}
METADATA = "metadata = { user = 'lab', packages = ['htop', 'iperf3'] }"
EQUIPPED = LAB.replace('"x86-bios"', f'"x86-bios"\n{METADATA}').replace(
    "port = 3 }", f"port = 3 }}\n{CONSOLE}"
)


async def brought(
    directory: Path, preset: str, arch: str = "amd64", settings: dict[str, str] | None = None
) -> NetbootOrder:
    """Return what a board of an architecture gets of a preset, with its marks filled in."""
    file = directory / "file"
    file.write_bytes(b"kernel, initramfs or root file system")
    files = {"rootfs.img": str(file)} if preset == "coreos" else {}
    initrd = None if preset == "memtest" else str(file)
    settings = {**PLACES, **(settings or {})}
    async with running(directory, lab=EQUIPPED) as lab:
        order = await _order(lab, preset, arch, Instead(str(file), initrd, files), settings)
    texts = {name: filled(text, BASE, TOKEN) for name, text in order.texts.items()}
    return NetbootOrder(**{
        **{name: getattr(order, name) for name in NetbootOrder.__dataclass_fields__},
        "cmdline": filled(order.cmdline, BASE, TOKEN), "texts": texts,
    })  # fmt: skip


async def _order(
    lab: Lab, preset: str, arch: str, instead: Instead, settings: dict[str, str]
) -> NetbootOrder:
    await lab.hub.create_principal(HUB, "anna", "member")
    for key in KEYS:
        await lab.hub.change(lambda draft, key=key: ssh_keys.add(draft, HUB, "anna", key))
    record = await imported(lab, preset, INSTALLERS / preset, arch=arch, instead=instead)
    await lab.hub.claim(ANNA, "pc" if arch == "amd64" else "arm")
    run = await lab.hub.deploy(ANNA, "pc-1" if arch == "amd64" else "arm-1", preset, settings)
    assert record.netboot is not None
    wanted = StepKind.INSTALL if record.netboot.installs else StepKind.LIVE
    assert run.order.steps[0].kind is wanted
    return ordered(run)


@pytest.mark.parametrize(
    ("preset", "cmdline"),
    [
        (
            "coreos",
            f"coreos.live.rootfs_url={BASE}/boot/image/rootfs.img ignition.firstboot "
            f"ignition.platform.id=metal ignition.config.url={BASE}/boot/text/live.ign "
            "rd.neednet=1 ip=dhcp console=ttyS0,115200",
        ),
        (
            "debian",
            f"auto=true priority=critical url={BASE}/boot/text/preseed.cfg interface=auto hostname=pc-1 "
            "domain=lab netcfg/get_nameservers= DEBIAN_FRONTEND=text console=ttyS0,115200",
        ),
        (
            "fedora",
            f"inst.ks={BASE}/boot/text/ks.cfg inst.stage2=http://mirror/x86_64/os inst.text ip=dhcp "
            "rd.neednet=1 console=ttyS0,115200",
        ),
        (
            "flatcar",
            f"flatcar.first_boot=1 ignition.config.url={BASE}/boot/text/config.ign console=ttyS0,115200",
        ),
        ("memtest", "console=ttyS0,115200"),
        (
            "ubuntu",
            "ip=dhcp url=http://mirror/u.iso autoinstall cloud-config-url=/dev/null "
            f"ds=nocloud-net;s={BASE}/boot/text/ console=ttyS0,115200",
        ),
    ],
)
async def test_a_preset_gives_the_command_line_its_system_wants(tmp_path: Path, preset: str, cmdline: str):
    """Word by word, and such that every boot loader passes it on."""
    order = await brought(tmp_path, preset)
    assert order.cmdline == cmdline
    assert kernel_cmdline.fault(order.cmdline) == ""


def test_every_preset_has_its_command_line_here():
    """A preset that is added is looked at as well."""
    assert PRESETS == ["coreos", "debian", "fedora", "flatcar", "memtest", "ubuntu"]


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "memtest"])
async def test_a_preset_works_on_arm64_too(tmp_path: Path, preset: str):
    """U-Boot takes its command line, and nothing in it says amd64."""
    order = await brought(tmp_path, preset, "arm64")
    assert kernel_cmdline.fault(order.cmdline, kernel_cmdline.LONGEST_UBOOT) == ""
    assert order.cmdline.endswith("console=ttyAMA0,115200")
    assert "amd64" not in order.cmdline
    assert "x86_64" not in order.cmdline + "".join(order.texts.values())


async def test_the_preseed_is_what_debconf_takes(tmp_path: Path):
    """``debconf-set-selections`` finds no fault in it; the end is told last of all."""
    texts = (await brought(tmp_path, "debian")).texts
    answer = subprocess.run(
        ["debconf-set-selections", "-c"],
        input=texts["preseed.cfg"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "d-i passwd/username string lab\n" in texts["preseed.cfg"]
    assert "pkgsel/include string htop iperf3 sudo wget ca-certificates\n" in texts["preseed.cfg"]
    late = texts["preseed.cfg"].partition("preseed/late_command string ")[2].replace("\\\n", "")
    _is_shell(late)
    assert f'in-target wget -q -O /dev/null --tries=5 --post-data=done "{DONE}"' in late
    assert FAIL in late
    _is_shell(texts["post-install"])
    assert all(key in texts["post-install"] for key in KEYS)


async def test_the_kickstart_is_what_anaconda_takes(tmp_path: Path):
    """pykickstart, which Anaconda reads it with, takes it and finds keys, packages and scripts."""
    texts = (await brought(tmp_path, "fedora", settings={"disk": "nvme0n1"})).texts
    handler = makeVersion("F43")
    KickstartParser(handler).readKickstartFromString(texts["ks.cfg"])
    assert [data.key for data in handler.sshkey.dataList()] == sorted(KEYS)
    assert handler.ignoredisk.onlyuse == ["nvme0n1"]
    assert set(handler.packages.packageList) == {"curl", "htop", "iperf3"}
    assert handler.network.network[0].hostname == "pc-1"
    assert DONE in handler.scripts[-1].script
    assert FAIL in "".join(script.script for script in handler.scripts if script.type == KS_SCRIPT_ONERROR)
    for script in handler.scripts:
        _is_shell(script.script)
    _is_shell(texts["post-install"])


async def test_the_autoinstall_is_yaml_of_its_form(tmp_path: Path):
    """NoCloud's files; users with keys, and what is done at the end, the telling of it last."""
    texts = (await brought(tmp_path, "ubuntu", settings={"user": "it's: odd"})).texts
    assert texts["user-data"].startswith("#cloud-config\n")
    auto = yaml.safe_load(texts["user-data"])["autoinstall"]
    assert auto["version"] == 1
    assert auto["packages"] == ["htop", "iperf3"]
    user = auto["user-data"]["users"][0]
    assert (user["name"], user["ssh_authorized_keys"]) == ("it's: odd", sorted(KEYS))
    assert auto["late-commands"][-1].endswith(f'"{DONE}"')
    assert FAIL in auto["error-commands"][-1]
    for command in auto["late-commands"] + auto["error-commands"]:
        _is_shell(command)
    assert yaml.safe_load(texts["meta-data"]) == {"instance-id": "pc-1", "local-hostname": "pc-1"}
    _is_shell(texts["post-install"])


@pytest.mark.parametrize("preset", ["coreos", "flatcar"])
async def test_the_ignition_configs_are_json_of_their_form(tmp_path: Path, preset: str):
    """Version 3.3.0, keys for the user ``core``; CoreOS's live system installs and tells its end."""
    texts = (await brought(tmp_path, preset)).texts
    config = json.loads(texts["config.ign"])
    assert config["ignition"] == {"version": "3.3.0"}
    assert config["passwd"]["users"] == [{"name": "core", "sshAuthorizedKeys": sorted(KEYS)}]
    assert config["storage"]["files"][0]["contents"]["source"] == "data:,pc-1"
    if preset == "coreos":
        unit, failed = json.loads(texts["live.ign"])["systemd"]["units"]
        assert f"OnFailure={failed['name']}\n" in unit["contents"]
        assert FAIL in failed["contents"]
        starts = [line for line in unit["contents"].splitlines() if line.startswith("ExecStart=")]
        assert starts[0].endswith(
            f"--ignition-url {BASE}/boot/text/config.ign --append-karg console=ttyS0,115200 /dev/sda"
        )
        assert starts[2].endswith(f"--request POST {DONE}")


def _is_shell(text: str) -> None:
    answer = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
