"""Pins, against gpiozero's own mock: no board is here."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.edge.inputs.gpio import GpioPins
from sealwatch.edge.inputs.wire import WireError

gpiozero = pytest.importorskip("gpiozero", reason="the extra gpio is not installed")


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    from gpiozero.pins.mock import MockFactory

    mock = MockFactory()
    monkeypatch.setattr(gpiozero.Device, "pin_factory", mock)
    yield mock
    mock.reset()


def test_a_contact_to_ground_is_closed_and_an_open_one_is_pulled_up(factory: object) -> None:
    pins = GpioPins(["17"], {}, ManualClock(monotonic_s=3.0))
    assert [(s.channel, s.value, s.at_s) for s in pins.read()] == [("17", False, 3.0)]
    gpiozero.Device.pin_factory.pin(17).drive_low()
    assert [s.value for s in pins.read()] == [True]
    pins.close()


@pytest.mark.parametrize("active_low", [False, True])
def test_an_output_is_claimed_off_switched_read_back_and_left_off(factory: object, active_low: bool) -> None:
    pins = GpioPins([], {"22": active_low}, ManualClock())
    pins.write("22", False)
    pin = gpiozero.Device.pin_factory.pin(22)
    levels = [pin.state]
    pins.write("22", True)
    levels.append(pin.state)
    assert pins.state("22") is True
    assert [bool(level) for level in levels] == [active_low, not active_low]
    pins.write("22", False)
    assert bool(pin.state) is active_low
    pins.close()


def test_a_pin_that_is_not_there_is_told_in_one_sentence(factory: object) -> None:
    with pytest.raises(WireError, match="pin 99 cannot be used") as caught:
        GpioPins(["99"], {}, ManualClock()).read()
    assert caught.value.reason == "wrong_setup"


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    with pytest.raises(WireError, match="edge,gpio") as caught:
        GpioPins(["17"], {}, ManualClock()).read()
    assert caught.value.reason == "not_installed"
