"""Small previews of pictures, for phones on slow links."""

from __future__ import annotations

import io
import threading
import warnings
from collections import OrderedDict
from typing import Final

from PIL import Image

MOST_BYTES: Final = 40_000
_MOST_PIXELS: Final = 40_000_000  # a larger picture is no camera's; decoding it would take the server's memory
_TRIES: Final = ((720, 72), (720, 60), (640, 52), (480, 45), (360, 40), (240, 35))  # (width in px, JPEG quality)
_FORMATS: Final = ("JPEG", "PNG", "WEBP")


def size_px(data: bytes) -> tuple[int, int]:
    """(width, height) from the header alone. Raises ValueError for what is no picture of ours."""
    return _open(data).size


def preview(data: bytes, *, most_bytes: int = MOST_BYTES) -> bytes:
    """The picture as a JPEG of at most `most_bytes`; a small JPEG is passed on as it is.

    Raises ValueError for what is no JPEG, PNG or WebP, is broken, or is too large to decode.
    """
    image = _open(data)
    if image.format == "JPEG" and len(data) <= most_bytes:
        return data
    try:
        image.draft("RGB", (_TRIES[0][0], _TRIES[0][0]))  # lets a JPEG be decoded at a fraction of its size
        picture = image.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"the picture is broken: {error}") from None
    for width_px, quality in _TRIES:
        small = picture.copy()
        small.thumbnail((width_px, width_px * 2))
        out = io.BytesIO()
        small.save(out, "JPEG", quality=quality, optimize=True, progressive=True)
        if out.tell() <= most_bytes:
            return out.getvalue()
    raise ValueError(f"the picture can't be brought below {most_bytes} bytes")


def _open(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"not a picture: {error}") from None
    if image.width * image.height > _MOST_PIXELS:
        raise ValueError(f"the picture has {image.width}x{image.height} pixels; too many to decode")
    return image


class Previews:
    """Remembers the latest previews, by the hash of the original; safe to use from several threads."""

    def __init__(self, most: int = 128) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def of(self, sha256: str, data: bytes) -> bytes:
        """The preview of `data`, made at the first call. Raises ValueError as `preview` does."""
        with self._lock:
            if sha256 in self._kept:
                self._kept.move_to_end(sha256)
                return self._kept[sha256]
        made = preview(data)
        with self._lock:
            self._kept[sha256] = made
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made
