"""Who acts in a request, as histories name it."""

from __future__ import annotations

from starlette.requests import Request

from sealwatch.cloud.incidents.service import DESK


def actor_of(request: Request) -> str:
    """What the login put into `request.state.actor` ("person:<id>"); the shared desk where it names nobody."""
    return str(getattr(request.state, "actor", DESK))
