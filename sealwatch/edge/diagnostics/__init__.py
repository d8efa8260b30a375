"""One file that says how a node is, for somebody far away, with nothing in it that nobody else may know."""
