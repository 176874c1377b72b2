"""Switches asked where a machine is plugged in."""
