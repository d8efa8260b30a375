"""TOML configuration into frozen types, with errors a person on a mountain road can act on.

SettingsError   one sentence: which file, which field, what is wrong, what to do
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sealwatch.base.errors import UsageError

T = TypeVar("T")
_UNKNOWN = re.compile(r"unknown field `([^`]+)`")
_AT = re.compile(r" - at `\$\.?([^`]*)`$")


class SettingsError(UsageError):
    """A configuration file that can't be used."""


def load(kind: type[T], path: Path) -> T:
    """Read a TOML file as `kind`. Raises SettingsError."""
    return parse(kind, read_text(path), name=str(path))


def read_text(path: Path) -> str:
    """The text of a configuration file. Raises SettingsError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; name an existing configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None


def parse(kind: type[T], text: str, *, name: str) -> T:
    """Read TOML text as `kind`; `name` stands for the file in error sentences. Raises SettingsError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{name}: not valid TOML: {error}") from None
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{name}: {_sentence(kind, str(error))}") from None


def _sentence(kind: type[Any], message: str) -> str:
    at = _AT.search(message)
    where = at[1] if at else ""
    what = message[: at.start()] if at else message
    unknown = _UNKNOWN.search(message)
    if unknown is None:
        return f"{where or 'the file'}: {what}" if where else what
    field = f"{where}.{unknown[1]}" if where else unknown[1]
    close = difflib.get_close_matches(unknown[1], sorted(_field_names(kind)), n=1)
    advice = f"did you mean '{close[0]}'?" if close else "remove it or check its spelling"
    return f"{field}: this key is not known; {advice}"


def _field_names(kind: Any, seen: set[Any] | None = None) -> set[str]:
    """Every field name of a settings type and of the types inside it."""
    seen = set() if seen is None else seen
    if kind in seen:
        return set()
    seen.add(kind)
    names: set[str] = set()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            names.add(field.encode_name)
            names |= _field_names(field.type, seen)
    else:
        for argument in getattr(kind, "__args__", ()):
            names |= _field_names(argument, seen)
    return names


def secret(reference: str) -> str:
    """The secret that ``file:/path`` or ``env:NAME`` refers to. Raises SettingsError.

    Configuration files never hold a secret themselves, so that they can be shown, compared and sent for help.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "file" and rest:
        try:
            return Path(rest).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"secret {reference}: cannot be read: {error.strerror}") from None
    if scheme == "env" and rest:
        value = os.environ.get(rest)
        if value is None:
            raise SettingsError(f"secret {reference}: the environment variable {rest} is not set")
        return value
    raise SettingsError("a secret is given by reference: file:/path/to/it or env:NAME, never as itself")
