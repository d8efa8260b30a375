"""Which nodes are offered what: canaries, a larger share, both kinds side by side, one that failed, withdrawal."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.cloud.db.tables import CommandReply, Node, Site
from sealwatch.cloud.downlink import queue
from sealwatch.cloud.updates import offers
from sealwatch.cloud.updates.offers import Chosen
from sealwatch.contract import wire
from sealwatch.contract.release import Kind, Release, ReleaseFile, UpdateOffer
from sealwatch.contract.topics import Channel
from tests.cloud.world import World

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def sealed(version: str, kind: Kind = "agent") -> str:
    files = [ReleaseFile(name="a.whl", sha256="0" * 64, size_bytes=1)]
    return wire.seal(KEY, Release(kind=kind, version=version, platform="any", issued_at_ms=1, files=files)).decode()


@pytest.fixture
def county(world: World) -> World:
    """Two sites with ten nodes each, and none besides."""
    with world.database.write() as session:
        for node in session.scalars(select(Node)):
            session.delete(node)
        for site in ("east", "west"):
            session.add(
                Site(site_id=site, name_zh=site, name_en=site, county_code=f"c-{site}", declared_status="power_cut")
            )
            session.flush()
            session.add_all([Node(node_id=f"{site}-{n}", site_id=site, public_key="") for n in range(10)])
    return world


def offer(
    world: World, text: str, chosen: Chosen | None = None, *, share: float = 100, again: bool = False
) -> list[str]:
    with world.database.write() as session:
        nodes = offers.drawn(offers.choose(session, chosen or Chosen()), text, share)
        return offers.offer(session, nodes, text, again=again, author="shell:test", now_ms=world.clock.wall_ms())


def offered(world: World, node_id: str) -> UpdateOffer:
    with world.database.read() as session:
        row = queue.newest(session, node_id, Channel.UPDATE)
        assert row is not None
        return wire.decode(UpdateOffer, row.body)


def answer(world: World, node_id: str, kind: Kind, *, ok: bool, reason: str) -> None:
    [attempt] = [entry.attempt for entry in offered(world, node_id).offered]
    with world.database.write() as session:
        session.add(
            CommandReply(
                node_id=node_id,
                command_id=f"update-{kind}-{attempt}",
                ok=ok,
                reason=reason,
                detail="",
                replied_at_ms=1,
                received_at_ms=1,
            )
        )


def test_a_larger_share_adds_nodes_and_tells_none_twice(county: World) -> None:
    first = offer(county, sealed("1.1"), share=20)
    assert len(first) == 4
    more = offer(county, sealed("1.1"), share=50)
    assert len(more) == 6
    assert not set(first) & set(more)
    assert len(offer(county, sealed("1.1"))) == 10
    assert offer(county, sealed("1.1")) == []


def test_other_releases_begin_with_other_nodes_and_even_a_tiny_share_with_one(county: World) -> None:
    firsts = {offer(county, sealed(f"1.{n}"), share=0.1)[0] for n in range(1, 9)}
    assert len(firsts) > 2


def test_sites_counties_and_nodes_are_chosen_by_name(county: World) -> None:
    assert all(one.startswith("east-") for one in offer(county, sealed("1.1"), Chosen(sites=["east"])))
    assert offer(county, sealed("1.1"), Chosen(nodes=["west-3"])) == ["west-3"]
    assert len(offer(county, sealed("1.1"), Chosen(counties=["c-west"]))) == 9
    for chosen in (Chosen(sites=["north"]), Chosen(counties=["c-north"]), Chosen(nodes=["north-1"])):
        with pytest.raises(UsageError, match="north"):
            offer(county, sealed("1.1"), chosen)


def test_a_model_is_offered_beside_the_agent_and_neither_takes_the_others_place(county: World) -> None:
    chosen = Chosen(nodes=["west-3"])
    offer(county, sealed("1.1"), chosen)
    before = offered(county, "west-3")
    offer(county, sealed("5", "model"), chosen)
    after = offered(county, "west-3")
    assert [entry.release for entry in after.offered] == [sealed("1.1"), sealed("5", "model")]
    assert (after.offered[0].attempt, after.version > before.version) == (before.version, True)
    with county.database.write() as session:
        nodes = offers.choose(session, chosen)
        assert offers.withdraw(session, nodes, "agent", author="shell:test", now_ms=1) == ["west-3"]
        assert offers.withdraw(session, nodes, "agent", author="shell:test", now_ms=1) == []
    assert [entry.release for entry in offered(county, "west-3").offered] == [sealed("5", "model")]


def test_what_did_not_work_on_a_canary_goes_no_further_unless_somebody_says_so(county: World) -> None:
    [canary] = offer(county, sealed("1.1"), share=1)
    answer(county, canary, "agent", ok=False, reason="rolled_back")
    with pytest.raises(CommandFailed, match=canary):
        offer(county, sealed("1.1"))
    before = offered(county, canary).offered[0].attempt
    assert len(offer(county, sealed("1.1"), again=True)) == 20
    assert offered(county, canary).offered[0].attempt > before
    with county.database.read() as session:
        standings = offers.standings(session)
    assert {(one.version, one.author, one.reply) for one in standings} == {("1.1", "shell:test", None)}


def test_what_is_no_release_is_refused_in_one_sentence() -> None:
    for text in ("", "{}", wire.seal(KEY, UpdateOffer(site_id="s", node_id="n", version=1, issued_at_ms=1)).decode()):
        with pytest.raises(UsageError, match="no signed release"):
            offers.read_release(text)
