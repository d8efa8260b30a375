"""Electrical loads of a mine, from physics: rope, load, gradient, gear, motor, water level, thermostat.

Nothing here knows of any detector or of its thresholds. A load is a generator of `Draw` pieces, second after second;
`Stream` hands them out in any portions, `Site` adds loads up behind a feeder, `Player` shows them to a live meter.
"""

from __future__ import annotations

from sealwatch.simulator.loads.electrical import Draw, Stream
from sealwatch.simulator.loads.site import Player, Site

__all__ = ["Draw", "Player", "Site", "Stream"]
