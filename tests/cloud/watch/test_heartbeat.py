"""The heartbeat, against a local receiver: each minute while every worker turns, and not otherwise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sealwatch.cloud.watch.heartbeat import STANDS_STILL_S, Heartbeat, Wheels, watch


class Receiver:
    """Counts requests and answers what it is told."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                receiver.paths.append(self.path)
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/ping/county"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_once_a_minute_and_only_while_every_worker_turns(receiver: Receiver) -> None:
    turns = {"pager": 1, "ingest-alarm": 1}
    heart = Heartbeat(receiver.url, turns=lambda: dict(turns))
    assert heart.beat(0.0) is True
    assert heart.beat(30.0) is None  # not due
    turns["pager"] += 1
    turns["ingest-alarm"] += 1
    assert heart.beat(60.0) is True
    for second in (75.0, 90.0, 105.0, 120.0):
        turns["pager"] += 1
        heart.beat(second)
    assert heart.standing == ["ingest-alarm"]
    assert len(receiver.paths) == 2
    turns["ingest-alarm"] += 1
    assert heart.beat(135.0) is True
    assert (heart.standing, receiver.paths) == ([], ["/ping/county"] * 3)
    heart.close()


def test_what_the_network_does_is_reported_once_and_never_raised(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    heart = Heartbeat(receiver.url, turns=dict)
    receiver.status = 503
    assert [heart.beat(60.0 * minute) for minute in range(3)] == [False, False, False]
    receiver.status = 204
    assert heart.beat(180.0) is True
    heart.close()
    nobody = Heartbeat("http://127.0.0.1:9/", turns=dict)  # the port that discards: nobody listens there
    assert nobody.beat(0.0) is False
    nobody.close()
    said = [record.getMessage() for record in caplog.records]
    assert sum("does not get through" in line for line in said) == 2
    assert sum("gets through again" in line for line in said) == 1


def test_without_a_url_nobody_is_asked_but_standing_workers_are_still_told_of() -> None:
    heart = Heartbeat("", turns=lambda: {"pager": 1})
    assert heart.beat(0.0) is None
    assert heart.beat(STANDS_STILL_S + 1) is None
    assert heart.standing == ["pager"]
    heart.close()


def test_a_wheel_that_appears_later_has_not_stood_before() -> None:
    wheels, standing = watch(Wheels(), {"a": 1}, 0.0)
    wheels, standing = watch(wheels, {"a": 2, "b": 7}, 100.0)
    assert standing == []
    wheels, standing = watch(wheels, {"a": 3, "b": 7}, 146.0)
    assert standing == ["b"]
