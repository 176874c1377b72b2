"""The real virsh over libvirt's own test hypervisor, whose one domain is named test.

That hypervisor lives only as long as one virsh, so a wrapper remembers whether the domain is off.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VIRSH = """#!/bin/sh
# --quiet --connect URI VERB DOMAIN
[ "$3" = test:///default ] || exec /usr/bin/virsh "$@"
[ -e {off} ] && before="destroy test; "
/usr/bin/virsh "$1" "$2" "$3" "$before$4 $5" || exit
[ "$4" != destroy ] || touch {off}
[ "$4" != start ] || rm -f {off}
"""

URI = "test:///default"


@contextmanager
def virsh(folder: Path) -> Iterator[None]:
    """Put the wrapper before the real virsh."""
    program = folder / "virsh"
    program.write_text(_VIRSH.format(off=folder / "off"))
    program.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before
