"""A change that the service does not make, with a stable name for the reason."""

from __future__ import annotations


class NotAllowed(Exception):  # noqa: N818 - a refusal, not a fault
    """`name` is a stable reason; its sentences are `web.problem.<name>`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name
