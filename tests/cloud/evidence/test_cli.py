"""Getting a file by its SHA-256: the right one, or one sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sealwatch.cli import main
from sealwatch.cloud.evidence.store import FileEvidence


def test_a_file_that_has_arrived_is_copied_and_anything_else_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = tmp_path / "cloud.toml", tmp_path / "out.mp4"
    config.write_text('data_dir = "data"\nmqtt.url = "mqtt://127.0.0.1:1"\n')
    store, sha256 = FileEvidence(tmp_path / "data" / "evidence"), hashlib.sha256(b"film").hexdigest()
    call = ["cloud", "evidence", "--config", str(config), "--out", str(out)]
    assert main([*call, sha256]) == 1
    assert "has not arrived" in capsys.readouterr().err
    store.put(sha256, b"film")
    assert main([*call, sha256]) == 0
    assert out.read_bytes() == b"film"
    assert main([*call, sha256]) == 2
    assert main([*call, "../../etc/passwd"]) == 2
    out.unlink()
    store.path(sha256).write_bytes(b"another")
    assert main([*call, sha256]) == 1
    assert "damaged" in capsys.readouterr().err
