"""The API's description as a file: ``python -m hostler.api.description >openapi.json``."""

from __future__ import annotations

import json
import sys

from hostler.api.app import routed_app


def main() -> None:
    """Write it to standard output."""
    json.dump(routed_app().openapi(), sys.stdout, indent=1, sort_keys=True)


if __name__ == "__main__":
    main()
