"""Situations in words for the small county: one line a moment, `<seconds> <who> <does what>`.

    0 alarm person            an alarm of this kind comes in (`alarm vehicle yellow`, `alarm person again`: another one)
    30 wang goes              answers; also: can't, arrives, verifies, closes N, disagrees, sent (by the desk),
    30 desk shelves 600       shelves for so many seconds; also: reopens
    40 restart                the process ends and another one takes over; `crash` ends it in the middle of a page
    50 webhook refuses        says no from now on; also: works; the same for email
    60 clock back 3600        the wall clock jumps; also: forward
    70 dark 900               no service runs for so many seconds
    80 permit until 3600      work is announced from now on, for 2 people and 5 kW; also: with hoist, vehicle
    90 permit ends            somebody ends it early
    92 silence camera_fault person 600   these kinds wake nobody for so many seconds; `silence ends`: somebody ends it
    94 node offline           the broker says that the node is gone; `node online`: it says how it is
    95 over person            the last alarm of this kind ends; `more power_step after_w 9000`: another word of it

Then what is wanted, as `pages wang@0 li@60` (every page that reached a receiver, exactly), `state notified`, and
`aside person-1` (alarms that are recorded without an incident).
"""

from __future__ import annotations

import itertools
from typing import Any, Final

from sqlalchemy.orm import Session

from sealwatch.cloud.incidents import service, steps
from sealwatch.cloud.permits import store as permits
from sealwatch.cloud.permits.store import Announced
from sealwatch.cloud.silences import store as silences
from sealwatch.cloud.silences.store import Wanted
from sealwatch.contract.codes import Closure, Level, Phase
from tests.cloud.paging.test_scenarios import kill_while_sending
from tests.cloud.world import REFUSED, TAKEN, World

LONG_S: Final = 1000.0


def play(world: World, script: str) -> None:
    """Do what the lines say and check what they want."""
    for line in filter(None, (line.strip() for line in script.splitlines())):
        first, *rest = line.split()
        if first == "pages":
            sent = [f"{address.removeprefix('to:')}@{at:g}" for at, address in world.pages_sent()]
            assert sent == rest, f"{line}; it was {sent}"
        elif first == "state":
            assert [i.state for i in world.incidents()] == rest, line
        elif first == "level":
            assert world.incidents()[-1].level == rest[0], line
        elif first == "aside":
            assert [a.alarm_id for a in world.alarms() if a.incident_id is None] == rest, line
        elif first == "verdict":
            assert world.incidents()[-1].verdict == rest[0], line
        elif first == "history":
            assert rest[0] in world.history(), line
        else:
            quiet_s = float(first) - (world.clock.wall_ms() - world.start_ms) / 1000
            if quiet_s > LONG_S:  # hours in which nothing is due but audits
                world.until(float(first) - quiet_s + LONG_S / 2)
                world.clock.advance(quiet_s - LONG_S)
            world.until(float(first))
            _do(world, rest)
            world.pager.turn()


def _do(world: World, words: list[str]) -> None:
    match words:
        case []:
            pass
        case ["alarm", kind, *how]:
            level = next((Level(word) for word in how if word in set(Level)), Level.ORANGE)
            number = sum(alarm.kind == kind for alarm in world.alarms())
            world.push(world.alarm(kind, alarm_id=f"{kind}-{number + 1}", level=level, numbers=_numbers(how)))
        case ["over" | "more" as what, kind, *how]:
            phase = Phase.END if what == "over" else Phase.UPDATE
            last = [alarm for alarm in world.alarms() if alarm.kind == kind][-1]
            began: dict[str, Any] = {
                "alarm_id": last.alarm_id,
                "level": Level(last.level),
                "started_at_ms": last.started_at_ms,
            }
            world.push(world.alarm(kind, phase=phase, numbers=_numbers(how), **began))
        case ["node", "online" | "offline" as state]:
            world.say(state=state)
        case ["silence", *how]:
            with world.database.write() as session:
                _silence(session, world, how)
        case ["permit", *how]:
            with world.database.write() as session:
                _permit(session, world, how)
        case ["restart"]:
            world.restart()
        case ["crash"]:
            kill_while_sending(world)
            world.restart()
        case ["dark", seconds]:
            world.clock.advance(float(seconds))
            world.restart()
        case ["clock", way, seconds]:
            world.clock.jump_wall(float(seconds) * (-1 if way == "back" else 1))
        case ["webhook" | "email" as name, how]:
            channel = world.webhook if name == "webhook" else world.email
            channel.always = TAKEN if how == "works" else REFUSED
        case [who, *does]:
            with world.database.write() as session:
                _act(session, world, who, does)


def _numbers(words: list[str]) -> dict[str, float]:
    """`count 3 after_w 9000` among the words of an alarm."""
    return {name: float(value) for name, value in itertools.pairwise(words) if value.isdecimal()}


def _silence(session: Session, world: World, how: list[str]) -> None:
    now_ms = world.clock.wall_ms()
    match how:
        case ["ends"]:
            (one,) = silences.listed(session, site_id="s1", holding_only=True, limit=2)
            silences.end(session, one.silence_id, author="desk", now_ms=now_ms)
        case [*kinds, seconds]:
            until_ms = now_ms + round(float(seconds) * 1000)
            wanted = Wanted(site_id="s1", kinds=tuple(kinds), from_ms=now_ms, until_ms=until_ms, reason="换摄像机")
            silences.make(session, wanted, author="desk", now_ms=now_ms)


def _permit(session: Session, world: World, how: list[str]) -> None:
    now_ms = world.clock.wall_ms()
    match how:
        case ["ends"]:
            (permit,) = permits.listed(session, site_id="s1", open_at_ms=now_ms, limit=2)
            permits.end(session, permit.permit_id, author="desk", reason="提前完工", now_ms=now_ms)
        case ["until", at_s, *equipment]:
            announced = Announced(
                site_id="s1",
                from_ms=now_ms,
                to_ms=world.start_ms + round(float(at_s) * 1000),
                max_power_w=5000.0,
                max_people=2,
                equipment=tuple(equipment),
                purpose="排水泵检修",
                responsible="赵师傅",
            )
            permits.announce(session, announced, author="desk", now_ms=now_ms)


def _act(session: Session, world: World, who: str, does: list[str]) -> None:
    actor = "desk" if who == "desk" else f"person:{who}"
    incident_id, now_ms = world.incidents()[-1].incident_id, world.clock.wall_ms()
    match does:
        case ["goes"]:
            service.acknowledge(session, incident_id=incident_id, actor=actor, reason="link", now_ms=now_ms)
        case ["can't"]:
            service.pass_on(session, incident_id=incident_id, actor=actor, reason="link", now_ms=now_ms)
        case ["sent"]:
            steps.dispatch(session, incident_id=incident_id, actor="desk", to_person_id=who, now_ms=now_ms)
        case ["arrives"]:
            steps.arrive(session, incident_id=incident_id, actor=actor, now_ms=now_ms)
        case ["verifies"]:
            steps.verify(session, incident_id=incident_id, actor=actor, note="封堵完好", now_ms=now_ms)
        case ["closes", number]:
            closure = Closure(int(number))
            service.close(session, incident_id=incident_id, actor=actor, closure=closure, now_ms=now_ms)
        case ["disagrees"]:
            steps.refuse_closing(session, incident_id=incident_id, actor=actor, note="有新车辙", now_ms=now_ms)
        case ["shelves", seconds]:
            until_ms = now_ms + round(float(seconds) * 1000)
            steps.shelve(session, incident_id=incident_id, actor=actor, until_ms=until_ms, reason="检修", now_ms=now_ms)
        case ["reopens"]:
            service.reopen(session, incident_id=incident_id, actor=actor, now_ms=now_ms)
        case _:
            raise AssertionError(f"not a line of the script: {who} {does}")
