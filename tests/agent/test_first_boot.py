"""First-boot configuration on disks that sfdisk made, judged by sgdisk, blkid, mtools and e2fsprogs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.agent.disks import Disk, Machine
from hostler.agent.first_boot import tell
from hostler.agent.media import Media
from hostler.agent.root_files import mounted, partitions_of, write_files
from hostler.agent.seed import write_seed
from hostler.agent.work import StepError, Work
from hostler.model.first_boot import FirstBoot, FirstBootError, Way

MIB = 1 << 20
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ada@home"
FIRST = FirstBoot("board-7", (KEY,), files={"/etc/motd": "hello\n"})


def tool(*command: str | Path, stdin: str | None = None) -> str:
    done = subprocess.run([*map(str, command)], input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def disk(path: Path, table: str, image: int = 20 * MIB, size: int = 64 * MIB) -> Path:
    """Make an image with a partition table on a disk that is larger."""
    with path.open("wb") as file:
        file.truncate(image)
    tool("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", path, stdin=table)
    os.truncate(path, size)
    return path


GPT = "label: gpt\nfirst-lba: 2048\nsize=4MiB, type=uefi, name=esp\nsize=8MiB, type=linux, name=root\n"
MBR = "label: dos\nsize=4MiB, type=c\nsize=8MiB, type=83\n"


def listed(path: Path) -> list[dict]:
    return json.loads(tool("sfdisk", "--json", path))["partitiontable"]["partitions"]


def seed(path: Path, files: dict[str, str]) -> int:
    with Media(path, write=True) as media:
        return write_seed(media, files).offset


@pytest.mark.parametrize(("table", "kind"), [(GPT, "gpt"), (MBR, "dos")])
def test_a_seed_is_found_and_read_by_others(tmp_path: Path, table: str, kind: str):
    """It has the label cloud-init looks for, is the disk's last partition, and the others are as before."""
    path = disk(tmp_path / "disk", table)
    before = listed(path)
    told = FIRST.seed()
    offset = seed(path, told)
    after = listed(path)
    assert [row | {"node": ""} for row in after[:-1]] == [row | {"node": ""} for row in before]
    assert after[-1]["start"] * 512 == offset
    assert offset > 60 * MIB
    assert offset % MIB == 0
    found = tool("blkid", "-p", "-o", "export", "-O", str(offset), path)
    assert "LABEL=CIDATA" in found
    assert "TYPE=vfat" in found
    for name, text in told.items():
        assert tool("mtype", "-i", f"{path}@@{offset}", f"::{name}") == text
    if kind == "gpt":
        assert "No problems found" in tool("sgdisk", "-v", path)
    assert "No errors detected" in tool("sfdisk", "--verify", path)


def test_the_root_file_system_may_grow_up_to_the_seed(tmp_path: Path):
    """Between the image's last partition and the seed all is free, and a GPT says so."""
    path = disk(tmp_path / "disk", GPT)
    seed(path, FIRST.seed())
    tool("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "-N", "2", path, stdin=", +\n")
    root, last = listed(path)[1:]
    assert root["start"] + root["size"] <= last["start"]
    assert root["size"] * 512 > 45 * MIB


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 40 * MIB // 512),
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}-[a-z]{1,8}", fullmatch=True), st.text(max_size=3000), max_size=4
    ),
    st.sampled_from([GPT, MBR]),
)
def test_any_larger_disk_takes_a_seed(tmp_path: Path, more: int, files: dict[str, str], table: str):
    """Whatever the size of the disk and of the files: sound by sgdisk and fsck, or refused and untouched."""
    path = disk(tmp_path / "disk", table, size=20 * MIB + more * 512)
    before = path.read_bytes()
    if more * 512 < 4 * MIB and not fits(path, files):
        assert path.read_bytes() == before
        return
    offset = listed(path)[-1]["start"] * 512 if more * 512 < 4 * MIB else seed(path, files)
    part = listed(path)[-1]
    volume = tmp_path / "volume"
    volume.write_bytes(path.read_bytes()[offset : offset + part["size"] * 512])
    tool("/usr/sbin/fsck.vfat", "-n", volume)
    if table == GPT:
        assert "No problems found" in tool("sgdisk", "-v", path)


def fits(path: Path, files: dict[str, str]) -> bool:
    """Put a seed where there may be no room for it."""
    try:
        seed(path, files)
    except StepError as error:
        return "no room" not in str(error)
    return True


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.write_bytes(bytes(64 * MIB)), "no partition table"),
        (lambda path: patch(path, 512 + 40, b"\xff"), "damaged"),
        (lambda path: patch(path, 1024 + 3, b"\xff"), "damaged"),
        (lambda path: os.truncate(path, 14 * MIB), "no room"),
    ],
)
def test_a_disk_that_cannot_take_a_seed_is_left_alone(tmp_path: Path, spoil, why: str):
    """The error says what is wrong; nothing was written."""
    path = disk(tmp_path / "disk", GPT)
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(StepError, match=why):
        seed(path, FIRST.seed())
    assert path.read_bytes() == before


def test_four_primary_partitions_leave_no_entry(tmp_path: Path):
    """An MBR has four entries."""
    path = disk(tmp_path / "disk", "label: dos\n" + "size=2MiB, type=83\n" * 4)
    with pytest.raises(StepError, match="four partitions"):
        seed(path, FIRST.seed())


def patch(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def test_a_seed_says_what_cloud_init_is_to_do():
    """Its files are YAML as cloud-init reads it; another content is another instance."""
    told = FirstBoot("board-7", (KEY,), "ada", {"/etc/motd": "hi"}, {"version": 2, "ethernets": {}}).seed()
    assert told["user-data"].startswith("#cloud-config\n")
    config = yaml.safe_load(told["user-data"])
    assert config["hostname"] == "board-7"
    assert config["users"][0] == "default"
    assert config["users"][1]["name"] == "ada"
    assert config["users"][1]["ssh_authorized_keys"] == [KEY]
    assert config["write_files"] == [{"path": "/etc/motd", "content": "hi"}]
    assert yaml.safe_load(told["network-config"])["version"] == 2
    meta = yaml.safe_load(told["meta-data"])
    assert meta["local-hostname"] == "board-7"
    other = FirstBoot("board-8", (KEY,), "ada").seed()
    assert yaml.safe_load(other["meta-data"])["instance-id"] != meta["instance-id"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"hostname": "a b"},
        {"hostname": "-a"},
        {"user": "Root; rm"},
        {"ssh_keys": ("not a key",)},
        {"ssh_keys": (KEY + "\nssh-rsa AAAA second",)},
        {"files": {"etc/motd": ""}},
        {"files": {"/etc/../../x": ""}},
        {"files": {"/etc/": ""}},
        {"files": {"/a": "x" * (MIB + 1)}},
        {"network": {}, "way": Way.FILES},
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(wrong: dict):
    """Before anything is touched, and by name."""
    with pytest.raises(FirstBootError):
        FirstBoot(**wrong)
    with pytest.raises(FirstBootError):
        FirstBoot.from_json(json.loads(json.dumps(wrong)))


def system(path: Path, root: Path) -> Path:
    """Make an ext4 file system of a tree."""
    with path.open("wb") as file:
        file.truncate(16 * MIB)
    tool("mkfs.ext4", "-q", "-F", "-d", root, path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The tree of a small system; one of its links leads out of it."""
    place = tmp_path / "root"
    for folder in ("etc", "home/ada", "usr/bin"):
        (place / folder).mkdir(parents=True)
    (place / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n")
    (place / "etc/hostname").write_text("image\n")
    (place / "etc/outside").symlink_to("/tmp")
    return place


def test_files_are_written_within_the_image(root: Path):
    """Name, keys and files; a link of the image stays in the image, and keys belong to their user."""
    if os.geteuid() != 0:
        pytest.skip("needs root: chroot")
    first = FirstBoot("board-7", (KEY,), "ada", {"/etc/outside/hostler-test": "x", "/srv/new/file": "y\n"})
    (root / "tmp").mkdir()
    written = write_files(root, first)
    assert (root / "etc/hostname").read_text() == "board-7\n"
    assert (root / "tmp/hostler-test").read_text() == "x"
    assert not Path("/tmp/hostler-test").exists()
    assert (root / "srv/new/file").read_text() == "y\n"
    keys = root / "home/ada/.ssh/authorized_keys"
    assert keys.read_text() == KEY + "\n"
    assert (keys.stat().st_uid, keys.stat().st_mode & 0o777) == (1000, 0o600)
    assert (keys.parent.stat().st_uid, keys.parent.stat().st_mode & 0o777) == (1000, 0o700)
    assert "/home/ada/.ssh/authorized_keys" in written
    write_files(root, first)
    assert keys.read_text() == KEY + "\n"
    with pytest.raises(StepError, match='no user "bert"'):
        write_files(root, FirstBoot(ssh_keys=(KEY,), user="bert"))


@pytest.fixture
def installed(tmp_path: Path, root: Path):
    """A disk with a system on it, and a kernel's view of it; the partition is a real block device."""
    if os.geteuid() != 0:
        pytest.skip("needs root: loop devices")

    def install() -> tuple[Disk, Machine]:
        machine = Machine(sys=tmp_path / "sys", dev=tmp_path / "dev")
        (machine.sys / "block/sda/sda1").mkdir(parents=True)
        (machine.sys / "block/sda/sda1/partition").write_text("1\n")
        machine.dev.mkdir()
        path = disk(machine.dev / "sda", "label: gpt\nfirst-lba: 2048\nsize=17MiB, type=linux\n")
        patch(path, MIB, system(tmp_path / "ext4", root).read_bytes())
        done = tool("losetup", "--find", "--show", "--offset", str(MIB), "--sizelimit", str(16 * MIB), path)
        devices.append(done.strip())
        (machine.dev / "sda1").symlink_to(devices[-1])
        return Disk(str(path), "ata", 64 * MIB, "", "", False, False, False, None), machine

    devices: list[str] = []
    yield install
    for device in devices:
        tool("losetup", "--detach", device)


@pytest.mark.parametrize("way", [Way.AUTO, Way.FILES])
def test_an_image_without_cloud_init_gets_files(installed, way: Way, work: Work):
    """Written into the file system on the disk, which is whole afterwards."""
    here, machine = installed()
    result = tell(here, FirstBoot("board-7", (KEY,), files={"/etc/motd": "hi\n"}, way=way), machine, work)
    assert result["files"] == ["/etc/hostname", "/etc/motd", "/root/.ssh/authorized_keys"]
    device = partitions_of(machine, here.path)[0]
    with mounted(device) as place:
        assert place is not None
        assert (place / "etc/hostname").read_text() == "board-7\n"
    tool("/usr/sbin/e2fsck", "-fn", device)
    with pytest.raises(StepError, match="no cloud-init"):
        tell(here, FirstBoot(network={"version": 2}), machine, work)


@pytest.mark.parametrize(("way", "cloud_init"), [(Way.AUTO, True), (Way.SEED, False)])
def test_an_image_with_cloud_init_gets_a_seed(installed, root: Path, way: Way, cloud_init: bool, work: Work):
    """So does one whose owner knows that it reads one."""
    if cloud_init:
        (root / "usr/bin/cloud-init").symlink_to("/usr/bin/python3")
    here, machine = installed()
    result = tell(here, FirstBoot("board-7", way=way), machine, work)
    assert (result["way"], result["partition"]) == ("seed", 2)
    assert "LABEL=CIDATA" in tool("blkid", "-p", "-o", "export", "-O", str(result["offset"]), here.path)
    with mounted(partitions_of(machine, here.path)[0]) as place:
        assert place is not None
        assert (place / "etc/hostname").read_text() == "image\n"


def test_an_image_that_cannot_be_looked_into(tmp_path: Path, work: Work):
    """It gets a seed, unless files were asked for: that is refused."""
    machine = Machine(sys=tmp_path / "sys", dev=tmp_path / "dev")
    machine.dev.mkdir()
    path = disk(machine.dev / "sda", GPT)
    here = Disk(str(path), "ata", 64 * MIB, "", "", False, False, False, None)
    with pytest.raises(StepError, match="no partition"):
        tell(here, FirstBoot("board-7", way=Way.FILES), machine, work)
    assert tell(here, FIRST, machine, work)["way"] == "seed"
