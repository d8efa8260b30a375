"""Live updates: nothing missed, nothing held for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.responses import StreamingResponse

from sealwatch.cloud.ports import ChangeBus
from sealwatch.cloud.web.events import Hub
from sealwatch.cloud.web.problems import Problem

PATIENCE_S = 10.0


def run(body: Callable[[Hub, ChangeBus], Awaitable[None]], **options: Any) -> None:
    """Run `body` with a hub that watches a bus."""

    async def main() -> None:
        changes = ChangeBus()
        hub = Hub(changes, **options)
        hub.start()
        try:
            await asyncio.wait_for(body(hub, changes), PATIENCE_S)
        finally:
            hub.close()

    asyncio.run(main())


def stream(response: StreamingResponse) -> AsyncIterator[str]:
    return aiter(response.body_iterator)  # type: ignore[arg-type]  # ours yields text only


def test_a_change_reaches_an_open_page() -> None:
    async def body(hub: Hub, changes: ChangeBus) -> None:
        events = stream(hub.response(hub.stamp()))
        assert (await anext(events)).startswith("retry: 3000\n")
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        changes.announce()
        assert await waiting == f"id: {hub.stamp()}\nevent: change\ndata: {hub.stamp()}\n\n"

    run(body)


def test_a_change_between_rendering_and_listening_is_not_missed() -> None:
    async def body(hub: Hub, changes: ChangeBus) -> None:
        rendered = hub.stamp()
        changes.announce()
        events = stream(hub.response(rendered))
        await anext(events)
        assert "event: change" in await anext(events)

    run(body)


def test_a_page_from_before_a_restart_is_told_to_fetch_itself_anew() -> None:
    async def body(hub: Hub, _changes: ChangeBus) -> None:
        events = stream(hub.response(Hub(ChangeBus()).stamp()))
        await anext(events)
        assert "event: change" in await anext(events)

    run(body)


def test_many_changes_at_once_are_one_event() -> None:
    async def body(hub: Hub, changes: ChangeBus) -> None:
        rendered = hub.stamp()
        for _ in range(50):
            changes.announce()
        events = stream(hub.response(rendered))
        await anext(events)
        assert hub.stamp() in await anext(events)
        assert await anext(events) == ": still here\n\n"

    run(body, heartbeat_s=0.01)


def test_a_quiet_stream_has_a_heartbeat() -> None:
    async def body(hub: Hub, _changes: ChangeBus) -> None:
        events = stream(hub.response(None))
        await anext(events)
        assert [await anext(events) for _ in range(2)] == [": still here\n\n"] * 2

    run(body, heartbeat_s=0.01)


def test_listeners_are_bounded_and_a_place_is_free_again_when_one_leaves() -> None:
    async def body(hub: Hub, _changes: ChangeBus) -> None:
        one = hub.response(None)
        with pytest.raises(Problem) as refused:
            hub.response(None)
        assert (refused.value.status_code, refused.value.name) == (503, "too_many_listeners")

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def send(_message: Any) -> None:
            raise OSError("gone")

        with pytest.raises((OSError, BaseExceptionGroup, Exception)):
            await one({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
        assert hub.client_count == 0
        hub.response(None)

    run(body, most_clients=1)


def test_closing_ends_every_stream_and_takes_no_new_one() -> None:
    async def body(hub: Hub, _changes: ChangeBus) -> None:
        events = stream(hub.response(None))
        await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        hub.close()
        with pytest.raises(StopAsyncIteration):
            await waiting
        with pytest.raises(Problem):
            hub.response(None)

    run(body)
