"""What a worker says of turns that fail: a database that is away and its return in a line each, a fault in full.

lately = FailedTurns("pager")
while ...:
    with lately.survived():
        ...  # one turn of the wheel
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sealwatch.cloud.db.engine import is_passing

logger = logging.getLogger(__name__)
_LONGEST: Final = 300  # characters of a cause in the log


def cause(error: BaseException) -> str:
    """What the database or the system itself said, in one line, without the statement that was under way."""
    said = str(getattr(error, "orig", None) or error).split("(Background on this error")[0]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "; ".join(lines)[:_LONGEST] or type(error).__name__


class FailedTurns:
    """The failed turns of one worker: counted, and told without flooding the log. Used by the worker's thread alone."""

    def __init__(self, worker: str) -> None:
        """`worker` is the name that the log and the metrics use."""
        self.worker = worker
        self.count = 0
        self._away = False

    @contextmanager
    def survived(self) -> Iterator[None]:
        """One turn, whose failure must not be the end of the worker's thread: it is told and counted, and passes."""
        try:
            yield
        except Exception as error:
            self.count += 1
            if not is_passing(error):  # a fault of ours: whoever mends it needs all of it
                logger.exception("%s: a turn failed; trying again", self.worker)
            elif not self._away:
                self._away = True
                logger.error(  # noqa: TRY400 - the place in our program says nothing about a server that is away
                    "%s: the database does not answer (%s); trying again until it does", self.worker, cause(error)
                )
        else:
            if self._away:
                self._away = False
                logger.info("%s: the database answers again", self.worker)


def counted(*workers: FailedTurns) -> dict[str, int]:
    """Failed turns by worker, named ``failed_turns_<worker>``."""
    return {f"failed_turns_{one.worker.replace('-', '_')}": one.count for one in workers}
