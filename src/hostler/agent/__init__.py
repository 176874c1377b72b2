"""What runs in RAM on a board: it pulls steps from its rack, works, and reports.

Standard library and ``zstandard`` only (Debian 12's versions), and ``hostler.model.chunkindex``.
"""
