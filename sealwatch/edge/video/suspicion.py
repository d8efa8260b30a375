"""What doubts a camera by more than its pictures: a lamp that it must follow, the sun that it must know of."""

from __future__ import annotations

from typing import Protocol

from sealwatch.edge.ports import Frame
from sealwatch.edge.video.liveness import Doubt


class Suspicion(Protocol):
    """Looks at every picture of one camera beside the analysis, on the camera's own thread."""

    @property
    def wants_all(self) -> bool:
        """Whether every picture is wanted now, at rest too."""
        ...

    def look(self, frame: Frame, *, quiet: bool, trusted: bool) -> Doubt | None:
        """Take one picture; the doubt that begins or ends with it.

        `quiet` while nothing moves and nobody is there, `trusted` while no camera fault stands.
        """
        ...

    def numbers(self) -> dict[str, float]:
        """For the camera's health."""
        ...
