"""The agent is killed at every step from publish to release: what reached the service, and what the next life does.

The kill is a child process ending itself with `os._exit` at the named step. What it had handed to the broker by then
is in a file, so that the service of the test can have it or not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sealwatch.contract.messages import Alarm
from tests.edge.uplink.helpers import BOOT_A, BOOT_B
from tests.edge.uplink.test_publisher import Node, draft

KILLED = 9


def _in_child(work: Callable[[], None]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == KILLED


def _die(*_args: object, **_named: object) -> None:
    os._exit(KILLED)


def _die_before(node: Node, statement: str) -> None:
    assert node.outbox._db._writer is not None
    node.outbox._db._writer.set_trace_callback(lambda sql: _die() if sql.strip().startswith(statement) else None)


@dataclass(frozen=True)
class Case:
    """`step` is where the first life ends; `service_has` how many of its two messages the service had stored by then.

    Expected afterwards: how many are waiting at the next start, and how many the service then gets a second time.
    """

    name: str
    step: str
    published: int
    service_has: int
    waiting: int
    doubled: int


CASES = [
    Case("stored, nothing published", "publish 1", 0, 0, 2, 0),
    Case("alarm published, picture not", "publish 2", 1, 1, 2, 1),
    Case("both published, the broker lost them", "published", 2, 0, 2, 0),
    Case("both published, the service has one", "published", 2, 1, 2, 1),
    Case("both stored by the service, ack under way", "published", 2, 2, 2, 2),
    Case("ack received, release not begun", "release", 2, 2, 2, 2),
    Case("release begun, nothing deleted", "DELETE FROM message", 2, 2, 2, 2),
    Case("release not committed", "COMMIT", 2, 2, 2, 2),
    Case("released", "released", 2, 2, 0, 0),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_killed_at(tmp_path: Path, case: Case) -> None:
    wire_file = tmp_path / "wire"

    def first_life() -> None:
        node = Node(tmp_path)
        count = 0
        plain = node.modem.publish

        def publish(topic_name: str, payload: bytes, *, retain: bool = False) -> int | None:
            nonlocal count
            if not topic_name.endswith("status"):
                count += 1
                if case.step == f"publish {count}":
                    _die()
                with wire_file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([topic_name, payload.decode()]) + "\n")
            return plain(topic_name, payload, retain=retain)

        node.modem.publish = publish  # type: ignore[method-assign]  # a tap on the wire
        node.modem.connect()
        node.publisher.pump()
        node.sink.alarm(draft(node.clock, "one", jpeg=b"\xff\xd8"))
        node.publisher.pump()
        if case.step == "published":
            _die()
        node.modem.carry()
        if case.step == "release":
            node.outbox.release = _die  # type: ignore[method-assign]  # the named step
        elif case.step != "released":
            _die_before(node, case.step)
        node.publisher.pump()
        _die()

    _in_child(first_life)
    on_the_wire = [json.loads(line) for line in wire_file.read_text().splitlines()] if wire_file.exists() else []
    assert len(on_the_wire) == case.published
    again = Node(tmp_path, boot_id=BOOT_B)
    for topic, payload in on_the_wire[: case.service_has]:
        again.service.receive(topic, payload.encode())
    assert again.outbox.stats().depth == case.waiting
    again.sink.close_orphans()
    again.modem.connect()
    again.turn()
    taken = list(again.service.taken.values())
    assert [type(m).__name__ for m in taken].count("Snapshot") == 1
    assert [m.reason for m in taken if isinstance(m, Alarm)].count("seen_long_enough") == 1
    assert [m.reason for m in taken if isinstance(m, Alarm)].count("agent_restarted") == 1
    assert len(taken) == 3
    assert again.service.duplicates == case.doubled
    assert again.outbox.stats().depth == 0


@pytest.mark.parametrize(
    ("step", "ends_stored"),
    [("BEGIN", 0), ("INSERT INTO message", 0), ("DELETE FROM open_alarm", 0), ("COMMIT", 0), ("-", 1)],
)
def test_killed_while_ending_what_an_earlier_life_left_open_each_alarm_is_ended_exactly_once(
    tmp_path: Path, step: str, ends_stored: int
) -> None:
    first = Node(tmp_path)
    first.sink.alarm(draft(first.clock, "one"))
    first.outbox.close()

    def second_life() -> None:
        node = Node(tmp_path, boot_id=BOOT_B)
        if step != "-":
            _die_before(node, step)
        node.sink.close_orphans()
        _die()

    _in_child(second_life)
    third = Node(tmp_path, boot_id="c" * 32)
    assert third.outbox.stats().depth == 1 + ends_stored
    assert third.sink.close_orphans() == 1 - ends_stored
    third.modem.connect()
    third.turn()
    assert [m.phase.value for m in third.service.taken.values()] == ["start", "end"]


def test_killed_between_the_alarm_about_a_damaged_file_and_the_note_that_it_was_raised_it_is_raised_again_as_the_same(
    tmp_path: Path,
) -> None:
    (tmp_path / "outbox.db").write_bytes(b"no database at all" * 500)

    def first_life() -> None:
        node = Node(tmp_path)
        node.outbox.clear_notices = _die  # type: ignore[method-assign]  # the named step
        node.sink.report_notices()

    _in_child(first_life)
    again = Node(tmp_path, boot_id=BOOT_B)
    assert again.sink.report_notices() == 1
    again.modem.connect()
    again.turn()
    alarms = list(again.service.taken.values())
    assert len(alarms) == 4
    assert len({alarm.alarm_id for alarm in alarms}) == 1
    assert {alarm.origin.boot_id for alarm in alarms} == {BOOT_A, BOOT_B}
