"""The catalogue of sentences."""

from __future__ import annotations

import re

import pytest

from sealwatch.base import text
from sealwatch.base.text import Language


@pytest.mark.parametrize("key", sorted(text.catalogue()))
def test_every_entry_has_both_languages_with_the_same_placeholders(key: str) -> None:
    entry = text.catalogue()[key]
    assert set(entry) == set(Language)
    assert text.placeholders(entry[Language.ZH]) == text.placeholders(entry[Language.EN])


def test_a_missing_key_is_an_error_not_an_empty_sentence() -> None:
    with pytest.raises(KeyError):
        text.say("zh", "no.such.key")


@pytest.mark.parametrize("key", sorted(text.catalogue()))
def test_chinese_sentences_use_chinese_punctuation(key: str) -> None:
    sentence = text.catalogue()[key][Language.ZH]
    assert not re.search(r"[\u4e00-\u9fff][,;:?!]|[,;?!][\u4e00-\u9fff]", sentence), sentence
