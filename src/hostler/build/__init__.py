"""Puts the agent and the demo images together from Debian packages."""
