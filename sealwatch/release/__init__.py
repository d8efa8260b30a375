"""Releases: what goes into one, and the key that signs it. Used where releases are made, never on a node."""
