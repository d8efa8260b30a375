"""Every sentence a person reads, in one catalogue: Simplified Chinese first, English second.

Each room keeps its part in ``sealwatch/base/text/<room>.toml``::

    [incident.opened]
    zh = "{site}:{verdict}"
    en = "{site}: {verdict}"

A test holds both languages of every entry to the same placeholders.
"""

from __future__ import annotations

import os
import string
import tomllib
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any


class Language(StrEnum):
    ZH = "zh"
    EN = "en"


def say(language: Language | str, key: str, /, **values: object) -> str:
    """The sentence `key` with `values` filled in. Raises KeyError for a key the catalogue does not have."""
    return catalogue()[key][Language(language)].format(**values)


@cache
def catalogue() -> dict[str, dict[Language, str]]:
    """Every entry by its dotted key. Raises ValueError where two files define the same key."""
    entries: dict[str, dict[Language, str]] = {}
    for file in sorted(resources.files(__name__).iterdir(), key=lambda f: f.name):
        if file.name.endswith(".toml"):
            _collect(tomllib.loads(file.read_text(encoding="utf-8")), "", entries, file.name)
    return entries


def terminal_language() -> Language:
    """The language of this terminal's user, by the usual environment variables; English where they are silent."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return Language.ZH if value.lower().startswith("zh") else Language.EN
    return Language.EN


def placeholders(text: str) -> set[str]:
    """Names of the values that a sentence wants."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def _collect(node: dict[str, Any], prefix: str, entries: dict[str, dict[Language, str]], file: str) -> None:
    for name, value in node.items():
        key = f"{prefix}.{name}" if prefix else name
        if isinstance(value, dict) and all(isinstance(v, str) for v in value.values()):
            if key in entries:
                raise ValueError(f"{file}: {key} is already defined in another file of the catalogue")
            entries[key] = {Language(language): sentence for language, sentence in value.items()}
        elif isinstance(value, dict):
            _collect(value, key, entries, file)
        else:
            raise ValueError(f"{file}: {key} must be a table with zh and en")
