"""The page: what is about to break, live, for people."""
