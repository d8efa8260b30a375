"""Settings about light: where the sun stands, and the lamp that a camera must follow."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class ChallengeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A lamp that flashes a random code at night: a camera that looks at the place shows it. Needs `position`."""

    output: Annotated[str, Meta(min_length=1, description="A lamp or relay under [[outputs]], with pause_s = 0.")]
    every_h: Annotated[float, Meta(ge=0.25, le=168, description="About so many hours from one to the next.")] = 6.0


class PositionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the node stands, for the height of the sun."""

    latitude_deg: Annotated[float, Meta(ge=-90, le=90, description="Degrees, north positive.")]
    longitude_deg: Annotated[float, Meta(ge=-180, le=180, description="Degrees, east positive.")]
