"""The two routes through which nodes send evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from sealwatch.cloud.evidence.receive import Receiver, Refused
from sealwatch.contract.upload import (
    FILES_PATH,
    ITEMS_PATH,
    MAX_PIECE_BYTES,
    NODE_HEADER,
    OFFSET_HEADER,
    SIGNATURE_HEADER,
)
from sealwatch.contract.wire import encode

NodeId = Annotated[str, Header(alias=NODE_HEADER, max_length=64)]
Signature = Annotated[str, Header(alias=SIGNATURE_HEADER, max_length=128)]
Offset = Annotated[int, Header(alias=OFFSET_HEADER, ge=0)]


def build(receiver: Receiver) -> APIRouter:
    """A router for the service's application. Requests carry their own signature and need no session."""
    router = APIRouter(include_in_schema=False)

    async def announce(request: Request, node: NodeId, signature: Signature) -> Response:
        body = await _body(request)

        def work() -> Response:
            sender = receiver.check_request(node, signature, method="POST", path=ITEMS_PATH, offset_bytes=0, body=body)
            return _json(encode(receiver.announce(sender, body)))

        return await _answer(work)

    async def piece(
        request: Request, sha256: str, node: NodeId, signature: Signature, offset_bytes: Offset
    ) -> Response:
        body = await _body(request)

        def work() -> Response:
            sender = receiver.check_request(
                node, signature, method="PATCH", path=FILES_PATH + sha256, offset_bytes=offset_bytes, body=body
            )
            return _json(encode(receiver.take(sender, sha256, offset_bytes, body)))

        return await _answer(work)

    router.add_api_route(ITEMS_PATH, announce, methods=["POST"], response_model=None)
    router.add_api_route(FILES_PATH + "{sha256}", piece, methods=["PATCH"], response_model=None)
    return router


async def _body(request: Request) -> bytes:
    """The body, as far as it is allowed to go: one byte too many is enough to refuse it later."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_PIECE_BYTES:
            break
    return bytes(data)


async def _answer(work: Callable[[], Response]) -> Response:
    try:
        return await run_in_threadpool(work)
    except Refused as refused:
        content: dict[str, object] = {"reason": refused.reason, "detail": refused.detail}
        if refused.offset_bytes is not None:
            content["offset_bytes"] = refused.offset_bytes
        return JSONResponse(content, refused.status)


def _json(data: bytes) -> Response:
    return Response(data, media_type="application/json")
