"""A page as one JSON message on the broker, for displays and sirens: QoS 1, and the broker's PUBACK is the receipt.

The body is the webhook's (`sealwatch.cloud.paging.webhook.payload`). A PUBACK says that the broker has it, not that
anybody listens (MQTT 5, 4.3.2); what must reach a person wants another channel behind it in the ladder.
"""

from __future__ import annotations

import json
import secrets
import threading
from typing import Final

from sealwatch.base.mqtt import MqttSettings, Session
from sealwatch.cloud.paging.webhook import payload
from sealwatch.cloud.ports import PageRequest, Submission

WAIT_S: Final = 5.0


class MqttChannel:
    """Connects with the first page and stays connected. Safe for several threads."""

    def __init__(self, settings: MqttSettings, topic: str, *, wait_s: float = WAIT_S) -> None:
        """Raises SettingsError for an address, certificate or password that can't be used."""
        self._topic, self._wait_s = topic, wait_s
        self._acked: set[int] = set()
        self._news = threading.Condition()
        self._started = False
        self._sending = threading.Lock()
        client_id = f"sealwatch-page-{secrets.token_hex(6)}"
        self._session = Session(settings, client_id=client_id, on_published=self._published, session_expiry_s=0)

    def submit(self, request: PageRequest) -> Submission:
        body = json.dumps(payload(request), ensure_ascii=False).encode()
        with self._sending:  # one at a time: a packet's number is used again once it is acknowledged
            if not self._started:
                self._session.start()
                self._started = True
            if not self._session.wait_connected(self._wait_s):
                cause = self._session.refusal or "it does not answer"
                return _failed("unreachable", f"the broker cannot be reached: {cause}")
            with self._news:
                self._acked.clear()
            number = self._session.publish(self._topic, body)
            if number is None:
                return _failed("unreachable", "the connection to the broker was lost")
            with self._news:
                if not self._news.wait_for(lambda: number in self._acked, self._wait_s):
                    return _failed("no_answer", "the broker did not acknowledge the message in time")
        return Submission(ok=True, outcome=f"taken: the broker acknowledged it on {self._topic}", reason="taken")

    def close(self) -> None:
        if self._started:
            self._session.stop()

    def _published(self, number: int) -> None:
        with self._news:
            self._acked.add(number)
            self._news.notify_all()


def _failed(reason: str, sentence: str) -> Submission:
    return Submission(ok=False, outcome=f"{reason}: {sentence}", retry=True, reason=reason)
