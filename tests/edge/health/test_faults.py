"""Faults of the node that last become alarms and end when they are cured; health of disk and process."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealwatch.contract.messages import PartHealth
from sealwatch.edge.health import faults
from sealwatch.edge.health.node import outbox_health, process_health
from sealwatch.edge.ports import AlarmDraft
from sealwatch.edge.uplink.entries import Limits, Stats

BOOT = "a" * 32


def part(reason: str, *, part_id: str = "cam-1", kind: str = "camera", ok: bool = False) -> PartHealth:
    return PartHealth(part_id=part_id, kind=kind, ok=ok, reason=reason)


def live(script: list[tuple[float, list[PartHealth]]]) -> list[tuple[float, AlarmDraft]]:
    """Give each health at its second; the alarms with their seconds."""
    state, found = faults.FaultState(), []
    for at_s, parts in script:
        state, drafts = faults.step(state, parts, at_s, int(at_s * 1000), boot_id=BOOT)
        found += [(at_s, draft) for draft in drafts]
    return found


def test_a_part_that_keeps_failing_is_an_alarm_after_two_minutes_and_its_end_after_the_cure() -> None:
    script = [(float(s), [part("part_failing" if s < 60 else "restart_budget_spent")]) for s in range(0, 301, 10)]
    script += [(float(s), [part("pictures_change", ok=True)]) for s in range(310, 400, 10)]
    (begun_s, begun), (ended_s, ended) = live(script)
    assert (begun_s, begun.phase, begun.reason, begun.started_at_ms) == (120, "start", "restart_budget_spent", 0)
    assert (ended_s, ended.phase, ended.reason, ended.alarm_id) == (340, "end", "cured", begun.alarm_id)
    assert "cam-1" in begun.sentence_zh
    assert "unwatched" in begun.sentence_en


def test_a_single_failure_that_is_mended_by_a_restart_is_no_alarm() -> None:
    script = [(float(s), [part("part_failing")]) for s in range(0, 61, 10)]
    script += [(float(s), [part("pictures_change", ok=True)]) for s in range(70, 400, 10)]
    assert live(script) == []


def test_a_cure_that_does_not_last_keeps_the_alarm_standing() -> None:
    script = [(float(s), [part("part_failing")]) for s in range(0, 201, 10)]
    script += [(210.0, [part("fine", ok=True)]), (220.0, [part("part_failing")]), (300.0, [part("part_failing")])]
    assert [draft.phase.value for _, draft in live(script)] == ["start"]


@pytest.mark.parametrize("reason", ["disk_full", "disk_read_only", "disk_error", "nearly_full"])
def test_a_disk_that_refuses_is_an_alarm_with_advice_of_its_own(reason: str) -> None:
    script = [(float(s), [part(reason, part_id="outbox", kind="outbox")]) for s in range(0, 200, 10)]
    ((_, draft),) = live(script)
    assert draft.reason == reason
    assert (
        draft.sentence_zh
        != live([(s, [part("disk_busy", part_id="outbox", kind="outbox")]) for s, _ in script])[0][1].sentence_zh
    )


def test_what_a_watcher_tells_itself_is_not_told_twice() -> None:
    assert live([(float(s), [part("signal_lost"), part("silent", kind="meter")]) for s in range(0, 900, 10)]) == []


def stats(trouble: str = "") -> Stats:
    return Stats(
        pending=3, refused=1, in_memory=2, samples_bytes=0, snapshots_bytes=0, samples_thinned=4, snapshots_dropped=5,
        trouble=trouble, refused_reason="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("trouble", "free", "ok", "reason"),
    [
        ("", 10**12, True, "storing"),
        ("", 1000, False, "nearly_full"),
        ("", None, True, "storing"),
        ("disk_full", 0, False, "disk_full"),
    ],
)
def test_the_outbox_is_well_while_the_disk_takes_what_is_written(
    trouble: str, free: int | None, ok: bool, reason: str
) -> None:
    health = outbox_health(stats(trouble), free_bytes=free, limits=Limits(), now_ms=1)
    assert (health.ok, health.reason) == (ok, reason)
    assert health.numbers["waiting"] == 6
    assert health.numbers["samples_thinned"] == 4


def test_the_process_tells_its_resident_memory_where_the_kernel_does(tmp_path: Path) -> None:
    assert process_health(now_ms=1).numbers["resident_mb"] > 10
    assert process_health(now_ms=1, statm=tmp_path / "nowhere").numbers == {}
