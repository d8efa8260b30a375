"""What is offered to which node. Every offer is a row of what goes to nodes, so it stays known who offered what.

A share below 100 % is a canary: the nodes are drawn by the SHA-256 of release and node_id, so that the same share draws
the same nodes, a larger one draws those and more, and another release begins with others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.cloud.db.tables import CommandReply, Node, Site
from sealwatch.cloud.downlink import queue
from sealwatch.contract import wire
from sealwatch.contract.messages import Sealed
from sealwatch.contract.release import Kind, Offered, Release, UpdateOffer
from sealwatch.contract.topics import Channel
from sealwatch.contract.wire import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which nodes: those of sites, of counties, by their own id; none of the three: all."""

    sites: Sequence[str] = ()
    counties: Sequence[str] = ()
    nodes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What one node was last offered of one kind, and what it answered. Times in ms since 1970."""

    node_id: str
    kind: Kind
    version: str
    offered_at_ms: int
    author: str
    reply: CommandReply | None


def read_release(sealed: str) -> Release:
    """What is in a sealed release; the service needs no key for it, nodes check the signature. Raises UsageError."""
    try:
        outer = wire.decode(Sealed, sealed)
        if outer.type != "release":
            raise UsageError("this is no signed release; make one with `sealwatch release make` and `sign`")
        return wire.decode(Release, outer.body)
    except Refused as refused:
        raise UsageError(f"this is no signed release: {refused.detail}") from None


def choose(session: Session, chosen: Chosen) -> list[Node]:
    """The nodes. Raises UsageError for an id that is not known, or where nobody is chosen."""
    wanted = select(Node).join(Site, Site.site_id == Node.site_id).order_by(Node.node_id)
    nodes = list(session.scalars(wanted))
    sites = {site.site_id: site for site in session.scalars(select(Site))}
    known = {
        "site": set(sites),
        "county": {site.county_code for site in sites.values()},
        "node": {node.node_id for node in nodes},
    }
    for what, given in (("site", chosen.sites), ("county", chosen.counties), ("node", chosen.nodes)):
        if unknown := sorted(set(given) - known[what]):
            raise UsageError(f"no {what} {', '.join(unknown)}")
    if chosen.sites or chosen.counties or chosen.nodes:
        nodes = [
            node
            for node in nodes
            if node.node_id in chosen.nodes
            or node.site_id in chosen.sites
            or sites[node.site_id].county_code in chosen.counties
        ]
    if not nodes:
        raise UsageError("no node is chosen; is one enrolled there?")
    return nodes


def drawn(nodes: Sequence[Node], release_text: str, share_percent: float) -> list[Node]:
    """The canaries among them: at least one."""

    def place(node: Node) -> str:
        return hashlib.sha256(
            f"{hashlib.sha256(release_text.encode()).hexdigest()}|{node.node_id}".encode()
        ).hexdigest()

    count = max(1, round(len(nodes) * share_percent / 100))
    return sorted(sorted(nodes, key=place)[:count], key=lambda node: node.node_id)


def offer(
    session: Session, nodes: Sequence[Node], release_text: str, *, again: bool, author: str, now_ms: int
) -> list[str]:
    """Offer a release to nodes that were not offered it yet; their ids. `again`: to those where it failed, too.

    Raises CommandFailed where it failed on a node already and `again` is not given.
    """
    release = read_release(release_text)
    failed = sorted(
        node_id for node_id, entry in _all_offered(session, release_text) if _failed(session, node_id, entry)
    )
    if failed and not again:
        raise CommandFailed(
            f"{release.kind} {release.version} did not work on {', '.join(failed[:10])}; see `sealwatch cloud update "
            "status`, and add --again to offer it all the same"
        )
    told = []
    for node in nodes:
        before = _offered(session, node.node_id)
        entry = before.get(release.kind)
        if entry is not None and entry.release == release_text and not (again and node.node_id in failed):
            continue
        version = queue.next_version(session, node.node_id, Channel.UPDATE, now_ms)
        entries = {**before, release.kind: Offered(attempt=version, release=release_text)}
        _say(session, node, list(entries.values()), version, author=author, now_ms=now_ms)
        told.append(node.node_id)
    return told


def withdraw(session: Session, nodes: Sequence[Node], kind: Kind, *, author: str, now_ms: int) -> list[str]:
    """Offer it no longer: whoever has not installed it yet will not. Ids of the nodes that are told."""
    told = []
    for node in nodes:
        entries = _offered(session, node.node_id)
        if entries.pop(kind, None) is None:
            continue
        version = queue.next_version(session, node.node_id, Channel.UPDATE, now_ms)
        _say(session, node, list(entries.values()), version, author=author, now_ms=now_ms)
        told.append(node.node_id)
    return told


def standings(session: Session) -> list[Standing]:
    """Node by node what is offered at present."""
    found = []
    for node_id in session.scalars(select(Node.node_id).order_by(Node.node_id)):
        row = queue.newest(session, node_id, Channel.UPDATE)
        for kind, entry in _offered(session, node_id).items():
            assert row is not None  # noqa: S101 - what is offered is in it
            reply = session.get(CommandReply, (node_id, f"update-{kind}-{entry.attempt}"))
            version = read_release(entry.release).version
            found.append(
                Standing(
                    node_id=node_id,
                    kind=kind,
                    version=version,
                    offered_at_ms=row.created_at_ms,
                    author=row.author,
                    reply=reply,
                )
            )
    return found


def _offered(session: Session, node_id: str) -> dict[Kind, Offered]:
    row = queue.newest(session, node_id, Channel.UPDATE)
    if row is None:
        return {}
    return {read_release(entry.release).kind: entry for entry in wire.decode(UpdateOffer, row.body).offered}


def _all_offered(session: Session, release_text: str) -> list[tuple[str, Offered]]:
    nodes = session.scalars(select(Node.node_id)).all()
    return [(one, entry) for one in nodes for entry in _offered(session, one).values() if entry.release == release_text]


def _failed(session: Session, node_id: str, entry: Offered) -> bool:
    kind = read_release(entry.release).kind
    reply = session.get(CommandReply, (node_id, f"update-{kind}-{entry.attempt}"))
    return reply is not None and reply.reason in {"rolled_back", "not_installable"}


def _say(session: Session, node: Node, entries: list[Offered], version: int, *, author: str, now_ms: int) -> None:
    message = UpdateOffer(
        site_id=node.site_id, node_id=node.node_id, version=version, issued_at_ms=now_ms, offered=entries
    )
    queue.add_retained(session, message, Channel.UPDATE, author=author, now_ms=now_ms)
