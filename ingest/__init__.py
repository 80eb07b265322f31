"""Kubernetes, live or from a tape, becomes records on the bus."""
