"""Carriers that deliver what people sent back: Tencent Cloud's and Aliyun's documented calls."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from sealwatch.cloud.answering import http as inbound
from sealwatch.cloud.db.duty_tables import Reply
from sealwatch.cloud.paging.channels.settings import AliyunSmsSettings, TencentSmsSettings
from sealwatch.cloud.web.app import create_app
from tests.cloud.web.scene import SECRET, Scene

CHANNELS = [
    TencentSmsSettings(
        name="tx", secret_id="i", secret_key="env:S", app_id="1", sign_name="s", template="t", variables=["title"]
    ),
    AliyunSmsSettings(
        name="ali", key_id="k", key_secret="env:S", sign_name="s", template="t", variables={"a": "title"}
    ),
]
TENCENT = {"extend": "", "mobile": "13800000000", "nationcode": "86", "sign": "封哨", "text": "1", "time": 1795285267}
ALIYUN = {
    "phone_number": "13800000000",
    "send_time": "2026-11-22 02:21:07",
    "content": "2",
    "sign_name": "封哨",
    "dest_code": "1",
    "sequence_id": 7,
}


@pytest.fixture
def carrier(scene: Scene) -> TestClient:
    """Somebody on the internet without a session; the pages want a token."""
    services = scene.services()
    settings = msgspec.structs.replace(services.settings, channels=CHANNELS)
    return TestClient(create_app(replace(services, settings=settings)), base_url="http://127.0.0.1:8000")


def url(channel: str) -> str:
    return f"{inbound.PREFIX}{channel}/{inbound.token(SECRET, channel)}"


def kept(scene: Scene) -> list[tuple[str, str, str]]:
    with scene.database.read() as session:
        return [(row.channel, row.text, row.outcome) for row in session.scalars(select(Reply).order_by(Reply.id))]


def test_tencent_clouds_call(scene: Scene, carrier: TestClient) -> None:
    answer = carrier.post(url("tx"), json=TENCENT)
    assert (answer.status_code, answer.json()) == (200, {"result": 0, "errmsg": "OK"})
    assert carrier.post(url("tx"), json=TENCENT).status_code == 200  # its next try
    assert kept(scene) == [("tx", "1", "unknown_number")]


def test_aliyuns_call_with_several_messages(scene: Scene, carrier: TestClient) -> None:
    answer = carrier.post(url("ali"), json=[ALIYUN, ALIYUN | {"sequence_id": 8, "content": "去"}])
    assert (answer.status_code, answer.json()["code"]) == (200, 0)
    assert [one[:2] for one in kept(scene)] == [("ali", "2"), ("ali", "去")]


def test_without_the_right_token_nothing_is_taken(scene: Scene, carrier: TestClient) -> None:
    for path in (
        f"{inbound.PREFIX}tx/{'0' * 32}",
        f"{inbound.PREFIX}tx/{inbound.token(SECRET, 'ali')}",
        f"{inbound.PREFIX}other/{inbound.token(SECRET, 'other')}",
        f"{inbound.PREFIX}tx/错",
    ):
        assert carrier.post(path, json=TENCENT).status_code == 404
    assert kept(scene) == []


@pytest.mark.parametrize(
    ("channel", "body"),
    [("tx", b"{"), ("tx", b"[]"), ("tx", b'{"mobile": 1, "text": "1", "time": 1}'), ("ali", b"{}"), ("ali", b"[1]"),
     ("ali", b'[{"phone_number": "1"}]')],
)  # fmt: skip
def test_what_is_no_call_of_the_carrier_is_refused(
    scene: Scene, carrier: TestClient, channel: str, body: bytes
) -> None:
    assert carrier.post(url(channel), content=body).status_code == 400
    assert kept(scene) == []
