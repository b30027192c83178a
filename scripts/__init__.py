"""Command lines of the changelog, kept as aliases."""
