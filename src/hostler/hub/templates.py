"""What templates of an image find, and the image made into an order for one board."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hostler.hub import metadata, template_sandbox
from hostler.hub.errors import Fault, InvalidError
from hostler.hub.template_sandbox import TemplateFaultError
from hostler.model import kernel_cmdline
from hostler.model.netboot_order import BASE_MARK, TOKEN_MARK, DoneSignal, NetbootOrder, filled
from hostler.model.platform import UBOOT_PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hostler.hub.image_records import ImageRecord, NetbootImage, TemplateSource
    from hostler.hub.records import BoardRecord, Principal
    from hostler.hub.state import Draft
    from hostler.model.platform import Platform

# As long as what the marks come to stand for may be: an IPv6 address with a port, 32 bytes in base 64.
_LONGEST_BASE = "http://[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
_LONGEST_TOKEN = "t" * 43
_NO_METADATA = 'there is no metadata "{name}"; say it with --set {name}=VALUE, or in lab.toml'


def order(
    draft: Draft, record: BoardRecord, image: ImageRecord, holder: Principal, settings: Mapping[str, Any]
) -> NetbootOrder:
    """Make an image that comes over the network into what one board is to get.

    Args:
        draft: The lab.
        record: The board.
        image: The image; one with ``netboot``.
        holder: Whose keys it gets when no claim holds the board.
        settings: Metadata said for this run alone.

    Raises:
        InvalidError: a template fails, or the command line cannot be passed on; with file and line.
    """
    netboot = image.netboot
    assert netboot is not None
    if netboot.done is DoneSignal.CONSOLE and record.board.console is None:
        raise InvalidError(
            f'image "{image.name}" tells its end on the console, but board "{record.name}" has none',
            kind="no-console",
        )
    platform = draft.inventory.platform(record.board.board_class)
    found = variables(draft, record, netboot, holder, settings)
    faults: list[Fault] = []
    cmdline = _rendered(netboot.cmdline, found, faults)
    texts = {name: _rendered(source, found, faults) for name, source in netboot.templates.items()}
    if not faults and (fault := _cmdline_fault(cmdline, platform)):
        faults.append(Fault(f"the command line {fault}", netboot.cmdline.file, netboot.cmdline.line))
    if faults:
        head = f'image "{image.name}" for board "{record.name}": '
        raise InvalidError(head + "; ".join(map(str, faults)), kind="bad-template", faults=tuple(faults))
    return NetbootOrder(
        image.name, netboot.kernel, netboot.initrd, cmdline, netboot.files, texts, netboot.done,
        netboot.pattern, netboot.seconds,
    )  # fmt: skip


def _rendered(source: TemplateSource, found: Mapping[str, Any], faults: list[Fault]) -> str:
    try:
        return template_sandbox.render(source.text, found)
    except TemplateFaultError as error:
        line = source.line + error.line - 1 if error.line else None
        faults.append(Fault(str(error), source.file, line))
        return ""


def _cmdline_fault(cmdline: str, platform: Platform) -> str:
    # Where no loader of ours comes in between, it is U-Boot or a firmware that reads what it should say.
    ours = platform.loaders and platform.name not in UBOOT_PLATFORMS
    limit = kernel_cmdline.LONGEST if ours else kernel_cmdline.LONGEST_UBOOT
    return kernel_cmdline.fault(filled(cmdline, _LONGEST_BASE, _LONGEST_TOKEN), limit)


def variables(
    draft: Draft, record: BoardRecord, netboot: NetbootImage, holder: Principal, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything a template may name."""
    board, inventory = record.board, draft.inventory
    platform = inventory.platform(board.board_class)
    claim = draft.claims.get(record.claim) if record.claim else None
    user = claim.principal if claim is not None else holder.name
    layers = (
        netboot.metadata, inventory.metadata, inventory.classes[board.board_class].metadata, board.metadata,
        settings,
    )  # fmt: skip
    return {
        "board": {
            "name": board.name,
            "class": board.board_class,
            "labels": dict(board.labels),
            "macs": list(board.macs),
            "mac": board.macs[0] if board.macs else None,
            "serial": board.serial or record.facts.get("serial"),
            "uuid": board.uuid or record.facts.get("uuid"),
            "address": board.address,
            "arch": platform.arch,
            "platform": platform.name,
            "console": platform.console,
        },
        "claim": {
            "id": claim.id if claim is not None else "",
            "name": claim.name if claim is not None else "",
            "user": user,
            "project": claim.project if claim is not None else "",
        },
        "ssh_keys": sorted(key.key for key in draft.keys.values() if key.principal == user),
        "metadata": template_sandbox.Told(metadata.merged(layers), _NO_METADATA),
        "hostname": hostname(board.name),
        "url": BASE_MARK,
        "token": TOKEN_MARK,
        "done_url": f"{BASE_MARK}/boot/done?token={TOKEN_MARK}",
        "fail_url": f"{BASE_MARK}/boot/fail?token={TOKEN_MARK}",
        "texts_url": f"{BASE_MARK}/boot/text/",
        "text_url": _address("text", "template", netboot.templates),
        "file_url": _address("image", "file", netboot.files),
    }


def _address(where: str, what: str, known: Iterable[str]) -> Callable[[str], str]:
    names = sorted(known)

    def url(name: str) -> str:
        if name not in names:
            raise LookupError(f'the image has no {what} "{name}"; it has {", ".join(names) or "none"}')
        return f"{BASE_MARK}/boot/{where}/{name}"

    return url


def hostname(board: str) -> str:
    """Return what a board's system calls itself: its name as a DNS label (RFC 1123)."""
    return re.sub(r"[^a-z0-9-]", "-", board.lower()).strip("-")[:63].rstrip("-") or "board"
