"""What schemathesis leaves out, loaded by its own process: streams that answer until the caller goes."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: Any) -> bool:  # noqa: ARG001 - its signature
    """Follow no events."""
    return str((case.query or {}).get("follow", False)).lower() in ("false", "0", "no", "off", "f", "n")
