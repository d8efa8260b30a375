"""A file in pieces (RFC 9110, section 14): video players on telephones ask for one range after the other."""

from __future__ import annotations

import re
from typing import Final

from starlette.responses import Response

_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def response(data: bytes, media_type: str, wanted: str) -> Response:
    """The whole (200), the one range that the header `wanted` names (206), or 416 where it lies outside.

    A header that names several ranges or makes no sense is passed over, as the RFC allows.
    """
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=86400, immutable"}
    found = _RANGE.fullmatch(wanted)
    if found is None or not any(found.groups()):
        return Response(data, media_type=media_type, headers=headers)
    first, last = _bounds(found[1], found[2], len(data))
    if first > last:
        headers["Content-Range"] = f"bytes */{len(data)}"
        return Response(status_code=416, headers=headers)
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Response(data[first : last + 1], 206, media_type=media_type, headers=headers)


def _bounds(first: str, last: str, size_bytes: int) -> tuple[int, int]:
    """First and last byte, both included; "" first means the last so many bytes."""
    if not first:
        return max(0, size_bytes - int(last)), size_bytes - 1
    return int(first), min(int(last) if last else size_bytes - 1, size_bytes - 1)
