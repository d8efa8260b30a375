"""What is known of one camera: plain values, with units, whatever the camera's own dialect was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Codec = Literal["H264", "H265", "JPEG", "MPEG4", "unknown"]
CODECS: Final[dict[str, Codec]] = {
    "H264": "H264",
    "H265": "H265",
    "HEVC": "H265",
    "JPEG": "JPEG",
    "MJPEG": "JPEG",
    "MPEG4": "MPEG4",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One stream as the camera says that it is set up. None: the camera does not say.

    `uri` is the stream's address without user name and password, and may hold ``{username}`` and ``{password}`` where
    this camera wants them in it.
    """

    token: str
    name: str
    codec: Codec
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    bit_rate_kbps: int | None = None
    gop_frames: int | None = None
    uri: str = ""

    @property
    def pixels(self) -> int:
        return (self.width or 0) * (self.height or 0)

    @property
    def key_interval_s(self) -> float | None:
        """Seconds from key frame to key frame."""
        if self.codec == "JPEG":
            return 1 / self.fps if self.fps else None
        return self.gop_frames / self.fps if self.gop_frames and self.fps else None

    @property
    def gb_per_day(self) -> float | None:
        """Footage of a day at the bit rate that is set, GB (10^9 bytes)."""
        return self.bit_rate_kbps * 1000 / 8 * 86_400 / 1e9 if self.bit_rate_kbps else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One camera. `host` and `xaddr` are where it answers; `clock_offset_s` is its clock minus this machine's."""

    host: str
    xaddr: str
    maker: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    clock_offset_s: float | None = None
    service: Literal["", "media", "media2"] = ""
    profiles: tuple[Profile, ...] = ()
    failure: str = ""
    """A named reason why it could not be read further; empty where nothing failed or nothing was asked."""


class CameraError(Exception):
    """A camera that can't be read. `reason` is its name: ``unreachable``, ``wrong_password``, ``slow``, ``not_onvif``,
    ``refused_by_camera``, ``no_media``."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason
