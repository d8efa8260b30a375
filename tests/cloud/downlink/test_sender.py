"""What goes to nodes: put down with what it is about, sealed, published until the broker took it, on both databases."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from sealwatch.base.errors import UsageError
from sealwatch.base.mqtt import MqttSettings
from sealwatch.cloud.db.tables import Downlink, Node, Person, Site
from sealwatch.cloud.downlink.queue import publish_declaration, push_config, queue_command
from sealwatch.cloud.downlink.sender import DownlinkSender
from sealwatch.contract import wire
from sealwatch.contract.codes import DeclaredStatus
from sealwatch.contract.messages import Command, Declaration, NodeConfig, Permit
from tests.cloud.world import World

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PERMIT = Permit(permit_id="p1", from_ms=0, to_ms=10, purpose="pump")


class Broker:
    """A link that is up or down and keeps what it took; `answer` is the broker's own acknowledgement."""

    def __init__(self, sender: DownlinkSender) -> None:
        self.sender, self.connected = sender, False
        self.taken: list[tuple[str, bytes, bool]] = []
        self.answers = True

    def start(self) -> None: ...
    def stop(self) -> None: ...

    def connect(self) -> None:
        self.connected = True
        self.sender.connection_came()
        self.sender.pump()
        self.sender.pump()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        if not self.connected:
            return None
        self.taken.append((topic, payload, retain))
        if self.answers:
            self.sender.published(len(self.taken))
        return len(self.taken)

    def take(self) -> list[tuple[str, bytes, bool]]:
        found, self.taken = self.taken, []
        return found


@pytest.fixture
def made(world: World) -> tuple[World, DownlinkSender, Broker]:
    brokers: list[Broker] = []

    def link(sender: DownlinkSender) -> Broker:
        brokers.append(Broker(sender))
        return brokers[0]

    sender = DownlinkSender(
        world.database, key=KEY, mqtt=MqttSettings(url="mqtt://x"), worker="w", clock=world.clock, link=link
    )
    return world, sender, brokers[0]


Made = tuple[World, DownlinkSender, Broker]


def ask(world: World, name: str = "ping", **more: str) -> str:
    with world.database.write() as session:
        return queue_command(
            session, node_id="node-1", name=name, arguments=more, author="desk", now_ms=world.clock.wall_ms()
        )


def declare(world: World, **more: list[Permit]) -> int:
    with world.database.write() as session:
        return publish_declaration(session, "s1", author="desk", now_ms=world.clock.wall_ms(), **more)


def test_a_command_waits_for_the_broker_and_is_sent_once(made: Made) -> None:
    world, sender, broker = made
    command_id = ask(world, "snapshot", camera="cam-1")
    sender.pump()
    assert broker.taken == []
    broker.connect()
    [(topic, payload, retain)] = broker.take()
    assert (topic, retain) == ("seal/v1/s1/node-1/command", False)
    command = wire.unseal(Command, payload, KEY.public_key())
    assert (command.command_id, command.arguments) == (command_id, {"camera": "cam-1"})
    broker.connect()
    assert broker.taken == []
    with world.database.read() as session:
        assert session.scalars(select(Downlink)).one().sent_at_ms is not None


def test_a_command_that_the_broker_did_not_answer_goes_out_again_until_it_expires(made: Made) -> None:
    world, sender, broker = made
    broker.answers = False
    ask(world)
    broker.connect()
    assert len(broker.take()) == 1
    world.clock.advance(31)
    sender.pump()
    assert len(broker.take()) == 1
    world.clock.advance(3600)
    broker.connect()
    assert broker.take() == []


def test_a_declaration_is_retained_and_says_nothing_new_twice(made: Made) -> None:
    world, sender, broker = made
    assert [declare(world), declare(world)] == [1, 0]
    broker.connect()
    [(topic, first, retain)] = broker.take()
    assert (topic, retain) == ("seal/v1/s1/node-1/declaration", True)
    assert wire.unseal(Declaration, first, KEY.public_key()).declared_status is DeclaredStatus.POWER_CUT
    broker.connect()
    assert [payload for _, payload, _ in broker.take()] == [first], "the same bytes again for a broker that lost them"
    with world.database.write() as session:
        session.get_one(Site, "s1").declared_status = "drainage_only"
    assert declare(world) == 1
    sender.pump()
    second = wire.unseal(Declaration, broker.take()[0][1], KEY.public_key())
    assert second.declared_status is DeclaredStatus.DRAINAGE_ONLY
    assert second.version > wire.unseal(Declaration, first, KEY.public_key()).version


def test_permits_hold_until_others_are_said(made: Made) -> None:
    world, _, broker = made
    assert declare(world, permits=[PERMIT]) == 1
    assert declare(world) == 0
    assert declare(world, permits=[]) == 1
    broker.connect()
    said = [wire.unseal(Declaration, payload, KEY.public_key()).permits for _, payload, _ in broker.take()]
    assert said == [[]], "an older one would take the newer one's place at the broker"


def test_versions_go_up_even_where_the_clock_goes_back(made: Made) -> None:
    world, _, _ = made
    declare(world)
    world.clock.jump_wall(-86_400)
    declare(world, permits=[PERMIT])
    with world.database.read() as session:
        versions = list(session.scalars(select(Downlink.version).order_by(Downlink.id)))
    assert versions == [world.start_ms, world.start_ms + 1]


def test_a_configuration_goes_out_sealed_and_retained(made: Made) -> None:
    world, _, broker = made
    with world.database.write() as session:
        version = push_config(session, node_id="node-1", toml="x = 1", author="desk", now_ms=world.clock.wall_ms())
    broker.connect()
    [(topic, payload, retain)] = broker.take()
    assert (topic, retain) == ("seal/v1/s1/node-1/config", True)
    config = wire.unseal(NodeConfig, payload, KEY.public_key())
    assert (config.version, config.toml) == (version, "x = 1")


def test_nothing_is_retained_for_a_node_that_was_taken_out(made: Made) -> None:
    world, _, broker = made
    declare(world)
    with world.database.write() as session:
        session.delete(session.get_one(Node, "node-1"))
    broker.connect()
    assert broker.taken == []


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda s: queue_command(s, node_id="node-9", name="ping", author="x", now_ms=1), "there are: node-1, node-2"),
        (lambda s: queue_command(s, node_id="node-1", name="PING", author="x", now_ms=1), "cannot be sent"),
        (lambda s: push_config(s, node_id="node-1", toml="x" * 100_001, author="x", now_ms=1), "cannot be sent"),
        (lambda s: publish_declaration(s, "s9", author="x", now_ms=1), "no site 's9'"),
    ],
)
def test_what_cannot_be_sent_is_said_at_once(world: World, call: Callable[..., object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence), world.database.write() as session:
        call(session)


def test_disarming_wants_two_people_of_the_registry_before_it_is_even_sent(world: World) -> None:
    with world.database.write() as session:
        session.add(Person(person_id="wang", name="王", level=1))
    with pytest.raises(UsageError, match="second=li names nobody"):
        ask(world, "disarm", first="wang", second="li")


def test_a_clip_is_asked_for_in_the_name_of_whoever_asks_and_of_nobody_else(made: Made) -> None:
    world, _, broker = made
    ask(world, "clip", camera="cam-1", asked_by="person:somebody-else")
    broker.connect()
    [(_, payload, _)] = broker.take()
    assert wire.unseal(Command, payload, KEY.public_key()).arguments == {"camera": "cam-1", "asked_by": "desk"}
