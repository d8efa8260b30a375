"""The pure decisions: what goes from the ring, when footage is missing, what reaches the disk."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from sealwatch.edge.recorder import coverage, ring
from sealwatch.edge.recorder.coverage import Coverage, GapBegan, GapEnded
from sealwatch.edge.recorder.gate import Gate
from sealwatch.edge.recorder.media import MediaPacket
from sealwatch.edge.recorder.ring import Held, Limits, Removal

DAY = 86_400_000
NOW = 1000 * DAY


def held(age_days: float, size: int = 100, camera: str = "a", *, number: int, **more: bool) -> Held:
    return Held(number, camera, int(NOW - age_days * DAY), size, **more)


def run(
    files: list[Held], limits: Limits, *, trusted: bool = True, free: int = 10**12, now: int = NOW
) -> list[Removal]:
    total = sum(f.size_bytes for f in files)
    return ring.plan(files, limits, total_bytes=total, now_ms=now, clock_trusted=trusted, free_bytes=free)


class TestRing:
    def test_within_its_limits_nothing_goes(self) -> None:
        assert run([held(5, number=1)], Limits(max_bytes=100, max_days=30)) == []

    def test_what_is_too_old_goes_though_there_is_room(self) -> None:
        files = [held(31, number=1), held(29, number=2)]
        assert run(files, Limits(max_bytes=10**9, max_days=30)) == [Removal(1, "older_than_max_days")]

    def test_over_the_budget_the_camera_above_its_target_gives_first(self) -> None:
        files = [held(20, camera="a", number=1), held(15, camera="b", number=2), held(14, camera="b", number=3)]
        limits = Limits(max_bytes=200, max_days=90, target_days={"a": 30, "b": 7})
        assert run(files, limits) == [Removal(2, "room_above_target")]

    def test_where_nobody_is_above_the_oldest_goes_and_it_is_said(self) -> None:
        files = [held(20, number=1), held(15, number=2)]
        limits = Limits(max_bytes=100, max_days=90, target_days={"a": 30})
        assert run(files, limits) == [Removal(1, "room_below_target")]

    def test_a_disk_that_others_fill_is_kept_from_running_full(self) -> None:
        files = [held(2, number=1), held(1, number=2)]
        limits = Limits(max_bytes=10**9, max_days=90, min_free_bytes=1000)
        assert [r.id for r in run(files, limits, free=950)] == [1]

    def test_a_clock_that_jumped_by_years_empties_nothing(self) -> None:
        files = [held(2, number=1), held(1, number=2)]
        limits = Limits(max_bytes=10**9, max_days=30)
        assert run(files, limits, trusted=False, now=NOW + 20_000 * DAY) == []

    def test_footage_labelled_1970_is_as_old_as_what_followed_it(self) -> None:
        files = [Held(1, "a", 5_000, 100, label_trusted=False), held(3, number=2)]
        assert run(files, Limits(max_bytes=10**9, max_days=30)) == []
        assert [r.id for r in run(files, Limits(max_bytes=10**9, max_days=2))] == [1, 2]

    @given(
        st.lists(
            st.tuples(st.floats(0, 100), st.integers(1, 500), st.sampled_from("ab"), st.booleans(), st.booleans()),
            max_size=30,
        ),
        st.integers(0, 5000),
        st.booleans(),
    )
    def test_what_is_protected_stays_and_the_budget_holds_as_far_as_it_can(
        self, raw: list[tuple[float, int, str, bool, bool]], max_bytes: int, trusted: bool
    ) -> None:
        files = [
            held(age, size, camera, number=i, protected=safe, label_trusted=known)
            for i, (age, size, camera, safe, known) in enumerate(raw)
        ]
        removals = run(files, Limits(max_bytes=max_bytes, max_days=60, target_days={"a": 10}), trusted=trusted)
        gone = {r.id for r in removals}
        assert len(gone) == len(removals)
        assert not gone & {f.id for f in files if f.protected}
        left = sum(f.size_bytes for f in files if f.id not in gone)
        assert left <= max_bytes or all(f.protected for f in files if f.id not in gone)


class TestCoverage:
    def start(self) -> Coverage:
        return Coverage(kept_s=0.0, kept_ms=0)

    def test_short_silence_is_no_gap(self) -> None:
        state, began = coverage.missing(self.start(), now_s=29.9, reason="no_packets")
        assert began is None
        assert coverage.kept(state, now_s=30, now_ms=30_000)[1] is None

    def test_a_gap_begins_where_the_last_footage_was_and_ends_where_it_came_back(self) -> None:
        state, began = coverage.missing(self.start(), now_s=30, reason="disk_full")
        assert began == GapBegan(0, "disk_full")
        assert coverage.missing(state, now_s=60, reason="disk_full")[1] is None
        state, ended = coverage.kept(state, now_s=100, now_ms=100_000)
        assert ended is None
        state, ended = coverage.kept(state, now_s=110, now_ms=110_000)
        assert ended == GapEnded(0, 100_000, "disk_full")
        assert state.missing_since_ms is None

    def test_footage_that_flickers_does_not_end_a_gap(self) -> None:
        state, _ = coverage.missing(self.start(), now_s=30, reason="no_packets")
        state, ended = coverage.kept(state, now_s=40, now_ms=40_000)
        state, _ = coverage.missing(state, now_s=60, reason="no_packets")
        state, ended = coverage.kept(state, now_s=61, now_ms=61_000)
        assert ended is None

    @given(st.lists(st.tuples(st.floats(0.1, 50), st.booleans()), max_size=60))
    def test_gaps_begin_and_end_in_turn(self, steps: list[tuple[float, bool]]) -> None:
        state, now_s, is_open = self.start(), 0.0, False
        for seconds, comes in steps:
            now_s += seconds
            state, began = coverage.missing(state, now_s=now_s, reason="no_packets")
            if began is not None:
                assert not is_open
                is_open = True
            if comes:
                state, ended = coverage.kept(state, now_s=now_s, now_ms=int(now_s * 1000))
                if ended is not None:
                    assert is_open
                    assert ended.to_ms >= ended.from_ms
                    is_open = False


def packet(number: int, *, gop: int, size: int = 10) -> MediaPacket:
    return MediaPacket(
        data=b"x" * size,
        pts=number,
        dts=number,
        duration=1,
        time_base=Fraction(1, 10),
        key=number % gop == 0,
        monotonic_s=number / 10,
        wall_ms=number * 100,
    )


class TestGate:
    def test_continuous_passes_everything(self) -> None:
        gate = Gate("continuous", pre_s=10)
        assert gate.take(packet(3, gop=5), wanted=False) == [packet(3, gop=5)]

    @given(st.integers(1, 40), st.integers(1, 400), st.integers(0, 30))
    def test_the_buffer_reaches_back_far_enough_and_begins_with_a_key_frame(
        self, gop: int, count: int, wanted_after: int
    ) -> None:
        gate = Gate("events", pre_s=10)
        for number in range(count):
            assert gate.take(packet(number, gop=gop), wanted=False) == []
        out = gate.take(packet(count, gop=gop), wanted=True)
        assert out[0].key
        assert [p.pts for p in out] == list(range(out[0].pts, count + 1))
        assert out[0].monotonic_s <= max(0.0, count / 10 - 10) + 0.11
        assert count / 10 - out[0].monotonic_s <= 10 + gop / 10 + 0.11
        assert gate.buffered_s == 0

    def test_memory_is_bounded_even_without_key_frames(self) -> None:
        gate = Gate("events", pre_s=1000, max_bytes=1000)
        for number in range(500):
            gate.take(packet(number, gop=10_000, size=10), wanted=False)
            assert gate._bytes <= 1000
