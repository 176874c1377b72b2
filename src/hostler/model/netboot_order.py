"""A system that is not the agent and is brought up over the network: a live system, or an installer.

The hub resolves it when the plan is made: templates are rendered then, so a mistake in one stops the plan
and not the board. What is known only when the board asks, a rendered text holds as one of these marks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hostler.model.json import Document
    from hostler.model.plan import StepOrder

BASE_MARK = "HOSTLERx5fBASEx5f7c1e"
"""Stands for the URL by which the board reaches its rack, without a slash at the end."""
TOKEN_MARK = "HOSTLERx5fTOKENx5f7c1e"  # noqa: S105 - stands for one
"""Stands for the token of the present boot."""


class DoneSignal(StrEnum):
    """What says that a system has come up, or that an installer has finished.

    Attributes:
        CONSOLE: A pattern on the console.
        CALLBACK: It posts to ``BASE/boot/done?token=TOKEN``.
        SECOND_BOOT: The board asks the network again after the system was handed out: it has restarted.
    """

    CONSOLE = "console"
    CALLBACK = "callback"
    SECOND_BOOT = "second-boot"


@dataclass(frozen=True, slots=True)
class NetbootOrder:
    """What the board's loader is to bring, and how its end is known.

    Attributes:
        image: The image's name.
        kernel: Artefact id of the kernel.
        initrd: Artefact id of its initramfs; empty: it has none.
        cmdline: Kernel command line, rendered; may hold the marks.
        files: Further artefacts by name, served at ``BASE/boot/image/NAME`` (a squashfs, an ISO).
        texts: Rendered texts by name, served at ``BASE/boot/text/NAME``; may hold the marks.
        done: What tells its end.
        pattern: For CONSOLE, the regular expression.
        seconds: Longest time from power-on to that.
    """

    image: str
    kernel: str
    initrd: str = ""
    cmdline: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    done: DoneSignal = DoneSignal.CALLBACK
    pattern: str = ""
    seconds: float = 3600.0

    @property
    def artefacts(self) -> tuple[str, ...]:
        """Every artefact it needs on the rack."""
        return tuple(filter(None, (self.kernel, self.initrd, *self.files.values())))

    def to_json(self) -> Document:
        """Return it as a JSON object, for a step's parameters."""
        document: Document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**document, "files": dict(self.files), "texts": dict(self.texts), "done": self.done.value}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> NetbootOrder:
        """Read what ``to_json`` wrote."""
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        return cls(**{**known, "done": DoneSignal(known["done"])})


def netboot_order(step: StepOrder) -> NetbootOrder | None:
    """Return what a step brings over the network instead of the agent; None: nothing."""
    document = step.params.get("netboot")
    return NetbootOrder.from_json(document) if document is not None else None


def filled(text: str, base: str, token: str) -> str:
    """Return a rendered text with its marks replaced."""
    return text.replace(BASE_MARK, base).replace(TOKEN_MARK, token)
