"""Console drivers: bytes to and from a board."""
