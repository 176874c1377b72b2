"""The ``hostler`` command: one module a group of verbs, each loaded only when its verb is used."""
