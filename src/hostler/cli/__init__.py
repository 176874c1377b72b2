"""The `hostler` command: every verb speaks the REST API and nothing else."""
