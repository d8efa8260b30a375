"""Answer links: genuine ones are read, every other kind is refused with its own name."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.cloud.auth.links import AnswerLink, LinkRefusal, LinkSigner
from sealwatch.contract.signing import from_base64url, to_base64url

SECRET = bytes(range(32))
NOW_MS = 1_760_000_000_000
INCIDENT, PAGE = hashlib.md5(b"i").hexdigest(), hashlib.md5(b"p").hexdigest()  # noqa: S324 - stands for random ids
IDS = st.text(st.sampled_from("abcdefXYZ0123456789_.-"), min_size=1, max_size=64)


def signer(secret: bytes = SECRET) -> LinkSigner:
    return LinkSigner(secret, "https://seal.example.cn/")


def genuine(**changed: str) -> str:
    values = {"incident_id": INCIDENT, "person_id": "li.ming1", "page_id": PAGE, **changed}
    return signer().token(**values, expires_at_ms=NOW_MS + 3_600_000)


def test_a_link_names_incident_person_page_and_expiry() -> None:
    assert signer().read(genuine(), now_ms=NOW_MS) == AnswerLink(
        incident_id=INCIDENT, person_id="li.ming1", page_id=PAGE, expires_at_ms=NOW_MS + 3_600_000
    )


def test_the_link_is_as_short_as_its_documentation_says() -> None:
    url = signer().answer_url(incident_id=INCIDENT, person_id="li.ming1", page_id=PAGE, expires_at_ms=NOW_MS)
    assert url.startswith("https://seal.example.cn/a/")
    assert len(url) == len(url.encode()) == 109


def test_a_link_ends_at_its_second() -> None:
    token = genuine()
    assert isinstance(signer().read(token, now_ms=NOW_MS + 3_599_999), AnswerLink)
    assert signer().read(token, now_ms=NOW_MS + 3_600_000) is LinkRefusal.EXPIRED


def test_a_link_of_another_service_is_foreign() -> None:
    other = signer(b"another secret of 32 bytes ......")
    assert other.read(genuine(), now_ms=NOW_MS) is LinkRefusal.FOREIGN


def test_a_link_of_another_version_is_foreign() -> None:
    raw = from_base64url(genuine())
    assert signer().read(to_base64url(b"\x02" + raw[1:]), now_ms=NOW_MS) is LinkRefusal.FOREIGN


@pytest.mark.parametrize("position", [3, 6, 8, 24, 26, 40, -13, -12, -1])
def test_a_link_with_one_bit_changed_is_forged(position: int) -> None:
    raw = bytearray(from_base64url(genuine()))
    raw[position] ^= 1
    assert signer().read(to_base64url(bytes(raw)), now_ms=NOW_MS) is LinkRefusal.FORGED


def test_an_expired_and_forged_link_is_called_forged() -> None:
    raw = bytearray(from_base64url(genuine()))
    raw[-1] ^= 1
    assert signer().read(to_base64url(bytes(raw)), now_ms=NOW_MS * 2) is LinkRefusal.FORGED


@pytest.mark.parametrize("token", ["", "x", "abc", "*" * 80, "封" * 80, "A" * 5000, "AQ==", genuine() + "="])
def test_what_is_no_token_is_malformed(token: str) -> None:
    assert signer().read(token, now_ms=NOW_MS) is LinkRefusal.MALFORMED


def test_a_link_cut_off_by_a_messenger_is_refused_whatever_is_left() -> None:
    token = genuine()
    for length in range(len(token)):
        assert isinstance(signer().read(token[:length], now_ms=NOW_MS), LinkRefusal)


@given(incident=IDS, person=IDS, page=IDS, seconds=st.integers(1, 2**32 - 1))
def test_whatever_the_ids_they_come_back(incident: str, person: str, page: str, seconds: int) -> None:
    token = signer().token(incident_id=incident, person_id=person, page_id=page, expires_at_ms=seconds * 1000)
    assert signer().read(token, now_ms=seconds * 1000 - 1) == AnswerLink(
        incident_id=incident, person_id=person, page_id=page, expires_at_ms=seconds * 1000
    )


@given(token=st.text(max_size=200) | st.binary(max_size=150).map(to_base64url))
def test_nothing_made_up_is_ever_taken(token: str) -> None:
    assert isinstance(signer().read(token, now_ms=NOW_MS), LinkRefusal)


def test_ids_that_cannot_fit_and_a_short_secret_are_refused() -> None:
    with pytest.raises(ValueError, match="1 to 127 bytes"):
        genuine(person_id="")
    with pytest.raises(ValueError, match="1 to 127 bytes"):
        genuine(person_id="z" * 128)
    with pytest.raises(ValueError, match="2106"):
        signer().token(incident_id="i", person_id="p", page_id="g", expires_at_ms=2**45)
    with pytest.raises(ValueError, match="at least 16"):
        LinkSigner(b"short", "https://seal.example.cn")
