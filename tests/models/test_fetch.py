from __future__ import annotations

import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.base.errors import CommandFailed
from sealwatch.models import fetch, store
from sealwatch.models.errors import SourceRefusedError
from sealwatch.models.fetch import Report
from sealwatch.models.manifest import Licence, SourceFile, SourceSpec
from tests.models.support import archive, sha256

GRAPH, WEIGHTS = b'{"nodes": []}', bytes(range(256)) * 400
FILES = {"LICENSE": b"free", "models/net.json": GRAPH, "models/net.bin": WEIGHTS, "models/other.bin": b"x" * 5000}
SOURCE = SourceSpec(
    package="@someone/nets",
    version="1.2.3",
    download_bytes=1000,
    licences=[Licence(part="all", holder="someone", spdx="MIT")],
    file=[
        SourceFile(path="models/net.json", size_bytes=len(GRAPH), sha256=sha256(GRAPH)),
        SourceFile(path="models/net.bin", size_bytes=len(WEIGHTS), sha256=sha256(WEIGHTS)),
    ],
)


class Registry:
    """A packer that hands out given bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[str] = []

    def __call__(self, requirement: str, folder: Path, report: Report) -> Path:
        self.asked.append(requirement)
        (folder / "archive.tgz").write_bytes(self.content)
        report(len(self.content))
        return folder / "archive.tgz"


def left_behind(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


def test_only_the_named_files_are_kept_and_nothing_else_stays(tmp_path: Path) -> None:
    seen: list[int] = []
    registry = Registry(archive(FILES))
    folder = fetch.fetch(SOURCE, tmp_path, registry, seen.append)
    assert registry.asked == ["@someone/nets@1.2.3"]
    assert seen == [len(registry.content)]
    assert (folder / "net.json").read_bytes() == GRAPH
    assert (folder / "net.bin").read_bytes() == WEIGHTS
    assert left_behind(tmp_path) == ["source/someone-nets-1.2.3/net.bin", "source/someone-nets-1.2.3/net.json"]


def test_what_is_there_is_not_downloaded_again(tmp_path: Path) -> None:
    fetch.fetch(SOURCE, tmp_path, Registry(archive(FILES)), lambda _: None)
    offline = Registry(b"")
    fetch.fetch(SOURCE, tmp_path, offline, lambda _: None)
    assert offline.asked == []


def test_a_kept_file_that_changed_on_the_disk_is_fetched_anew(tmp_path: Path) -> None:
    folder = fetch.fetch(SOURCE, tmp_path, Registry(archive(FILES)), lambda _: None)
    (folder / "net.bin").write_bytes(WEIGHTS[:-1])
    assert [f.path for f in fetch.missing_files(folder, SOURCE)] == ["models/net.bin"]
    fetch.fetch(SOURCE, tmp_path, Registry(archive(FILES)), lambda _: None)
    assert fetch.missing_files(folder, SOURCE) == []


def tampered() -> bytes:
    return archive(FILES | {"models/net.bin": WEIGHTS[:-1] + b"!"})


def longer() -> bytes:
    return archive(FILES | {"models/net.bin": WEIGHTS + b"more"})


def without_weights() -> bytes:
    return archive({name: content for name, content in FILES.items() if name != "models/net.bin"})


def cut_short() -> bytes:
    whole = archive(FILES)
    return whole[: len(whole) * 2 // 3]


def link_instead_of_file(folder: Path) -> bytes:
    with tarfile.open(folder / "link.tgz", "w:gz") as tar:
        member = tarfile.TarInfo("package/models/net.bin")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(member)
    content = (folder / "link.tgz").read_bytes()
    (folder / "link.tgz").unlink()
    return content


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (tampered, "is not the file SealWatch was built for"),
        (longer, "is not the file SealWatch was built for"),
        (without_weights, "has no models/net.bin"),
        (cut_short, "damaged or cut short"),
        (lambda: b"", "damaged or cut short"),
        (lambda: b"<html>Sign in to the hotel network</html>", "damaged or cut short"),
    ],
)
def test_a_broken_download_is_refused_and_leaves_nothing(
    tmp_path: Path, make: Callable[[], bytes], sentence: str
) -> None:
    with pytest.raises(SourceRefusedError, match=sentence):
        fetch.fetch(SOURCE, tmp_path, Registry(make()), lambda _: None)
    assert left_behind(tmp_path) == []


def test_a_link_in_the_archive_is_never_followed(tmp_path: Path) -> None:
    content = link_instead_of_file(tmp_path)
    with pytest.raises(SourceRefusedError, match="is not the file"):
        fetch.fetch(SOURCE, tmp_path, Registry(content), lambda _: None)
    assert left_behind(tmp_path) == []


def test_a_failing_download_leaves_nothing(tmp_path: Path) -> None:
    def unreachable(requirement: str, folder: Path, report: Report) -> Path:
        (folder / "half.tgz").write_bytes(b"half")
        raise CommandFailed("npm could not fetch it")

    with pytest.raises(CommandFailed, match="npm could not"):
        fetch.fetch(SOURCE, tmp_path, unreachable, lambda _: None)
    assert left_behind(tmp_path) == []


def test_a_full_disk_is_told_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    registry = Registry(archive(FILES))
    with pytest.raises(CommandFailed, match="1 MB are; make room"):
        fetch.fetch(SOURCE, tmp_path, registry, lambda _: None)
    assert registry.asked == []


def test_what_a_killed_run_left_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / ".fetch-dead").mkdir()
    (tmp_path / ".fetch-dead" / "archive.tgz").write_bytes(b"x")
    (tmp_path / ".small.onnx.abc.part").write_bytes(b"x")
    (tmp_path / "small.onnx").write_bytes(b"kept")
    with fetch.locked(tmp_path):
        assert left_behind(tmp_path) == ["small.onnx"]


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandFailed, match="SEALWATCH_MODEL_DIR"), fetch.locked(tmp_path / "file" / "models"):
        pytest.fail("a file is no folder")


def test_a_program_that_fails_is_told_with_its_own_reason(tmp_path: Path) -> None:
    complaint = (
        "import sys; sys.exit('npm ERR! code E404\\nnpm ERR! no such package\\nnpm ERR! A complete log of it: x')"
    )
    with pytest.raises(CommandFailed, match=r"could not fetch nets \(no such package\); check the network"):
        fetch.run([sys.executable, "-c", complaint], tmp_path, lambda: 0, "npm could not fetch nets")


def test_a_download_that_gets_nowhere_is_given_up(tmp_path: Path) -> None:
    clock = ManualClock()

    def stuck() -> int:
        clock.advance(fetch.PATIENCE_S / 2 + 1)
        return 17

    endless = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(CommandFailed, match=r"npm could not fetch nets \(nothing came for 180 s\)"):
        fetch.run(endless, tmp_path, stuck, "npm could not fetch nets", clock=clock)


def test_a_download_that_is_slow_but_moves_is_waited_for(tmp_path: Path) -> None:
    clock, steps = ManualClock(), iter(range(1, 1000))

    def slow() -> int:
        clock.advance(fetch.PATIENCE_S - 1)
        step = next(steps)
        (tmp_path / "enough").write_text("") if step > 3 else None
        return step

    patient = "import pathlib, time\nwhile not pathlib.Path('enough').exists(): time.sleep(0.01)"
    fetch.run([sys.executable, "-c", patient], tmp_path, slow, "failed", clock=clock)
    assert next(steps) > 4


def test_a_program_does_not_outlive_a_caller_that_is_interrupted(tmp_path: Path) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    endless = "import pathlib, os, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"
    with pytest.raises(KeyboardInterrupt):
        fetch.run([sys.executable, "-c", endless], tmp_path, interrupted, "failed")
    pid = tmp_path / "pid"
    assert not pid.exists() or not Path("/proc", pid.read_text(), "cmdline").exists()


def write_half(target: Path) -> None:
    with store.whole_file(target) as part:
        part.write_bytes(b"half")
        raise RuntimeError("power cut")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model.onnx"
    with pytest.raises(RuntimeError, match="power cut"):
        write_half(target)
    assert left_behind(tmp_path) == []
    store.write_whole(target, b"old")
    with pytest.raises(RuntimeError, match="power cut"):
        write_half(target)
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SEALWATCH_MODEL_DIR": "/a/b"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/sealwatch/models"),
        ({"HOME": "/home/warden"}, "/home/warden/.cache/sealwatch/models"),
    ],
)
def test_where_the_store_is(environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEALWATCH_MODEL_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert store.folder() == Path(expected)
