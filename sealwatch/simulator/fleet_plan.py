"""What a node of a simulated fleet does and when: pure, and the same for the same seed.

Characters (share of the fleet): quiet (80 %: states and minutes of a meter), busy (10 %: a pump runs, readings every
20 s), flaky (8 %: the mobile link breaks every few minutes), stirring (2 %: alarms in bursts, as when people are at the
shaft).
Shares and rates are assumptions for load tests, not measured at mines.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.contract.signing import public_key_text

HEARTBEAT_S: Final = 30.0
_MINUTE_S: Final = 60.0
_BUSY_S: Final = 20.0
_LINK_HOLDS_S: Final = 180.0
_LINK_AWAY_S: Final = (2.0, 40.0)
_ALARM_EVERY_S: Final = {"quiet": 6 * 3600.0, "busy": 3 * 3600.0, "flaky": 6 * 3600.0, "stirring": 120.0}
_BURST: Final = (1, 4)
_ALARM_LASTS_S: Final = (5.0, 90.0)


class Act(StrEnum):
    """One thing that a node does."""

    STATUS = "status"
    SAMPLES = "samples"
    ALARM_START = "alarm_start"
    ALARM_END = "alarm_end"
    LINK_LOST = "link_lost"
    LINK_BACK = "link_back"


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """At `at_s` (seconds since the start) the node does this; `number` names an alarm of it."""

    at_s: float
    node: int
    act: Act
    number: int = 0


def character(node: int, seed: int) -> str:
    """Which kind of node it is."""
    draw = random.Random(f"{seed}/{node}/character").random()
    return "quiet" if draw < 0.8 else "busy" if draw < 0.9 else "flaky" if draw < 0.98 else "stirring"


def key(node: int, seed: int) -> Ed25519PrivateKey:
    """The node's signing key, drawn from the seed so that a registry can be written first: never for a real node."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"sealwatch fleet {seed}/{node}".encode()).digest())


def site_id(node: int) -> str:
    return f"fleet-site-{node:05d}"


def node_id(node: int) -> str:
    return f"fleet-node-{node:05d}"


def registry(nodes: int, seed: int) -> str:
    """Sites and nodes of the fleet as a piece of `cloud.toml`."""
    parts = []
    for node in range(nodes):
        public = public_key_text(key(node, seed).public_key())
        parts.append(
            f'[[sites]]\nsite_id = "{site_id(node)}"\nname_zh = "模拟站点 {node}"\nname_en = "Simulated site {node}"\n'
            f'[[nodes]]\nnode_id = "{node_id(node)}"\nsite_id = "{site_id(node)}"\npublic_key = "{public}"\n'
        )
    return "".join(parts)


def acts(node: int, seed: int, until_s: float) -> Iterator[Due]:
    """Everything that a node does before `until_s`, in no order."""
    draw = random.Random(f"{seed}/{node}/acts")
    kind = character(node, seed)
    yield from _regular(node, Act.STATUS, HEARTBEAT_S, draw, until_s)
    yield from _regular(node, Act.SAMPLES, _BUSY_S if kind == "busy" else _MINUTE_S, draw, until_s)
    yield from _alarms(node, _ALARM_EVERY_S[kind], draw, until_s)
    if kind == "flaky":
        yield from _outages(node, draw, until_s)


def _regular(node: int, act: Act, every_s: float, draw: random.Random, until_s: float) -> Iterator[Due]:
    at_s = draw.uniform(0, every_s)  # nodes were started at different moments
    while at_s < until_s:
        yield Due(at_s, node, act)
        at_s += every_s


def _alarms(node: int, every_s: float, draw: random.Random, until_s: float) -> Iterator[Due]:
    number = 0
    at_s = draw.expovariate(1 / every_s)
    while at_s < until_s:
        for _ in range(draw.randint(*_BURST)):
            number += 1
            started_s = at_s + draw.uniform(0, 5)
            yield Due(started_s, node, Act.ALARM_START, number)
            yield Due(started_s + draw.uniform(*_ALARM_LASTS_S), node, Act.ALARM_END, number)
        at_s += draw.expovariate(1 / every_s)


def _outages(node: int, draw: random.Random, until_s: float) -> Iterator[Due]:
    at_s = draw.expovariate(1 / _LINK_HOLDS_S)
    while at_s < until_s:
        yield Due(at_s, node, Act.LINK_LOST)
        at_s += draw.uniform(*_LINK_AWAY_S)
        yield Due(at_s, node, Act.LINK_BACK)
        at_s += draw.expovariate(1 / _LINK_HOLDS_S)
