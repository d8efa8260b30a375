"""What becomes durable, and that nothing is acknowledged before it is."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import func, select, text

from sealwatch.cloud.db.tables import (
    AlarmRecord,
    AlarmTransition,
    CommandReply,
    Evidence,
    Node,
    QuarantineCount,
    Quarantined,
    Received,
)
from sealwatch.cloud.incidents.intake import Intake, Taken
from sealwatch.cloud.ingest import rows
from sealwatch.cloud.ingest.record import Arrival, Outcome, StoreUnavailable
from sealwatch.cloud.ports import Columns
from sealwatch.cloud.telemetry.memory import MemoryTelemetry
from sealwatch.contract import signing, topics, wire
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.messages import Alarm, EvidenceRef, Reply, Snapshot, Status
from sealwatch.contract.topics import Channel
from tests.cloud.world import World


def names(outcomes: Sequence[Outcome | None]) -> list[tuple[str, str]]:
    return [(o.name, o.reason) if o else ("pending", "") for o in outcomes]


def count(world: World, table: type[Any]) -> int:
    with world.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def a_snapshot(world: World, data: bytes = b"\xff\xd8jpeg", **changes: Any) -> Arrival:
    evidence = EvidenceRef(sha256=hashlib.sha256(data).hexdigest(), media_type="image/jpeg", size_bytes=len(data))
    values: dict[str, Any] = {
        "origin": world.origin(),
        "alarm_id": "person-1",
        "source_id": "cam-1",
        "evidence": evidence,
        "data": signing.to_base64url(data),
    }
    payload = wire.seal(world.keys["node-1"], Snapshot(**(values | changes)))
    return Arrival(topic=topics.topic("s1", "node-1", Channel.SNAPSHOT), payload=payload)


def a_status(state: str, at_ms: int, *, retain: bool = False, **changes: Any) -> Arrival:
    values: dict[str, Any] = {
        "site_id": "s1",
        "node_id": "node-1",
        "boot_id": "0" * 32,
        "state": state,
        "reported_at_ms": at_ms,
        "agent_version": "1",
    }
    payload = wire.encode(Status(**(values | changes)))
    return Arrival(topic="seal/v1/s1/node-1/status", payload=payload, retain=retain)


def test_an_alarm_leaves_its_identity_its_signed_bytes_and_an_incident(world: World) -> None:
    alarm = world.alarm("person")
    assert names(world.push(alarm)) == [("stored", "opened")]
    with world.database.read() as session:
        transition = session.scalars(select(AlarmTransition)).one()
        assert transition.received_at_ms == world.clock.wall_ms()
        assert wire.unseal(Alarm, transition.sealed, world.keys["node-1"].public_key()) == alarm
        assert session.scalars(select(AlarmRecord)).one().incident_id == world.incident().incident_id


def test_the_same_message_again_is_a_duplicate_in_one_batch_in_the_next_and_after_a_restart(world: World) -> None:
    arrival = world.sealed(world.alarm("person"))
    assert names(world.recorder.record([arrival, arrival])) == [("stored", "opened"), ("duplicate", "taken_before")]
    assert names(world.recorder.record([arrival])) == [("duplicate", "taken_before")]
    world.restart()
    assert names(world.recorder.record([arrival])) == [("duplicate", "taken_before")]
    assert count(world, AlarmTransition) == 1
    assert world.counters.as_dict()["duplicate"] == 3


def test_two_workers_that_get_the_same_message_store_it_once(world: World) -> None:
    arrivals = [world.sealed(world.alarm("person", alarm_id=f"p{n}")) for n in range(20)]
    outcomes: list[Outcome | None] = []
    recorders = [world.new_recorder() for _ in range(2)]
    threads = [threading.Thread(target=lambda r=r: outcomes.extend(r.record(arrivals))) for r in recorders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(o.name for o in outcomes if o) == ["duplicate"] * 20 + ["stored"] * 20
    assert len(world.incidents()) == 1


def test_another_alarm_under_a_used_identity_is_kept_by_its_node_and_seen_by_people(world: World) -> None:
    first = world.alarm("person")
    world.push(first)
    second = world.alarm("hoist_like_cycle", origin=first.origin)
    assert names(world.push(second)) == [("quarantined", "identity_conflict")]


def test_samples_under_an_alarms_identity_do_not_make_it_a_duplicate(world: World) -> None:
    origin = world.origin()
    world.recorder.record([world.samples(origin=origin)])
    assert names(world.push(world.alarm("person", origin=origin))) == [("stored", "opened")]


def test_a_bad_signature_is_quarantined_counted_and_refused_to_the_node(world: World) -> None:
    arrival = world.sealed(world.alarm("person"))
    broken = Arrival(topic=arrival.topic, payload=arrival.payload.replace(b"person_in_zone", b"nothing_at_all"))
    (outcome,) = world.recorder.record([broken])
    assert outcome is not None
    assert (outcome.name, outcome.reason) == ("quarantined", "bad_signature")
    assert outcome.origin is not None
    assert world.incidents() == []
    with world.database.read() as session:
        row = session.scalars(select(Quarantined)).one()
        assert (row.reason, row.payload, row.size_bytes) == ("bad_signature", broken.payload, len(broken.payload))
        assert session.get_one(QuarantineCount, "bad_signature").count == 1
    assert world.counters.as_dict()["quarantined_by_reason"] == {"bad_signature": 1}


def test_a_refused_alarm_is_taken_when_it_is_offered_again_after_the_key_was_mended(world: World) -> None:
    arrival = world.sealed(world.alarm("person"))
    with world.database.write() as session:
        key = session.get_one(Node, "node-1").public_key
        session.get_one(Node, "node-1").public_key = session.get_one(Node, "node-2").public_key
    assert names(world.recorder.record([arrival])) == [("quarantined", "unknown_key")]
    with world.database.write() as session:
        session.get_one(Node, "node-1").public_key = key
    world.clock.advance(11)
    assert names(world.recorder.record([arrival])) == [("stored", "opened")]


def test_bad_messages_take_no_good_one_with_them(world: World) -> None:
    good = [world.sealed(world.alarm("person", alarm_id=f"p{n}")) for n in range(3)]
    bad = [
        Arrival(topic=good[0].topic, payload=b"{"),
        Arrival(topic="seal/v1/s9/n9/alarm", payload=good[0].payload),
        Arrival(topic=good[0].topic, payload=b"x" * 1_000_000),
    ]
    outcomes = world.recorder.record([good[0], bad[0], good[1], bad[1], bad[2], good[2]])
    assert names(outcomes) == [
        ("stored", "opened"),
        ("quarantined", "not_json"),
        ("stored", "joined"),
        ("quarantined", "unknown_site"),
        ("quarantined", "too_large"),
        ("stored", "joined"),
    ]
    with world.database.read() as session:
        largest = session.scalars(select(Quarantined).order_by(Quarantined.size_bytes.desc())).first()
        assert largest is not None
        assert (largest.size_bytes, len(largest.payload)) == (1_000_000, rows.QUARANTINE_PAYLOAD_BYTES)


@pytest.mark.parametrize("statement", ["INSERT INTO sites (site_id) VALUES (NULL)", "INSERT INTO nowhere VALUES (1)"])
def test_a_message_that_the_database_chokes_on_goes_to_the_quarantine_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    real = Intake.take

    def poisoned(self: Intake, alarm: Alarm) -> Taken:
        taken = real(self, alarm)
        if alarm.alarm_id == "poison":
            self._session.execute(text(statement))  # an error of the database in mid-transaction
        return taken

    monkeypatch.setattr(Intake, "take", poisoned)
    alarms = [world.alarm("person", alarm_id=alarm_id) for alarm_id in ("a", "poison", "b")]
    assert names(world.push(*alarms)) == [("stored", "opened"), ("quarantined", "not_storable"), ("stored", "joined")]
    with world.database.read() as session:
        assert set(session.scalars(select(AlarmRecord.alarm_id))) == {"a", "b"}


def test_only_the_newest_bad_messages_are_kept_but_all_are_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "QUARANTINE_ROWS", 5)
    for _ in range(4):
        world.recorder.record([Arrival(topic="seal/v1/s1/node-1/alarm", payload=b"{")] * 3)
    assert count(world, Quarantined) == 5
    with world.database.read() as session:
        assert session.get_one(QuarantineCount, "not_json").count == 12


def test_a_picture_is_in_the_store_before_its_row_and_twice_is_once(world: World) -> None:
    assert names(world.recorder.record([a_snapshot(world), a_snapshot(world)])) == [("stored", "taken")] * 2
    with world.database.read() as session:
        row = session.scalars(select(Evidence)).one()
    assert world.evidence.get(row.sha256) == b"\xff\xd8jpeg"


def test_samples_are_in_the_telemetry_store_when_they_count_as_stored(world: World) -> None:
    now_ms = world.clock.wall_ms()
    world.recorder.record([world.samples()])
    series = world.telemetry.read(site_id="s1", metric="active_power_w", from_ms=0, to_ms=now_ms)
    assert list(series["meter-1"].values) == [3000.0]


class Flaky(MemoryTelemetry):
    """A telemetry store whose server is away until told otherwise."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error

    def write_blocks(self, blocks: Sequence[Columns]) -> None:
        if self.error is not None:
            raise self.error
        super().write_blocks(blocks)


def test_samples_that_cannot_be_stored_now_are_not_acknowledged_and_alarms_go_on(
    build_world: Callable[..., World],
) -> None:
    telemetry = Flaky(ConnectionError("the server is away"))
    world = build_world(telemetry=telemetry)
    samples = world.samples()
    with pytest.raises(StoreUnavailable, match="away"):
        world.recorder.record([samples])
    assert count(world, Received) == 0
    assert names(world.push(world.alarm("person"))) == [("stored", "opened")]
    telemetry.error = None
    assert names(world.recorder.record([samples])) == [("stored", "taken")]


def test_samples_that_come_again_change_nothing_and_leave_no_row(world: World) -> None:
    again = world.samples()
    assert names(world.recorder.record([again, again])) == [("stored", "taken")] * 2
    assert names(world.recorder.record([again])) == [("stored", "taken")]
    now_ms = world.clock.wall_ms()
    found = world.telemetry.read(site_id="s1", metric="active_power_w", from_ms=0, to_ms=now_ms + 1)
    assert len(found["meter-1"].at_ms) == 1
    assert count(world, Received) == 0


def test_samples_are_taken_while_the_database_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.recorder.record([world.samples()])  # the registry has been read

    def away() -> None:
        raise OSError("the database is away")

    monkeypatch.setattr(world.database, "write", away)
    assert names(world.recorder.record([world.samples()])) == [("stored", "taken")]
    with pytest.raises(StoreUnavailable):
        world.push(world.alarm("person"))


def test_samples_that_the_store_can_never_take_are_quarantined(build_world: Callable[..., World]) -> None:
    world = build_world(telemetry=Flaky(ValueError("no such column")))
    assert names(world.recorder.record([world.samples()])) == [("quarantined", "not_storable")]


def test_a_database_that_is_locked_is_no_fault_of_the_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    real = Intake.take

    def locked(_self: Intake, _alarm: Alarm) -> Taken:
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    arrival = world.sealed(world.alarm("person"))
    monkeypatch.setattr(Intake, "take", locked)
    with pytest.raises(StoreUnavailable):
        world.recorder.record([arrival])
    monkeypatch.setattr(Intake, "take", real)
    assert count(world, Quarantined) == 0
    assert names(world.recorder.record([arrival])) == [("stored", "opened")]


def test_a_node_that_reports_is_online_and_its_last_will_takes_it_offline(world: World) -> None:
    def node() -> Node:
        with world.database.read() as session:
            return session.get_one(Node, "node-1")

    start_ms = world.clock.wall_ms()
    world.recorder.record([a_status("online", start_ms)])
    assert (node().state, node().state_at_ms) == ("online", start_ms)
    world.clock.advance(60)
    world.recorder.record([a_status("offline", start_ms)])  # written by the node when it connected
    assert (node().state, node().state_at_ms) == ("offline", start_ms + 60_000)


def test_a_status_that_the_broker_only_repeats_is_as_old_as_it_says(world: World) -> None:
    then_ms = world.clock.wall_ms() - 3_600_000
    world.recorder.record([a_status("online", then_ms, retain=True)])
    world.clock.advance(10)
    world.recorder.record([a_status("online", then_ms, retain=True)])
    with world.database.read() as session:
        assert session.get_one(Node, "node-1").state_at_ms == then_ms


def test_of_several_states_of_a_node_in_one_batch_the_last_counts_and_others_are_left_alone(world: World) -> None:
    at_ms = world.clock.wall_ms()
    with world.database.read() as session:
        before = session.get_one(Node, "node-2").state
    outcomes = world.recorder.record([a_status(state, at_ms) for state in ("online", "offline", "online", "offline")])
    assert [one.name for one in outcomes if one] == ["stored"] * 4
    with world.database.read() as session:
        assert session.get_one(Node, "node-1").state == "offline"
        assert session.get_one(Node, "node-2").state == before


def test_the_first_reply_to_a_command_counts(world: World) -> None:
    for ok in (True, False):
        reply = Reply(site_id="s1", node_id="node-1", command_id="c1", ok=ok, reason="done", replied_at_ms=1)
        world.recorder.record([Arrival(topic="seal/v1/s1/node-1/reply", payload=wire.encode(reply))])
    with world.database.read() as session:
        assert session.get_one(CommandReply, ("node-1", "c1")).ok


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (2, 0, 1)])
def test_transitions_out_of_order_end_at_the_alarms_last_word(world: World, order: tuple[int, int, int]) -> None:
    alarms = [
        world.alarm("person", phase=Phase.START, score=0.1),
        world.alarm("person", phase=Phase.UPDATE, score=0.2, level=Level.ORANGE),
        world.alarm("person", phase=Phase.END, score=0.3),
    ]
    for number in order:
        world.push(alarms[number])
    with world.database.read() as session:
        row = session.scalars(select(AlarmRecord)).one()
    assert (row.phase, row.score) == ("end", 0.3)
    assert row.ended_at_ms is not None
    assert count(world, AlarmTransition) == 3
    assert len(world.incidents()) == 1


def test_an_update_after_the_nodes_clock_was_set_back_still_counts(world: World) -> None:
    world.push(world.alarm("person", score=0.1))
    later = world.alarm("person", phase=Phase.UPDATE, score=0.2)
    first = world.alarm("person", phase=Phase.UPDATE, score=0.3)
    world.push(later)
    world.clock.jump_wall(-7200)
    world.push(world.alarm("person", phase=Phase.UPDATE, score=0.9))
    world.push(first)
    with world.database.read() as session:
        assert session.scalars(select(AlarmRecord)).one().score == 0.9


def test_an_alarm_of_which_only_the_end_arrives_is_still_an_incident(world: World) -> None:
    assert names(world.push(world.alarm("person", phase=Phase.END))) == [("stored", "opened")]
    world.until(1)
    assert len(world.pages_sent()) == 1


def test_a_kind_of_next_year_is_still_an_alarm(world: World) -> None:
    world.push(world.alarm("tunnel_boring", level=Level.RED))
    incident = world.incident()
    assert (incident.level, incident.verdict) == ("red", "other")


def test_counts_add_up(world: World) -> None:
    good = world.sealed(world.alarm("person"))
    bad = Arrival(topic="nowhere", payload=b"")
    world.recorder.record([good, good, bad, world.samples()])
    counts = world.counters.as_dict()
    assert (counts["stored"], counts["duplicate"], counts["quarantined"]) == (2, 1, 1)
    assert world.counters.flat()["stored_alarm"] == 1
