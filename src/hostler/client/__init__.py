"""Talk to a Hostler server over its REST API; everything people run is built on this.

``Client`` makes the calls, ``waiting`` waits for what they started, ``console`` opens a board's console and
``shell`` logs in there. Only the standard library is imported until the first call is made.
"""
