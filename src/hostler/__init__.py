"""Hostler keeps bare-metal boards: shares them out, boots them, images them, takes them back clean."""

__version__ = "0.1.0"
