"""Words and codes of the field, shared by both sides.

The video fault codes 0001-0009 and the closure codes 0-4 are those in use on deployed supervision platforms.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Level(StrEnum):
    """How urgent an alarm or incident is: 红 / 橙 / 黄 / 蓝."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    BLUE = "blue"

    @property
    def urgency(self) -> int:
        """0 for the most urgent (red) to 3 for blue: smaller sorts first."""
        return list(Level).index(self)


class Phase(StrEnum):
    """Where an alarm stands in its life, after ISA-18.2: it starts, may be updated, and ends."""

    START = "start"
    UPDATE = "update"
    END = "end"


class AlarmKind(StrEnum):
    """Kinds of alarm this version knows. On the wire `kind` is open: an unknown one is still an alarm."""

    PERSON = "person"
    VEHICLE = "vehicle"
    ANIMAL = "animal"
    COUNT = "count"
    EQUIPMENT = "equipment"
    CAMERA_FAULT = "camera_fault"
    LIVENESS = "liveness"
    SCENE_CHANGE = "scene_change"
    POWER_STEP = "power_step"
    HOIST_LIKE_CYCLE = "hoist_like_cycle"
    POWER_ANOMALY = "power_anomaly"
    METER_FAULT = "meter_fault"
    INPUT = "input"
    NODE_FAULT = "node_fault"
    DISARMED = "disarmed"
    WHILE_DISARMED = "while_disarmed"  # what would have been another kind, seen while the node was disarmed


class VideoFault(StrEnum):
    """Camera fault codes in use on deployed platforms."""

    COVERED = "0001"
    MOVED = "0002"
    DARK = "0003"
    OVEREXPOSED = "0004"
    BLURRED = "0005"
    FROZEN = "0006"
    SIGNAL_LOST = "0007"
    SHAKING = "0008"
    RESOLUTION = "0009"


class Closure(IntEnum):
    """Why an incident was closed after a human looked."""

    FALSE_ALARM = 0
    SUSPECTED_ILLEGAL_PRODUCTION = 1
    LEGITIMATE_REPAIR = 2
    OTHER_VEHICLE = 3
    PASSER_BY = 4


class DeclaredStatus(StrEnum):
    """What a site declares about its electricity; compared with what the meter shows."""

    POWER_CUT = "power_cut"  # 断电
    FLOODED = "flooded"  # 淹井
    DRAINAGE_ONLY = "drainage_only"  # 只保留排水
    GUARD_HUT_ONLY = "guard_hut_only"  # 只保留值守用电
    PERMITTED_WORK = "permitted_work"  # 报备作业


class ClockQuality(StrEnum):
    """How far a node's wall clock can be believed at the moment of an event."""

    SYNCHRONISED = "synchronised"  # disciplined by NTP or an equivalent source
    HOLDOVER = "holdover"  # was synchronised since boot, the source is away
    UNSYNCHRONISED = "unsynchronised"  # never synchronised since boot: re-time before believing
