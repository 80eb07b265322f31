"""Deterministic steps from records to conclusions, one file each; the table is `OPERATORS`."""
