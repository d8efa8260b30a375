"""Tables of what people announce and arrange: permits, silences, and what the service must remember of time.

Rows are ended, never deleted: they say who allowed what, and until when.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from sealwatch.cloud.db.base import Base


class WorkPermit(Base):
    """Announced work (报备) at a site: when, who, how many people, how much power, with what, on whose word."""

    __tablename__ = "permits"
    permit_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("sites.site_id"), index=True)
    from_ms: Mapped[int]
    to_ms: Mapped[int]
    from_hour: Mapped[int]  # hours of the day, UTC+8; to_hour below from_hour: after midnight
    to_hour: Mapped[int]
    max_power_w: Mapped[float]
    max_people: Mapped[int]
    equipment: Mapped[list[str]]  # names of `permits.cover.Equipment`
    purpose: Mapped[str] = mapped_column(String(200))
    measures: Mapped[str] = mapped_column(Text)  # safety measures
    responsible: Mapped[str] = mapped_column(String(100))
    telephone: Mapped[str] = mapped_column(String(32))
    documents: Mapped[list[str]]  # names of the papers it stands on
    author: Mapped[str] = mapped_column(String(100))  # actor: "person:<id>", "desk", "shell:<user>"
    created_at_ms: Mapped[int]
    ended_at_ms: Mapped[int | None]  # set where it was ended before `to_ms`
    ended_by: Mapped[str] = mapped_column(String(100), default="", server_default="")
    ended_reason: Mapped[str] = mapped_column(Text, default="", server_default="")


class Silence(Base):
    """Alarms of named kinds that wake nobody for a while, because somebody works on the equipment."""

    __tablename__ = "silences"
    silence_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("sites.site_id"), index=True)
    source_id: Mapped[str] = mapped_column(String(64))  # one camera, meter or input; empty: all of the site
    kinds: Mapped[list[str]]
    from_ms: Mapped[int]
    until_ms: Mapped[int]
    reason: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(100))
    created_at_ms: Mapped[int]
    ended_at_ms: Mapped[int | None] = mapped_column(index=True)  # null exactly while it may still hold
    ended_by: Mapped[str] = mapped_column(String(100), default="", server_default="")  # "system" or an actor
    ended_why: Mapped[str] = mapped_column(
        String(32), default="", server_default=""
    )  # time_over, clock_went_back, early


class Mark(Base):
    """A time that the service remembers over its own end, by name (`clock`: the latest moment it has lived)."""

    __tablename__ = "marks"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    at_ms: Mapped[int]


class IncidentSite(Base):
    """A site of an area outage."""

    __tablename__ = "incident_sites"
    incident_id: Mapped[str] = mapped_column(ForeignKey("incidents.incident_id"), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("sites.site_id"), primary_key=True)
    joined_at_ms: Mapped[int]
    back_at_ms: Mapped[int | None]  # since when none of its alarms stands


class RosterRow(Base):
    """Who follows whom on duty (`sealwatch.cloud.duty.roster`)."""

    __tablename__ = "rosters"
    roster_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    people: Mapped[list[str]]
    holiday_people: Mapped[list[str]]
    begins_ms: Mapped[int]
    turn_ms: Mapped[int]
    author: Mapped[str] = mapped_column(String(100))
    changed_at_ms: Mapped[int]


class RosterSwap(Base):
    """Somebody does a stretch of a roster."""

    __tablename__ = "roster_swaps"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    roster_id: Mapped[str] = mapped_column(ForeignKey("rosters.roster_id"), index=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("people.person_id"))
    from_ms: Mapped[int]
    to_ms: Mapped[int]
    reason: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(100))
    created_at_ms: Mapped[int]
    cancelled_at_ms: Mapped[int | None]


class PersonAbsence(Base):
    """Somebody is away, and who stands in."""

    __tablename__ = "absences"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("people.person_id"), index=True)
    from_ms: Mapped[int]
    to_ms: Mapped[int]
    substitute_id: Mapped[str] = mapped_column(String(64), default="", server_default="")
    reason: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(100))
    created_at_ms: Mapped[int]
    cancelled_at_ms: Mapped[int | None]


class Holiday(Base):
    """A day (UTC+8) on which rosters go by their holiday people."""

    __tablename__ = "holidays"
    day: Mapped[str] = mapped_column(String(10), primary_key=True)  # 2026-10-01
    name: Mapped[str] = mapped_column(String(100))


class Reply(Base):
    """A text message that somebody sent back, and what became of it."""

    __tablename__ = "replies"
    __table_args__ = (UniqueConstraint("channel", "message_id"),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at_ms: Mapped[int] = mapped_column(index=True)
    channel: Mapped[str] = mapped_column(String(16))
    message_id: Mapped[str] = mapped_column(String(64))  # at its carrier: the same message counts once
    telephone: Mapped[str] = mapped_column(String(32))
    text: Mapped[str] = mapped_column(Text)
    person_id: Mapped[str | None] = mapped_column(String(64))  # null: nobody, or several, have this number
    incident_id: Mapped[str | None] = mapped_column(String(32))
    outcome: Mapped[str] = mapped_column(String(32))


class SelfTest(Base):
    """What a nightly test found."""

    __tablename__ = "self_tests"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at_ms: Mapped[int]
    channels: Mapped[dict[str, Any]]  # what is wrong with each; "" where nothing
    people: Mapped[dict[str, Any]]  # {"items": [{"person_id", "name", "standing", "ways": {channel: known}}]}
