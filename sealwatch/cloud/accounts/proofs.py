"""What proves who somebody is: passwords (Argon2id), one-time codes (TOTP, RFC 6238), recovery codes, random tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
from collections.abc import Sequence
from typing import Final

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.fernet import Fernet

from sealwatch.cloud.auth.secret import derive

SHORTEST_PASSWORD: Final = 10
RECOVERY_CODES: Final = 8
_STEP_S: Final = 30
_AHEAD: Final = 1
"""Time steps that a telephone's clock may be ahead or behind."""
_AT_ONCE: Final = threading.BoundedSemaphore(2)
"""Each check takes 64 MiB and a core: more at once would let a storm of logins take the service down."""
_FREE_FAILURES: Final = 4
_LONGEST_WAIT_S: Final = 900.0

_hasher = PasswordHasher()  # RFC 9106, the second recommended set of parameters
_nobody = ""


def hash_password(password: str) -> str:
    """A salted Argon2id hash."""
    with _AT_ONCE:
        return _hasher.hash(password)


def password_is_right(password_hash: str, password: str) -> bool:
    """Whether it is; takes as long for an account that does not exist (hash "") as for one that does."""
    global _nobody
    if not password_hash and not _nobody:
        _nobody = hash_password(secrets.token_hex(16))
    try:
        with _AT_ONCE:
            _hasher.verify(password_hash or _nobody, password)
    except (VerificationError, InvalidHashError):
        return False
    return bool(password_hash)


def password_fault(password: str, *names: str) -> str | None:
    """Why a password is not taken: "password_short" or "password_guessable", else None.

    Length and nothing else, as NIST SP 800-63B has it: rules about signs and digits make passwords worse.
    """
    if len(password) < SHORTEST_PASSWORD:
        return "password_short"
    plain = password.casefold()
    if len(set(plain)) < 4 or any(len(name) > 3 and name.casefold() in plain for name in names):
        return "password_guessable"
    return None


def wait_s(failures: int, *, since_s: float) -> float:
    """Seconds until an account may be tried again after so many wrong logins, the last one `since_s` seconds ago.

    Four are free; then half a minute, doubled with each further one, at most a quarter of an hour: a guesser gets a
    hundred tries a day, and whoever is locked out by one is let in again soon.
    """
    if failures <= _FREE_FAILURES:
        return 0.0
    longest = min(_LONGEST_WAIT_S, 30.0 * 2.0 ** min(failures - _FREE_FAILURES - 1, 10))
    return max(0.0, longest - since_s)


def new_totp_secret() -> str:
    """160 random bits in Base32, as authenticator apps want them."""
    return pyotp.random_base32()


def totp_uri(secret: str, login: str) -> str:
    """What the QR code holds."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name="SealWatch")


def totp_step(secret: str, code: str, *, now_ms: int, last_step: int) -> int | None:
    """The time step that `code` belongs to, or None where it is wrong or not newer than `last_step` (a replay)."""
    now_step = now_ms // 1000 // _STEP_S
    totp = pyotp.TOTP(secret)
    for step in range(now_step - _AHEAD, now_step + _AHEAD + 1):
        if step > last_step and hmac.compare_digest(totp.generate_otp(step).encode(), code.strip().encode()):
            return step
    return None


def new_recovery_codes() -> list[str]:
    """Codes for the day the telephone is lost, 50 random bits each, written as two groups of five."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    drawn = ("".join(secrets.choice(alphabet) for _ in range(10)) for _ in range(RECOVERY_CODES))
    return [f"{code[:5]}-{code[5:]}" for code in drawn]


def matching_recovery(hashes: Sequence[str], code: str) -> str | None:
    """The hash that a recovery code belongs to."""
    given = token_hash(code.strip().lower())
    return next((one for one in hashes if hmac.compare_digest(one, given)), None)


def new_token() -> str:
    """256 random bits for an address or a header."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is kept of a random token. It needs no salt: nobody can guess one."""
    return hashlib.sha256(token.encode()).hexdigest()


class Sealer:
    """Keeps TOTP secrets unreadable in the database and its backups: they are under a key of the service's secret.

    With a `purpose` of its own it seals what a browser carries for us, and never opens what was sealed for another.
    """

    def __init__(self, secret: bytes, purpose: str = "totp.v1") -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(derive(secret, purpose)))

    def seal(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Raises cryptography.fernet.InvalidToken where the service's secret is another one by now."""
        return self._fernet.decrypt(sealed.encode()).decode()
