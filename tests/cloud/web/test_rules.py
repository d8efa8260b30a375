"""The table of who may ask for what: every route is in it, nothing else is, and what is missing is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from sealwatch.cloud.web import rules
from sealwatch.cloud.web.app import create_app
from sealwatch.cloud.web.rules import MAY, Permission, Role
from tests.cloud.web.scene import Scene


def whole_app(scene: Scene) -> FastAPI:
    """The application with every route that it can have; what stands behind those of nodes is not asked here."""
    anything: Any = object()
    services = dataclasses.replace(scene.services(), receiver=anything, releases=anything, enrolment=anything)
    return create_app(services)


def routes(app: FastAPI) -> set[tuple[str, str]]:
    found = iter_route_contexts(app.routes)
    return {(method, str(route.path)) for route in found for method in route.methods or () if method != "HEAD"}


def test_every_route_passes_the_gate(scene: Scene) -> None:
    app = whole_app(scene)
    for route in iter_route_contexts(app.routes):
        dependencies = getattr(route, "dependencies", None)
        assert dependencies is not None, f"{route.path} was added behind FastAPI's back"
        assert [one.dependency for one in dependencies][:1] == [rules.gate], route.path


def test_a_route_without_a_rule_is_refused_for_everybody(scene: Scene) -> None:
    app = create_app(scene.services())

    @app.get("/forgotten")
    def forgotten() -> str:
        raise AssertionError("it was reached")

    client = TestClient(app, base_url="http://127.0.0.1:8000")
    answer = client.get("/forgotten")
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:sealwatch:problem:no_rule"


def test_every_role_may_something_and_nobody_may_everything() -> None:
    assert set(MAY) == set(Role)
    for role, may in MAY.items():
        assert Permission.SELF in may, role
        assert may < set(Permission), role


def test_whoever_administers_accounts_does_not_read_the_log_about_it() -> None:
    assert [role for role, may in MAY.items() if {Permission.ACCOUNTS, Permission.AUDIT} <= may] == []
