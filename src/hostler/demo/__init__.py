"""The main job of Hostler on a virtual lab, from nothing to clean boards: ``make demo``."""
