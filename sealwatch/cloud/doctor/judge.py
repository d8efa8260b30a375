"""What the figures of a running service mean: pure, one finding a subject, each with what to do.

Verdicts
  ok     as it should be
  watch  works, but somebody should look within days
  wrong  alarms, pages or evidence suffer now
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
_WORKER_SILENT_MS: Final = 5 * 60_000
_SPOOL_OLD_MS: Final = 10 * 60_000
_BACKUP_OLD_MS: Final = 2 * DAY_MS
_CERTIFICATE_WRONG_DAYS: Final = 7
_CERTIFICATE_WATCH_DAYS: Final = 30
_FREE_WRONG_RATIO: Final = 0.03
_FREE_WATCH_RATIO: Final = 0.1
_SHOWN: Final = 5


class Verdict(StrEnum):
    OK = "ok"
    WATCH = "watch"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: the sentence is the catalogue's `doctor.<subject>.<reason>` with `values`."""

    subject: str
    verdict: Verdict
    reason: str
    values: Mapping[str, object] = field(default_factory=dict)


def _found(subject: str, verdict: Verdict, reason: str, **values: object) -> Finding:
    return Finding(subject=subject, verdict=verdict, reason=reason, values=values)


def pages(status: int | None, cause: str, url: str) -> Finding:
    """Whether the service answers at its own address; `status` is that of /healthz, None where nothing answered."""
    if status == 200:
        return _found("pages", Verdict.OK, "answer", url=url)
    reason = "silent" if status is None else "ill"
    return _found("pages", Verdict.WRONG, reason, url=url, status=status, cause=cause)


def workers(last: Mapping[str, tuple[int, float]], now_ms: int) -> Finding:
    """`last`: the newest ``worker_alive`` of each worker as (at_ms, value)."""
    fresh = {name: value for name, (at_ms, value) in last.items() if now_ms - at_ms <= _WORKER_SILENT_MS}
    hanging = sorted(name for name, value in fresh.items() if value < 1)
    if not fresh:
        return _found("workers", Verdict.WRONG, "none")
    if hanging:
        return _found("workers", Verdict.WRONG, "hanging", names=_some(hanging))
    return _found("workers", Verdict.OK, "turn", count=len(fresh))


def store_away(cause: str) -> Finding:
    """The time series, where the workers' word would be read, do not answer."""
    return _found("workers", Verdict.WRONG, "store_away", cause=cause)


def stranded(incidents: Sequence[str]) -> Finding:
    """Incidents that wait for an answer without a page under way: nobody is being called."""
    if incidents:
        return _found("paging", Verdict.WRONG, "stranded", count=len(incidents), names=_some(incidents))
    return _found("paging", Verdict.OK, "steps")


def channels(outcomes: Mapping[str, tuple[int, int]]) -> Finding:
    """`outcomes`: (taken, failed) pages of the last day by channel."""
    dead = sorted(name for name, (taken, failed) in outcomes.items() if failed and not taken)
    weak = sorted(name for name, (taken, failed) in outcomes.items() if failed and taken)
    if dead:
        return _found("channels", Verdict.WRONG, "dead", names=_some(dead))
    if weak:
        told = [f"{name} {outcomes[name][1]}/{sum(outcomes[name])}" for name in weak]
        return _found("channels", Verdict.WATCH, "weak", names=_some(told))
    return _found("channels", Verdict.OK, "take", count=sum(taken for taken, _ in outcomes.values()))


def nodes(silent: Mapping[str, str], registered: int) -> Finding:
    """`silent`: reason (never_seen, offline, overdue) by node."""
    gone = sorted(name for name, reason in silent.items() if reason != "never_seen")
    never = sorted(set(silent) - set(gone))
    if gone:
        return _found("nodes", Verdict.WRONG, "silent", count=len(gone), names=_some(gone), registered=registered)
    if never:
        return _found("nodes", Verdict.WATCH, "never_seen", count=len(never), names=_some(never))
    return _found("nodes", Verdict.OK, "report", count=registered)


def quarantine(last_day: Mapping[str, int]) -> Finding:
    """Messages of the last day that could not be taken, by reason."""
    if last_day:
        told = [f"{reason} {count}" for reason, count in sorted(last_day.items())]
        return _found("quarantine", Verdict.WATCH, "some", names=_some(told), count=sum(last_day.values()))
    return _found("quarantine", Verdict.OK, "none")


def spool(points: int, oldest_ms: int | None, set_aside: int, now_ms: int) -> Finding:
    """What waits for the server of time series."""
    if oldest_ms is not None and now_ms - oldest_ms > _SPOOL_OLD_MS:
        minutes = round((now_ms - oldest_ms) / 60_000)
        return _found("spool", Verdict.WRONG, "waiting", points=points, minutes=minutes)
    if set_aside:
        return _found("spool", Verdict.WATCH, "set_aside", count=set_aside)
    return _found("spool", Verdict.OK, "flows", points=points)


def disk(free_bytes: int, total_bytes: int, folder: str) -> Finding:
    """Room where the records lie."""
    ratio = free_bytes / total_bytes if total_bytes else 0.0
    values = {"folder": folder, "free_gb": f"{free_bytes / 1e9:.1f}", "percent": round(100 * ratio)}
    if ratio < _FREE_WRONG_RATIO:
        return _found("disk", Verdict.WRONG, "full", **values)
    if ratio < _FREE_WATCH_RATIO:
        return _found("disk", Verdict.WATCH, "filling", **values)
    return _found("disk", Verdict.OK, "room", **values)


def certificates(days_left: Mapping[str, float | None]) -> Finding:
    """Days until each certificate file ends; None where it can't be read."""
    unread = sorted(file for file, days in days_left.items() if days is None)
    if unread:
        return _found("certificates", Verdict.WRONG, "unreadable", names=_some(unread))
    known = {file: days for file, days in days_left.items() if days is not None}
    if not known:
        return _found("certificates", Verdict.OK, "none")
    file, days = min(known.items(), key=lambda item: item[1])
    values = {"file": file, "days": int(days)}
    if days < 0:
        return _found("certificates", Verdict.WRONG, "ended", **values)
    if days < _CERTIFICATE_WRONG_DAYS:
        return _found("certificates", Verdict.WRONG, "ending", **values)
    if days < _CERTIFICATE_WATCH_DAYS:
        return _found("certificates", Verdict.WATCH, "ending", **values)
    return _found("certificates", Verdict.OK, "valid", **values)


def backup(newest_ms: int | None, folder: str, now_ms: int) -> Finding:
    """The newest whole backup."""
    if newest_ms is None:
        return _found("backup", Verdict.WRONG, "none", folder=folder)
    hours = round((now_ms - newest_ms) / HOUR_MS)
    if now_ms - newest_ms > _BACKUP_OLD_MS:
        return _found("backup", Verdict.WRONG, "old", folder=folder, hours=hours)
    return _found("backup", Verdict.OK, "fresh", folder=folder, hours=hours)


def clock(synchronised: bool | None) -> Finding:
    """Whether something keeps this machine's clock right; None where nobody here can tell."""
    if synchronised is None:
        return _found("clock", Verdict.WATCH, "unknown")
    if not synchronised:
        return _found("clock", Verdict.WRONG, "free")
    return _found("clock", Verdict.OK, "kept")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} … (+{len(names) - _SHOWN})"
