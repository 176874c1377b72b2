"""The main job shown on a virtual lab."""
