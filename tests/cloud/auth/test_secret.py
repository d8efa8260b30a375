"""The service's secret: made once, kept, and guarded."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from sealwatch.base.settings import SettingsError
from sealwatch.cloud.auth.secret import FILE_NAME, derive, load_or_create


def test_the_first_start_draws_a_secret_that_only_its_owner_reads(tmp_path: Path) -> None:
    secret = load_or_create(tmp_path / "data")
    assert len(secret) == 32
    assert stat.S_IMODE((tmp_path / "data" / FILE_NAME).stat().st_mode) == 0o600
    assert [p.name for p in (tmp_path / "data").iterdir()] == [FILE_NAME]


def test_the_next_start_finds_the_same_and_another_service_has_another(tmp_path: Path) -> None:
    assert load_or_create(tmp_path / "a") == load_or_create(tmp_path / "a")
    assert load_or_create(tmp_path / "a") != load_or_create(tmp_path / "b")


def test_starts_at_the_same_moment_agree_on_one_secret(tmp_path: Path) -> None:
    found: list[bytes] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        found.append(load_or_create(tmp_path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    (tmp_path / FILE_NAME).chmod(0o644)
    with pytest.raises(SettingsError, match=r"mode 0644.*chmod 600"):
        load_or_create(tmp_path)


def test_a_cut_off_secret_is_refused_and_not_replaced(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"short")
    with pytest.raises(SettingsError, match="5 bytes instead of 32"):
        load_or_create(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == b"short"


def test_a_file_where_the_folder_should_be_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(SettingsError, match="can't be kept here"):
        load_or_create(tmp_path / "data")


def test_keys_of_two_purposes_differ() -> None:
    assert derive(b"s" * 32, "answer-link.v1") != derive(b"s" * 32, "form.v1")
