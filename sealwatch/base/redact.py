"""Addresses without what opens them: for logs, sentences, pages, and files that may be shown to anybody.

Cameras' addresses carry secrets in two ways: before the host (``rtsp://user:word@host``), and, with one large family of
makers, in the path (``/user=admin_password=word_channel=1``).
"""

from __future__ import annotations

import logging
import re
from typing import Final

_URL: Final = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*://)(?P<rest>[^\s\"'<>]*)")
_USER: Final = re.compile(r"(?i)(?<![a-z])(user(?:name)?|usr|login)=([^&_;/?\s]*)")
_WORD: Final = re.compile(r"(?i)(?<![a-z])(password|passwd|passphrase|pass|pwd|psw|secret|token|auth)=([^&_;/?\s]*)")
HIDDEN: Final = "***"


def without_secrets(text: str) -> str:
    """Any text with what opens the addresses in it taken out.

    All that stands between ``://`` and the last ``@`` is taken for user and password: what was written with ``@`` or
    ``/`` in a password then loses its host rather than a part of its password.
    """

    def address(match: re.Match[str]) -> str:
        rest = match["rest"]
        if "@" in rest:
            rest = f"{HIDDEN}@{rest.rpartition('@')[2]}"
        return match["scheme"] + _WORD.sub(rf"\1={HIDDEN}", _USER.sub(rf"\1={HIDDEN}", rest))

    return _URL.sub(address, text)


def placeholders(address: str) -> str:
    """The address with ``{username}`` and ``{password}`` where its path or query holds them."""
    return _WORD.sub(r"\1={password}", _USER.sub(r"\1={username}", address))


def holds_secret(address: str) -> bool:
    """Whether an address may have a user name or password in it, so that it must not stand in a configuration file.

    Any ``@`` counts: ``user:12/34@host`` cannot be told from a host with a port. In a path it is written ``%40``.
    """
    _, mark, rest = address.partition("://")
    if not mark:
        return False
    if "@" in rest:
        return True
    return any(value not in ("", "{username}", "{password}") for _, value in _WORD.findall(rest))


class RedactingFormatter(logging.Formatter):
    """Log lines, tracebacks included, without what opens the addresses in them, whoever wrote them."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))
