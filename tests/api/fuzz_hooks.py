"""What schemathesis leaves out and what it is told, loaded by its own process."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: Any) -> bool:  # noqa: ARG001 - its signature
    """Follow no events."""
    return str((case.query or {}).get("follow", False)).lower() in ("false", "0", "no", "off", "f", "n")


# A piece of a file is bytes like any others; only tus has a name of its own for them.
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
