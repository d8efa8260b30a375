"""Who may use the page: passwords that were set on the node, sessions, and a lock after wrong attempts.

There is no default password: until one was set with `sealwatch edge page password` nobody gets in. Passwords are kept
as scrypt hashes (RFC 7914), 16 MiB of memory for each attempt, one attempt at a time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.files import replace_file
from sealwatch.base.settings import SettingsError

USERS_FILE: Final = "page.users"
LEAST_CHARACTERS: Final = 10
IDLE_S: Final = 30 * 60.0
LONGEST_S: Final = 8 * 3600.0
_MOST_CHARACTERS: Final = 200
_SESSIONS: Final = 32
_COST: Final = {"n": 2**14, "r": 8, "p": 1}
_FREE_TRIES: Final = 5
_FIRST_LOCK_S: Final = 60.0
_LONGEST_LOCK_S: Final = 3600.0
_STRANGER: Final = ""  # all names that do not exist share one count, so that guessing names costs no memory


@dataclass(frozen=True, slots=True)
class Tries:
    """Wrong attempts in a row for one name, and until when it is locked."""

    wrong: int = 0
    locked_until_s: float = float("-inf")


def wait_s(tries: Tries, now_s: float) -> float:
    """Seconds until another attempt is looked at; 0 where it is now."""
    return max(0.0, tries.locked_until_s - now_s)


def failed(tries: Tries, now_s: float) -> Tries:
    """After a wrong attempt: from the fifth on a minute, then twice as long each time, an hour at most."""
    wrong = tries.wrong + 1
    if wrong < _FREE_TRIES:
        return replace(tries, wrong=wrong)
    lock_s = min(_LONGEST_LOCK_S, _FIRST_LOCK_S * 2 ** (wrong - _FREE_TRIES))
    return Tries(wrong, now_s + lock_s)


@dataclass(frozen=True, slots=True)
class Refused:
    """No entry: ``wrong`` or ``locked``; `wait_s` until the next attempt counts. `locks` when it locked just now."""

    reason: str
    wait_s: float = 0.0
    locks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is logged in. `csrf` must come back with everything that changes something."""

    name: str
    csrf: str
    print_of_hash: str
    began_s: float
    used_s: float


class Keyring:
    """The names and password hashes in the node's data folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / USERS_FILE

    def names(self) -> list[str]:
        """Who has a password. Raises SettingsError for a file that cannot be read."""
        return sorted(self._read())

    def set(self, name: str, password: str) -> None:
        """Give `name` a password. Raises UsageError for a weak one, CommandFailed where it cannot be kept."""
        if not (1 <= len(name) <= 32 and name.isprintable() and name == name.strip()):
            raise UsageError("the name must have 1 to 32 printable characters")
        if len(password) < LEAST_CHARACTERS or len(password) > _MOST_CHARACTERS:
            raise UsageError(f"the password must have {LEAST_CHARACTERS} to {_MOST_CHARACTERS} characters")
        if len(set(password)) < 5 or name.lower() in password.lower():
            raise UsageError("the password is too easy: use at least 5 different characters and not the name itself")
        salt = secrets.token_bytes(16)
        users = {**self._read(), name: {"salt": salt.hex(), "hash": _hash(password, salt).hex()}}
        self._write(users)

    def remove(self, name: str) -> None:
        """Take the password of `name` away. Raises UsageError where there is none."""
        users = self._read()
        if name not in users:
            raise UsageError(f"'{name}' has no password; there are: {', '.join(sorted(users)) or 'none'}")
        self._write({key: value for key, value in users.items() if key != name})

    def print_of(self, name: str) -> str:
        """Changes with the password of `name`; empty where there is none."""
        return str(self._read().get(name, {}).get("hash", ""))[:16]

    def check(self, name: str, password: str) -> bool:
        """Whether it is the password of `name`. Takes equally long for a name that does not exist."""
        user = self._read().get(name)
        salt = bytes.fromhex(user["salt"]) if user else b"\0" * 16
        found = _hash(password[:_MOST_CHARACTERS], salt)
        return hmac.compare_digest(found, bytes.fromhex(user["hash"])) if user else False

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            users = json.loads(self._path.read_text(encoding="utf-8"))
            for user in users.values():
                bytes.fromhex(user["salt"] + user["hash"])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            raise SettingsError(
                f"{self._path}: cannot be read; remove it and set the passwords again with sealwatch edge page password"
            ) from None
        found: dict[str, dict[str, str]] = users
        return found

    def _write(self, users: Mapping[str, Mapping[str, str]]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(users, ensure_ascii=False).encode(), mode=0o600)
        except OSError as error:
            raise CommandFailed(
                f"{self._path}: cannot be written: {error.strerror}; run it as the agent's user"
            ) from None


class Access:
    """Logins and sessions of one running page. Callable from any thread."""

    def __init__(self, keyring: Keyring, clock: Clock) -> None:
        self._keyring, self._clock = keyring, clock
        self._lock, self._hashing = threading.Lock(), threading.Lock()
        self._tries: dict[str, Tries] = {}
        self._sessions: dict[str, Session] = {}

    def login(self, name: str, password: str) -> tuple[str, Session] | Refused:
        """A new session with its secret token, or why not. Raises SettingsError for a damaged file of users."""
        with self._hashing:
            counted = name if self._keyring.print_of(name) else _STRANGER
            now_s = self._clock.monotonic_s()
            with self._lock:
                tries = self._tries.get(counted, Tries())
            left_s = wait_s(tries, now_s)
            if left_s > 0:
                return Refused("locked", left_s)
            if not self._keyring.check(name, password):
                tries = failed(tries, now_s)
                with self._lock:
                    self._tries[counted] = tries
                left_s = wait_s(tries, now_s)
                return Refused("locked" if left_s else "wrong", left_s, locks=left_s > 0)
            return self._begin(name, now_s)

    def session(self, token: str) -> Session | None:
        """Who has this token, while the session lasts and the password was not changed."""
        now_s, key = self._clock.monotonic_s(), _key(token)
        with self._lock:
            session = self._sessions.get(key)
        if session is None:
            return None
        over = now_s - session.used_s > IDLE_S or now_s - session.began_s > LONGEST_S
        if over or self._keyring.print_of(session.name) != session.print_of_hash:
            self.logout(token)
            return None
        session = replace(session, used_s=now_s)
        with self._lock:
            if key in self._sessions:
                self._sessions[key] = session
        return session

    def logout(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_key(token), None)

    def _begin(self, name: str, now_s: float) -> tuple[str, Session]:
        token = secrets.token_urlsafe(32)
        session = Session(
            name=name,
            csrf=secrets.token_urlsafe(24),
            print_of_hash=self._keyring.print_of(name),
            began_s=now_s,
            used_s=now_s,
        )
        with self._lock:
            self._tries.pop(name, None)
            if len(self._sessions) >= _SESSIONS:
                self._sessions.pop(min(self._sessions, key=lambda key: self._sessions[key].used_s))
            self._sessions[_key(token)] = session
        return token, session


def _key(token: str) -> str:
    """Sessions are found by a hash, so that the time of a look-up tells nothing about a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, dklen=32, **_COST)
