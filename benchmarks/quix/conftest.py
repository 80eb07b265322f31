"""Quix Streams is not in this environment."""

collect_ignore = ["app.py"]
