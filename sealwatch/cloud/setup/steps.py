"""Steps in their order: each says what became of it, and one that needs a failed one does not begin.

Outcomes
  done      it was made or changed now
  skipped   it was as it should be, or it is not wanted here
  failed    it could not be done; the sentence says what to do, then the same command goes on from here
  waiting   it needs a step that has failed or waits itself
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy.exc import DatabaseError

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.cloud.telemetry.remote import PointsRefused, TelemetryUnavailable


class Outcome(StrEnum):
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a step: the sentence is the catalogue's `init.<key>` with `values`."""

    outcome: Outcome
    key: str
    values: dict[str, object] = field(default_factory=dict)


def done(key: str, **values: object) -> Told:
    return Told(Outcome.DONE, key, values)


def skipped(key: str, **values: object) -> Told:
    return Told(Outcome.SKIPPED, key, values)


def failed(key: str, **values: object) -> Told:
    return Told(Outcome.FAILED, key, values)


@dataclass(frozen=True, slots=True)
class Step:
    """`name` is stable; `needs` are names of earlier steps."""

    name: str
    run: Callable[[], Told]
    needs: tuple[str, ...] = ()


def walk(steps: Sequence[Step]) -> Iterator[tuple[str, Told]]:
    """Run them; what a person can mend is an outcome, anything else is raised."""
    stuck: set[str] = set()
    for step in steps:
        missing = next((name for name in step.needs if name in stuck), None)
        told = _tried(step) if missing is None else Told(Outcome.WAITING, "waits", {"step": missing})
        if told.outcome in {Outcome.FAILED, Outcome.WAITING}:
            stuck.add(step.name)
        yield step.name, told


def _tried(step: Step) -> Told:
    try:
        return step.run()
    except OSError as error:
        if isinstance(error, TelemetryUnavailable):
            return failed("refused", cause=error)
        return failed("no_file", file=error.filename or "", cause=error.strerror or error)
    except (UsageError, CommandFailed, PointsRefused, ValueError) as error:
        return failed("refused", cause=error)
    except DatabaseError as error:
        return failed("refused", cause=str(error.orig).strip().splitlines()[0])
