"""Findings become incidents, incidents become few messages, each with its reason."""
