"""Whether the troubles of many sites are one: a valley that loses power or its radio cell. Pure.

A trouble is an alarm that an outage would bring (`is_trouble`): silence, power gone, a meter, node or camera that gave
no more signal. Sites share what brings it: the power line (`feeder`), the cell or line they report by (`uplink`), the
township. Troubles of at least `MIN_SITES` sites of one area that began within `WINDOW_S` of each
other are one outage; more of the area join it while they begin within `JOINS_S` of the last.

While that can still come true a trouble waits for the others (`GATHER_S`); then it is an alarm like any other. People,
vehicles, hoists and whatever would make an incident red never wait and never join.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sealwatch.cloud.incidents.fuse import NODE_SILENT
from sealwatch.contract.codes import AlarmKind

MIN_SITES: Final = 3
WINDOW_S: Final = 600.0
JOINS_S: Final = 1800.0
GATHER_S: Final = 120.0
_ALWAYS: Final[Collection[str]] = frozenset({NODE_SILENT, AlarmKind.METER_FAULT, AlarmKind.NODE_FAULT})
_BY_REASON: Final[Mapping[str, str]] = {
    AlarmKind.CAMERA_FAULT: "signal_lost",
    AlarmKind.POWER_ANOMALY: "power_gone",
}
VERDICTS: Final = frozenset({"node_silent", "meter_fault", "node_fault", "camera_fault", "power_anomaly"})
"""What a site's troubles may make by themselves; anything else is a story of its own."""


@dataclass(frozen=True, slots=True, order=True)
class Trouble:
    """A trouble of a site, and when it began."""

    since_ms: int
    site_id: str
    node_id: str
    alarm_id: str


@dataclass(frozen=True, slots=True)
class Outage:
    """Troubles that are one, and what their sites share."""

    area: str
    troubles: tuple[Trouble, ...]

    @property
    def sites(self) -> list[str]:
        """Their sites, in the order in which trouble began."""
        return list(dict.fromkeys(trouble.site_id for trouble in self.troubles))


def is_trouble(kind: str, reason: str) -> bool:
    """Whether an outage would bring such an alarm."""
    return kind in _ALWAYS or _BY_REASON.get(kind) == reason


def areas_of(*, feeder: str, uplink: str, township: str, county: str) -> tuple[str, ...]:
    """The areas of a site, the most telling first; a name is what stands after the colon."""
    named = (("feeder", feeder), ("uplink", uplink), ("township", township))
    return tuple(f"{kind}/{county}:{name}" for kind, name in named if name)


def name_of(area: str) -> str:
    """An area's name for people."""
    return area.partition(":")[2]


def find(troubles: Sequence[Trouble], areas: Mapping[str, Sequence[str]]) -> list[Outage]:
    """Every outage among `troubles`; each trouble belongs to one at most.

    `areas` are those of each site. The area with the most sites wins; between equals the more telling one.
    """
    left = sorted(troubles)
    found: list[Outage] = []
    while True:
        names = dict.fromkeys(name for one in left for name in areas.get(one.site_id, ()))
        best: Outage | None = None
        for name in sorted(names, key=_rank):
            together = _together([one for one in left if name in areas.get(one.site_id, ())])
            if len({one.site_id for one in together}) > (len(best.sites) if best else MIN_SITES - 1):
                best = Outage(name, tuple(together))
        if best is None:
            return found
        found.append(best)
        left = [one for one in left if one not in set(best.troubles)]


def joins(since_ms: int, *, first_ms: int, last_ms: int) -> bool:
    """Whether a trouble belongs to an outage of its area whose troubles so far began between these moments."""
    return first_ms - WINDOW_S * 1000 <= since_ms <= last_ms + JOINS_S * 1000


def _rank(area: str) -> int:
    return ("feeder", "uplink", "township").index(area.partition("/")[0])


def _together(troubles: Sequence[Trouble]) -> Sequence[Trouble]:
    """The run of troubles within `WINDOW_S` that has the most sites; `troubles` in order of their beginning."""
    best: Sequence[Trouble] = ()
    start = 0
    for end in range(1, len(troubles) + 1):
        while troubles[end - 1].since_ms - troubles[start].since_ms > WINDOW_S * 1000:
            start += 1
        run = troubles[start:end]
        if len({one.site_id for one in run}) > len({one.site_id for one in best}):
            best = run
    if not best:
        return best
    # whatever else began in that time belongs to it, be it a second alarm of the same site
    return [one for one in troubles if best[0].since_ms <= one.since_ms <= best[0].since_ms + WINDOW_S * 1000]
