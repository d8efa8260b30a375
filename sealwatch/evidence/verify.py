"""The verdict on a pack, without a network and without trusting anything in it.

What must hold: the container has its one form; the contents list is signed by a trusted key and everything on it is
there, in order, unaltered, and nothing else is; every manifest is signed, its files have its hashes, and its own hash
is a link of the chain; the chain has no hole. Each way in which this can fail has a named reason (`findings`).
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealwatch.contract import signing, wire
from sealwatch.contract.codes import ClockQuality
from sealwatch.contract.messages import Alarm, Sealed, Snapshot
from sealwatch.evidence import chain
from sealwatch.evidence.container import Container, Entry, open_container
from sealwatch.evidence.digests import Digests, Running
from sealwatch.evidence.documents import Contents, FileEntry, Link, Manifest
from sealwatch.evidence.envelope import SecondVerifier, open_envelope
from sealwatch.evidence.findings import Finding
from sealwatch.evidence.pack import CHAIN, CONTENTS, FILES, MANIFESTS, MESSAGES

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
LARGE_OFFSET_MS = 2000.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found. `holds` is true only when there is nothing but notes."""

    findings: tuple[Finding, ...]
    contents: Contents | None
    manifests: tuple[Manifest, ...]
    links: tuple[Link, ...]
    files_checked: int
    bytes_checked: int

    @property
    def holds(self) -> bool:
        return self.contents is not None and not self.faults

    @property
    def faults(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if not f.is_note)

    @property
    def notes(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.is_note)


def verify(path: Path, trusted: Sequence[Ed25519PublicKey], *, second: SecondVerifier | None = None) -> Verdict:
    """Check a pack. Raises UsageError where there is nothing to read."""
    container = open_container(path)
    try:
        return _Run(container, {signing.key_id(key): key for key in trusted}, second).verdict()
    finally:
        container.close()


@dataclass(slots=True)
class _Run:
    """One verification: members are read once each, small ones are kept, large ones only hashed."""

    container: Container
    trusted: Mapping[str, Ed25519PublicKey]
    second: SecondVerifier | None
    findings: list[Finding] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    digests: dict[str, Digests] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    bad_checksums: set[str] = field(default_factory=set)
    stated_key: Ed25519PublicKey | None = None

    def verdict(self) -> Verdict:
        """Run every check and collect what they found."""
        self.findings.extend(self.container.findings())
        self._read_members()
        contents = self._contents()
        checked = self._chain(contents)
        manifests = self._manifests(contents, checked.links)
        self._messages(checked.links)
        self._members(contents)
        self.findings.extend(_clock_notes(manifests, checked.links))
        return Verdict(
            tuple({_identity(f): f for f in self.findings}.values()),
            contents,
            tuple(manifests.values()),
            checked.links,
            len(self.digests),
            sum(d.size_bytes for d in self.digests.values()),
        )

    def _add(self, reason: str, member: str, **values: object) -> None:
        self.findings.append(Finding(reason, member, values))

    def _read_members(self) -> None:
        for entry in self.container.entries:
            if entry.name in self.entries:
                self._add("inserted_item", entry.name)  # a second one of the same name
                continue
            self.entries[entry.name] = entry
            # SM3 is taken of every file: whether a manifest wants it is known only later.
            running = Running(sm3=entry.name.startswith(FILES))
            crc = 0
            keep = not entry.name.startswith(FILES) and entry.size_bytes <= MAX_DOCUMENT_BYTES
            kept = bytearray()
            for chunk in self.container.chunks(entry):
                running.update(chunk)
                crc = zlib.crc32(chunk, crc)
                if keep:
                    kept += chunk
            self.digests[entry.name] = running.result()
            if keep:
                self.documents[entry.name] = bytes(kept)
            if entry.crc32 not in (None, crc):
                self.bad_checksums.add(entry.name)

    def _contents(self) -> Contents | None:
        data = self.documents.get(CONTENTS)
        if data is None:
            self._add("missing_contents", CONTENTS)
            return None
        peek = open_envelope(Contents, data, {})
        if peek.document is not None:
            self.stated_key = _key(peek.document.public_key)
        opened = open_envelope(Contents, data, self.trusted, stated_key=self.stated_key, second=self.second)
        self._problems(opened.problems, CONTENTS, opened.key_id, "altered_contents")
        return opened.document if "altered" not in opened.problems else None

    def _problems(self, problems: Sequence[str], member: str, key_id: str, altered: str) -> None:
        for problem in problems:
            if problem == "wrong_key":
                self._add("wrong_key" if self.trusted else "no_key_given", member, key_id=key_id)
            else:
                self._add(altered if problem == "altered" else problem, member)

    def _chain(self, contents: Contents | None) -> chain.Checked:
        data = self.documents.get(CHAIN)
        if data is None:
            self._add("missing_file", CHAIN)
            return chain.Checked((), ())
        lines = data.split(b"\n")
        if lines and lines[-1] == b"":
            lines.pop()
        checked = chain.check(lines, self.trusted, contents.chain if contents else None, stated_key=self.stated_key)
        for finding in checked.findings:
            known = finding.reason != "wrong_key" or self.trusted
            self.findings.append(finding if known else Finding("no_key_given", finding.member, finding.values))
        listed = {m.name: m.sha256 for m in contents.members} if contents else {}
        if not checked.findings and CHAIN in listed and listed[CHAIN] != self.digests[CHAIN].sha256:
            self._add("altered_chain", CHAIN)
        if not self.trusted:  # nothing is proved by an unknown key, but the lines can still be read
            return chain.Checked(_readable(lines), checked.findings)
        return checked

    def _manifests(self, contents: Contents | None, links: Sequence[Link]) -> dict[str, Manifest]:
        listed = {m.name: m.sha256 for m in contents.members} if contents else {}
        in_chain = {link.item_sha256 for link in links}
        whole = not any(_is_of_chain(f) for f in self.findings)  # else the chain's own findings say why
        found: dict[str, Manifest] = {}
        for name in sorted(n for n in self.documents if n.startswith(MANIFESTS)):
            opened = open_envelope(
                Manifest, self.documents[name], self.trusted, stated_key=self.stated_key, second=self.second
            )
            self._problems(opened.problems, name, opened.key_id, "altered_manifest")
            manifest = opened.document
            if manifest is None or "altered" in opened.problems:
                continue
            digest = self.digests[name].sha256
            if name != f"{MANIFESTS}{manifest.item_id}.json" or (name in listed and listed[name] != digest):
                self._add("substituted_item", name)
                continue
            if whole and digest not in in_chain:
                self._add("not_in_chain", name)
            found[name] = manifest
            for file in manifest.files:
                self._file(manifest, file, name in listed or not listed)
            if contents and (manifest.site_id, manifest.node_id) != (contents.site_id, contents.node_id):
                self._add("foreign_node", name, node_id=manifest.node_id)
        return found

    def _file(self, manifest: Manifest, file: FileEntry, expected: bool) -> None:
        name = f"{FILES}{manifest.item_id}/{file.name}"
        digests = self.digests.get(name)
        if digests is None:
            if expected:
                self._add("missing_file", name)
            return
        if digests.sha256 != file.sha256 and digests.size_bytes < file.size_bytes:
            self._add("truncated_file", name, size_bytes=digests.size_bytes, wanted_bytes=file.size_bytes)
        elif digests.sha256 != file.sha256:
            self._add("altered_file", name)
        elif file.sm3 is not None and digests.sm3 != file.sm3:
            self._add("digests_disagree", name)

    def _messages(self, links: Sequence[Link]) -> None:
        in_chain = {link.item_sha256 for link in links}
        whole = not any(_is_of_chain(f) for f in self.findings)
        for name in sorted(n for n in self.documents if n.startswith(MESSAGES)):
            data = self.documents[name]
            reason, key_id = _message_problem(data, self.trusted, self.stated_key)
            if reason:
                self._problems([reason], name, key_id, "altered_message")
            if reason != "altered" and whole and self.digests[name].sha256 not in in_chain:
                self._add("not_in_chain", name)

    def _members(self, contents: Contents | None) -> None:
        """What is there against what the contents list says."""
        if contents is None:
            return
        listed = [m.name for m in contents.members]
        missing_files = {f.member for f in self.findings if f.reason == "missing_file"}
        for member in contents.members:
            digests = self.digests.get(member.name)
            if digests is None:
                removed = member.name.startswith((MANIFESTS, MESSAGES))
                if member.name not in missing_files:
                    self._add("removed_item" if removed else "missing_file", member.name)
            elif digests.sha256 != member.sha256 and not self._explained(member.name):
                self._add("altered_file", member.name)
        for name in self.entries:
            if name not in listed and name != CONTENTS:
                self._add("inserted_item", name)
        if self.container.ordered:
            present = [name for name in self.entries if name in set(listed)]
            if present != [name for name in listed if name in self.entries] or next(iter(self.entries)) != CONTENTS:
                self._add("reordered_items", CONTENTS)
        for name in sorted(self.bad_checksums):
            if not self._explained(name):  # the data is right, so the stated checksum was changed
                self._add("altered_container", name, offset=self.entries[name].offset)

    def _explained(self, name: str) -> bool:
        """Whether a finding already says what is wrong with this member."""
        return any(f.member == name or f.member.startswith(f"{name}:") for f in self.findings) or (
            name == CHAIN and any(f.member == CHAIN for f in self.findings)
        )


def _is_of_chain(finding: Finding) -> bool:
    return finding.member.startswith(CHAIN)


def _identity(finding: Finding) -> tuple[str, str, str]:
    return (finding.reason, finding.member, repr(sorted(finding.values.items())))


def _key(value: str) -> Ed25519PublicKey | None:
    try:
        return signing.public_key_from_text(value)
    except ValueError:
        return None


def _readable(lines: Sequence[bytes]) -> tuple[Link, ...]:
    opened = (open_envelope(Link, line, {}) for line in lines)
    return tuple(o.document for o in opened if o.document is not None)


def _message_problem(
    data: bytes, trusted: Mapping[str, Ed25519PublicKey], stated_key: Ed25519PublicKey | None
) -> tuple[str, str]:
    """Reason (empty: sound) and key id of a sealed message as it went over the wire."""
    try:
        sealed = wire.decode(Sealed, data)
    except wire.Refused:
        return "altered", ""
    known = dict(trusted)
    if stated_key is not None and signing.key_id(stated_key) not in known:
        known[signing.key_id(stated_key)] = stated_key
    try:
        wire.unseal(Alarm if sealed.type == "alarm" else Snapshot, data, known.get(sealed.key_id))
    except wire.Refused as refused:
        elsewhere = any(signing.verify(k, sealed.type, sealed.body, sealed.sig) for k in known.values())
        return ("wrong_key" if refused.reason == "unknown_key" and not elsewhere else "altered"), sealed.key_id
    if wire.encode(sealed) != data or _respelled(sealed.sig):
        return "altered", sealed.key_id
    return ("" if sealed.key_id in trusted else "wrong_key"), sealed.key_id


def _respelled(signature: str) -> bool:
    return signing.to_base64url(signing.from_base64url(signature)) != signature


def _clock_notes(manifests: Mapping[str, Manifest], links: Sequence[Link]) -> list[Finding]:
    """What to know about the times: they are labels of a clock that may have been wrong."""
    notes: list[Finding] = []

    def say(reason: str, member: str, values: Mapping[str, object]) -> None:
        notes.append(Finding(reason, member, values))

    for name, manifest in manifests.items():
        if manifest.clock.quality is ClockQuality.UNSYNCHRONISED:
            say("clock_unsynchronised", name, {})
        elif manifest.clock.quality is ClockQuality.HOLDOVER:
            say("clock_holdover", name, {})
        offset_ms = manifest.clock.offset_ms
        if offset_ms is not None and abs(offset_ms) > LARGE_OFFSET_MS:
            say("clock_offset", name, {"offset_s": f"{offset_ms / 1000:+.1f}"})
        if manifest.sealed == "later":
            say("sealed_later", name, {})
        if "gap_s" in manifest.notes:
            say("footage_gap", name, {"gap_s": manifest.notes["gap_s"]})
    ordered = sorted(links, key=lambda link: link.index)
    for before, after in itertools.pairwise(ordered):
        if after.at_ms < before.at_ms:
            say("clock_stepped_back", CHAIN, {"index": after.index})
    return notes
