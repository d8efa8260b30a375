"""The files of releases, below ``data_dir/releases`` under their SHA-256, and the route nodes fetch them by."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Header
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.files import sync_folder
from sealwatch.cloud.evidence.http import NodeId, Offset, Signature
from sealwatch.cloud.evidence.receive import Receiver, Refused
from sealwatch.contract.release import FILES_PATH, Release

FOLDER: Final = "releases"
MOST_PIECE_BYTES: Final = 1024 * 1024
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_RANGE: Final = re.compile(r"bytes=([0-9]{1,12})-([0-9]{1,12})")


class ReleaseFiles:
    """The folder."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER

    def add(self, release: Release, folder: Path) -> None:
        """Copy what is not here yet. Raises UsageError for a file that is missing or another one, CommandFailed."""
        for file in release.files:
            target, given = self._folder / file.sha256, folder / file.name
            if target.exists():
                continue
            draft = self._folder / f".{file.sha256}"
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.copyfile(given, draft)
                with draft.open("rb+") as copied:
                    right = hashlib.file_digest(copied, "sha256").hexdigest() == file.sha256
                if not right:
                    draft.unlink()
                    raise UsageError(f"{given} is another file than the release names; make and sign the release anew")
                draft.replace(target)
                sync_folder(self._folder)
            except FileNotFoundError:
                raise UsageError(
                    f"{given} is not there; --files names the folder with the files of the release"
                ) from None
            except OSError as error:
                raise CommandFailed(f"{self._folder}: {error.strerror}") from None

    def piece(self, sha256: str, first: int, last: int) -> tuple[bytes, int] | None:
        """Bytes `first` to `last` and the size of the file; None where there is no such file."""
        if not _SHA256.fullmatch(sha256):
            return None
        try:
            with (self._folder / sha256).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(first)
                return file.read(min(last - first + 1, MOST_PIECE_BYTES)), size
        except FileNotFoundError:
            return None


def build(files: ReleaseFiles, receiver: Receiver) -> APIRouter:
    """A router for the service's application. Requests are signed as uploads are; `receiver` knows the nodes' keys."""
    router = APIRouter(include_in_schema=False)

    async def fetch(
        sha256: str,
        node: NodeId,
        signature: Signature,
        offset_bytes: Offset,
        wanted: Annotated[str, Header(alias="Range", max_length=64)],
    ) -> Response:
        def work() -> Response:
            path = FILES_PATH + sha256
            receiver.check_request(node, signature, method="GET", path=path, offset_bytes=offset_bytes, body=b"")
            match = _RANGE.fullmatch(wanted)
            if match is None or int(match[1]) != offset_bytes or int(match[2]) < int(match[1]):
                return JSONResponse({"reason": "bad_range"}, 416)
            found = files.piece(sha256, int(match[1]), int(match[2]))
            if found is None:
                return JSONResponse({"reason": "unknown_file"}, 404)
            data, size = found
            if not data:
                return JSONResponse({"reason": "bad_range"}, 416)
            headers = {
                "Content-Range": f"bytes {offset_bytes}-{offset_bytes + len(data) - 1}/{size}",
                "Cache-Control": "no-store",
            }
            return Response(data, 206, headers, media_type="application/octet-stream")

        try:
            return await run_in_threadpool(work)
        except Refused as refused:
            return JSONResponse({"reason": refused.reason, "detail": refused.detail}, refused.status)

    router.add_api_route(FILES_PATH + "{sha256}", fetch, methods=["GET"], response_model=None)
    return router
