"""Stand-ins for hardware, as it behaves on the wire: for tests of Hostler and of labs."""
