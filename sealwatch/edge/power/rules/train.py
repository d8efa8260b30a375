"""Pulses that belong together: the trips of one machine, and what their lengths, sizes and starts say about it."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from sealwatch.edge.power.edges import Edge
from sealwatch.edge.power.pulses import IDLE_W, Pulse

MIN_TRIP_S, MAX_TRIP_S = 20.0, 240.0
MAX_PAUSE_S, MAX_PAUSE_TRIPS = 150.0, 1.0
"""Between two lifts: loading, signalling and changing tubs, and on a single drum the way down, which takes about
as long as the way up. Longer is not a cycle any more."""
_FLAT_SHARE, _NOISE_FACTOR, _SLACK_SHARE = 0.025, 2.0, 0.06
"""Powers are the same within this share of themselves, or so many times their scatter, but never beyond the last."""
_ABOUT = 0.15
"""A compressor that is unloaded falls by a little more than it rose, because the pressure has grown."""
_ARC_SHARE, _MOTOR_SHARE = 0.06, 0.013
"""Scatter from second to second: an arc's, of its own power, is beyond this; motors stay below, of all that runs."""
_CLEAR_START = 1.7
"""A reading in a motor's start is this far above its running power; no arc goes there."""
_BESIDE = 3.0
_IDLES_WITHIN = 2.5
_LATE, _LATE_S = 1.05, 3.0
_SMALL_W = 2600.0
KEEP = 40
_END_PERIODS = 3.0
_END_AT_LEAST_S = 300.0


@dataclass(frozen=True, slots=True)
class Train:
    """Pulses that belong together, oldest first; at most the last `KEEP` of them."""

    pulses: tuple[Pulse, ...]
    count: int
    started_s: float
    raised: bool = False
    told: int = 0
    next: Edge | None = None
    """A start like its own after its last pulse, whose end has not been seen yet."""

    @property
    def next_due_s(self) -> float:
        """By when the trip of `next` is over."""
        return (self.next.t_s if self.next else math.inf) + _LATE * self.length_s + _LATE_S

    @property
    def size_w(self) -> float:
        return statistics.median(p.size_w for p in self.pulses)

    @property
    def length_s(self) -> float:
        return statistics.median(p.duration_s for p in self.pulses)

    @property
    def spacing_s(self) -> float:
        """From start to start; 0 for a single pulse."""
        gaps = [b.start_s - a.start_s for a, b in zip(self.pulses, self.pulses[1:], strict=False)]
        return statistics.median(gaps) if gaps else 0.0

    @property
    def irregularity(self) -> float:
        """Median deviation of the spacing as a share of it; 0 is clockwork."""
        gaps = [b.start_s - a.start_s for a, b in zip(self.pulses, self.pulses[1:], strict=False)]
        if len(gaps) < 2:
            return 0.0
        middle = statistics.median(gaps)
        return statistics.median(abs(g - middle) for g in gaps) / middle

    @property
    def in_noise(self) -> bool:
        """Whether a larger machine runs underneath, whose scatter hides details."""
        return self.pulses[-1].base_w > _BESIDE * self.size_w

    @property
    def steady(self) -> bool:
        """Whether at least half of its pulses fall by what they rose, all by the same, as far as the noise lets one
        tell: nothing is lifted there. The others are taken for two loads at once."""
        slack_w = [
            min(max(_FLAT_SHARE * p.size_w, _NOISE_FACTOR * p.rough_w), _SLACK_SHARE * p.size_w) for p in self.pulses
        ]
        flat = [(p, w) for p, w in zip(self.pulses, slack_w, strict=True) if abs(p.fall_w - p.size_w) <= w]
        alike = max((sum(abs(q.size_w - p.size_w) <= max(w, v) for q, v in flat) for p, w in flat), default=0)
        needed = len(self.pulses) / 2 + (0.5 if self.in_noise else 0.0)
        return alike >= needed

    @property
    def flickers(self) -> bool:
        """Whether the power within its pulses is as ragged as an arc's, far beyond what is under them."""
        rough_w = statistics.fmean(p.rough_w for p in self.pulses)
        under_w = _MOTOR_SHARE * max(p.base_w + p.size_w for p in self.pulses)
        clear_start = any(p.peak_w > _CLEAR_START * p.size_w for p in self.pulses)
        return not clear_start and rough_w > max(_ARC_SHARE * self.size_w, under_w)

    @property
    def switched_alike(self) -> bool:
        """Whether most of its pulses rise by the same power and fall by about as much."""
        sizes = [p.size_w for p in self.pulses if abs(p.fall_w - p.size_w) <= _ABOUT * p.size_w]
        alike = max((sum(abs(a - b) <= _FLAT_SHARE * b for a in sizes) for b in sizes), default=0)
        return 2 * alike > len(self.pulses)

    @property
    def starts(self) -> bool:
        """Whether its pulses began like a motor at rest: half of them with a motor's current, which lasts about a
        second, so that a reading now and then misses it; or all of them with that or a soft starter's ramp. At the
        size of a household's loads, which fall together with a motor now and then, all of them.
        """
        started = sum(p.starts_a_motor for p in self.pulses)
        peaks = sum(p.surges for p in self.pulses)
        seen = started if self.in_noise else peaks
        return started == len(self.pulses) or (2 * seen >= len(self.pulses) and self.size_w > _SMALL_W)

    @property
    def on_three_phases(self) -> bool:
        """Whether all of its pulses rose on three phases alike, as motors do and households' loads do not."""
        return all(p.phases == "abc" for p in self.pulses)

    @property
    def on_an_idling_machine(self) -> bool:
        """Whether most stand on a base in which a machine of their size may turn unloaded, with something else beside
        it. Once such a square wave has shown itself it is taken out (`square`), so that patience tells."""
        return 2 * sum(p.base_w >= IDLE_W and 0.25 <= p.base_w / p.size_w <= _IDLES_WITHIN for p in self.pulses) > len(
            self.pulses
        )

    @property
    def pause_s(self) -> float:
        return self.spacing_s - self.length_s

    @property
    def rhythmic(self) -> bool:
        """Whether lengths agree as they do in one shaft: with pauses no longer than the way down, or to the second."""
        return self.to_the_second or (self.spread <= 1.12 and self.pause_s <= 1.2 * self.length_s)

    @property
    def to_the_second(self) -> bool:
        """Whether all lengths are the same but for about a second."""
        return self.spread <= 1.03

    @property
    def spread(self) -> float:
        """The longest pulse over the shortest."""
        lengths = [p.duration_s for p in self.pulses]
        return max(lengths) / min(lengths)

    @property
    def longest_pause_s(self) -> float:
        return MAX_PAUSE_S + MAX_PAUSE_TRIPS * self.length_s

    @property
    def due_s(self) -> float:
        """Without another pulse the train is over by then."""
        wait_s = max(_END_AT_LEAST_S, _END_PERIODS * self.spacing_s)
        return self.pulses[-1].end_s + (wait_s if self.raised else self.longest_pause_s + MAX_TRIP_S)
