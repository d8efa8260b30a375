"""Two pager processes on one PostgreSQL, one of them killed again and again in the middle of its work."""

from __future__ import annotations

import json
import multiprocessing
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.process import BaseProcess

import pytest
from sqlalchemy import func, select

from sealwatch.cloud.db.engine import Database, open_database
from sealwatch.cloud.db.tables import Incident, IncidentEvent, Page, Site
from sealwatch.cloud.paging import ladder as ladders
from sealwatch.cloud.paging import store
from sealwatch.cloud.paging.ladder import Ladder, Step
from tests.cloud.paging.worker import work

KILLS = 24
PAGES_A_KILL = 6
WAIT_S = 60.0


class Receiver(ThreadingHTTPServer):
    """Takes every page, 20 ms after it has come, and counts how often each came."""

    daemon_threads = True

    def __init__(self) -> None:
        self.came: Counter[str] = Counter()
        self.changed = threading.Condition()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A sender that was killed does not wait for its answer."""

    def wait_for_more_than(self, count: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.came.total() > count, WAIT_S)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        page_id = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["page_id"]
        with self.server.changed:
            self.server.came[page_id] += 1
            self.server.changed.notify_all()
        time.sleep(0.02)  # a real receiver takes its time: here most kills hit a page that is out
        answer = b'{"ok": true}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        """Silence."""


@contextmanager
def serving() -> Iterator[Receiver]:
    """A receiver that answers."""
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serving() as server:
        yield server


@pytest.fixture
def workers(postgres_url: str) -> Iterator[list[BaseProcess]]:
    """Two pagers at work."""
    running = [started(postgres_url, number) for number in range(2)]
    yield running
    for process in running:
        process.kill()
        process.join()


def started(url: str, number: int) -> BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.cloud.paging.worker"])
    process = context.Process(target=work, args=(url, f"worker-{number}"), daemon=True)
    process.start()
    return process


def open_incidents(database: Database, address: str, count: int) -> None:
    """That many incidents, each at a site of its own, with one page due now."""
    steps = (Step(after_s=0, channel="webhook", person_id="wang", name="Wang", address=address),)
    now_ms = time.time_ns() // 1_000_000
    with database.write() as session:
        for _ in range(count):
            site_id = secrets.token_hex(8)
            session.add(Site(site_id=site_id, name_zh="井", name_en="Pit", declared_status="power_cut"))
            session.flush()
            incident = Incident(
                incident_id=secrets.token_hex(16),
                site_id=site_id,
                level="red",
                state="detected",
                verdict="person",
                reason="person",
                opened_at_ms=now_ms,
                updated_at_ms=now_ms,
                ladder=ladders.to_json(Ladder(steps=steps, repeat_after_s=86400)),
            )
            session.add(incident)
            session.flush()
            store.start_walk(session, incident, now_ms=now_ms, reason="opened")


def counts(database: Database, kind: str) -> Counter[str]:
    """How often each page has this line in the history."""
    with database.read() as session:
        events = session.scalars(select(IncidentEvent).where(IncidentEvent.kind == kind))
        return Counter(event.detail["page_id"] for event in events)


def settle(database: Database) -> None:
    """Wait until no page is under way any more."""
    until_s = time.monotonic() + WAIT_S
    while {"due", "sending"} & set(first_walk(database).values()) and time.monotonic() < until_s:
        time.sleep(0.02)


def first_walk(database: Database) -> dict[str, str]:
    """State of the first page of every incident."""
    with database.read() as session:
        return {page.page_id: page.state for page in session.scalars(select(Page).where(Page.cycle == 1))}


def kill_again_and_again(url: str, receiver: Receiver, workers: list[BaseProcess], *, kills: int, seed: int) -> str:
    """Kill one of the workers at a random moment, `kills` times, while pages keep coming; check every page.

    Nothing waits for the pages of the kill before, so that a page may lose one sender after the other. Returns the
    figures in a sentence.
    """
    chance = random.Random(seed)
    database = open_database(url)
    for _ in range(kills):
        before = receiver.came.total()
        open_incidents(database, receiver.url, PAGES_A_KILL)
        assert receiver.wait_for_more_than(before)
        time.sleep(chance.uniform(0, 0.03))
        number = chance.randrange(len(workers))
        workers[number].kill()
        workers[number].join()
        workers[number] = started(url, number)
    settle(database)
    pages = first_walk(database)
    reclaimed = counts(database, "page_reclaimed")
    database_says = counts(database, "page_submitted")
    with database.read() as session:
        failures = list(session.scalars(select(Page.outcome).where(Page.state == "failed")))
        later = session.scalar(select(func.count()).select_from(Page).where(Page.cycle > 1, Page.state != "due"))
    database.close()
    assert failures == []
    assert set(pages.values()) == {"submitted"}
    assert set(receiver.came) == set(pages), "a page was missed"
    assert database_says == Counter(dict.fromkeys(pages, 1)), "a page was recorded twice"
    assert all(times <= 1 + reclaimed[page_id] for page_id, times in receiver.came.items())
    assert later == 0
    assert len(pages) == kills * PAGES_A_KILL
    assert reclaimed, "no kill hit a page: nothing has been proven"
    again = sum(times > 1 for times in receiver.came.values())
    return (
        f"{kills} kills, {len(pages)} pages: none missed, none recorded twice; {len(reclaimed)} were in flight at a "
        f"kill (one of them {max(reclaimed.values())} times), of which {again} came again under their own page_id"
    )


def test_no_page_is_missed_and_none_is_doubled_but_those_in_flight_when_their_worker_was_killed(
    postgres_url: str, receiver: Receiver, workers: list[BaseProcess]
) -> None:
    print(kill_again_and_again(postgres_url, receiver, workers, kills=KILLS, seed=7))
