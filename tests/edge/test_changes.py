"""A change of the configuration is recorded and told, whoever made it and however."""

from __future__ import annotations

from pathlib import Path

from sealwatch.base.clock import ManualClock
from sealwatch.contract.codes import Level, Phase
from sealwatch.edge.changes import LOG_FILE, ChangeLog
from sealwatch.edge.ports import MemorySink


def log(folder: Path) -> tuple[ChangeLog, MemorySink]:
    sink = MemorySink()
    return ChangeLog(folder, sink, ManualClock()), sink


def test_a_change_says_who_where_and_what_and_ends_at_once(tmp_path: Path) -> None:
    changes, sink = log(tmp_path)
    changes.record(
        "zones_changed", level=Level.YELLOW, who="张三", where="10.0.0.9", subject="cam", before="井口 36%", after=""
    )
    start, end = sink.alarms
    assert (start.phase, end.phase, start.alarm_id == end.alarm_id) == (Phase.START, Phase.END, True)
    assert (start.kind, start.source_id, start.reason) == ("node_fault", "cam", "zones_changed")
    for part in ("张三", "10.0.0.9", "cam", "井口 36%", "（空）"):
        assert part in start.sentence_zh
    (kept,) = changes.latest(10)
    assert (kept.who, kept.where, kept.before, kept.after) == ("张三", "10.0.0.9", "井口 36%", "")
    assert (tmp_path / LOG_FILE).stat().st_mode & 0o077 == 0


def test_a_file_edited_while_the_agent_was_away_is_told_once(tmp_path: Path) -> None:
    first, sink = log(tmp_path)
    assert not first.compare("a = 1")  # the first start knows nothing to compare with
    assert not first.compare("a = 1")
    assert sink.alarms == []
    second, sink = log(tmp_path)
    assert second.compare("a = 2")
    assert [(a.phase, a.level, a.reason) for a in sink.alarms] == [
        (Phase.START, Level.ORANGE, "configuration_changed"),
        (Phase.END, Level.ORANGE, "configuration_changed"),
    ]
    assert not second.compare("a = 2")
    second.accept("a = 3")  # told in another way
    third, sink = log(tmp_path)
    assert not third.compare("a = 3")
    assert sink.alarms == []


def test_a_torn_line_hides_no_other(tmp_path: Path) -> None:
    changes, _ = log(tmp_path)
    changes.record("login_locked", level=Level.YELLOW, subject="page")
    with (tmp_path / LOG_FILE).open("ab") as file:
        file.write(b'{"at_ms": 1, "wh')
    assert [change.what for change in changes.latest(10)] == ["login_locked"]


def test_a_disk_that_refuses_keeps_no_alarm_back(tmp_path: Path) -> None:
    changes, sink = log(tmp_path / "nowhere")
    changes.record("login_locked", level=Level.YELLOW, subject="page")
    assert len(sink.alarms) == 2
    assert changes.latest(10) == []
