"""The two routes through which nodes get certificates. Requests carry their own signature and need no session."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from sealwatch.cloud.enrolment.desk import Desk
from sealwatch.contract.enrolment import ENROL_PATH, KEY_PATH, MAX_BODY_BYTES, RENEW_PATH
from sealwatch.contract.wire import Refused


def build(desk: Desk) -> APIRouter:
    """A router for the service's application."""
    router = APIRouter(include_in_schema=False)

    async def enrol(request: Request) -> Response:
        return await _answer(request, desk.enrol)

    async def renew(request: Request) -> Response:
        return await _answer(request, desk.renew)

    router.add_api_route(ENROL_PATH, enrol, methods=["POST"], response_model=None)

    async def key(request: Request) -> Response:
        return await _answer(request, desk.change_key)

    router.add_api_route(KEY_PATH, key, methods=["POST"], response_model=None)
    router.add_api_route(RENEW_PATH, renew, methods=["POST"], response_model=None)
    return router


async def _answer(request: Request, work: Callable[[bytes], bytes]) -> Response:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > 2 * MAX_BODY_BYTES:
            return JSONResponse({"reason": "too_large", "detail": "no request is that large"}, 413)
    try:
        return Response(await run_in_threadpool(work, bytes(data)), media_type="application/json")
    except Refused as refused:
        return JSONResponse({"reason": refused.reason, "detail": refused.detail}, 403)
