"""Making releases: what is wrong with a folder is said, and only the right key and the right files pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sealwatch.cli import main


def sealwatch(*arguments: object) -> int:
    return main(["release", *map(str, arguments)])


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("sealwatch-1.2.0-py3-none-any.whl", "pip-23.2.1-py3-none-any.whl", "rich-13.0-py3-none-any.whl"):
        (folder / name).write_bytes(name.encode())
    return folder


def public_key(key: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert sealwatch("key", "--key", key) == 0
    return capsys.readouterr().out.strip()


def test_a_release_passes_with_its_key_and_its_files_alone(
    wheels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, sealed, key, other = (tmp_path / name for name in ("r.json", "r.release", "key.pem", "other.pem"))
    assert sealwatch("make", "agent", wheels, "--out", text, "--min-agent", "1.1") == 0
    assert json.loads(text.read_text())["version"] == "1.2.0"
    assert sealwatch("sign", text, "--key", key, "--out", sealed) == 2, "a key is made on purpose, never in passing"
    pinned = public_key(key, capsys)
    assert sealwatch("sign", text, "--key", key, "--out", sealed) == 0
    assert sealwatch("verify", sealed, "--public-key", pinned, "--files", wheels) == 0
    assert sealwatch("verify", sealed, "--public-key", public_key(other, capsys)) == 2
    (wheels / "rich-13.0-py3-none-any.whl").write_bytes(b"another")
    assert sealwatch("verify", sealed, "--public-key", pinned, "--files", wheels) == 1
    assert "rich-13.0" in capsys.readouterr().err
    sealed.write_text(sealed.read_text().replace("1.2.0", "1.3.0"))
    assert sealwatch("verify", sealed, "--public-key", pinned) == 2


@pytest.mark.parametrize(
    ("lost", "added", "said"),
    [
        ("sealwatch-1.2.0-py3-none-any.whl", None, "one wheel of sealwatch"),
        ("pip-23.2.1-py3-none-any.whl", None, "the wheel of pip"),
        (None, "rich-14.0-py3-none-any.whl", "rich is there twice"),
    ],
)
def test_a_folder_that_makes_no_agent_is_told(
    wheels: Path, capsys: pytest.CaptureFixture[str], lost: str | None, added: str | None, said: str
) -> None:
    if lost:
        (wheels / lost).unlink()
    if added:
        (wheels / added).write_bytes(b"x")
    assert sealwatch("make", "agent", wheels, "--out", wheels / "r.json") == 2
    assert said in capsys.readouterr().err


def test_a_model_is_a_manifest_and_its_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "yard.toml").write_text("format = 1\n")
    assert sealwatch("make", "model", tmp_path, "--version", "3", "--out", tmp_path / "r.json") == 2
    (tmp_path / "yard.onnx").write_bytes(b"x")
    assert sealwatch("make", "model", tmp_path, "--out", tmp_path / "r.json") == 2
    assert sealwatch("make", "model", tmp_path, "--version", "v3", "--out", tmp_path / "r.json") == 2
    assert "version" in capsys.readouterr().err
    assert sealwatch("make", "model", tmp_path, "--version", "3", "--out", tmp_path / "r.json") == 0
    assert json.loads((tmp_path / "r.json").read_text())["platform"] == "any"
