"""Access tokens that are fetched once, kept until shortly before they end, and fetched anew when they are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.cloud.paging.channels.http import NoAnswerError
from sealwatch.cloud.ports import Submission

_EARLY_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    value: str
    lifetime_s: float


class TokenKeeper:
    """Safe for several threads: one fetches, the others wait for it."""

    def __init__(self, fetch: Callable[[], Token], clock: Clock) -> None:
        """`fetch` raises NoAnswerError where the vendor gives no token."""
        self._fetch, self._clock = fetch, clock
        self._lock = threading.Lock()
        self._token, self._until_s = "", float("-inf")

    def with_token(self, send: Callable[[str], Submission], *, refused: str) -> Submission:
        """`send` with a token; once more with a new one where its reason says that the token was `refused`."""
        try:
            token = self._current()
            submission = send(token)
            if submission.reason == refused:
                self._forget(token)
                submission = send(self._current())
        except NoAnswerError as trouble:
            return trouble.submission
        return submission

    def probe(self) -> str:
        """Whether the vendor gives a token: "" or what it said instead."""
        try:
            self._current()
        except NoAnswerError as trouble:
            return trouble.submission.outcome
        return ""

    def _current(self) -> str:
        with self._lock:
            if self._clock.monotonic_s() >= self._until_s:
                token = self._fetch()
                self._token = token.value
                early_s = min(_EARLY_S, token.lifetime_s / 2)
                self._until_s = self._clock.monotonic_s() + token.lifetime_s - early_s
            return self._token

    def _forget(self, token: str) -> None:
        with self._lock:
            if self._token == token:
                self._until_s = float("-inf")
