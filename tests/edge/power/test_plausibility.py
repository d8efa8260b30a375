"""A wire that is taken off or a transformer that is turned while the meter is watched."""

from __future__ import annotations

import pytest

from sealwatch.base import text
from sealwatch.contract.codes import Phase
from sealwatch.edge.power.rules.plausibility import EVERY_S, FRESH_S, TIMES, PlausibleState, advance

HONEST = {
    **dict.fromkeys(("voltage_a_v", "voltage_b_v", "voltage_c_v"), 220.0),
    **dict.fromkeys(("current_a_a", "current_b_a", "current_c_a"), 10.0),
    **dict.fromkeys(("power_factor_a", "power_factor_b", "power_factor_c"), 0.9),
    **dict.fromkeys(("active_power_a_w", "active_power_b_w", "active_power_c_w"), 1980.0),
    "active_power_w": 5940.0,
}
TURNED = HONEST | {"active_power_b_w": -1980.0, "active_power_w": 1980.0}
OFF = HONEST | {"voltage_c_v": 3.0, "active_power_c_w": 0.0, "active_power_w": 3960.0}


class Watched:
    def __init__(self) -> None:
        self.state, self.now_s, self.told = PlausibleState(), 0.0, []  # type: ignore[var-annotated]

    def reads(self, values: dict[str, float], minutes: float) -> None:
        until_s = self.now_s + 60 * minutes
        while self.now_s < until_s:
            self.state, found = advance(self.state, self.now_s, values)
            self.told += [(t.phase, t.subject, t.reason) for _, t in found]
            self.now_s += 1.0


@pytest.mark.parametrize(("wrong", "subject"), [(TURNED, "reversed_current"), (OFF, "phase_lost")])
def test_what_cannot_be_is_told_after_minutes_and_ends_when_it_can_be_again(
    wrong: dict[str, float], subject: str
) -> None:
    watched = Watched()
    watched.reads(HONEST, 60)
    assert watched.told == []
    watched.reads(wrong, (TIMES - 1) * EVERY_S / 60)
    assert watched.told == []
    watched.reads(wrong, 12)
    watched.reads(HONEST, 20)
    assert (Phase.START, subject, subject) in watched.told
    assert (Phase.END, subject, "plausible_again") in watched.told
    assert len({name for _, name, _ in watched.told}) * 2 == len(watched.told)
    for name in {name for _, name, _ in watched.told}:
        assert text.say("zh", f"power.told.{name}") != text.say("en", f"power.told.{name}")


def test_a_meter_that_shows_half_of_what_its_currents_say_does_not_match() -> None:
    watched = Watched()
    half = {k: v / 2 if k.startswith("active_power") else v for k, v in HONEST.items()}
    watched.reads(half, FRESH_S / 60 + TIMES * EVERY_S / 60 + 1)
    assert watched.told == [(Phase.START, "power_does_not_match", "power_does_not_match")]


def test_a_load_that_moves_between_the_readings_of_its_parts_raises_no_doubt() -> None:
    watched = Watched()
    for k in range(3 * 3600):
        # A winch: 9 kW for 60 of 110 seconds; voltages, currents and factors are read once a minute only.
        scale = 1.5 if k % 110 < 60 else 0.05
        values = {q: v * scale for q, v in HONEST.items() if q.startswith("active_power")}
        if k % 61 == 0:
            values |= {q: v * scale if q.startswith("current") else v for q, v in HONEST.items() if q not in values}
        watched.reads(values, 1 / 60)
    assert watched.told == []
