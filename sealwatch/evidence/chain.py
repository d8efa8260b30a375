"""The hash chain over everything a node has sent: each link names the hash of the one before.

Without the node's key nobody can take a link out, put one in, or change their order without it showing here. Reasons:
altered_link, removed_link, reordered_link, inserted_link, broken_chain, truncated_chain, wrong_key.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealwatch.contract.codes import ClockQuality
from sealwatch.evidence.documents import ChainRange, Link
from sealwatch.evidence.envelope import Opened, open_envelope
from sealwatch.evidence.findings import Finding

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: index and hash of its last link. Index 0 and zeros: nothing was sent yet."""

    index: int = 0
    sha256: str = GENESIS


def next_link(
    head: Head,
    *,
    site_id: str,
    node_id: str,
    boot_id: str,
    kind: str,
    item_sha256: str,
    at_ms: int,
    clock_quality: ClockQuality,
) -> Link:
    """The link that follows `head`."""
    return Link(
        site_id=site_id,
        node_id=node_id,
        boot_id=boot_id,
        index=head.index + 1,
        kind=kind,
        item_sha256=item_sha256,
        at_ms=at_ms,
        clock_quality=clock_quality,
        prev=head.sha256,
    )


@dataclass(frozen=True, slots=True)
class Checked:
    """What a run over a chain found. `links` are those that hold."""

    links: tuple[Link, ...]
    findings: tuple[Finding, ...]


def check(
    lines: Sequence[bytes],
    trusted: Mapping[str, Ed25519PublicKey],
    wanted: ChainRange | None,
    *,
    stated_key: Ed25519PublicKey | None = None,
) -> Checked:
    """Check consecutive links, one sealed link a line, against each other and against the range they should fill."""
    opened = [open_envelope(Link, line, trusted, stated_key=stated_key) for line in lines]
    findings: list[Finding] = []
    for number, link in enumerate(opened, start=1):
        if "altered" in link.problems:
            findings.append(Finding("altered_link", f"chain.jsonl:{number}"))
        elif "wrong_key" in link.problems:
            findings.append(Finding("wrong_key", f"chain.jsonl:{number}", {"key_id": link.key_id}))
    findings += _order_findings(opened)
    if wanted is not None:
        findings += _range_findings(opened, wanted)
    links = tuple(o.document for o in opened if o.document is not None and o.sound)
    return Checked(links, tuple(findings))


def _order_findings(opened: Sequence[Opened[Link]]) -> list[Finding]:
    findings: list[Finding] = []
    readable = [(number, o, o.document) for number, o in enumerate(opened, start=1) if o.document and _signed(o)]
    seen: dict[int, str] = {}
    for number, one, link in readable:
        if link.index in seen:
            # The same link twice was slipped in; two different ones of one place are a fork.
            reason = "inserted_link" if seen[link.index] == one.body_sha256 else "broken_chain"
            findings.append(Finding(reason, f"chain.jsonl:{number}", {"index": link.index}))
        seen.setdefault(link.index, one.body_sha256)
    indexes = list(dict.fromkeys(link.index for _, _, link in readable))
    for before, after in itertools.pairwise(indexes):
        if after < before:
            findings.append(Finding("reordered_link", "chain.jsonl", {"index": after}))
    altered = sum(1 for o in opened if not _signed(o))
    findings += _gaps(sorted(indexes), altered)
    by_index = {link.index: (number, one, link) for number, one, link in reversed(readable)}
    for index, (number, _, link) in sorted(by_index.items()):
        before_it = by_index.get(index - 1)
        if before_it is not None and before_it[1].body_sha256 != link.prev:
            findings.append(Finding("broken_chain", f"chain.jsonl:{number}", {"index": index}))
        if index == 1 and link.prev != GENESIS:
            findings.append(Finding("broken_chain", f"chain.jsonl:{number}", {"index": index}))
    return findings


def _signed(one: Opened[Link]) -> bool:
    return "altered" not in one.problems


def _gaps(indexes: Sequence[int], altered: int) -> list[Finding]:
    """Links that are not there, less those that are there but altered: their own finding says so."""
    findings = []
    for before, after in itertools.pairwise(indexes):
        missing = after - before - 1
        explained = min(missing, altered)
        altered -= explained
        if missing > explained:
            findings.append(Finding("removed_link", "chain.jsonl", {"index": before + 1, "count": missing - explained}))
    return findings


def _range_findings(opened: Sequence[Opened[Link]], wanted: ChainRange) -> list[Finding]:
    readable = [(o, o.document) for o in opened if o.document and _signed(o)]
    altered = len(opened) - len(readable)
    if not readable:
        return [] if altered else [Finding("truncated_chain", "chain.jsonl", {"index": wanted.first_index})]
    first, last = min(link.index for _, link in readable), max(link.index for _, link in readable)
    findings = [
        Finding("inserted_link", "chain.jsonl", {"index": index})
        for index in sorted({link.index for _, link in readable})
        if not wanted.first_index <= index <= wanted.last_index
    ]
    missing_ends = max(0, first - wanted.first_index) + max(0, wanted.last_index - last)
    if missing_ends > altered:
        at = wanted.first_index if first > wanted.first_index else last + 1
        findings.append(Finding("truncated_chain", "chain.jsonl", {"index": at}))
    for one, link in readable:
        if link.index == wanted.last_index and one.body_sha256 != wanted.last_sha256:
            findings.append(Finding("broken_chain", "chain.jsonl", {"index": link.index}))
    return findings
