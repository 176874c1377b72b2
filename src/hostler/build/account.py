"""The account of the demonstration images: `root`, with a password everybody may read here.

They are for showing and testing on a closed network; nobody should put one on the internet.
"""

from __future__ import annotations

PASSWORD = "hostler"  # noqa: S105 - no secret: it stands in the documentation
# SHA-512 crypt of it.
PASSWORD_HASH = "$6$hostlerdemo$" + (
    "ONFLx9ODfFuEYLU6n.IpEO6rufqd1hunyGUuCVAJlM8BXtStHXm9wUm8sTIN48kJy9g.7rlscWd7hRkiCO30F0"
)
