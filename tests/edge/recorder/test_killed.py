"""Killed at every state of closing a segment and of making a clip: the table of what the next start ends in.

A kill is an exception that nothing in the code handles, thrown between two steps; the next life opens the same folder.
Real kills of a real process are in `test_recording`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.contract import signing
from sealwatch.contract.codes import Phase
from sealwatch.edge.recorder import packing
from sealwatch.edge.recorder.footage import CLIPS
from sealwatch.edge.recorder.segment import FRAGMENT_S
from sealwatch.evidence import chain
from sealwatch.evidence.documents import Envelope, Manifest
from sealwatch.evidence.verify import verify
from tests.edge.recorder import support
from tests.edge.recorder.support import CAMERA, KEY, Node


class KilledError(BaseException):
    """The plug is pulled."""


def killer(step: str, nth: int) -> Callable[[str], None]:
    left = [nth]

    def pull(now: str) -> None:
        if now == step:
            left[0] -= 1
            if left[0] == 0:
                raise KilledError(step)

    return pull


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.encode(tmp_path_factory.mktemp("film") / "film.ts", seconds=60)


# step, its nth time, segments before the kill, how the interrupted one was sealed ("": it is empty, so it is gone)
SEGMENTS = [
    ("segment.opened", 1, 0, ""),
    ("segment.opened", 2, 1, ""),
    ("segment.closed", 1, 0, "later"),
    ("segment.closed", 3, 2, "later"),
    ("segment.sealed", 1, 0, "on_close"),
    ("segment.sealed", 3, 2, "on_close"),
]


@pytest.mark.parametrize(("step", "nth", "before", "sealed"), SEGMENTS)
def test_segment(tmp_path: Path, film: Path, step: str, nth: int, before: int, sealed: str) -> None:
    node = Node(tmp_path / "footage", ManualClock(), step=killer(step, nth))
    with pytest.raises(KilledError):
        node.feed(film)
    later = node.restart()
    later.recorder.pump()
    rows = later.store.segments(CAMERA)
    manifests = [manifest_of(later, "segment", row.id) for row in rows]
    assert [m.sealed for m in manifests] == ["on_close"] * before + ([sealed] if sealed else [])
    assert all_sound(later)
    assert {row.path for row in rows} == {f"{CAMERA}/{file.name}" for file in later.files()}
    later.feed(film)  # and life goes on
    later.hang_up()
    assert all_sound(later)


CLIP_STEPS = [
    # step, nth, state of the row when the plug is pulled, the clip's folder is there
    ("clip.wanted", 1, "wanted", False),
    ("clip.wanted", 2, "wanted", False),
    ("clip.cut", 1, "wanted", False),
    ("clip.files", 1, "wanted", False),
    ("clip.moved", 1, "wanted", True),
    ("clip.sealed", 1, "sealed", True),
]


@pytest.mark.parametrize(("step", "nth", "state", "there"), CLIP_STEPS)
def test_clip(tmp_path: Path, film: Path, step: str, nth: int, state: str, there: bool) -> None:
    node = Node(tmp_path / "footage", ManualClock(), step=killer(step, nth))
    with pytest.raises(KilledError):
        node.feed(film, at={20.0: node.say(Phase.START), 25.0: node.say(Phase.END)})
    [row] = node.store.clips()
    assert row.state == state
    assert (node.folder / CLIPS / row.id).exists() == there
    later = node.restart()
    later.recorder.pump()
    [row] = later.store.clips()
    assert row.state == "sealed"
    folder = later.folder / CLIPS / row.id
    manifest = manifest_of(later, "clip", row.id)
    assert {f.name for f in manifest.files} == {"clip.mp4", "snapshot.jpg"} == {p.name for p in folder.iterdir()}
    assert manifest.notes.get("cut_short") == (None if state == "sealed" else "restart")
    assert list((later.folder / CLIPS).glob(".*")) == []
    assert all_sound(later)
    target = tmp_path / "pack.zip"
    packing.write_pack(later.footage, packing.items_of_alarm(later.footage, "a1"), target, pack_id="p")
    assert verify(target, [KEY.public_key()]).holds


@pytest.mark.parametrize("share", [0.0, 0.1, 0.33, 0.5, 0.77, 0.9, 0.99])
@pytest.mark.parametrize("tail", [b"", b"\0" * 5000], ids=["cut", "zeros"])
def test_power_cut_that_drops_what_was_not_synced(tmp_path: Path, film: Path, share: float, tail: bytes) -> None:
    node = Node(tmp_path / "footage", ManualClock(), segment_s=1000, step=killer("segment.closed", 1))
    node.feed(film)
    with pytest.raises(KilledError):
        node.hang_up()
    [file] = node.files()
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)] + tail)
    later = node.restart()
    later.recorder.pump()
    assert all_sound(later)
    kept = later.files()
    assert len(kept) == len(later.store.segments(CAMERA)) == (1 if share >= 0.1 else 0)
    if kept:
        assert support.pictures(kept[0]) >= (60 * share - 2 * FRAGMENT_S) * support.FPS * 0.8


def test_a_damaged_index_costs_no_clip(tmp_path: Path, film: Path) -> None:
    node = Node(tmp_path / "footage", ManualClock())
    node.feed(film, at={20.0: node.say(Phase.START), 25.0: node.say(Phase.END)})
    node.hang_up()
    [before] = node.store.clips()
    node.store.close()
    (node.folder / "footage.db").write_bytes(b"not a database, " * 1000)
    for suffix in ("-wal", "-shm"):
        (node.folder / f"footage.db{suffix}").unlink(missing_ok=True)
    later = Node(node.folder, node.clock, boot=2)
    later.recorder.pump()
    [after] = later.store.clips()
    assert (after.id, after.state, after.camera_id) == (before.id, "sealed", CAMERA)
    manifest = manifest_of(later, "clip", after.id)
    assert (manifest.alarm_id, manifest.sealed) == ("a1", "later")
    assert {f.name for f in manifest.files} == {"clip.mp4", "snapshot.jpg"}
    assert all_sound(later)


def manifest_of(node: Node, table: str, key: int | str) -> Manifest:
    sealed = node.store.manifest("clip" if table == "clip" else "segment", key)
    assert sealed is not None
    return msgspec.json.decode(msgspec.json.decode(sealed, type=Envelope).body, type=Manifest)


def all_sound(node: Node) -> bool:
    """Every file on disk has a manifest with its hash, and the chain holds from its first link to its last."""
    trusted = {signing.key_id(KEY.public_key()): KEY.public_key()}
    checked = chain.check(node.store.links(1, node.store.head().index), trusted, None)
    assert checked.findings == ()
    assert [link.index for link in checked.links] == list(range(1, node.store.head().index + 1))
    for row in node.store.segments(state="closed"):
        digest = hashlib.sha256((node.folder / row.path).read_bytes()).hexdigest()
        assert manifest_of(node, "segment", row.id).files[0].sha256 == digest
    return True
