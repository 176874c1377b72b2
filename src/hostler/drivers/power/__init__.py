"""Power drivers: switch a board and read back what is."""
