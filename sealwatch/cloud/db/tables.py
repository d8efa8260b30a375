"""Tables of the service. Portable between SQLite and PostgreSQL: no type or feature that only one of them has."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from sealwatch.cloud.db import account_tables, duty_tables, scope  # noqa: F401 - part of the schema, and its scope
from sealwatch.cloud.db.base import Base as Base  # noqa: PLC0414 - for those who import it from here


class Site(Base):
    """A sealed site."""

    __tablename__ = "sites"
    site_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name_zh: Mapped[str] = mapped_column(String(100))
    name_en: Mapped[str] = mapped_column(String(100))
    township_zh: Mapped[str] = mapped_column(String(100), default="")
    township_en: Mapped[str] = mapped_column(String(100), default="")
    county_code: Mapped[str] = mapped_column(String(32), default="")  # whose staff may see it
    latitude_deg: Mapped[float | None]  # WGS 84; null where nobody has measured it
    longitude_deg: Mapped[float | None]
    declared_status: Mapped[str] = mapped_column(String(32))
    link: Mapped[str] = mapped_column(String(8), default="mobile", server_default="mobile")  # or wired
    uplink: Mapped[str] = mapped_column(String(100), default="", server_default="")  # the cell or line it reports by
    feeder: Mapped[str] = mapped_column(String(100), default="", server_default="")  # the line that brings its power


class Node(Base):
    """An edge node, the key its alarms are signed with, and its last word."""

    __tablename__ = "nodes"
    node_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("sites.site_id"))
    public_key: Mapped[str] = mapped_column(String(43))
    state: Mapped[str] = mapped_column(String(16), default="unknown")
    state_at_ms: Mapped[int | None]
    status: Mapped[dict[str, Any] | None]
    enrolled_at_ms: Mapped[int | None]  # came by a token, not out of cloud.toml
    revoked_at_ms: Mapped[int | None]  # nothing it says is believed


class FormerKey(Base):
    """A signing key that a node had before: its evidence stays verifiable. Believed until `valid_until_ms`."""

    __tablename__ = "former_keys"
    node_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    public_key: Mapped[str] = mapped_column(String(43), primary_key=True)
    replaced_at_ms: Mapped[int]
    valid_until_ms: Mapped[int]


class Person(Base):
    """A named person who answers pages."""

    __tablename__ = "people"
    person_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(100), default="")
    level: Mapped[int]
    language: Mapped[str] = mapped_column(String(8), default="zh")
    telephone: Mapped[str] = mapped_column(String(32), default="")
    email: Mapped[str] = mapped_column(String(200), default="")
    webhook_url: Mapped[str] = mapped_column(String(500), default="")
    addresses: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")  # by name of a channel
    # "file": cloud.toml is the truth, at every start; "service": somebody edited it here, and the file is not asked.
    managed_by: Mapped[str] = mapped_column(String(8), default="file", server_default="file")


class Received(Base):
    """Identity of every message taken: what makes ingestion idempotent.

    The channel is part of it, so that unsigned samples can never pass a signed alarm off as already taken.
    """

    __tablename__ = "received"
    node_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    boot_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(String(16), primary_key=True)
    received_at_ms: Mapped[int]


class Quarantined(Base):
    """What could not be taken, kept with its reason."""

    __tablename__ = "quarantine"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    received_at_ms: Mapped[int]
    topic: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(String(64), index=True)
    detail: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int]
    payload: Mapped[bytes]  # at most the first 64 KiB


class QuarantineCount(Base):
    """How many were ever quarantined for each reason; outlives the rows, of which only the newest are kept."""

    __tablename__ = "quarantine_counts"
    reason: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int]
    last_at_ms: Mapped[int]


class CommandReply(Base):
    """What a node answered to a command."""

    __tablename__ = "command_replies"
    node_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    command_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    ok: Mapped[bool]
    reason: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(Text)
    replied_at_ms: Mapped[int]
    received_at_ms: Mapped[int]


class Incident(Base):
    """The case people work on: one or more alarms of one site. A site has at most one that is not closed.

    An area outage (`scope` "area") has alarms of many sites and stands beside theirs; `site_id` is where it began.
    """

    __tablename__ = "incidents"
    __table_args__ = (
        Index(
            "ix_incidents_one_open_per_site",
            "site_id",
            "scope",
            unique=True,
            sqlite_where=text("state <> 'closed'"),
            postgresql_where=text("state <> 'closed'"),
        ),
    )
    incident_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("sites.site_id"), index=True)
    scope: Mapped[str] = mapped_column(String(8), default="site", server_default="site")
    area: Mapped[str] = mapped_column(String(200), default="", server_default="")  # "feeder/<county>:<name>" …
    level: Mapped[str] = mapped_column(String(8))
    state: Mapped[str] = mapped_column(String(16), index=True)
    verdict: Mapped[str] = mapped_column(String(64))  # the catalogue's entry `verdict.<this>` is the one-line verdict
    reason: Mapped[str] = mapped_column(String(64))  # named reason of level and verdict; in words: `why.<this>`
    opened_at_ms: Mapped[int] = mapped_column(index=True)
    updated_at_ms: Mapped[int]
    acknowledged_at_ms: Mapped[int | None]
    acknowledged_by: Mapped[str | None] = mapped_column(String(100))  # actor: "person:<id>", "desk"
    closed_at_ms: Mapped[int | None]
    closure: Mapped[int | None]
    progress_at_ms: Mapped[int | None]  # when a person last took it a step further
    handled_by: Mapped[str | None] = mapped_column(String(100))  # who said what it was; a second person confirms it
    handled_as: Mapped[int | None]  # what the first person said it was
    shelved_until_ms: Mapped[int | None]  # set exactly while the state is `shelved`
    # The page ladder as it stood when the incident opened: {"repeat_after_s": 300, "steps": [{"after_s": 0, "channel":
    # "webhook", "person_id": "...", "name": "...", "role": "...", "language": "zh", "address": "..."}]}
    ladder: Mapped[dict[str, Any]]


class IncidentEvent(Base):
    """One line of an incident's history: what happened, why, and who did it."""

    __tablename__ = "incident_events"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    incident_id: Mapped[str] = mapped_column(ForeignKey("incidents.incident_id"), index=True)
    at_ms: Mapped[int]
    kind: Mapped[str] = mapped_column(String(32))
    from_state: Mapped[str] = mapped_column(String(16), default="")
    to_state: Mapped[str] = mapped_column(String(16), default="")
    actor: Mapped[str] = mapped_column(String(100))  # "system", "person:<id>", "desk"
    reason: Mapped[str] = mapped_column(String(64))
    detail: Mapped[dict[str, Any]]


class AlarmRecord(Base):
    """An alarm as it stands now; its transitions are in `alarm_transitions`."""

    __tablename__ = "alarms"
    __table_args__ = (Index("ix_alarms_site_started", "site_id", "started_at_ms"),)
    node_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    alarm_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    site_id: Mapped[str] = mapped_column(String(64))
    incident_id: Mapped[str | None] = mapped_column(ForeignKey("incidents.incident_id"), index=True)
    # Why it has no incident: "permit", "silence", "note", "gathering"; "area": why it has that of its area. It stays
    # after an incident took the alarm over.
    set_aside: Mapped[str] = mapped_column(String(16), default="", server_default="", index=True)
    set_aside_ref: Mapped[str] = mapped_column(String(64), default="", server_default="")  # of what set it aside
    kind: Mapped[str] = mapped_column(String(64))
    level: Mapped[str] = mapped_column(String(8))
    source_id: Mapped[str] = mapped_column(String(64))
    zone: Mapped[str] = mapped_column(String(64))
    phase: Mapped[str] = mapped_column(String(8))
    boot_id: Mapped[str] = mapped_column(String(32))  # with `seq`: the transition that made the row what it is
    seq: Mapped[int]
    score: Mapped[float]
    reason: Mapped[str] = mapped_column(String(64))
    numbers: Mapped[dict[str, Any]]
    sentence_zh: Mapped[str] = mapped_column(Text)
    sentence_en: Mapped[str] = mapped_column(Text)
    started_at_ms: Mapped[int]
    captured_at_ms: Mapped[int]
    ended_at_ms: Mapped[int | None]
    snapshot_sha256: Mapped[str | None] = mapped_column(String(64))


class AlarmTransition(Base):
    """Every signed transition exactly as it came, so that the signature can be checked again years later."""

    __tablename__ = "alarm_transitions"
    node_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    boot_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    alarm_id: Mapped[str] = mapped_column(String(64), index=True)
    phase: Mapped[str] = mapped_column(String(8))
    captured_at_ms: Mapped[int]
    received_at_ms: Mapped[int]
    sealed: Mapped[bytes]


class Page(Base):
    """One attempt to reach one person over one channel. The row is the timer: it survives any restart.

    `page_id` is the idempotency key that the receiver gets: trying again keeps it.
    """

    __tablename__ = "pages"
    __table_args__ = (Index("ix_pages_due", "state", "due_at_ms"), UniqueConstraint("incident_id", "cycle", "step"))
    page_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    incident_id: Mapped[str] = mapped_column(ForeignKey("incidents.incident_id"), index=True)
    cycle: Mapped[int]  # which walk up the ladder, from 1
    step: Mapped[int]  # which rung of it, from 0
    occasion: Mapped[str] = mapped_column(String(64))  # why this walk began: opened, level_raised, nobody_answered ...
    person_id: Mapped[str] = mapped_column(String(64))
    channel: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))  # due, sending, submitted, failed, answered, cancelled
    due_at_ms: Mapped[int]
    claimed_by: Mapped[str] = mapped_column(String(64), default="")  # the worker that is sending it
    claimed_until_ms: Mapped[int | None]  # after this the worker is taken for gone
    attempts: Mapped[int] = mapped_column(default=0)  # tries that got an answer, and the one under way
    vanished: Mapped[int] = mapped_column(default=0, server_default="0")  # tries whose worker was gone before an answer
    submitted_at_ms: Mapped[int | None]
    answered_at_ms: Mapped[int | None]
    outcome: Mapped[str] = mapped_column(Text, default="")  # the receiver's own answer or the cause of a failure


class Evidence(Base):
    """A stored file, named by what is in it."""

    __tablename__ = "evidence"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int]
    site_id: Mapped[str] = mapped_column(String(64))
    node_id: Mapped[str] = mapped_column(String(64))
    alarm_id: Mapped[str] = mapped_column(String(64), index=True)
    captured_at_ms: Mapped[int]
    received_at_ms: Mapped[int]


class Downlink(Base):
    """A message for a node: a command, or a version of what it retains. Kept for good: it says who asked for what."""

    __tablename__ = "downlinks"
    __table_args__ = (
        Index("ix_downlinks_node_channel_version", "node_id", "channel", "version"),
        Index("ix_downlinks_sent", "sent_at_ms", "expires_at_ms"),
        UniqueConstraint("node_id", "message_id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    node_id: Mapped[str] = mapped_column(String(64))
    site_id: Mapped[str] = mapped_column(String(64))
    channel: Mapped[str] = mapped_column(String(16))  # command, config, declaration, update
    message_id: Mapped[str] = mapped_column(String(64))  # command_id, or channel and version
    version: Mapped[int | None]  # of what is retained
    body: Mapped[str] = mapped_column(Text)  # JSON; sealed when it is sent
    author: Mapped[str] = mapped_column(String(100))  # actor: "system", "person:<id>", "desk", "shell:<user>"
    created_at_ms: Mapped[int]
    expires_at_ms: Mapped[int | None]  # of a command
    sent_at_ms: Mapped[int | None]  # when the broker took it


class EnrolmentToken(Base):
    """A one-time token, by the public half of its key: nobody can enrol with what is kept here."""

    __tablename__ = "enrolment_tokens"
    token_key: Mapped[str] = mapped_column(String(43), primary_key=True)
    node_id: Mapped[str] = mapped_column(String(64), index=True)
    site_id: Mapped[str] = mapped_column(String(64))
    author: Mapped[str] = mapped_column(String(100))
    created_at_ms: Mapped[int]
    expires_at_ms: Mapped[int]
    used_at_ms: Mapped[int | None]
    public_key: Mapped[str | None] = mapped_column(String(43))  # of the node that used it


class Certificate(Base):
    """A certificate that a node was given."""

    __tablename__ = "certificates"
    serial: Mapped[str] = mapped_column(String(40), primary_key=True)  # hexadecimal
    node_id: Mapped[str] = mapped_column(String(64), index=True)
    pem: Mapped[str] = mapped_column(Text)
    key_sha256: Mapped[str] = mapped_column(String(64))  # of its public key
    issued_at_ms: Mapped[int]
    expires_at_ms: Mapped[int]
    revoked_at_ms: Mapped[int | None]
