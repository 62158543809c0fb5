"""Where a model can go: a file a tool, each with a `make` that gives the bytes and touches no disk."""
