"""Chunk store, import, distribution and capture of images."""
