"""Maintenance silences: always with an end, an author and a reason, and never longer than that."""
