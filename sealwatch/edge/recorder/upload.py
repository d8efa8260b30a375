"""Sending clips to the service: what goes first, within a daily data budget, resumable and verified by hash.

The choice is pure (`choose`). Of each item the small files (snapshot, power series) go before the film; of all items
the most urgent first, and of equals the newest. The last part of the budget is kept for red and orange ones.
"""

from __future__ import annotations

import http.client
import logging
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256 as sha256_
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.backoff import full_jitter_s
from sealwatch.base.clock import Clock
from sealwatch.contract import signing
from sealwatch.contract.codes import Level
from sealwatch.contract.messages import PartHealth
from sealwatch.contract.upload import (
    FILES_PATH,
    ITEMS_PATH,
    NODE_HEADER,
    OFFSET_HEADER,
    SIGNATURE_HEADER,
    SIGNED_AS,
    Announcement,
    FileState,
    Receipt,
    request_text,
)
from sealwatch.contract.wire import encode
from sealwatch.edge.recorder.clips import ClipJob
from sealwatch.edge.recorder.footage import CLIPS, Footage
from sealwatch.edge.recorder.segment import FootageError
from sealwatch.evidence.documents import Envelope, Manifest

logger = logging.getLogger(__name__)

PIECE_BYTES: Final = 256 * 1024  # about two seconds of a 1 Mbit/s uplink
RESERVED: Final = 0.2  # of the budget, for red and orange alone
IDLE_S: Final = 10.0
OFFER_AGAIN_S: Final = 3600.0
TIMEOUT_S: Final = 30.0


class CarrierError(Exception):
    """The service did not take it. `reason`: unreachable | refused | wrong_offset; `offset_bytes`: where to go on."""

    def __init__(self, reason: str, detail: str, offset_bytes: int | None = None) -> None:
        super().__init__(detail)
        self.reason, self.offset_bytes = reason, offset_bytes


class Carrier(Protocol):
    """The way to the service."""

    def announce(self, announcement: Announcement) -> Receipt:
        """Raises CarrierError."""
        ...

    def send(self, sha256: str, offset_bytes: int, data: bytes) -> FileState:
        """Raises CarrierError."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """A sealed clip that the service does not have yet."""

    clip_id: str
    level: Level
    closed_at_ms: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What to send next. `reason`: send | nothing_to_send | budget_spent | budget_kept_for_urgent."""

    clip_id: str | None
    reason: str


def choose(waiting: Sequence[Waiting], *, sent_today_bytes: int, daily_bytes: int | None) -> Choice:
    """The next clip within the budget; `daily_bytes` None: the link costs nothing."""
    if not waiting:
        return Choice(None, "nothing_to_send")
    first = min(waiting, key=lambda w: (w.level.urgency, -w.closed_at_ms, w.clip_id))
    if daily_bytes is None:
        return Choice(first.clip_id, "send")
    if sent_today_bytes >= daily_bytes:
        return Choice(None, "budget_spent")
    urgent = first.level in (Level.RED, Level.ORANGE)
    if not urgent and sent_today_bytes >= daily_bytes * (1 - RESERVED):
        return Choice(None, "budget_kept_for_urgent")
    return Choice(first.clip_id, "send")


def order(manifest: Manifest) -> list[str]:
    """Files of an item, snapshot first, the film last."""
    return [f.name for f in sorted(manifest.files, key=lambda f: (f.media_type.startswith("video/"), f.size_bytes))]


@dataclass(slots=True)
class _State:
    reason: str = "starting"
    acked_at_ms: int | None = None
    attempts: int = 0
    refused: dict[str, float] = field(default_factory=dict)  # clip -> monotonic time to offer it again


class Uploader:
    """The `Part` that sends clips. `step` does one piece of work and says how long to wait before the next."""

    part_id = "upload"

    def __init__(
        self,
        open_footage: Callable[[], Footage],
        carrier: Carrier,
        clock: Clock,
        *,
        daily_bytes: int | None = None,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self._open_footage, self._carrier, self._clock = open_footage, carrier, clock
        self._daily_bytes, self._piece_bytes = daily_bytes, piece_bytes
        self._state = _State()

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set."""
        wait_s = 0.0
        while not stop.wait(wait_s):
            wait_s = self.step()

    def step(self) -> float:
        """Send one clip, or as much of it as the budget and the link allow; seconds until the next step."""
        state = self._state
        try:
            footage = self._open_footage()
            choice = choose(
                self._waiting(footage),
                sent_today_bytes=footage.store.sent_bytes(self._clock.wall_ms()),
                daily_bytes=self._daily_bytes,
            )
            state.reason = choice.reason
            if choice.clip_id is None:
                return IDLE_S
            self._send_or_remember(footage, choice.clip_id)
        except FootageError as error:
            state.reason = error.reason
            return IDLE_S
        except CarrierError as error:
            if error.reason != state.reason:
                logger.warning("evidence cannot be sent: %s", error)
            state.reason = error.reason
            state.attempts += 1
            return full_jitter_s(state.attempts - 1, base_s=2.0, cap_s=300.0)
        state.attempts = 0
        return 0.0

    def health(self) -> PartHealth:
        """Well while there is nothing to send, or sending works."""
        state, now_s = self._state, self._clock.monotonic_s()
        return PartHealth(
            part_id=self.part_id,
            kind="upload",
            ok=state.reason in ("send", "nothing_to_send", "starting"),
            reason=state.reason,
            evidence_at_ms=state.acked_at_ms,
            numbers={"refused_items": float(sum(1 for again_s in state.refused.values() if again_s > now_s))},
        )

    def _waiting(self, footage: Footage) -> list[Waiting]:
        now_s, refused = self._clock.monotonic_s(), self._state.refused
        rows = [r for r in footage.store.clips(state="sealed") if not r.sent and refused.get(r.id, 0.0) <= now_s]
        return [
            Waiting(row.id, msgspec.json.decode(row.job, type=ClipJob).level, row.closed_at_ms, row.size_bytes)
            for row in rows
        ]

    def _send_or_remember(self, footage: Footage, clip_id: str) -> None:
        try:
            self._send(footage, clip_id)
        except CarrierError as error:
            if error.reason == "refused":  # others may be taken; a wrong key in the registry may be mended
                self._state.refused[clip_id] = self._clock.monotonic_s() + OFFER_AGAIN_S
            raise

    def _send(self, footage: Footage, clip_id: str) -> None:
        sealed = footage.store.manifest("clip", clip_id)
        if sealed is None:
            return
        numbers = footage.store.link_numbers([sha256_(sealed).hexdigest()])
        if not numbers:
            raise CarrierError("refused", f"clip {clip_id} has no link in the chain; it cannot be sent")
        [link] = footage.store.links(numbers[0], numbers[0])
        receipt = self._carrier.announce(Announcement(manifest=sealed.decode(), link=link.decode()))
        states = {state.sha256: state for state in receipt.files}
        manifest = msgspec.json.decode(msgspec.json.decode(sealed, type=Envelope).body, type=Manifest)
        hashes = {file.name: file.sha256 for file in manifest.files}
        for name in order(manifest):
            path = footage.folder / CLIPS / clip_id / name
            if not self._send_file(footage, path, states[hashes[name]]):
                return
        footage.store.mark_sent(clip_id)
        logger.info("clip %s has arrived at the service", clip_id)

    def _send_file(self, footage: Footage, path: Path, state: FileState) -> bool:
        """Whether the service has the whole file; False where today's budget ended before."""
        while not state.complete:
            now_ms = self._clock.wall_ms()
            if self._daily_bytes is not None and footage.store.sent_bytes(now_ms) >= self._daily_bytes:
                return False
            try:
                with path.open("rb") as file:
                    file.seek(state.offset_bytes)
                    data = file.read(self._piece_bytes)
            except OSError as error:
                raise FootageError("disk_error", f"clip {path}: cannot be read: {error.strerror}") from None
            if not data:
                raise CarrierError("refused", f"{path.name} is shorter here than its manifest says; it cannot be sent")
            footage.store.add_sent(now_ms, len(data))  # counted before: a SIM card charges for what is lost as well
            try:
                state = self._carrier.send(state.sha256, state.offset_bytes, data)
            except CarrierError as error:
                if error.reason != "wrong_offset" or error.offset_bytes is None:
                    raise
                state = msgspec.structs.replace(state, offset_bytes=error.offset_bytes)
            self._state.acked_at_ms = now_ms
        return True


class HttpsCarrier:
    """Plain `http.client`, one connection a request: an uplink that comes and goes leaves nothing hanging."""

    def __init__(
        self, url: str, *, node_id: str, key: Ed25519PrivateKey, context: ssl.SSLContext | None = None
    ) -> None:
        """`url`: https://host[:port] of the service. `context` carries the CA and the node's certificate."""
        parts = urlsplit(url)
        self._host, self._tls = parts.netloc, parts.scheme == "https"
        self._node_id, self._key, self._context = node_id, key, context

    def announce(self, announcement: Announcement) -> Receipt:
        return msgspec.json.decode(self._request("POST", ITEMS_PATH, 0, encode(announcement)), type=Receipt)

    def send(self, sha256: str, offset_bytes: int, data: bytes) -> FileState:
        return msgspec.json.decode(self._request("PATCH", FILES_PATH + sha256, offset_bytes, data), type=FileState)

    def _request(self, method: str, path: str, offset_bytes: int, body: bytes) -> bytes:
        said = request_text(method, path, offset_bytes, sha256_(body).hexdigest())
        headers = {
            NODE_HEADER: self._node_id,
            SIGNATURE_HEADER: signing.sign(self._key, SIGNED_AS, said),
            OFFSET_HEADER: str(offset_bytes),
            "Content-Type": "application/octet-stream",
        }
        connection = (
            http.client.HTTPSConnection(self._host, timeout=TIMEOUT_S, context=self._context)
            if self._tls
            else http.client.HTTPConnection(self._host, timeout=TIMEOUT_S)
        )
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            cause = f"{type(error).__name__}: {error}"
            raise CarrierError("unreachable", f"{self._host}: {cause}; check network and address") from None
        finally:
            connection.close()
        if response.status != 200:
            raise _refusal(response.status, answer)
        return answer


class _Refusal(msgspec.Struct):
    reason: str = ""
    detail: str = ""
    offset_bytes: int | None = None


def _refusal(status: int, answer: bytes) -> CarrierError:
    try:
        said = msgspec.json.decode(answer, type=_Refusal)
    except (msgspec.MsgspecError, ValueError):
        said = _Refusal()
    if said.offset_bytes is not None and said.reason == "wrong_offset":
        return CarrierError("wrong_offset", said.detail, said.offset_bytes)
    # What a proxy or an overloaded service says passes; what is said about the item itself stays.
    lasting = said.reason == "hash_mismatch" or (status in (401, 413, 422) and bool(said.reason))
    sentence = f"the service answered {status} {said.reason}: {said.detail}"
    return CarrierError("refused" if lasting else "unreachable", sentence)
