"""What talks to equipment: one file per kind, each behind a small Protocol."""
