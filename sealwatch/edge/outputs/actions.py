"""What the node does by itself at an alarm: which outputs come on, and the sink that sees to it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from sealwatch.contract.codes import Phase
from sealwatch.edge.config import ActionSettings
from sealwatch.edge.outputs.part import OutputPart
from sealwatch.edge.ports import AlarmDraft, Sink

_REMEMBERED: Final = 1000


def wanted(actions: Sequence[ActionSettings], draft: AlarmDraft) -> dict[str, float]:
    """The outputs that an alarm asks for and for how many seconds each, by output."""
    found: dict[str, float] = {}
    if draft.phase is Phase.END:
        return found
    for action in actions:
        if (
            draft.level.urgency <= action.min_level.urgency
            and (not action.kinds or draft.kind in action.kinds)
            and (not action.sources or draft.source_id in action.sources)
        ):
            for output in action.outputs:
                found[output] = max(found.get(output, 0.0), action.seconds)
    return found


class ActingSink:
    """Makes alarms durable through `inner` and then switches what they ask for: once for each alarm and output.

    An alarm that grows more urgent later may ask then for what it did not ask for at its start.
    """

    def __init__(self, inner: Sink, actions: Sequence[ActionSettings], outputs: Mapping[str, OutputPart]) -> None:
        self._inner, self._actions, self._outputs = inner, list(actions), dict(outputs)
        self._done: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = threading.Lock()

    def alarm(self, draft: AlarmDraft) -> None:
        """Store it, then act: the act is local and waits for nobody."""
        self._inner.alarm(draft)
        for output_id, seconds in wanted(self._actions, draft).items():
            if self._first(draft.alarm_id, output_id):
                why = f"{draft.kind} {draft.source_id} {draft.alarm_id}"
                self._outputs[output_id].ask(seconds, origin="alarm", why=why)

    def _first(self, alarm_id: str, output_id: str) -> bool:
        """Whether an alarm asks for an output for the first time; remembered from now on."""
        with self._lock:
            first = (alarm_id, output_id) not in self._done
            self._done[alarm_id, output_id] = None
            while len(self._done) > _REMEMBERED:
                self._done.popitem(last=False)
        return first

    def samples(self, source_id: str, at_ms: Sequence[int], values: Mapping[str, Sequence[float | None]]) -> None:
        """Measurements ask for nothing."""
        self._inner.samples(source_id, at_ms, values)
