"""The plug is pulled fifty times: agent or service, at random moments, while people and power go on.

What must hold afterwards: every alarm and picture that the node numbered is stored or still waiting, none twice; and
after a named person has answered, nobody is paged again.
"""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from sealwatch.demo import clip, summary
from sealwatch.demo.people import ReceivedPage
from sealwatch.demo.stage import DemoSettings, Stage

KILLS = 50
SEED = 20240309
WAIT_S = 60.0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_kills_lose_nothing_double_nothing_and_page_nobody_who_was_answered(tmp_path: Path) -> None:
    film = clip.cached_clip()
    if film is None:
        pytest.skip("the demo clip is not here (make clip)")
    dice = random.Random(SEED)
    settings = DemoSettings(folder=tmp_path / "demo", source=str(film), web_port=0, second_page_after_s=20.0)
    with Stage(settings) as stage:
        answered_at_ms = 0
        for number in range(KILLS):
            time.sleep(dice.uniform(0.0, 2.5))
            if dice.random() < 0.5:
                stage.kill("agent")
                stage.start_agent()
            else:
                stage.kill("service")
                stage.start_service()
            if not answered_at_ms and number >= KILLS // 2 and stage.telephones.pages:
                answered_at_ms = answer(stage)
        assert answered_at_ms, "no page came before the last kill"
        settle(stage)
        stage.end("agent")
        stage.end("service")
        folder = settings.folder
        book = summary.ledger(service=folder / "service" / "cloud.sqlite", outbox=folder / "node" / "outbox.db")
        assert book.sent > KILLS, "too little happened to prove anything"
        assert book.lost == 0
        check_pages(folder / "service" / "cloud.sqlite", stage.telephones.pages, answered_at_ms)
        check_alarms(folder / "service" / "cloud.sqlite")


def answer(stage: Stage) -> int:
    """Press the button behind the link of the latest page; when the answer stood, in epoch milliseconds."""
    url = stage.telephones.pages[-1].answer_url
    httpx.post(f"{url}/answer", data={"answer": "going"}, follow_redirects=True, timeout=10).raise_for_status()
    return int(incident(stage)["acknowledged_at_ms"])


def incident(stage: Stage) -> dict[str, Any]:
    items = httpx.get(f"{stage.url}/api/v1/incidents", timeout=10).raise_for_status().json()["items"]
    assert len(items) == 1, "one site, one story, one incident"
    found: dict[str, Any] = items[0]
    return found


def settle(stage: Stage) -> None:
    """Until what was waiting when the last program came back has arrived."""
    outbox = stage.settings.folder / "node" / "outbox.db"
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        if summary.waiting(outbox) <= 3:  # new samples keep coming
            return
        time.sleep(0.2)
    raise AssertionError(f"{summary.waiting(outbox)} messages still wait after {WAIT_S} s")


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def check_pages(database: Path, received: list[ReceivedPage], answered_at_ms: int) -> None:
    """Nobody is paged about an answered incident, and no step of one walk goes out as two pages."""
    late = [page for page in received if page.received_at_ms > answered_at_ms + 1000]
    raised = rows(
        database, "SELECT at_ms FROM incident_events WHERE kind IN ('level_raised', 'recurred') ORDER BY at_ms"
    )
    assert not late or any(at_ms > answered_at_ms for (at_ms,) in raised), "a page came after the answer"
    twice = rows(
        database,
        "SELECT incident_id, cycle, step, COUNT(*) FROM pages GROUP BY incident_id, cycle, step HAVING COUNT(*) > 1",
    )
    assert twice == []
    known = {page_id for (page_id,) in rows(database, "SELECT page_id FROM pages")}
    assert {page.page_id for page in received} <= known


def check_alarms(database: Path) -> None:
    """No alarm starts twice, and every stored transition belongs to an alarm of the one incident."""
    assert rows(database, "SELECT COUNT(*) FROM incidents") == [(1,)]
    starts = rows(
        database,
        "SELECT alarm_id FROM alarm_transitions WHERE phase = 'start' GROUP BY node_id, alarm_id HAVING COUNT(*) > 1",
    )
    assert starts == []
    orphans = rows(
        database,
        "SELECT t.alarm_id FROM alarm_transitions t LEFT JOIN alarms a USING (node_id, alarm_id) "
        "WHERE a.incident_id IS NULL",
    )
    assert orphans == []
