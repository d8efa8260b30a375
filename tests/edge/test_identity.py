"""The node's signing key."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sealwatch.base.errors import UsageError
from sealwatch.contract import signing
from sealwatch.edge.identity import KEY_FILE, Identity, load_or_create, new_boot_id


def test_a_first_start_makes_a_key_that_only_its_owner_can_read_and_the_next_start_finds_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = load_or_create(folder)
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    again = load_or_create(folder)
    assert again.public_key_text == first.public_key_text
    assert [p.name for p in folder.iterdir()] == [KEY_FILE], "no draft is left behind"
    public = signing.public_key_from_text(first.public_key_text)
    assert signing.verify(public, "alarm", "text", signing.sign(again.key, "alarm", "text"))
    assert signing.key_id(public) == first.key_id


def test_programs_that_start_at_once_end_with_the_same_key(tmp_path: Path) -> None:
    found: list[Identity] = []
    threads = [threading.Thread(target=lambda: found.append(load_or_create(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({identity.public_key_text for identity in found}) == 1
    assert len(found) == 8


def test_a_key_that_others_can_read_is_closed_to_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_or_create(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    load_or_create(tmp_path)
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert "could be read by others" in caplog.text


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\xff" * 50]
)
def test_a_damaged_key_is_refused_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(UsageError, match="restore it from your copy"):
        load_or_create(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == content


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / KEY_FILE).write_bytes(pem)
    with pytest.raises(UsageError, match="must be an Ed25519 key"):
        load_or_create(tmp_path)


def test_a_folder_that_cannot_be_made_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="check the folder"):
        load_or_create(tmp_path / "file" / "data")


def test_no_public_key_looks_like_an_option_of_a_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(["-dash", "-again", "plain"])
    monkeypatch.setattr("sealwatch.edge.identity.signing.public_key_text", lambda _key: next(made))
    load_or_create(tmp_path)
    assert next(made, None) is None, "the first two were thrown away"


def test_every_start_draws_another_boot_id() -> None:
    assert new_boot_id() != new_boot_id()
    assert len(new_boot_id()) == 32
