"""Evidence stores: one suite for both, then what only the disk can do to a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealwatch.cloud.evidence.store import FileEvidence, MemoryEvidence
from sealwatch.cloud.ports import EvidenceStore

PICTURE = b"\xff\xd8 a picture"
NAME = hashlib.sha256(PICTURE).hexdigest()


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> EvidenceStore:
    return MemoryEvidence() if request.param == "memory" else FileEvidence(tmp_path / "evidence")


def test_a_file_comes_back_as_it_was_put(store: EvidenceStore) -> None:
    store.put(NAME, PICTURE)
    store.put(NAME, PICTURE)
    assert store.get(NAME) == PICTURE


def test_a_file_that_has_not_arrived_is_none(store: EvidenceStore) -> None:
    assert store.get(NAME) is None


def test_a_file_under_another_hash_is_refused_and_not_kept(store: EvidenceStore) -> None:
    with pytest.raises(ValueError, match="altered"):
        store.put(NAME, PICTURE + b"!")
    assert store.get(NAME) is None


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", "A" * 64, NAME.upper(), NAME + "0", "." * 64, NAME[:-1] + "\n"]
)
def test_a_name_that_is_no_hash_never_becomes_a_path(store: EvidenceStore, name: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256"):
        store.get(name)
    with pytest.raises(ValueError, match="not a SHA-256"):
        store.put(name, PICTURE)


@given(data=st.binary(max_size=2000))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_content_survives(store: EvidenceStore, data: bytes) -> None:
    store.put(hashlib.sha256(data).hexdigest(), data)
    assert store.get(hashlib.sha256(data).hexdigest()) == data


def test_files_lie_two_folders_deep_and_no_temporary_file_stays(tmp_path: Path) -> None:
    FileEvidence(tmp_path).put(NAME, PICTURE)
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()] == [
        f"{NAME[:2]}/{NAME[2:4]}/{NAME}"
    ]


def test_a_file_that_the_disk_altered_is_not_shown_and_is_mended_by_the_next_put(tmp_path: Path) -> None:
    store = FileEvidence(tmp_path)
    store.put(NAME, PICTURE)
    store.path(NAME).write_bytes(b"\xff\xd8 another picture")
    with pytest.raises(ValueError, match="altered"):
        store.get(NAME)
    store.put(NAME, PICTURE)
    assert store.get(NAME) == PICTURE


def test_the_file_and_each_new_folder_are_fsynced_before_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, synced = os.fsync, []

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    FileEvidence(tmp_path).put(NAME, PICTURE)
    one, two = tmp_path / NAME[:2], tmp_path / NAME[:2] / NAME[2:4]
    assert synced[:2] == [tmp_path, one]
    assert synced[2].parent == tmp_path / "incoming"
    assert synced[3:] == [two]


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileEvidence(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    store._make_folders(store.path(NAME).parent)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.put(NAME, PICTURE)
    monkeypatch.undo()
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    assert store.get(NAME) is None


def test_a_start_removes_what_a_crash_left_behind_but_not_what_is_being_written(tmp_path: Path) -> None:
    FileEvidence(tmp_path)
    old, new = tmp_path / "incoming" / "old", tmp_path / "incoming" / "new"
    old.write_bytes(b"half a pic")
    new.write_bytes(b"half a pic")
    os.utime(old, (1_700_000_000, 1_700_000_000))
    FileEvidence(tmp_path)
    assert [p.name for p in (tmp_path / "incoming").iterdir()] == ["new"]
