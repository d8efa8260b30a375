"""What a node knows of updates, and what it decides from it. No I/O.

Outcome, of the newest attempt of a kind
  none            nothing was ever offered
  fetching        wanted: files come, the slot is filled, and it is switched in a quiet moment
  trying          in use; not yet proved
  confirmed       in use and proved
  putting_back    it failed; the former one is about to be used again
  rolled_back     the former one is in use again; `reason` and `detail` say why
  refused         never installed: not_newer | needs_newer_agent | other_platform | unknown_key | bad_signature |
                  wrong_shape | not_installable
  withdrawn       no longer offered before it was installed
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct
from msgspec.structs import replace

from sealwatch.contract import wire
from sealwatch.contract.codes import AlarmKind
from sealwatch.contract.messages import PartHealth
from sealwatch.contract.release import ANY_PLATFORM, KINDS, Kind, Offered, Release, UpdateOffer, as_numbers
from sealwatch.contract.wire import Refused
from sealwatch.edge import trial

CONFIRM_WITHIN_S: Final = 180.0
SETTLE_S: Final = 15.0
Outcome = Literal["none", "fetching", "trying", "confirmed", "putting_back", "rolled_back", "refused", "withdrawn"]
FINAL: Final = {"confirmed", "rolled_back", "refused", "withdrawn"}
# A switch takes seconds, in which nothing is watched. What may stand for months must not keep a node from being mended.
_STANDING: Final = {AlarmKind.NODE_FAULT, AlarmKind.METER_FAULT, AlarmKind.CAMERA_FAULT}


class Update(Struct, frozen=True, kw_only=True):
    """The newest attempt of one kind."""

    attempt: int = 0
    outcome: Outcome = "none"
    reason: str = ""
    detail: str = ""
    release: str = ""  # sealed
    version: str = ""
    slot: str = ""
    former: str = ""
    in_use_version: str = ""  # of the model: the last one confirmed (an agent knows its own)
    former_version: str = ""  # what a person may go back to
    well_before: dict[str, bool] = {}
    at_once: bool = False  # a person asked for it: today's data budget does not hold it up

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.release.encode()).hexdigest()


class Known(Struct, frozen=True, kw_only=True):
    """What is kept on disk. `day` and `received_bytes` count the data of a day (UTC+8)."""

    offer: int = 0
    agent: Update = Update()
    model: Update = Update()
    day: str = ""
    received_bytes: int = 0

    def of(self, kind: Kind) -> Update:
        return self.agent if kind == "agent" else self.model

    def put(self, kind: Kind, update: Update) -> Known:
        return replace(self, agent=update) if kind == "agent" else replace(self, model=update)


class Here(Struct, frozen=True, kw_only=True):
    """What can be installed on this node."""

    agent_version: str
    platform: str


def take_offer(known: Known, offer: UpdateOffer, here: Here, key: Ed25519PublicKey) -> Known:
    """Judge an offer, entry by entry. Raises Refused (not_newer; busy while one is on trial)."""
    if offer.version < known.offer:
        raise Refused("not_newer", f"offer {offer.version} does not follow {known.offer}")
    if offer.version == known.offer:
        return known
    if any(known.of(kind).outcome in {"trying", "putting_back"} for kind in KINDS):
        raise Refused("busy", "an update is on trial")
    wanted: dict[str, tuple[Offered, Release]] = {}
    for one in offer.offered:
        kind: Kind = "agent"
        try:
            release = wire.unseal(Release, one.release.encode(), key)
            kind = release.kind
            wanted[kind] = (one, release)
            found = judge_release(known, release, here)
        except Refused as refused:
            found = (refused.reason, refused.detail)
        before = known.of(kind)
        if one.attempt <= before.attempt:
            continue
        after = replace(before, attempt=one.attempt, outcome="fetching", reason="", detail="", at_once=False)
        if kind in wanted:
            after = replace(after, release=one.release, version=wanted[kind][1].version)
        if found is not None:
            after = replace(after, outcome="refused", reason=found[0], detail=found[1][:500])
        known = known.put(kind, after)
    for kind in KINDS:
        if kind not in wanted and known.of(kind).outcome == "fetching":
            known = known.put(kind, replace(known.of(kind), outcome="withdrawn"))
    return replace(known, offer=offer.version)


def judge_release(known: Known, release: Release, here: Here) -> tuple[str, str] | None:
    """Why a release that is rightly signed is not installed, or None."""
    in_use = here.agent_version if release.kind == "agent" else known.model.in_use_version or "0"
    if as_numbers(release.version) <= as_numbers(in_use):
        return "not_newer", f"{release.kind} {in_use} is in use; {release.version} is not newer"
    if as_numbers(here.agent_version) < as_numbers(release.min_agent):
        return "needs_newer_agent", f"it wants agent {release.min_agent} first; here is {here.agent_version}"
    if release.platform not in {here.platform, ANY_PLATFORM}:
        return "other_platform", f"it is for {release.platform}; this is {here.platform}"
    return None


def not_quiet(open_kinds: Sequence[str], *, configuration_on_trial: bool) -> str:
    """Why now is no moment to switch: `alarm_open`, `configuration_on_trial`, or empty."""
    if any(kind not in _STANDING for kind in open_kinds):
        return "alarm_open"
    return "configuration_on_trial" if configuration_on_trial else ""


def begin(update: Update, slot: str, former: str, parts: Sequence[PartHealth], in_use_version: str) -> Update:
    """It is about to be switched to."""
    well = {part.part_id: part.ok for part in parts}
    return replace(update, outcome="trying", slot=slot, former=former, former_version=in_use_version, well_before=well)


def confirm(update: Update) -> Update:
    """It works."""
    return replace(update, outcome="confirmed", reason="", in_use_version=update.version, well_before={})


def put_back(update: Update, reason: str, detail: str) -> Update:
    """It does not; the former one is about to be used again."""
    return replace(update, outcome="putting_back", reason=reason, detail=detail[:500])


def is_back(update: Update) -> Update:
    """The former one is in use again."""
    version = update.former_version if update.in_use_version == update.version else update.in_use_version
    return replace(update, outcome="rolled_back", well_before={}, in_use_version=version)


def judge(
    update: Update, parts: Sequence[PartHealth], *, acknowledged: bool, running_s: float
) -> tuple[Literal["wait", "confirm", "put_back"], str]:
    """Whether the trial is over. Never confirmed without an ack of the service in this life of the agent."""
    ill = trial.ailing(parts, update.well_before)
    if not acknowledged:
        ill.append("uplink (no ack)")
    if not ill and running_s >= SETTLE_S:
        return "confirm", ""
    if running_s >= CONFIRM_WITHIN_S:
        return "put_back", ", ".join(dict.fromkeys(ill))
    return "wait", ""


Found = Literal["settled", "gave_up", "never_switched", "is_back", "is_confirmed", "unknown_trial"]


def at_start(update: Update, standing: str, *, in_use: bool) -> Found:
    """What the agent finds at its start. `standing` is what the slots say, `in_use` whether it is the update's slot."""
    if update.outcome == "trying":
        if standing == "gave_up":
            return "gave_up"
        return "settled" if in_use else "never_switched"
    if update.outcome == "putting_back":
        return "settled" if in_use else "is_back"
    if standing == "on_trial":
        return "is_confirmed" if update.outcome == "confirmed" and in_use else "unknown_trial"
    return "settled"


def sizes(release: Release, have: Mapping[str, bool]) -> int:
    """Bytes that are still to come; `have` by SHA-256."""
    return sum(file.size_bytes for file in release.files if not have.get(file.sha256, False))


def decode(data: bytes) -> Known:
    """What `encode` wrote. Raises msgspec.DecodeError."""
    return msgspec.json.decode(data, type=Known)
