"""The composition root: configuration, command line, console."""
