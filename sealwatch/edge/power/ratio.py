"""Instrument transformers: what their ratio multiplies."""

from __future__ import annotations

_TRANSFORMED = ("active_power", "reactive_power", "apparent_power", "current", "forward_energy", "reverse_energy")


def factor(quantity: str, ratio: float) -> float:
    """`ratio` for powers, currents and energies, 1 for the rest."""
    return ratio if quantity.startswith(_TRANSFORMED) else 1.0
