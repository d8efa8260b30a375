"""Row-level scope: while `SCOPE` names a region, every query sees only what belongs to sites of that region.

The filter stands below all queries, those that nobody has written yet included: a list leaves other counties out, and
asking for one of their incidents by its id finds nothing. Threads of the service (ingest, pager) have no scope.

A site belongs to a region where its county code begins with the region's: 21 is a province, 210423 a county of it, and
a site entered under a township's or village's code (9 or 12 digits) is seen by all above it.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache
from typing import Any, Final

from sqlalchemy import event, select
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from sealwatch.cloud.db.base import Base

SCOPE: Final[ContextVar[str]] = ContextVar("sealwatch_scope", default="")
"""The region of who asks; "" is everything."""


@event.listens_for(Session, "do_orm_execute")
def _narrow(state: ORMExecuteState) -> None:
    region = SCOPE.get()
    if region and state.is_select and not state.is_column_load and not state.is_relationship_load:
        state.statement = state.statement.options(*_criteria(region))


@cache
def _classes() -> tuple[tuple[type[Base], str], ...]:
    """Every table that belongs to a site, and the column that says to which."""
    found: list[tuple[type[Base], str]] = []
    for mapper in Base.registry.mappers:
        by = next((name for name in ("site_id", "incident_id", "node_id") if name in mapper.columns), None)
        if by is not None:
            found.append((mapper.class_, by))
    return tuple(found)


def _criteria(region: str) -> list[Any]:
    tables = Base.metadata.tables
    site = tables["sites"].c
    # On the tables themselves, not their classes: those would be narrowed in turn, without an end.
    own = {"site_id": select(site.site_id).where(site.county_code.startswith(region, autoescape=True))}
    for name, table in (("incident_id", tables["incidents"].c), ("node_id", tables["nodes"].c)):
        own[name] = select(table[name]).where(table.site_id.in_(own["site_id"]))
    return [
        with_loader_criteria(kind, getattr(kind, by).in_(own[by]), include_aliases=True, track_closure_variables=False)
        for kind, by in _classes()
    ]
