"""Siren, lamp, relay, loudspeaker: limits, drivers, and what the node does by itself at an alarm."""
