"""What the service may ask a node to do, and when the node refuses.

Refusals
  reason: no_service_key | unknown_key | bad_signature (not sealed with the service's key that this node has pinned)
          | not_for_this_node | expired | replayed | unknown_command | cannot_remember | busy | failed
  and whatever the command itself answers (unknown_camera, no_picture ...)
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sealwatch.base.clock import Clock
from sealwatch.contract import wire
from sealwatch.contract.messages import Command, Reply, Sealed
from sealwatch.contract.wire import Trusted
from sealwatch.edge.uplink.outbox import Outbox
from sealwatch.edge.uplink.store import OutboxError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command came to: `reason` is a stable name, `detail` at most one sentence or a value."""

    ok: bool
    reason: str
    detail: str = ""


Handler = Callable[[Command], Answer]


def refusal(command: Command, *, site_id: str, node_id: str, now_ms: int, known: Collection[str]) -> str | None:
    """Why a command is refused before it is even remembered, or None. Replay is judged against the outbox."""
    if (command.site_id, command.node_id) != (site_id, node_id):
        return "not_for_this_node"
    if now_ms > command.expires_at_ms:
        return "expired"
    if command.name not in known:
        return "unknown_command"
    return None


class CommandDesk:
    """Takes commands, carries each out once, and answers every one that can be read.

    A command is remembered durably before it is begun: it may be lost with the power, it is never done twice. They are
    carried out one at a time on a thread of their own, because a camera may take seconds to answer.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        site_id: str,
        node_id: str,
        clock: Clock,
        service_key: Trusted,
        handlers: Mapping[str, Handler],
        reply: Callable[[Reply], None],
    ) -> None:
        self._outbox, self._clock, self._reply = outbox, clock, reply
        self._service_key = service_key
        self._site_id, self._node_id = site_id, node_id
        self._handlers: dict[str, Handler] = {"ping": lambda _command: Answer(ok=True, reason="alive"), **handlers}
        self._busy = threading.Lock()

    def take(self, payload: bytes) -> None:
        """Judge one received command and begin it or refuse it. Returns soon."""
        try:
            command = wire.decode(Command, wire.decode(Sealed, payload).body)
        except wire.Refused as refused:
            logger.warning("a command cannot be read and is not answered: %s", refused)
            return
        answer = self._not_ours(payload) or self._refused(command)
        if answer is not None:
            self._answer(command, answer)
            return
        threading.Thread(target=self._carry_out, args=(command,), name=f"command-{command.name}", daemon=True).start()

    def _not_ours(self, payload: bytes) -> Answer | None:
        """Why it is not the service's own word, before anything in it is believed."""
        if self._service_key is None:
            return Answer(ok=False, reason="no_service_key", detail="set service_public_key in node.toml")
        try:
            wire.unseal(Command, payload, self._service_key)
        except wire.Refused as refused:
            return Answer(ok=False, reason=refused.reason)
        return None

    def _refused(self, command: Command) -> Answer | None:
        now_ms = self._clock.wall_ms()
        reason = refusal(command, site_id=self._site_id, node_id=self._node_id, now_ms=now_ms, known=self._handlers)
        if reason == "expired":
            return Answer(ok=False, reason=reason, detail=f"the node's clock is at {now_ms} ms")
        if reason is not None:
            return Answer(ok=False, reason=reason)
        if not self._busy.acquire(blocking=False):
            return Answer(ok=False, reason="busy")
        answer = None
        try:
            if not self._outbox.remember_command(command.command_id, command.expires_at_ms):
                answer = Answer(ok=False, reason="replayed")
        except OutboxError as error:
            answer = Answer(ok=False, reason="cannot_remember", detail=error.reason)
        if answer is not None:
            self._busy.release()
        return answer

    def _carry_out(self, command: Command) -> None:
        try:
            answer = self._handlers[command.name](command)
        except Exception as error:  # noqa: BLE001 - the edge of foreign code: whatever it does, the asker gets an answer
            answer = Answer(ok=False, reason="failed", detail=f"{type(error).__name__}: {error}")
        finally:
            self._busy.release()
        self._answer(command, answer)

    def _answer(self, command: Command, answer: Answer) -> None:
        log = logger.info if answer.ok else logger.warning
        log("command %s %s: %s", command.name, command.command_id, answer.reason)
        self._reply(
            Reply(
                site_id=self._site_id,
                node_id=self._node_id,
                command_id=command.command_id,
                ok=answer.ok,
                reason=answer.reason,
                detail=answer.detail[:500],
                replied_at_ms=self._clock.wall_ms(),
            )
        )
