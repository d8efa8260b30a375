"""The sink: what a detector's draft becomes, and how what was left open is ended."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TypeVar

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.contract import wire
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.messages import MAX_PAYLOAD_BYTES, Alarm, Samples, Snapshot
from sealwatch.contract.topics import Channel
from sealwatch.edge.identity import Identity, load_or_create
from sealwatch.edge.ports import AlarmDraft
from sealwatch.edge.uplink.outbox import Outbox
from sealwatch.edge.uplink.sink import MAX_PICTURE_BYTES, SAMPLES_WAIT_S, OutboxSink
from tests.edge.uplink.helpers import BOOT_A, BOOT_B, outbox
from tests.edge.uplink.wire_twin import sink_for

T = TypeVar("T")


class Bench:
    """A sink over an outbox in a folder, and what the outbox then holds, decoded."""

    def __init__(self, folder: Path, boot_id: str = BOOT_A) -> None:
        self.clock = ManualClock(wall_ms=1_767_225_600_000)
        self.identity: Identity = load_or_create(folder)
        self.box: Outbox = outbox(folder, boot_id=boot_id, clock=self.clock)
        self.sink: OutboxSink = sink_for(self.box, self.identity, self.clock)

    def alarms(self) -> list[Alarm]:
        return [self._open(Alarm, p) for p in self._payloads(Channel.ALARM)]

    def pictures(self) -> list[Snapshot]:
        return [self._open(Snapshot, p) for p in self._payloads(Channel.SNAPSHOT)]

    def samples(self) -> list[Samples]:
        return [wire.decode(Samples, p) for p in self._payloads(Channel.SAMPLES)]

    def _open(self, kind: type[T], payload: bytes) -> T:
        return wire.unseal(kind, payload, self.identity.key.public_key())

    def _payloads(self, channel: Channel) -> list[bytes]:
        entries = sorted((e for e in self.box.head(10_000) if e.channel is channel), key=lambda e: e.ref.seq)
        return [self.box.payload(e.ref) or b"" for e in entries]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def draft(alarm_id: str = "a-1", **changes: object) -> AlarmDraft:
    plain = AlarmDraft(
        alarm_id=alarm_id,
        kind="person",
        phase=Phase.START,
        level=Level.RED,
        source_id="cam-1",
        started_at_ms=1_767_225_590_000,
        captured_at_ms=1_767_225_599_000,
        score=0.8,
        reason="seen_long_enough",
        sentence_zh="井口有 1 人",
        sentence_en="1 person at the shaft",
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]  # the tests name real fields


def test_figures_and_words_that_the_wire_cannot_carry_never_hold_an_alarm_back(bench: Bench) -> None:
    bench.sink.alarm(
        draft(
            score=float("nan"),
            numbers={"good_w": 1.5, "infinite": float("inf"), "Bad Name": 1.0} | {f"n{i}": 1.0 for i in range(80)},
            sentence_zh="长" * 2000,
            sentence_en="x" * 2000,
            zone="z" * 200,
            started_at_ms=-5,
        )
    )
    (alarm,) = bench.alarms()  # decoding is the contract's own validation
    assert alarm.score == 0.0
    assert alarm.numbers["good_w"] == 1.5
    assert "infinite" not in alarm.numbers
    assert len(alarm.numbers) == 64
    assert len(alarm.sentence_zh) == 500


def test_a_picture_that_is_too_large_is_left_out_and_the_alarm_goes_without(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.sink.alarm(draft(snapshot_jpeg=bytes(MAX_PICTURE_BYTES + 1)))
    assert [alarm.snapshot for alarm in bench.alarms()] == [None]
    assert bench.pictures() == []
    assert "is left out" in caplog.text


def test_the_largest_picture_allowed_fits_the_wire(bench: Bench) -> None:
    bench.sink.alarm(draft(snapshot_jpeg=bytes(range(256)) * (MAX_PICTURE_BYTES // 256)))
    (picture,) = bench.pictures()
    assert picture.evidence.size_bytes == MAX_PICTURE_BYTES // 256 * 256
    assert len(bench.box.payload(bench.box.head(2)[1].ref) or b"") < MAX_PAYLOAD_BYTES


def test_measurements_wait_for_company_and_are_committed_together(bench: Bench) -> None:
    bench.sink.samples("meter-1", [1, 2], {"active_power_w": [1.0, None]})
    bench.sink.samples("meter-2", [1], {"active_power_w": [float("nan")]})
    assert bench.samples() == []
    due_s = bench.sink.flush_due()
    assert due_s == bench.clock.monotonic_s() + SAMPLES_WAIT_S
    bench.clock.advance(SAMPLES_WAIT_S)
    assert bench.sink.flush_due() is None
    assert [(s.source_id, s.at_ms, s.values) for s in bench.samples()] == [
        ("meter-1", [1, 2], {"active_power_w": [1.0, None]}),
        ("meter-2", [1], {"active_power_w": [None]}),
    ]


def test_many_measurements_at_once_go_without_waiting_and_in_messages_the_wire_can_carry(bench: Bench) -> None:
    count = 3600 * 70
    bench.sink.samples("meter-1", list(range(count)), {"active_power_w": [float(n) for n in range(count)]})
    found = bench.samples()
    assert [len(s.at_ms) for s in found] == [3600] * 70
    assert found[1].values["active_power_w"][0] == 3600.0


def test_a_column_that_does_not_fit_is_left_out_and_the_others_go(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.sink.samples("m", [1, 2], {"active_power_w": [1.0, 2.0], "short": [1.0], "Bad": [1.0, 2.0]})
    bench.sink.samples("m", [1], {"nothing": []})
    bench.sink.flush()
    assert [set(s.values) for s in bench.samples()] == [{"active_power_w"}]
    assert "Bad, short can't be sent" in caplog.text


def test_alarms_of_an_earlier_life_are_ended_durably_in_both_languages_with_their_reason(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    first.sink.alarm(draft("a-1", zone="井口"))
    first.sink.alarm(draft("a-2", kind="of_a_newer_version"))
    first.sink.alarm(draft("a-3"))
    first.sink.alarm(draft("a-3", phase=Phase.END))
    first.box.close()
    again = Bench(tmp_path, BOOT_B)
    assert again.sink.close_orphans() == 2
    assert again.sink.close_orphans() == 0
    ends = [a for a in again.alarms() if a.origin.boot_id == BOOT_B]
    assert [(a.alarm_id, a.phase, a.reason, a.level) for a in ends] == [
        ("a-1", "end", "agent_restarted", "red"),
        ("a-2", "end", "agent_restarted", "red"),
    ]
    assert ends[0].started_at_ms == 1_767_225_590_000
    assert (ends[0].zone, ends[0].origin.captured_at_ms) == ("井口", again.clock.wall_ms())
    assert "发现人员（cam-1）" in ends[0].sentence_zh
    assert "of_a_newer_version (cam-1)" in ends[1].sentence_en
    assert again.box.open_alarms() == []


def test_a_part_that_starts_anew_ends_only_its_own_alarms_and_not_the_one_about_itself(bench: Bench) -> None:
    bench.sink.alarm(draft("mine"))
    bench.sink.alarm(draft("fault", kind="node_fault"))
    bench.sink.alarm(draft("other", source_id="cam-2"))
    assert bench.sink.close_orphans("cam-1") == 1
    assert [(a.alarm_id, a.reason) for a in bench.alarms() if a.phase is Phase.END] == [("mine", "part_restarted")]


def test_an_outbox_that_was_set_aside_is_reported_once_as_a_fault_of_the_node(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"no database at all" * 500)
    bench = Bench(tmp_path)
    assert bench.sink.report_notices() == 1
    assert bench.sink.report_notices() == 0
    start, end = bench.alarms()
    assert (start.kind, start.phase, start.reason, start.source_id) == (
        "node_fault",
        "start",
        "outbox_corrupt",
        "outbox",
    )
    assert (end.phase, end.reason, end.alarm_id) == ("end", "outbox_replaced", start.alarm_id)
    assert "outbox.db.corrupt-" in start.sentence_zh
    assert bench.box.open_alarms() == []


def test_a_picture_asked_for_is_stored_under_the_id_of_the_command(bench: Bench) -> None:
    sha256 = bench.sink.attach(reference_id="c-1", source_id="cam-1", data=b"\xff\xd8")
    (picture,) = bench.pictures()
    assert (picture.alarm_id, picture.evidence.sha256) == ("c-1", sha256)
    with pytest.raises(ValueError, match="at most"):
        bench.sink.attach(reference_id="c-2", source_id="cam-1", data=bytes(MAX_PICTURE_BYTES + 1))


def test_a_disk_that_refuses_is_no_business_of_a_detector(bench: Bench) -> None:
    assert bench.box._db._writer is not None
    bench.box._db._writer.execute("PRAGMA query_only = ON")
    bench.sink.alarm(draft("a-1"))
    bench.sink.samples("m", [1], {"active_power_w": [1.0]})
    bench.sink.flush()
    assert [a.alarm_id for a in bench.alarms()] == ["a-1"], "offered to the service from memory"
    assert bench.box.stats().trouble == "disk_read_only"
