"""A pushed configuration on trial: whether it stays or the former one comes back. Decisions without I/O.

Outcome, of the newest version that came
  none            nothing was ever pushed
  trying          in place; the health check has not yet come to an end
  confirmed       in place and everything that worked before works
  putting_back    it failed; the former one is about to be put back
  rolled_back     the former one is in place again; `reason` and `detail` say why
  refused         never put in place
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from sealwatch.contract.messages import PartHealth

CONFIRM_WITHIN_S: Final = 60.0
SETTLE_S: Final = 5.0  # a part may call itself well before it has begun
MOST_STARTS: Final = 3
_SLOW: Final = {"recorder", "upload"}  # what is new of these may rightly be short of footage for days
Outcome = Literal["none", "trying", "confirmed", "putting_back", "rolled_back", "refused"]


class TrialState(Struct, frozen=True, kw_only=True):
    """What is kept on disk. `well_before`: part_id -> whether it worked when the configuration came."""

    version: int = 0
    outcome: Outcome = "none"
    reason: str = ""
    detail: str = ""
    sha256: str = ""  # of the text on trial, or of the confirmed one
    confirmed_version: int = 0
    starts: int = 0
    well_before: dict[str, bool] = {}
    former_version: int = 0  # to be believed again where the trial never began
    former_outcome: Outcome = "none"
    former_sha256: str = ""


def begin(state: TrialState, version: int, sha256: str, parts: Sequence[PartHealth]) -> TrialState:
    """A valid configuration is about to be put in place."""
    return msgspec.structs.replace(
        state,
        version=version,
        outcome="trying",
        reason="",
        detail="",
        sha256=sha256,
        starts=0,
        well_before={part.part_id: part.ok for part in parts},
        former_version=state.version,
        former_outcome=state.outcome,
        former_sha256=state.sha256,
    )


def refuse(state: TrialState, version: int, reason: str, detail: str) -> TrialState:
    """A version that is not tried; what is in place stays, and stays what it was."""
    return msgspec.structs.replace(state, version=version, outcome="refused", reason=reason, detail=detail[:500])


def confirm(state: TrialState) -> TrialState:
    """It works."""
    return msgspec.structs.replace(
        state, outcome="confirmed", reason="", detail="", confirmed_version=state.version, starts=0, well_before={}
    )


def put_back(state: TrialState, reason: str, detail: str) -> TrialState:
    """It does not; the former text is about to be put back."""
    return msgspec.structs.replace(state, outcome="putting_back", reason=reason, detail=detail[:500])


def is_back(state: TrialState) -> TrialState:
    """The former text is in place again."""
    return msgspec.structs.replace(state, outcome="rolled_back", sha256=state.former_sha256, starts=0, well_before={})


def at_start(state: TrialState, sha256: str) -> TrialState:
    """The agent starts with a file of this digest in place."""
    if state.outcome != "trying":
        return state
    if sha256 != state.sha256:  # killed before it was in place, or somebody changed it: it may come again
        return msgspec.structs.replace(
            state,
            version=state.former_version,
            outcome=state.former_outcome,
            sha256=state.former_sha256,
            starts=0,
            well_before={},
        )
    if state.starts >= MOST_STARTS:
        return put_back(state, "kept_dying", f"the agent was started {state.starts} times with it")
    return msgspec.structs.replace(state, starts=state.starts + 1)


def ailing(parts: Sequence[PartHealth], well_before: Mapping[str, bool]) -> list[str]:
    """Parts that do not work and are not excused: they worked before, or they are new."""
    return [
        f"{part.part_id} ({part.reason})"
        for part in parts
        if not part.ok and well_before.get(part.part_id, part.kind not in _SLOW)
    ]


def judge(
    state: TrialState, parts: Sequence[PartHealth], *, connected: bool, running_s: float
) -> tuple[Literal["wait", "confirm", "put_back"], str]:
    """Whether the trial is over, and what was ailing at its end. Never confirmed without a broker."""
    ill = ailing(parts, state.well_before) + ([] if connected else ["uplink (not connected)"])
    if not ill and running_s >= SETTLE_S:
        return "confirm", ""
    if running_s >= CONFIRM_WITHIN_S:
        return "put_back", ", ".join(dict.fromkeys(ill))
    return "wait", ""
