"""The way of the database from nothing to ``hub/tables.py``, step by step (alembic)."""
