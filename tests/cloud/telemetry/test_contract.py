"""One suite for every telemetry store: what the port promises, kept by each implementation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealwatch.cloud.ports import TelemetryStore
from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.memory import MemoryTelemetry
from tests.cloud.telemetry.conftest import T0, StoreMaker

METRIC = "active_power_w"


class BatchWriter(TelemetryStore, Protocol):
    """Every store takes many blocks in one commit or request too."""

    def write_blocks(self, blocks: Sequence[Columns]) -> None: ...


def put(store: TelemetryStore, points: list[tuple[int, float | None]], **where: str) -> None:
    store.write(
        **{"site_id": "s1", "node_id": "n1", "source_id": "meter-1", **where},
        at_ms=[at for at, _ in points],
        values={METRIC: [value for _, value in points]},
    )


def get(store: TelemetryStore, **query: Any) -> list[tuple[int, float | None]]:
    wanted: dict[str, Any] = {"site_id": "s1", "metric": METRIC, "from_ms": T0, "to_ms": T0 + 10_000_000}
    series = store.read(**{**wanted, **query}).get("meter-1")
    return [] if series is None else list(zip(series.at_ms, series.values, strict=True))


def test_what_was_written_is_read_back_oldest_first(store: TelemetryStore) -> None:
    put(store, [(T0 + 2000, 3.0), (T0, 1.0), (T0 + 1000, 2.0)])
    assert get(store) == [(T0, 1.0), (T0 + 1000, 2.0), (T0 + 2000, 3.0)]


def test_the_same_point_twice_leaves_one(store: TelemetryStore) -> None:
    put(store, [(T0, 1.0), (T0 + 1000, 2.0)])
    put(store, [(T0, 1.0), (T0 + 1000, 2.0)])
    assert get(store) == [(T0, 1.0), (T0 + 1000, 2.0)]


def test_a_corrected_value_replaces_the_first(store: TelemetryStore) -> None:
    put(store, [(T0, 1.0)])
    put(store, [(T0, 0.5)])
    if getattr(store, "corrects", True):
        assert get(store) == [(T0, 0.5)]
    else:  # documented: such a store keeps one of the two, of its own choice
        assert get(store) in ([(T0, 1.0)], [(T0, 0.5)])


def test_gaps_come_back_as_gaps(store: TelemetryStore) -> None:
    put(store, [(T0, 1.0), (T0 + 1000, None), (T0 + 2000, 3.0)])
    assert get(store) == [(T0, 1.0), (T0 + 1000, None), (T0 + 2000, 3.0)]


def test_a_gap_never_erases_a_measurement_and_a_measurement_fills_a_gap(store: TelemetryStore) -> None:
    put(store, [(T0, 1.0), (T0 + 1000, None)])
    put(store, [(T0, None), (T0 + 1000, 2.0)])
    assert get(store) == [(T0, 1.0), (T0 + 1000, 2.0)]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_reading_that_is_no_number_is_a_gap(store: TelemetryStore, broken: float) -> None:
    put(store, [(T0, broken), (T0 + 1000, 2.0)])
    assert get(store) == [(T0, None), (T0 + 1000, 2.0)]


def test_both_ends_of_the_asked_span_belong_to_it(store: TelemetryStore) -> None:
    put(store, [(T0 + i * 1000, float(i)) for i in range(5)])
    assert get(store, from_ms=T0 + 1000, to_ms=T0 + 3000) == [(T0 + i * 1000, float(i)) for i in (1, 2, 3)]


def test_sites_sources_and_metrics_do_not_mix(store: TelemetryStore) -> None:
    put(store, [(T0, 1.0)])
    put(store, [(T0, 2.0)], site_id="s2")
    put(store, [(T0, 3.0)], source_id="meter-2")
    store.write(site_id="s1", node_id="n1", source_id="meter-1", at_ms=[T0], values={"voltage_v": [230.0]})
    assert get(store) == [(T0, 1.0)]
    both = store.read(site_id="s1", metric=METRIC, from_ms=T0, to_ms=T0)
    assert {source: list(series.values) for source, series in both.items()} == {"meter-1": [1.0], "meter-2": [3.0]}
    alone = store.read(site_id="s1", metric=METRIC, from_ms=T0, to_ms=T0, source_id="meter-2")
    assert list(alone) == ["meter-2"]


def test_a_replaced_node_continues_the_curve_of_its_meter(store: TelemetryStore) -> None:
    put(store, [(T0, 1.0)], node_id="old")
    put(store, [(T0 + 1000, 2.0)], node_id="new")
    assert get(store) == [(T0, 1.0), (T0 + 1000, 2.0)]


def test_nothing_there_is_an_empty_answer(store: TelemetryStore) -> None:
    assert store.read(site_id="nowhere", metric=METRIC, from_ms=0, to_ms=T0) == {}
    put(store, [(T0, 1.0)])
    assert store.read(site_id="s1", metric=METRIC, from_ms=T0 + 1, to_ms=T0 + 2) == {}


def test_columns_of_unequal_length_are_refused_whole(store: TelemetryStore) -> None:
    with pytest.raises(ValueError, match="2 values for 1 times"):
        store.write(site_id="s1", node_id="n1", source_id="meter-1", at_ms=[T0], values={METRIC: [1.0, 2.0]})
    assert get(store) == []


def test_a_spike_of_one_point_survives_thinning(store: TelemetryStore) -> None:
    points = [(T0 + i * 1000, 100.0) for i in range(5000)]
    points[3210] = (points[3210][0], 3200.0)
    points[77] = (points[77][0], -5.0)
    put(store, list(points))
    thinned = get(store, to_ms=T0 + 4_999_000, max_points=100)
    assert len(thinned) <= 100
    assert (points[3210][0], 3200.0) in thinned
    assert (points[77][0], -5.0) in thinned


def test_an_hour_of_silence_stays_visible_after_thinning(store: TelemetryStore) -> None:
    put(store, [(T0 + i * 1000, None if 1000 <= i < 4000 else 1.0) for i in range(5000)])
    thinned = get(store, to_ms=T0 + 4_999_000, max_points=50)
    gaps = [at for at, value in thinned if value is None]
    assert len(gaps) == 15  # of 25 bins of 200 s, the 15 silent ones
    assert all(T0 + 1_000_000 <= at < T0 + 4_000_000 for at in gaps)


def test_room_for_fewer_than_two_points_is_refused(store: TelemetryStore) -> None:
    put(store, [(T0, 1.0), (T0 + 1, 2.0)])
    with pytest.raises(ValueError, match="max_points is 1"):
        get(store, max_points=1)


def test_the_largest_message_the_contract_allows_is_one_write(store: TelemetryStore) -> None:
    at_ms = [T0 + i * 1000 for i in range(3600)]
    names = [f"metric_{i}_w" for i in range(64)]
    columns = {name: [float(i + n) for i in range(3600)] for n, name in enumerate(names)}
    store.write(site_id="s1", node_id="n1", source_id="meter-1", at_ms=at_ms, values=columns)
    read = store.read(site_id="s1", metric="metric_63_w", from_ms=T0, to_ms=at_ms[-1], max_points=4000)["meter-1"]
    assert list(read.values) == columns["metric_63_w"]


def test_many_blocks_are_one_call_and_a_wrong_one_is_said(store: BatchWriter) -> None:
    def block(source_id: str, values: list[float | None]) -> Columns:
        return Columns(site_id="s1", node_id="n1", source_id=source_id, at_ms=[T0], values={METRIC: values})

    store.write_blocks([block("meter-1", [1.0]), block("meter-2", [2.0]), block("meter-1", [1.0])])
    both = store.read(site_id="s1", metric=METRIC, from_ms=T0, to_ms=T0)
    assert {source: list(series.values) for source, series in both.items()} == {"meter-1": [1.0], "meter-2": [2.0]}
    with pytest.raises(ValueError, match="2 values for 1 times"):
        store.write_blocks([block("meter-3", [1.0]), block("meter-4", [1.0, 2.0])])
    assert set(store.read(site_id="s1", metric=METRIC, from_ms=T0, to_ms=T0)) == {"meter-1", "meter-2"}


_POINTS = st.lists(
    st.tuples(st.integers(0, 400), st.none() | st.floats(-1e6, 1e6, width=32)),
    min_size=1,
    max_size=120,
    unique_by=lambda point: point[0],
)


@given(points=_POINTS, max_points=st.integers(2, 60), span=st.tuples(st.integers(0, 200), st.integers(0, 200)))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_store_answers_as_the_one_in_memory_whatever_is_written(
    make_store: StoreMaker,
    points: list[tuple[int, float | None]],
    max_points: int,
    span: tuple[int, int],
) -> None:
    query = {"from_ms": T0 + span[0], "to_ms": T0 + span[0] + span[1], "max_points": max_points}
    answers = []
    for store in (MemoryTelemetry(), make_store()):
        put(store, [(T0 + at, value) for at, value in points])
        answers.append(get(store, **query))
        store.close()
    assert [at for at, _ in answers[0]] == [at for at, _ in answers[1]]
    for (_, expected), (_, found) in zip(*answers, strict=True):
        # VictoriaMetrics keeps about 14 decimal digits of a value.
        assert found == (None if expected is None else pytest.approx(expected, rel=1e-12))
    times = [at for at, _ in answers[0]]
    assert times == sorted(times)
    assert len(times) <= max_points
