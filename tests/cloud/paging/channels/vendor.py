"""A local server that speaks like a vendor: it is told what to answer, and keeps what it got."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sealwatch.cloud.ports import PageRequest

Answer = tuple[int, str]


@dataclass
class Call:
    method: str
    path: str
    raw_query: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Vendor:
    """`answer` decides by the call; `calls` are in their order."""

    answer: Callable[[Call], Answer] = lambda _: (200, "")
    calls: list[Call] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving() -> Iterator[Vendor]:
    vendor = Vendor()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            call = Call(
                self.command,
                parts.path,
                parts.query,
                dict(parse_qsl(parts.query, keep_blank_values=True)),
                {k.lower(): v for k, v in self.headers.items()},
                self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            )
            vendor.calls.append(call)
            status, text = vendor.answer(call)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.send_header("Connection", "close")  # so that no test leaves a socket behind
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST  # noqa: N815 - the base class names it so

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    vendor.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield vendor
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def a_request(address: str = "", **changes: str) -> PageRequest:
    values = {
        "page_id": "0123456789abcdef0123456789abcdef",
        "incident_id": "i1",
        "person_name": "王×",
        "language": "zh",
        "level": "red",
        "title": "【红】一号井:疑似非法生产",
        "body": "请核查\n应答:https://seal.example/a/x",
        "answer_url": "https://seal.example/a/x",
        "address": address,
    }
    return PageRequest(**(values | changes))
