"""A robot of 20 messages a minute in a storm: red pages go at once, yellow ones share digests, and none is lost."""

from __future__ import annotations

import secrets
from collections import Counter

import pytest
from sqlalchemy import select

from sealwatch.cloud.auth.links import LinkSigner
from sealwatch.cloud.db.tables import Incident, Page, Site
from sealwatch.cloud.paging import ladder as ladders
from sealwatch.cloud.paging.ladder import Ladder
from sealwatch.cloud.paging.pager import Pager
from sealwatch.cloud.paging.queue import Limits
from sealwatch.cloud.ports import PageRequest, Submission
from tests.cloud.world import InlineExecutor, World, step

LADDER = Ladder(steps=(step(0, "wang", "robot"), step(3600, "li", "email")), repeat_after_s=7200)


class Robot:
    """A vendor that mutes who sends more than 20 messages in a minute."""

    def __init__(self, world: World) -> None:
        self.world, self.messages, self.muted_until_s = world, list[tuple[float, PageRequest]](), float("-inf")
        self.refused = 0

    def submit(self, request: PageRequest) -> Submission:
        now_s = (self.world.clock.wall_ms() - self.world.start_ms) / 1000
        recent = sum(now_s - at_s < 60 for at_s, _ in self.messages)
        if now_s < self.muted_until_s or recent >= 20:
            self.refused += 1
            self.muted_until_s = max(self.muted_until_s, now_s + 600)
            return Submission(ok=False, outcome="robot_muted: 130101", reason="robot_muted", pause_s=600.0)
        self.messages.append((now_s, request))
        return Submission(ok=True, outcome=f"taken: message {len(self.messages)}", reason="taken")


@pytest.fixture
def robot(world: World) -> Robot:
    made = Robot(world)
    world.pager = Pager(
        world.database,
        channels={"robot": made, "email": world.email},
        links=LinkSigner(b"0123456789abcdef", "https://seal.example"),
        clock=world.clock,
        changes=world.changes,
        worker="worker-1",
        executor=InlineExecutor(),
        robots={"robot": Limits(20)},
    )
    return made


def arrive(world: World, level: str, count: int, prefix: str) -> None:
    """That many incidents, each at a site of its own, with the first page due now."""
    now_ms = world.clock.wall_ms()
    with world.database.write() as session:
        for number in range(count):
            name = f"{prefix}{number}"
            session.add(Site(site_id=name, name_zh=f"{name} 号井", name_en=f"Pit {name}", declared_status="power_cut"))
        session.flush()
        for number in range(count):
            name = f"{prefix}{number}"
            session.add(
                Incident(
                    incident_id=name,
                    site_id=name,
                    level=level,
                    state="detected",
                    verdict="suspected_illegal_production",
                    reason="rule",
                    opened_at_ms=now_ms,
                    updated_at_ms=now_ms,
                    ladder=ladders.to_json(LADDER),
                )
            )
        session.flush()
        for number in range(count):
            for place, due_ms in enumerate((now_ms, now_ms + 3_600_000)):
                session.add(
                    Page(
                        page_id=secrets.token_hex(16),
                        incident_id=f"{prefix}{number}",
                        cycle=1,
                        step=place,
                        occasion="opened",
                        person_id=LADDER.steps[place].person_id,
                        channel=LADDER.steps[place].channel,
                        state="due",
                        due_at_ms=due_ms,
                    )
                )


def seconds(world: World, count: int) -> None:
    for _ in range(count):
        world.pager.turn()
        world.clock.advance(1)


def first_pages(world: World, prefix: str) -> list[Page]:
    with world.database.read() as session:
        wanted = select(Page).where(Page.cycle == 1, Page.step == 0, Page.incident_id.startswith(prefix))
        return list(session.scalars(wanted))


def test_forty_yellow_pages_and_a_red_one(world: World, robot: Robot) -> None:
    arrive(world, "yellow", 40, "y")
    arrive(world, "red", 1, "r")
    seconds(world, 1)
    assert [request.level for _, request in robot.messages] == ["red", "yellow"]
    text = robot.messages[1][1]
    assert text.title == "【黄】40 条叫应合并为一条"
    assert text.body.count("https://seal.example/") == 9
    assert "另有 32 条" in text.body
    assert {page.outcome for page in first_pages(world, "y")} == {"taken: message 2"}
    assert {page.state for page in first_pages(world, "y")} == {"submitted"}


def test_a_few_pages_keep_a_message_each(world: World, robot: Robot) -> None:
    arrive(world, "yellow", 3, "y")
    seconds(world, 2)
    assert len(robot.messages) == 3
    assert len({page.outcome for page in first_pages(world, "y")}) == 3


def test_a_digest_that_fails_is_tried_again_for_each_of_its_pages(world: World, robot: Robot) -> None:
    arrive(world, "yellow", 30, "y")
    answers = [Submission(ok=False, outcome="vendor_busy: -1", retry=True)]
    take = robot.submit
    robot.submit = lambda request: answers.pop() if answers else take(request)  # type: ignore[method-assign]  # once
    seconds(world, 90)
    pages = first_pages(world, "y")
    assert Counter(page.state for page in pages) == {"submitted": 30}
    assert {page.attempts for page in pages} == {2}


def test_a_muted_robot_lets_the_red_page_go_to_the_next_step_at_once_and_yellow_ones_wait(
    world: World, robot: Robot
) -> None:
    robot.muted_until_s = 600
    arrive(world, "yellow", 1, "y")
    seconds(world, 1)
    arrive(world, "red", 1, "r")
    arrive(world, "yellow", 50, "z")
    seconds(world, 5)
    assert robot.refused == 1
    assert world.pages_sent() == [(1, "to:li"), (2, "to:li")]  # the turn after the failure; turns are a second apart
    assert [page.outcome for page in first_pages(world, "r")] == ["channel_paused: robot_muted: 130101"]
    assert {page.state for page in first_pages(world, "z")} == {"due"}
    seconds(world, 610)
    assert {page.state for page in first_pages(world, "z")} == {"submitted"}
    assert robot.refused == 1


@pytest.mark.slow
def test_a_red_page_is_submitted_within_5_s_in_a_storm_of_10_000_yellow_ones(world: World, robot: Robot) -> None:
    arrive(world, "yellow", 10_000, "y")
    for number in range(12):
        arrive(world, "red", 3, f"r{number}-")
        seconds(world, 5)
    reds = first_pages(world, "r")
    assert len(reds) == 36
    with world.database.read() as session:
        opened = {one.incident_id: one.opened_at_ms for one in session.scalars(select(Incident))}
    late_s = [((page.submitted_at_ms or 2**60) - opened[page.incident_id]) / 1000 for page in reds]
    assert max(late_s) <= 5
    assert robot.refused == 0
    assert len(robot.messages) <= 20
    states = Counter(page.state for page in first_pages(world, "y"))
    assert set(states) <= {"submitted", "due"}
    assert sum(states.values()) == 10_000


def test_a_storm_of_900_is_told_in_a_few_digests_with_nothing_lost(world: World, robot: Robot) -> None:
    arrive(world, "yellow", 900, "y")
    seconds(world, 5)
    assert len(robot.messages) == 5
    pages = first_pages(world, "y")
    assert Counter(page.state for page in pages) == {"submitted": 900}
    told = Counter(page.outcome for page in pages)
    assert told == {f"taken: message {n}": 200 for n in range(1, 5)} | {"taken: message 5": 100}
