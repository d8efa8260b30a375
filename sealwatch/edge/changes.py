"""Who changed the configuration, when and from where: recorded on the node, and told to the service as an alarm.

Site staff may be adversaries: a zone must not become smaller without somebody elsewhere hearing of it. What the agent
last worked with is kept by its digest, so that a file edited by hand, or while the node was off, is told as well.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from sealwatch.base import text
from sealwatch.base.clock import Clock
from sealwatch.base.files import replace_file
from sealwatch.base.text import Language
from sealwatch.contract.codes import AlarmKind, Level, Phase
from sealwatch.edge.ports import AlarmDraft, Sink

logger = logging.getLogger(__name__)

LOG_FILE: Final = "changes.jsonl"
SEEN_FILE: Final = "config.seen"
_LOG_BYTES: Final = 4_000_000  # some ten thousand changes; then the older half goes to a second file


class Change(Struct, frozen=True, kw_only=True):
    """One change. `who` and `where` are empty for what nobody has signed for; `what` is a name of this module."""

    at_ms: int
    what: str
    who: str = ""
    where: str = ""
    subject: str = ""
    before: str = ""
    after: str = ""


class ChangeLog:
    """The record in the node's data folder. Callable from any thread."""

    def __init__(self, folder: Path, sink: Sink, clock: Clock) -> None:
        self._folder, self._sink, self._clock = folder, sink, clock
        self._lock = threading.Lock()

    def record(
        self,
        what: str,
        *,
        level: Level,
        who: str = "",
        where: str = "",
        subject: str,
        before: str = "",
        after: str = "",
    ) -> None:
        """Write a change down durably and raise its alarm, which ends at once: a change is an event, not a state.

        `what` is ``zones_changed``, ``configuration_changed`` or ``login_locked``.
        """
        change = Change(
            at_ms=self._clock.wall_ms(), what=what, who=who, where=where, subject=subject, before=before, after=after
        )
        try:
            with self._lock:
                self._append(msgspec.json.encode(change) + b"\n")
        except OSError as error:
            logger.warning("a change cannot be recorded here: %s; its alarm is sent all the same", error.strerror)
        logger.warning("%s of %s by %s from %s", what, subject, who or "nobody known", where or "nowhere known")
        for phase in (Phase.START, Phase.END):
            self._sink.alarm(_draft(change, phase, level))

    def latest(self, count: int) -> list[Change]:
        """The newest changes, newest first."""
        try:
            lines = (self._folder / LOG_FILE).read_bytes().splitlines()
        except OSError:
            return []
        found = []
        for line in reversed(lines[-count:]):
            try:
                found.append(msgspec.json.decode(line, type=Change))
            except msgspec.DecodeError:
                continue  # torn by a power cut
        return found

    def accept(self, text: str) -> None:
        """`text` is the configuration that this node works with from now on, and its change is told already."""
        try:
            replace_file(self._folder / SEEN_FILE, json.dumps({"sha256": _digest(text)}).encode())
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._folder / SEEN_FILE, error.strerror)

    def compare(self, text: str) -> bool:
        """At the start: tell when the configuration is not the one that was worked with last; whether it was told."""
        try:
            seen = json.loads((self._folder / SEEN_FILE).read_bytes()).get("sha256", "")
        except (OSError, ValueError, AttributeError):
            seen = None
        now = _digest(text)
        if seen == now:
            return False
        if seen is not None:
            self.record("configuration_changed", level=Level.ORANGE, subject="node", before=seen[:12], after=now[:12])
        self.accept(text)
        return seen is not None

    def _append(self, line: bytes) -> None:
        path = self._folder / LOG_FILE
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_suffix(".old.jsonl"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _draft(change: Change, phase: Phase, level: Level) -> AlarmDraft:
    def sentence(language: Language) -> str:
        unknown = text.say(language, "installer.somebody")
        return text.say(
            language,
            f"installer.alarm.{change.what}",
            who=change.who or unknown,
            where=change.where or unknown,
            subject=change.subject,
            before=change.before or text.say(language, "installer.nothing"),
            after=change.after or text.say(language, "installer.nothing"),
        )[:500]

    key = f"{change.at_ms}|{change.what}|{change.subject}|{change.after}"
    return AlarmDraft(
        alarm_id=hashlib.sha256(key.encode()).hexdigest()[:32],
        kind=AlarmKind.NODE_FAULT,
        phase=phase,
        level=level,
        source_id=change.subject or "node",
        started_at_ms=change.at_ms,
        captured_at_ms=change.at_ms,
        score=1.0,
        reason=change.what,
        sentence_zh=sentence(Language.ZH),
        sentence_en=sentence(Language.EN),
    )
