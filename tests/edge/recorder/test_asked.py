"""Footage that somebody asks for: cut at key frames, sealed with who asked, across restarts; or why there is none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.contract.messages import Command
from sealwatch.edge.recorder.asked import ClipCommand
from sealwatch.edge.recorder.footage import CLIPS
from sealwatch.edge.uplink.commands import Answer
from sealwatch.evidence.documents import Envelope, Manifest
from tests.edge.recorder import support
from tests.edge.recorder.support import CAMERA, Node


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.encode(tmp_path_factory.mktemp("film") / "film.ts", seconds=40)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "footage", ManualClock())


def ask(node: Node, from_ms: float, to_ms: float, *, camera: str = CAMERA, number: int = 1) -> Answer:
    command = ClipCommand(lambda: node.footage, [CAMERA], node.clock, node.power)
    return command(
        Command(
            site_id="s",
            node_id="n",
            command_id=f"{number:032x}",
            name="clip",
            arguments={"camera": camera, "from": iso(from_ms), "to": iso(to_ms), "asked_by": "person:wang"},
            issued_at_ms=1,
            expires_at_ms=2,
        )
    )


def iso(at_ms: float) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def manifests(node: Node) -> list[Manifest]:
    found = []
    for row in node.store.clips(state="sealed"):
        sealed = node.store.manifest("clip", row.id)
        assert sealed is not None
        found.append(msgspec.json.decode(msgspec.json.decode(sealed, type=Envelope).body, type=Manifest))
    return found


def test_a_stretch_over_two_files_is_cut_at_key_frames_and_names_who_asked(node: Node, film: Path) -> None:
    began_ms = node.clock.wall_ms()
    node.feed(film)
    answer = ask(node, began_ms + 7_000, began_ms + 13_000)
    assert (answer.ok, answer.reason) == (True, "cut")
    [manifest] = manifests(node)
    assert began_ms + 5_000 <= manifest.from_ms <= began_ms + 7_000
    assert began_ms + 13_000 <= manifest.to_ms <= began_ms + 15_500
    assert manifest.notes == {"reason": "asked_for", "asked_by": "person:wang"}
    [entry] = manifest.files
    assert entry.sha256 in answer.detail
    clip = node.folder / CLIPS / manifest.item_id / "clip.mp4"
    assert support.pictures(clip) == pytest.approx((manifest.to_ms - manifest.from_ms) / 100, abs=3)
    assert not [row for row in node.store.clips(state="sealed") if row.sent], "it waits for the upload"


def test_a_stretch_over_a_restart_becomes_a_clip_of_each_life(tmp_path: Path, film: Path) -> None:
    first = Node(tmp_path / "footage", ManualClock())
    began_ms = first.clock.wall_ms()
    first.feed(film)
    second = first.restart()
    second.feed(film)
    answer = ask(second, began_ms + 30_000, second.clock.wall_ms() - 20_000)
    assert answer.reason == "cut"
    early, late = manifests(second)
    assert early.to_ms <= late.from_ms
    assert late.to_ms > second.clock.wall_ms() - 25_000


def test_there_is_a_named_answer_where_there_is_no_footage(node: Node, film: Path) -> None:
    began_ms = node.clock.wall_ms()
    assert ask(node, began_ms - 60_000, began_ms - 30_000).reason == "no_footage"
    node.feed(film)
    answer = ask(node, began_ms - 60_000, began_ms - 30_000, number=2)
    assert answer.reason == "no_footage"
    assert str(began_ms) in answer.detail, "it says what there is"


@pytest.mark.parametrize(
    ("from_s", "to_s", "reason"),
    [(20, 10, "bad_time"), (0, 601, "too_long"), (30, 45, "not_yet"), (10**6, 10**6 + 1, "not_yet")],
)
def test_times_that_make_no_sense_are_refused(node: Node, film: Path, from_s: int, to_s: int, reason: str) -> None:
    began_ms = node.clock.wall_ms()
    node.feed(film)
    if reason == "too_long":
        node.clock.advance(1000)
    assert ask(node, began_ms + from_s * 1000, began_ms + to_s * 1000).reason == reason


def test_a_time_without_an_offset_and_a_camera_that_is_not_there_are_refused(node: Node) -> None:
    command = ClipCommand(lambda: node.footage, [CAMERA], node.clock, node.power)
    for arguments, reason in (
        ({"camera": CAMERA, "from": "2026-03-01T22:15:00", "to": "2026-03-01T22:16:00"}, "bad_time"),
        ({"camera": CAMERA}, "bad_time"),
        ({"camera": "cam-9"}, "unknown_camera"),
    ):
        said = command(
            Command(
                site_id="s",
                node_id="n",
                command_id="c",
                name="clip",
                arguments=arguments,
                issued_at_ms=1,
                expires_at_ms=2,
            )
        )
        assert (said.ok, said.reason) == (False, reason)
