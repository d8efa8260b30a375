"""Passwords, sessions and locks of the page."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.base.errors import UsageError
from sealwatch.base.settings import SettingsError
from sealwatch.edge.page import access, cli
from sealwatch.edge.page.access import IDLE_S, LONGEST_S, USERS_FILE, Access, Keyring, Refused, Session, Tries, failed

PASSWORD = "correct horse 77"


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    ring = Keyring(tmp_path)
    ring.set("zhang", PASSWORD)
    return ring


def enter(page: Access, name: str = "zhang", password: str = PASSWORD) -> tuple[str, Session]:
    answer = page.login(name, password)
    assert not isinstance(answer, Refused), answer
    return answer


def test_nobody_gets_in_before_a_password_was_set(tmp_path: Path) -> None:
    page = Access(Keyring(tmp_path), ManualClock())
    for name, password in (("admin", "admin"), ("", ""), ("root", "")):
        assert page.login(name, password) == Refused("wrong")


def test_the_file_holds_no_password_and_is_the_owners_alone(keyring: Keyring, tmp_path: Path) -> None:
    path = tmp_path / USERS_FILE
    assert PASSWORD not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert keyring.check("zhang", PASSWORD)
    assert not keyring.check("zhang", PASSWORD + " ")
    assert not keyring.check("li", PASSWORD)


@pytest.mark.parametrize("password", ["short", "a" * 20, "zhang2026!!", "x" * 300])
def test_a_weak_password_is_refused(keyring: Keyring, password: str) -> None:
    with pytest.raises(UsageError, match="the password"):
        keyring.set("zhang", password)
    assert keyring.check("zhang", PASSWORD)


def test_a_session_ends_by_rest_by_age_by_logout_and_with_the_password(keyring: Keyring) -> None:
    clock = ManualClock()
    page = Access(keyring, clock)
    token, session = enter(page)
    assert page.session(token + "x") is None
    clock.advance(IDLE_S - 1)
    assert page.session(token) is not None
    clock.advance(IDLE_S - 1)  # it was used in between
    assert page.session(token) is not None
    clock.advance(IDLE_S + 1)
    assert page.session(token) is None
    token, other = enter(page)
    assert other.csrf != session.csrf
    for _ in range(int(LONGEST_S / 1000) + 1):
        clock.advance(1000)
        page.session(token)
    assert page.session(token) is None
    token, _ = enter(page)
    page.logout(token)
    assert page.session(token) is None
    token, _ = enter(page)
    keyring.set("zhang", "another horse 78")
    assert page.session(token) is None
    token, _ = enter(page, password="another horse 78")
    keyring.remove("zhang")
    assert page.session(token) is None


def test_wrong_attempts_lock_a_name_even_for_the_right_password_and_longer_each_time(keyring: Keyring) -> None:
    clock = ManualClock()
    page = Access(keyring, clock)
    keyring.set("li", PASSWORD)
    answers = [page.login("zhang", f"wrong number {n}") for n in range(5)]
    assert [a.reason for a in answers if isinstance(a, Refused)] == ["wrong"] * 4 + ["locked"]
    assert answers[4] == Refused("locked", 60.0, locks=True)
    assert page.login("zhang", PASSWORD) == Refused("locked", 60.0)
    enter(page, "li")
    clock.advance(61)
    assert page.login("zhang", "still wrong 9") == Refused("locked", 120.0, locks=True)
    clock.advance(121)
    enter(page)
    assert page.login("zhang", "wrong again 1") == Refused("wrong")


def test_a_lock_never_lasts_longer_than_an_hour() -> None:
    tries = Tries()
    for _ in range(60):
        tries = failed(tries, 0.0)
    assert access.wait_s(tries, 0.0) == 3600.0


def test_names_that_do_not_exist_share_one_lock_and_cost_no_memory(keyring: Keyring) -> None:
    page = Access(keyring, ManualClock())
    for n in range(5):
        page.login(f"nobody-{n}", "wrong wrong 1")
    assert isinstance(page.login("nobody-99", "wrong wrong 1"), Refused)
    assert len(page._tries) == 1
    enter(page)


def test_a_damaged_file_is_one_sentence_and_lets_nobody_in(keyring: Keyring, tmp_path: Path) -> None:
    (tmp_path / USERS_FILE).write_text('{"zhang": {"salt": "zz"}}')
    with pytest.raises(SettingsError, match="set the passwords again"):
        Access(keyring, ManualClock()).login("zhang", PASSWORD)


def test_the_command_sets_and_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "node.toml"
    config.write_text('site_id = "s"\nnode_id = "n"\ndata_dir = "d"\n[mqtt]\nurl = "mqtt://127.0.0.1:1"\n')
    parser = argparse.ArgumentParser()
    cli.configure(parser)

    def call(*words: str) -> int:
        arguments = parser.parse_args([*words, "--config", str(config)])
        return int(arguments.run(arguments))

    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert call("password", "zhang") == 0
    assert call("people") == 0
    assert "zhang can use the page now\nzhang\n" in capsys.readouterr().out
    assert Keyring(tmp_path / "d").check("zhang", PASSWORD)
    assert call("password", "zhang", "--remove") == 0
    with pytest.raises(UsageError, match="has no password"):
        call("password", "zhang", "--remove")
