"""The demo's telephones behave as real receivers do."""

from __future__ import annotations

import hashlib
import hmac
import json
import smtplib
from email.message import EmailMessage

import httpx

from sealwatch.demo.people import Telephones

SECRET = "not a real one"


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-SealWatch-Signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def test_a_signed_page_is_taken_and_the_answer_says_so() -> None:
    body = json.dumps({"page_id": "p1", "person": "王组长", "title": "红", "answer_url": "http://x/a/t"}).encode()
    with Telephones(secret=SECRET) as telephones:
        answer = httpx.post(telephones.webhook_url, content=body, headers=signed(body))
        assert answer.json() == {"ok": True}
        (page,) = telephones.pages
        assert (page.channel, page.page_id, page.answer_url) == ("webhook", "p1", "http://x/a/t")


def test_a_page_with_a_foreign_signature_is_not_taken() -> None:
    body = b'{"page_id": "p1"}'
    with Telephones(secret=SECRET) as telephones:
        answer = httpx.post(telephones.webhook_url, content=body, headers=signed(body, "another secret"))
        assert answer.status_code == httpx.codes.FORBIDDEN
        assert telephones.pages == []


def test_a_mail_is_taken_and_its_link_found() -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@county.example", "li@county.example", "橙 示范沟一号井"
    message["Message-ID"] = "<p2@county.example>"
    message.set_content("请应答:http://127.0.0.1:8000/a/AbC-_9\n")
    with Telephones(secret=SECRET) as telephones, smtplib.SMTP("127.0.0.1", telephones.smtp_port) as smtp:
        smtp.send_message(message)
        (page,) = telephones.pages
    assert (page.channel, page.address, page.page_id) == ("email", "li@county.example", "p2")
    assert page.answer_url == "http://127.0.0.1:8000/a/AbC-_9"
    assert page.title == "橙 示范沟一号井"
