"""Certificates of nodes: the service's own authority, one-time tokens, renewal, revocation."""
