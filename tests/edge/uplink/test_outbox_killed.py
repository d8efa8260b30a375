"""The agent is killed at every step of storing, releasing and refusing: what the next start finds, step by step.

The kill is real: a child process ends itself with `os._exit` right before the named statement is carried out, so that
nothing is flushed, closed or rolled back by anybody.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sealwatch.contract.codes import Phase
from sealwatch.edge.uplink.entries import Ref
from sealwatch.edge.uplink.outbox import Outbox
from tests.edge.uplink.helpers import BOOT_A, BOOT_B, alarm, outbox, picture, texts

KILLED = 9


def _in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _kill_before(box: Outbox, statement: str, occurrence: int = 1) -> None:
    left = occurrence

    def trace(sql: str) -> None:
        nonlocal left
        if sql.strip().startswith(statement):
            left -= 1
            if left == 0:
                os._exit(KILLED)

    assert box._db._writer is not None
    box._db._writer.set_trace_callback(trace)


@dataclass(frozen=True)
class Case:
    """Stored before: the start of alarm `old`, with its picture. Then `action`, killed before `statement`."""

    name: str
    action: str
    statement: str
    occurrence: int
    waiting: list[str]  # what the next start offers, in order
    refused: int
    open_alarms: list[str]


OLD = ["old/start/1", "snapshot"]
CASES = [
    Case("store: nothing begun", "store", "BEGIN", 1, OLD, 0, ["old"]),
    Case("store: alarm not written", "store", "INSERT INTO message", 1, OLD, 0, ["old"]),
    Case("store: picture not written", "store", "INSERT INTO message", 2, OLD, 0, ["old"]),
    Case("store: not noted as open", "store", "INSERT OR REPLACE INTO open_alarm", 1, OLD, 0, ["old"]),
    Case("store: not committed", "store", "COMMIT", 1, OLD, 0, ["old"]),
    Case(
        "store: committed, nobody told",
        "store",
        "-",
        1,
        ["new/start/3", "old/start/1", "snapshot", "snapshot"],
        0,
        ["old", "new"],
    ),
    Case("end: written, still open", "end", "DELETE FROM open_alarm", 1, OLD, 0, ["old"]),
    Case("end: not committed", "end", "COMMIT", 1, OLD, 0, ["old"]),
    Case("end: committed", "end", "-", 1, ["old/start/1", "old/end/3", "snapshot"], 0, []),
    Case("release: nothing begun", "release", "BEGIN", 1, OLD, 0, ["old"]),
    Case("release: first of two deleted", "release", "DELETE FROM message", 2, OLD, 0, ["old"]),
    Case("release: not committed", "release", "COMMIT", 1, OLD, 0, ["old"]),
    Case("release: committed", "release", "-", 1, [], 0, ["old"]),
    Case("refuse: marked, not committed", "refuse", "COMMIT", 1, OLD, 0, ["old"]),
    Case("refuse: committed", "refuse", "-", 1, ["snapshot"], 1, ["old"]),
    Case("offer again: not committed", "reoffer", "COMMIT", 1, ["snapshot"], 1, ["old"]),
    Case("offer again: committed", "reoffer", "-", 1, OLD, 0, ["old"]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_killed_at(tmp_path: Path, case: Case) -> None:
    def live_and_die() -> None:
        box = outbox(tmp_path)
        box.enqueue([alarm("old"), picture()])
        first = Ref(BOOT_A, 1)
        if case.action == "reoffer":
            box.refuse({first: "unknown_key"})
        if case.statement != "-":
            _kill_before(box, case.statement, case.occurrence)
        if case.action == "store":
            box.on_change = lambda: os._exit(KILLED)
            box.enqueue([alarm("new"), picture()])
        elif case.action == "end":
            box.enqueue([alarm("old", Phase.END)])
        elif case.action == "release":
            box.release([first, Ref(BOOT_A, 2)])
        elif case.action == "refuse":
            box.refuse({first: "unknown_key"})
        else:
            box.reoffer()
        os._exit(KILLED)

    assert _in_child(live_and_die) == KILLED
    again = outbox(tmp_path, boot_id=BOOT_B)
    assert texts(again) == case.waiting
    assert again.stats().refused == case.refused
    assert [a.alarm_id for a in again.open_alarms()] == case.open_alarms
    assert again.enqueue([alarm("next")]) == [Ref(BOOT_B, 1)]


REPLACING = [
    "os.link",
    "open successor",
    "rescue",
    "rename to successor",
    "drop the old log",
    "rename into place",
]


@pytest.mark.parametrize("step", REPLACING)
def test_killed_while_a_damaged_file_is_replaced_the_next_start_ends_with_everything_readable(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = outbox(tmp_path)
    for number in range(50):
        box.enqueue([alarm(f"alarm-{number}")])
    box.close()
    # A file of a newer version takes the same way as a damaged one, and all of it can be read.
    box = outbox(tmp_path)
    assert box._db._writer is not None
    box._db._writer.execute("PRAGMA user_version = 1000")
    box.close()

    def live_and_die() -> None:
        from sealwatch.edge.uplink import store

        def die(*_args: object, **_named: object) -> None:
            os._exit(KILLED)

        def die_at(name: str) -> Callable[..., None]:
            original = getattr(Path, name)

            def guarded(self: Path, *args: object, **named: object) -> None:
                target = str(args[0]) if args else str(self)
                if (step, name) == ("rename to successor", "rename") and target.endswith(".successor"):
                    die()
                if (step, name) == ("rename into place", "rename") and target.endswith("outbox.db"):
                    die()
                if (step, name) == ("drop the old log", "unlink") and target.endswith("outbox.db-wal"):
                    die()
                original(self, *args, **named)

            return guarded

        for name in ("rename", "unlink"):
            monkeypatch.setattr(Path, name, die_at(name))
        if step == "os.link":
            monkeypatch.setattr(store, "_keep", die)
        if step == "rescue":
            monkeypatch.setattr(store, "_readable_rows", die)
        if step == "open successor":
            real_open = store._open
            monkeypatch.setattr(store, "_open", lambda path: die() if "building" in path.name else real_open(path))
        outbox(tmp_path)

    assert _in_child(live_and_die) == KILLED
    again = outbox(tmp_path, boot_id=BOOT_B)
    assert again.stats().pending == 50
    assert len(again.open_alarms()) == 50
    assert [n.reason for n in again.notices()] == ["newer_version"]
    assert not list(tmp_path.glob("*.successor*"))
    assert not list(tmp_path.glob("*.building*"))
