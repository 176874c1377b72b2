"""The web pages as they were built from ``web/``, in ``built/``, and how a server finds them."""
