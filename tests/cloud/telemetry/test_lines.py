"""Line protocol: what is written for each kind of value, and that nothing in a name can break out of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.lines import encode, head


def block(**changes: object) -> Columns:
    wanted: dict[str, object] = {
        "site_id": "s1",
        "node_id": "n1",
        "source_id": "m1",
        "at_ms": [1000, 2000],
        "values": {"active_power_w": [1.0, 2], "voltage_a_v": [None, 230.5]},
    }
    return Columns(**{**wanted, **changes})  # type: ignore[arg-type]  # a table of defaults


def test_one_line_a_moment_with_every_field_a_float_and_a_gap_as_its_own_field() -> None:
    assert list(encode(block(), county="210423")) == [
        "samples,county=210423,node_id=n1,site_id=s1,source_id=m1 active_power_w=1.0,voltage_a_v_gap=1 1000",
        "samples,county=210423,node_id=n1,site_id=s1,source_id=m1 active_power_w=2.0,voltage_a_v=230.5 2000",
    ]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf, None])
def test_what_is_no_number_is_a_gap(broken: float | None) -> None:
    assert list(encode(block(at_ms=[1], values={"p_w": [broken]}))) == [
        "samples,node_id=n1,site_id=s1,source_id=m1 p_w_gap=1 1"
    ]


def test_columns_of_another_length_than_their_times_are_refused() -> None:
    with pytest.raises(ValueError, match="p_w: 1 values for 2 times"):
        list(encode(block(values={"p_w": [1.0]})))


@given(value=st.text(min_size=1, max_size=20))
def test_no_tag_value_can_add_a_tag_a_field_or_a_line(value: str) -> None:
    try:
        made = head("samples", county="", site_id=value, node_id="n", source_id="s")
    except ValueError:
        assert "\n" in value or "\r" in value or value.endswith("\\")
        return
    assert "\n" not in made
    unescaped = made.replace("\\,", "").replace("\\ ", "").replace("\\=", "")
    assert unescaped.count(",") == 3
    assert unescaped.count("=") == 3
    assert " " not in unescaped
