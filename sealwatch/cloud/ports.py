"""The seams of the service: small Protocols with a real and an in-process implementation each."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric of one source over time: ``values[i]`` was measured at ``at_ms[i]``, oldest first."""

    metric: str
    at_ms: Sequence[int]
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What one call of `TelemetryStore.write` carries: ``values[name][i]`` was measured at ``at_ms[i]``."""

    site_id: str
    node_id: str
    source_id: str
    at_ms: Sequence[int]
    values: Mapping[str, Sequence[float | None]]

    @property
    def points(self) -> int:
        """How many values it holds, gaps included."""
        return len(self.at_ms) * len(self.values)


class TelemetryStore(Protocol):
    """Time series of measurements. Writing the same point twice leaves one.

    Writing raises ValueError for columns it can never take; any other exception means "not now": the same call may
    succeed later.
    """

    def write(
        self,
        *,
        site_id: str,
        node_id: str,
        source_id: str,
        at_ms: Sequence[int],
        values: Mapping[str, Sequence[float | None]],
    ) -> None:
        """Store columns of measurements; durable when it returns."""
        ...

    def write_blocks(self, blocks: Sequence[Columns]) -> None:
        """Store many blocks in one commit, which costs little more than one; durable when it returns."""
        ...

    def read(
        self,
        *,
        site_id: str,
        metric: str,
        from_ms: int,
        to_ms: int,
        source_id: str | None = None,
        max_points: int = 600,
    ) -> dict[str, Series]:
        """Series by source_id, thinned to `max_points` by keeping the largest and smallest value of each bin."""
        ...

    def close(self) -> None: ...


class EvidenceStore(Protocol):
    """Files named by the SHA-256 of what is in them."""

    def put(self, sha256: str, data: bytes) -> None:
        """Keep a file; durable (fsync of file and folder) when it returns. Raises ValueError for another hash."""
        ...

    def get(self, sha256: str) -> bytes | None:
        """The file, or None where it has not arrived. Raises ValueError where the disk has altered it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Everything a channel needs to reach one person once."""

    page_id: str
    incident_id: str
    person_name: str
    language: str
    level: str
    title: str
    body: str
    answer_url: str
    address: str  # e-mail address or URL, by channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What the receiver itself said. `ok` only where its own answer says that it took the page."""

    ok: bool
    outcome: str
    retry: bool = False  # worth trying the same channel again
    reason: str = ""  # a stable name for what happened, where the channel has one
    key: str = ""  # the key that was pressed in a call
    pause_s: float = 0.0  # how long it is of no use to send anybody anything over this channel


class PageChannel(Protocol):
    """One way to reach a person. Never raises for what the receiver does: that is a `Submission`."""

    def submit(self, request: PageRequest) -> Submission: ...


class ChangeBus:
    """Wakes whoever waits for news inside this process: pages (server-sent events), the pager. Holds no data."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._version = 0

    @property
    def version(self) -> int:
        return self._version

    def announce(self) -> None:
        """Something was committed."""
        with self._condition:
            self._version += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout_s: float) -> int:
        """The newest version once it differs from `seen`, or `seen` after `timeout_s`."""
        with self._condition:
            self._condition.wait_for(lambda: self._version != seen, timeout_s)
            return self._version
