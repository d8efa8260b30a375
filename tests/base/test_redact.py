"""Addresses without what opens them."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.base.redact import RedactingFormatter, holds_secret, placeholders, without_secrets

WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"], exclude_characters="\"'<>"), max_size=20).map(
    lambda text: f"Zq7{text}7qZ"
)


@given(WORDS, WORDS)
def test_user_and_password_before_the_host_are_gone_whatever_they_are_made_of(user: str, word: str) -> None:
    said = without_secrets(f"camera: rtsp://{user}:{word}@10.0.0.9:554/live refused; try rtsp://10.0.0.9/live")
    assert "Zq7" not in said
    assert "7qZ" not in said
    assert said.endswith("@10.0.0.9:554/live refused; try rtsp://10.0.0.9/live")
    assert holds_secret(f"rtsp://{user}:{word}@10.0.0.9/live")


@pytest.mark.parametrize(
    ("address", "shown", "kept"),
    [
        (
            "rtsp://10.0.0.9/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp",
            "rtsp://10.0.0.9/user=***_password=***_channel=1_stream=0.sdp",
            "rtsp://10.0.0.9/user={username}_password={password}_channel=1_stream=0.sdp",
        ),
        (
            "http://10.0.0.9/live?Usr=a&pwd=b&channel=1",
            "http://10.0.0.9/live?Usr=***&pwd=***&channel=1",
            "http://10.0.0.9/live?Usr={username}&pwd={password}&channel=1",
        ),
        ("rtsp://10.0.0.9/bypass=1", "rtsp://10.0.0.9/bypass=1", "rtsp://10.0.0.9/bypass=1"),
    ],
)
def test_user_and_password_in_the_path_are_hidden_or_become_placeholders(address: str, shown: str, kept: str) -> None:
    assert without_secrets(address) == shown
    assert placeholders(address) == kept
    assert holds_secret(address) == (shown != address)
    assert not holds_secret(kept)


@pytest.mark.parametrize(
    "address", ["rtsp://10.0.0.9:554/Streaming/Channels/102?profile=2", "/dev/video0", "gate@1.mp4"]
)
def test_an_address_without_secrets_is_left_as_it_is(address: str) -> None:
    assert without_secrets(address) == placeholders(address) == address
    assert not holds_secret(address)


def test_a_traceback_in_the_log_holds_no_password() -> None:
    try:
        raise ValueError("cannot open rtsp://admin:hunter2@10.0.0.9/x")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "%s", ("rtsp://a:hunter2@h/",), (type(error), error, None)
        )
    said = RedactingFormatter("%(message)s").format(record)
    assert "hunter2" not in said
    assert "ValueError" in said
