"""`sealwatch evidence verify`: sentences in both languages, JSON, exit codes, folders, keys."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sealwatch.cli import main
from sealwatch.contract import signing
from sealwatch.contract.codes import ClockQuality
from sealwatch.evidence.container import open_container
from sealwatch.evidence.verify import verify
from tests.evidence import support
from tests.evidence.support import KEY

PUBLIC = signing.public_key_text(KEY.public_key())


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = tmp_path / "pack.zip"
    path.write_bytes(support.build(tmp_path))
    return path


def test_a_sound_pack_exits_0_and_is_explained_in_both_languages(
    pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evidence", "verify", str(pack), "--key", PUBLIC]) == 0
    out = capsys.readouterr().out
    assert "核验通过" in out
    assert "VERIFIED: pack.zip" in out
    assert "clip-1" in out


def test_a_tampered_pack_exits_1_and_names_the_reason(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = support.unpack(pack.read_bytes())
    members.members["files/clip-1/clip.mp4"] += b"!"
    pack.write_bytes(members.zipped())
    assert main(["evidence", "verify", str(pack), "--key", PUBLIC, "--lang", "en"]) == 1
    out = capsys.readouterr().out
    assert "[altered_file] files/clip-1/clip.mp4" in out
    assert "核验" not in out


def test_json_carries_reasons_and_both_sentences(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evidence", "verify", str(pack), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["holds"] is False
    assert {f["reason"] for f in found["faults"]} == {"no_key_given"}
    assert all(f["sentence_zh"] and f["sentence_en"] for f in found["faults"])


@pytest.mark.parametrize("form", ["lines", "pem"])
def test_the_key_may_be_a_file(pack: Path, tmp_path: Path, form: str) -> None:
    file = tmp_path / "node.pub"
    if form == "lines":
        other = signing.public_key_text(Ed25519PrivateKey.generate().public_key())
        file.write_text(f"# nodes of the county\n{other}\n{PUBLIC}  # fushun-017-1\n", encoding="utf-8")
    else:
        file.write_bytes(
            KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
    assert main(["evidence", "verify", str(pack), "--key", str(file)]) == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a key\n",
        b"\xff\xfe",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        X25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    ],
    ids=["empty", "words", "binary", "bad pem", "another kind"],
)
def test_a_key_file_without_a_key_is_a_wrong_call(
    pack: Path, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "node.pub"
    file.write_bytes(content)
    assert main(["evidence", "verify", str(pack), "--key", str(file)]) == 2
    assert "--key" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["nowhere.zip"], ["nowhere.zip", "--key", "no-such-key"]])
def test_what_is_not_there_is_a_wrong_call(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evidence", "verify", *arguments]) == 2
    assert "sealwatch: " in capsys.readouterr().err


def unpacked(pack: Path, folder: Path) -> Path:
    with zipfile.ZipFile(pack) as archive:
        archive.extractall(folder)
    return folder


def test_an_unpacked_pack_holds_too(pack: Path, tmp_path: Path) -> None:
    assert verify(unpacked(pack, tmp_path / "out"), [KEY.public_key()]).holds


def test_a_link_in_an_unpacked_pack_is_not_followed(pack: Path, tmp_path: Path) -> None:
    folder = unpacked(pack, tmp_path / "out")
    target = folder / "files/clip-1/clip.mp4"
    (tmp_path / "copy.mp4").write_bytes(target.read_bytes())
    target.unlink()
    target.symlink_to(tmp_path / "copy.mp4")
    found = {(f.reason, f.member) for f in verify(folder, [KEY.public_key()]).faults}
    assert found == {("inserted_item", "files/clip-1/clip.mp4"), ("missing_file", "files/clip-1/clip.mp4")}


@pytest.mark.parametrize(
    ("quality", "note"),
    [
        (ClockQuality.UNSYNCHRONISED, "clock_unsynchronised"),
        (ClockQuality.HOLDOVER, "clock_holdover"),
    ],
)
def test_a_clock_that_was_not_right_is_noted_and_the_pack_holds(
    tmp_path: Path, quality: ClockQuality, note: str
) -> None:
    path = tmp_path / "pack.zip"
    path.write_bytes(support.build(tmp_path, quality=quality))
    verdict = verify(path, [KEY.public_key()])
    assert verdict.holds
    assert {f.reason for f in verdict.notes} == {note}


def test_reading_a_pack_leaves_no_file_open(pack: Path) -> None:
    container = open_container(pack)
    container.close()
    pack.unlink()
