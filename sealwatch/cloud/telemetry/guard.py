"""How many series may ever exist. A broken or hostile node must not be able to create them without end.

Names of the catalogue are always taken; of others only the first `unknown_metrics`; of sources only the first
`sources_per_site`. What is over a bound is not stored: it is counted, by reason.

  known, admitted   stored
  metric_overflow   a metric name outside the catalogue and over the bound
  source_overflow   a source of a site over the bound
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from sealwatch.cloud.telemetry.catalogue import BY_NAME
from sealwatch.cloud.telemetry.columns import Columns

NAME_LENGTH: Final = 64
_NOTHING: Final[Counter[str]] = Counter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one store."""

    unknown_metrics: int = 64
    sources_per_site: int = 256


@dataclass(frozen=True, slots=True)
class Admission:
    """What of a block is stored (None: nothing), how many points were not, and names seen for the first time."""

    block: Columns | None
    overflow: Counter[str]
    new_names: tuple[tuple[str, str], ...]  # ("metric", name) or ("source", "site_id/source_id")


class SeriesGuard:
    """Remembers what was admitted; give it the names of earlier runs, so that a restart opens no door."""

    def __init__(self, limits: Limits | None = None, seen: Iterable[tuple[str, str]] = ()) -> None:
        self._limits = limits or Limits()
        self._metrics: set[str] = set()
        self._sources: dict[str, set[str]] = {}
        for kind, name in seen:
            if kind == "metric" and name not in BY_NAME:
                self._metrics.add(name)
            elif kind == "source":
                site_id, _, source_id = name.partition("/")
                self._sources.setdefault(site_id, set()).add(source_id)

    def admit(self, block: Columns) -> Admission:
        """Decide, and remember new names."""
        known = self._sources.get(block.site_id)
        if known is not None and block.source_id in known and BY_NAME.keys() >= block.values.keys():
            return Admission(block, _NOTHING, ())  # nearly every block: nothing is new, nothing is over a bound
        overflow: Counter[str] = Counter()
        sources = self._sources.setdefault(block.site_id, set())
        new: list[tuple[str, str]] = []
        if block.source_id not in sources:
            if len(sources) >= self._limits.sources_per_site:
                overflow["source_overflow"] += block.points
                return Admission(None, overflow, ())
            sources.add(block.source_id)
            new.append(("source", f"{block.site_id}/{block.source_id}"))
        refused = []
        for name in block.values:
            if name in BY_NAME or name in self._metrics:
                continue
            if len(self._metrics) >= self._limits.unknown_metrics or len(name) > NAME_LENGTH:
                refused.append(name)
                overflow["metric_overflow"] += len(block.at_ms)
            else:
                self._metrics.add(name)
                new.append(("metric", name))
        if refused:
            kept = {name: column for name, column in block.values.items() if name not in refused}
            return Admission(replace(block, values=kept) if kept else None, overflow, tuple(new))
        return Admission(block, overflow, tuple(new))
