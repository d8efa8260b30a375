"""What short answers mean, and which incident is meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.cloud.answering.desk import digits
from sealwatch.cloud.answering.said import Asked, Said, choose, parse
from sealwatch.contract.codes import Closure


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1", Said("going")),
        (" １ ", Said("going")),
        ("去", Said("going")),
        ("我去。", Said("going")),
        ("2", Said("cannot")),
        ("去不了", Said("cannot")),
        ("3", Said("closes", "", Closure.FALSE_ALARM)),
        ("误报", Said("closes", "", Closure.FALSE_ALARM)),
        ("32", Said("closes", "", Closure.LEGITIMATE_REPAIR)),
        ("34!", Said("closes", "", Closure.PASSER_BY)),
        ("1 4f9c2a71", Said("going", "4f9c2a71")),
        ("2,4F9C", Said("cannot", "4f9c")),
        ("35", None),
        ("", None),
        ("好的", None),
        ("1 我马上去", None),
        ("12", None),
        ("我不去", None),
        ("TD", None),
    ],
)
def test_what_was_said(text: str, said: Said | None) -> None:
    assert parse(text) == said


@given(st.text(max_size=200))
def test_any_text_is_read_without_a_fault(text: str) -> None:
    parse(text)


A, B = Asked("aaaa1111", "i1", unanswered=True), Asked("bbbb2222", "i2", unanswered=True)


@pytest.mark.parametrize(
    ("text", "asked", "incident"),
    [
        ("1", [A], "i1"),
        ("1", [], "none"),
        ("1", [A, B], "several"),
        ("1 bbbb", [A, B], "i2"),
        ("1 cccc", [A, B], "none"),
        ("1", [A, Asked("aaaa9999", "i1", unanswered=True)], "i1"),
        ("1", [A, Asked("bbbb2222", "i2", unanswered=False)], "i1"),
        ("1", [Asked("aaaa1111", "i1", unanswered=False)], "i1"),
        ("1", [Asked("a1aa", "i1", unanswered=False), Asked("b1bb", "i2", unanswered=False)], "none"),
    ],
)
def test_which_incident_is_meant(text: str, asked: list[Asked], incident: str) -> None:
    said = parse(text)
    assert said is not None
    assert choose(said, asked) == incident


@pytest.mark.parametrize(
    ("telephone", "plain"),
    [
        ("13800000000", "13800000000"),
        ("+86 138-0000-0000", "13800000000"),
        ("008613800000000", "13800000000"),
        ("8613800000000", "13800000000"),
        ("+85261234567", "85261234567"),
        ("86123", "86123"),
    ],
)
def test_a_number_is_the_same_however_it_is_written(telephone: str, plain: str) -> None:
    assert digits(telephone) == plain
