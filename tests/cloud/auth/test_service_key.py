"""The key the service signs with: made once, kept closed, never replaced by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base import keys
from sealwatch.base.errors import UsageError
from sealwatch.cloud.auth import service_key
from sealwatch.contract.signing import public_key_text


def test_it_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    made = service_key.load_or_create(tmp_path)
    again = service_key.load_or_create(tmp_path)
    assert public_key_text(made.public_key()) == public_key_text(again.public_key())
    assert (tmp_path / service_key.KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_one_that_cannot_be_read_is_never_replaced_by_itself(tmp_path: Path) -> None:
    (tmp_path / service_key.KEY_FILE).write_text("not a key")
    with pytest.raises(UsageError, match="not a readable PEM private key"):
        service_key.load_or_create(tmp_path)
    assert (tmp_path / service_key.KEY_FILE).read_text() == "not a key"


def test_the_next_key_takes_the_place_of_the_first_and_the_former_one_stays_beside_it(tmp_path: Path) -> None:
    first = raw(service_key.load_or_create(tmp_path))
    with pytest.raises(UsageError, match="--next"):
        service_key.use_next(tmp_path)
    following = raw(service_key.prepare_next(tmp_path))
    assert raw(service_key.prepare_next(tmp_path)) == following
    assert raw(service_key.load_or_create(tmp_path)) == first
    service_key.use_next(tmp_path)
    assert raw(service_key.load_or_create(tmp_path)) == following != first
    assert raw(keys.load_or_create(tmp_path / service_key.FORMER_FILE)) == first
    service_key.prepare_next(tmp_path)
    service_key.use_next(tmp_path)
    assert raw(keys.load_or_create(tmp_path / service_key.FORMER_FILE)) == following


def raw(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes_raw()
