"""A change asked for through the JSON API: one transaction, its author, and refusals as problem details."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from fastapi import Request
from sqlalchemy.orm import Session

from sealwatch.cloud.refused import NotAllowed
from sealwatch.cloud.web.actor import actor_of
from sealwatch.cloud.web.forms import refuse_foreign
from sealwatch.cloud.web.problems import Problem
from sealwatch.cloud.web.services import WebServices

T = TypeVar("T")
_REFUSED: Final = 422


def change(
    services: WebServices, request: Request, statuses: dict[str, int], work: Callable[[Session, str, int], T]
) -> T:
    """What `work(session, actor, now_ms)` returns, committed and announced.

    `statuses` are those of the refusals that are not 422. Raises Problem.
    """
    refuse_foreign(request)
    try:
        with services.database.write() as session:
            result = work(session, actor_of(request), services.clock.wall_ms())
    except NotAllowed as refused:
        raise Problem(statuses.get(refused.name, _REFUSED), refused.name) from None
    services.changes.announce()
    return result
