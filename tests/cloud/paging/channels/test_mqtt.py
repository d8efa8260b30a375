"""Pages over a real broker, and over none."""

from __future__ import annotations

import json
import queue

from sealwatch.base.broker import EmbeddedBroker, free_port
from sealwatch.base.mqtt import Message, MqttSettings, Session
from sealwatch.cloud.paging.channels.mqtt import MqttChannel
from tests.cloud.paging.channels.vendor import a_request


def test_a_page_reaches_who_listens_and_the_brokers_receipt_takes_it() -> None:
    got: queue.Queue[Message] = queue.Queue()
    with EmbeddedBroker() as broker:
        settings = MqttSettings(url=broker.url)
        listener = Session(settings, client_id="siren", subscriptions=("county/pages",), on_message=got.put)
        listener.start()
        assert listener.wait_connected(10)
        channel = MqttChannel(settings, "county/pages")
        try:
            submissions = [channel.submit(a_request(page_id=f"{n:032x}")) for n in range(3)]
            assert all(submission.ok for submission in submissions), submissions
            pages = {json.loads(got.get(timeout=10).payload)["page_id"] for _ in range(3)}
            assert pages == {f"{n:032x}" for n in range(3)}
        finally:
            channel.close()
            listener.stop()


def test_a_broker_that_is_away_is_worth_another_try() -> None:
    channel = MqttChannel(MqttSettings(url=f"mqtt://127.0.0.1:{free_port()}"), "county/pages", wait_s=0.3)
    submission = channel.submit(a_request())
    channel.close()
    assert (submission.ok, submission.retry, submission.reason) == (False, True, "unreachable")
