"""The same work on Quix Streams, in an environment of its own: its pins contradict ours."""
