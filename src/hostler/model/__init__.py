"""The nouns and their rules: pure functions of values, no I/O, no clock, no asyncio."""
