"""Protocols without I/O: bytes and the time in, bytes and events out."""
