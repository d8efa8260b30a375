"""Taking out what nobody else may know: credentials in URLs, keys, tokens, passwords, and the secrets that are known.

Two sieves, because one has holes: what a name says (``password = …``), and what a value is (a PEM block, a URL with a
user in it, the very text of a secret that the configuration refers to). References to secrets (``file:/…``,
``env:…``) stay: they say where to look and are no secret.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from sealwatch.base import settings as settings_
from sealwatch.base.settings import SettingsError
from sealwatch.edge.config import NodeSettings

OUT: Final = "***"
_SHORTEST: Final = 4  # a shorter text would be found, and taken out, all over the place
_REFERENCE: Final = re.compile(r"^(file|env):")
_NAMES: Final = r"(?:password|passwd|pwd|secret|token|api_?key|access_?key|private_?key|authorization|credential|psk)s?"
_PEM: Final = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL)
_IN_URL: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s@\"']*(?:@[^/\s@\"']*)*@", re.IGNORECASE)
_NAMED: Final = re.compile(
    rf"(?P<name>[A-Za-z0-9_.-]*{_NAMES}[\"']?\s*[=:]\s*)"
    r"(?P<value>\"(?!(?:file|env):)[^\"]*\"|'(?!(?:file|env):)[^']*'|(?![\"']|file:|env:|(?:basic|bearer)\s)[^\s&,;}\]]+)",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"(?P<name>\b(?:basic|bearer)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)


def known_secrets(node: NodeSettings) -> list[str]:
    """The secrets that the configuration refers to, as far as they can be read here, longest first."""
    found: set[str] = set()
    for value in _texts(msgspec.to_builtins(node)):
        if _REFERENCE.match(value):
            try:
                found |= {line for line in settings_.secret(value).splitlines() if len(line) >= _SHORTEST}
            except (SettingsError, UnicodeDecodeError):
                continue
    return sorted(found, key=len, reverse=True)


def text(value: str, secrets: Sequence[str] = ()) -> str:
    """`value` without what nobody else may know. Applied twice it is the same as once."""
    for secret in secrets:
        value = value.replace(secret, OUT)
    value = _PEM.sub(OUT, value)
    value = _IN_URL.sub(rf"\g<scheme>{OUT}@", value)
    value = _BEARER.sub(rf"\g<name>{OUT}", value)
    return _NAMED.sub(rf"\g<name>{OUT}", value)


def _texts(value: Any) -> Collection[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [found for one in value.values() for found in _texts(one)]
    if isinstance(value, list):
        return [found for one in value for found in _texts(one)]
    return []
