"""Where pictures come from: RTSP over TCP or UDP, a video file, a USB camera. PyAV demuxes and decodes once.

Time is always the stream's own time stamps. Live cameras are waited for with time limits, so that one that accepts the
connection and sends nothing is noticed. No error and no log line ever holds a user name or password.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sealwatch.base import redact, settings
from sealwatch.base.clock import Clock
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import Frame, FrameSource, Image, SourceError
from sealwatch.edge.recorder.media import PacketTap
from sealwatch.edge.video.decoding import LONGEST_REST_S, Decoder, foreign_codec
from sealwatch.edge.video.ports import Demand, StageTimes

logger = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 4.0
PICTURE_TIMEOUT_S = 15.0  # packets that give no picture for so long are as good as none
MAX_LAG_S = 0.6  # a live picture older than this is dropped, so that a slow machine sees the present
_GREY_PLANE = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray"}
_TRANSPORTS: dict[str, tuple[str, ...]] = {"auto": ("tcp", "udp"), "tcp": ("tcp",), "udp": ("udp",)}
_BUSY_S = 0.5  # a camera that has just refused one transport may need so long for the next
_INDEXED = {"avi", "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}  # containers that say how long they are


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """How to open a source. `url` may hold credentials and is shown to nobody; `label` is for people."""

    url: str = field(repr=False)
    label: str
    live: bool
    container_format: str | None = None
    transports: tuple[str, ...] = ()  # of RTSP, in the order in which they are tried


def address_of(camera: CameraSettings) -> Address:
    """Where `camera` is. Raises SourceError for an address nobody can open and SettingsError for a missing secret."""
    source = camera.source
    if source.startswith(("rtsp://", "rtsps://")):
        return _rtsp_address(camera)
    if source.startswith("/dev/video"):
        return Address(url=source, label=source, live=True, container_format="v4l2")
    if "://" in source:
        raise SourceError(
            f"{source.partition('://')[0]}://…: this kind of address is not known; use rtsp://, /dev/videoN or a file",
            reason="unknown_address",
        )
    return Address(url=source, label=source, live=False)


def _rtsp_address(camera: CameraSettings) -> Address:
    try:
        parts = urlsplit(camera.source)
        host, port = parts.hostname or "", parts.port
        if "@" in camera.source.partition(parts.netloc)[2]:
            raise ValueError  # a password with a slash in it: the host that seems to be there is a part of the secret
    except ValueError:  # its own words would repeat what stands where the port should
        raise SourceError(
            "rtsp://…: this is no address; write rtsp://host:port/path, and user and password as fields of their own",
            reason="unknown_address",
        ) from None
    place = f"[{host}]" if ":" in host else host
    place = f"{place}:{port}" if port else place
    label = redact.without_secrets(urlunsplit((parts.scheme, place, parts.path, "", "")))
    user, password = parts.username or "", parts.password or ""
    if camera.username:
        user, password = camera.username, settings.secret(camera.password) if camera.password else ""
        user, password = quote(user, safe=""), quote(password, safe="")
    login = f"{user}:{password}@" if user else ""
    url = urlunsplit((parts.scheme, login + place, parts.path, parts.query, ""))
    url = url.replace("{username}", user).replace("{password}", password)
    return Address(url=url, label=label, live=True, transports=_TRANSPORTS[camera.transport])


def open_source(
    camera: CameraSettings,
    clock: Clock,
    times: StageTimes | None = None,
    demand: Demand | None = None,
    tap: PacketTap | None = None,
) -> FrameSource:
    """The camera's pictures, `analysis_fps` of them in a second at most. Raises SourceError, SettingsError.

    `tap` gets every packet of the same connection, so that a camera is asked for its stream only once.
    """
    return AvSource(
        address_of(camera),
        clock,
        analysis_fps=camera.analysis_fps,
        repeat=camera.repeat,
        times=times,
        demand=demand,
        tap=tap,
    )


class AvSource:
    """Frames through PyAV. Each call of `frames` opens the source anew."""

    def __init__(
        self,
        address: Address,
        clock: Clock,
        *,
        analysis_fps: float,
        repeat: bool = False,
        times: StageTimes | None = None,
        demand: Demand | None = None,
        tap: PacketTap | None = None,
    ) -> None:
        self._tap = tap
        self._address, self._clock, self._repeat = address, clock, repeat
        self._step_s = 1.0 / analysis_fps
        self._times = times if times is not None else StageTimes()
        self._demand = demand if demand is not None else Demand()

    @property
    def label(self) -> str:
        """The source's name for people, without credentials."""
        return self._address.label

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """Frames until a file ends or `stop` is set; a live source never just ends. Raises SourceError.

        A file plays at the speed of the clock: in real time on the system's, at once on a manual one.
        """
        played_s = 0.0
        pacer = _Pacer(self._clock, self._step_s, live=self._address.live)
        while not stop.is_set():
            last_s = played_s
            with self._open() as container, self._tapped(container):
                for frame in self._play(container, stop, pacer, played_s):
                    last_s = frame.pts_s
                    yield frame
            if self._address.live and not stop.is_set():
                raise SourceError(
                    f"{self.label}: the camera ended the stream; check that it still sends pictures", reason="ended"
                )
            if not self._repeat:
                return
            played_s = last_s + self._step_s

    def _open(self) -> InputContainer:
        address = self._address
        if not address.live:
            path = Path(address.url)
            if not path.is_file():
                raise SourceError(f"{address.label}: no such video file; check the path", reason="no_file")
            if path.stat().st_size == 0:
                raise SourceError(f"{address.label}: the video file is empty; record or copy it again", reason="empty")
        before_s = self._clock.monotonic_s()
        try:
            container = self._connected()
        except (av.FFmpegError, OSError) as error:
            silent = address.live and self._clock.monotonic_s() - before_s >= OPEN_TIMEOUT_S - 0.5
            reason, cause = _cause(error, silent=silent, live=address.live)
            raise SourceError(f"{address.label}: {cause}", reason=reason) from None
        if not container.streams.video:
            container.close()
            raise SourceError(
                f"{address.label}: there is no picture in it; name a video file or a camera's stream",
                reason="no_video",
            )
        return container

    def _connected(self) -> InputContainer:
        """The open source, by the first transport that the camera does not refuse. Raises what PyAV raises."""
        for transport in self._address.transports[:-1]:
            try:
                return self._opened(transport)
            except OSError as error:
                if error.errno != errno.EPROTONOSUPPORT:  # what the answer 461, unsupported transport, becomes
                    raise
                logger.info("%s: the camera refuses RTSP over %s", self.label, transport.upper())
        last = self._address.transports[-1] if self._address.transports else ""
        try:
            return self._opened(last)
        except av.error.HTTPServerError:
            if len(self._address.transports) < 2:
                raise
        self._clock.sleep(_BUSY_S)
        return self._opened(last)

    def _opened(self, transport: str) -> InputContainer:
        address = self._address
        return av.open(
            address.url,
            mode="r",
            format=address.container_format,
            options={"rtsp_transport": transport} if transport else {},
            timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S) if address.live else None,
        )

    @contextlib.contextmanager
    def _tapped(self, container: InputContainer) -> Iterator[None]:
        """Tell the tap when a connection begins and, whatever happens, when it is over."""
        if self._tap is None:
            yield
            return
        self._tap.begin(container.streams.video[0])
        try:
            yield
        finally:
            self._tap.end()

    def _play(
        self, container: InputContainer, stop: threading.Event, pacer: _Pacer, played_s: float
    ) -> Iterator[Frame]:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # one thread costs least in all, and its CPU time can be accounted for
        counter = _Counter()
        for picture, pts_s in self._decoded(container, stream, counter):
            if stop.is_set():
                return
            now_s = pacer.due(played_s + pts_s, stop)
            if now_s is None:
                continue
            yield Frame(
                grey=_grey(picture),
                colour=functools.cache(functools.partial(_colour, picture)),
                pts_s=played_s + pts_s,
                captured_at_ms=self._clock.wall_ms() - max(0, round((self._clock.monotonic_s() - now_s) * 1000)),
                monotonic_s=now_s,
                key_frame=picture.key_frame,
                codec=stream.codec_context.name,
            )
        if not self._address.live:
            self._check_complete(container, stream, counter)

    def _decoded(
        self, container: InputContainer, stream: VideoStream, counter: _Counter
    ) -> Iterator[tuple[VideoFrame, float]]:
        """Decoded pictures with seconds since the first one."""
        first_s: float | None = None
        last_s = 0.0
        usual_s = float(1 / stream.average_rate) if stream.average_rate else 1.0 / 25
        base = stream.time_base or Fraction(1, 90_000)
        packets = container.demux(stream)
        decoder = Decoder(stream.codec_context, self._demand)
        picture_at_s = self._clock.monotonic_s()
        while True:
            with self._times.stage("decode"):
                try:
                    packet = next(packets, None)
                except (av.FFmpegError, OSError) as error:
                    silent = isinstance(error, av.error.ExitError | TimeoutError)
                    reason, cause = _cause(error, silent=silent, live=self._address.live)
                    raise SourceError(f"{self.label}: {cause}", reason=reason) from None
                if packet is None:
                    return
                if self._tap is not None:
                    self._tap.packet(packet)
                pictures = list(decoder.decode(packet))
            if pictures:
                picture_at_s = self._clock.monotonic_s()
            else:
                self._check_codec(stream.codec_context.name, packet)
            if not pictures and self._address.live and self._clock.monotonic_s() - picture_at_s > PICTURE_TIMEOUT_S:
                raise SourceError(
                    f"{self.label}: the camera sends, but no picture can be decoded from it; "
                    "set its stream to H.264, H.265 or MJPEG, or restart it",
                    reason="undecodable",
                )
            for picture in pictures:
                counter.pictures += 1
                stamp_s = (first_s or 0.0) + last_s + usual_s
                if picture.pts is not None:
                    stamp_s = float(picture.pts * base)  # the picture's own time base is lost when a decoder is drained
                first_s = stamp_s if first_s is None else first_s
                last_s = counter.last_s = stamp_s - first_s
                yield picture, last_s

    def _check_codec(self, codec: str, packet: Packet[VideoStream]) -> None:
        """A live camera whose packets are of another codec by now is asked again what it sends."""
        if not self._address.live or packet.size == 0:
            return
        foreign = foreign_codec(codec, bytes(memoryview(packet)[:8]))
        if foreign:
            raise SourceError(
                f"{self.label}: the camera sends {foreign} in the middle of {codec}; it is connected anew",
                reason="codec_changed",
            )

    def _check_complete(self, container: InputContainer, stream: VideoStream, counter: _Counter) -> None:
        if counter.pictures == 0:
            raise SourceError(f"{self.label}: not one picture can be decoded; the file is damaged", reason="damaged")
        if container.format.name not in _INDEXED:
            return  # its length is an estimate
        rate = float(stream.average_rate) if stream.average_rate else 25.0
        promised_s = max((container.duration or 0) / av.time_base, stream.frames / rate)
        if counter.last_s + 1.0 < 0.95 * promised_s - 1.0:
            raise SourceError(
                f"{self.label}: the video is truncated: it ends after {counter.last_s:.1f} of {promised_s:.1f} s; "
                "copy it again",
                reason="truncated",
            )


@dataclass(slots=True)
class _Counter:
    pictures: int = 0
    last_s: float = 0.0


class _Pacer:
    """Decides which pictures are looked at and when: not more often than asked, never behind the present."""

    def __init__(self, clock: Clock, step_s: float, *, live: bool) -> None:
        self._clock, self._step_s, self._live = clock, step_s, live
        self._next_s: float | None = None
        self._origin_s: float | None = None
        self._least_lag_s = float("inf")
        self._late_s: float | None = None

    def due(self, pts_s: float, stop: threading.Event) -> float | None:
        """The monotonic time of a picture that is to be looked at, else None."""
        if self._next_s is None or self._next_s - self._step_s - 1.0 > pts_s:
            self._next_s = pts_s  # the first picture, or the stream's time jumped back
            self._least_lag_s = float("inf")  # else every picture would seem late until the jump is made up for
        if pts_s < self._next_s - 0.2 * self._step_s:
            return None
        self._next_s = max(self._next_s + self._step_s, pts_s + 0.5 * self._step_s)
        return self._live_time(pts_s) if self._live else self._file_time(pts_s, stop)

    def _live_time(self, pts_s: float) -> float | None:
        """When the camera took it, judged by the pictures that came with the least delay; None if it is stale."""
        now_s = self._clock.monotonic_s()
        lag_s = now_s - pts_s
        if abs(lag_s - self._least_lag_s) > 30.0:
            self._least_lag_s = lag_s  # first picture, or the stream's time jumped
        self._least_lag_s = min(self._least_lag_s + 0.001, lag_s)
        late_s = lag_s - self._least_lag_s
        if late_s > MAX_LAG_S and not self._replays(late_s):
            return None
        return now_s - late_s

    def _replays(self, late_s: float) -> bool:
        """Whether so late a picture is one of those that were kept while at rest, which catch up within a moment."""
        before_s, self._late_s = self._late_s, late_s
        return late_s <= LONGEST_REST_S and (before_s is None or late_s < before_s + 0.05)

    def _file_time(self, pts_s: float, stop: threading.Event) -> float:
        if self._origin_s is None:
            self._origin_s = self._clock.monotonic_s() - pts_s
        due_s = self._origin_s + pts_s
        while (wait_s := due_s - self._clock.monotonic_s()) > 0 and not stop.is_set():
            self._clock.sleep(min(wait_s, 0.5))
        return due_s


def _grey(picture: VideoFrame) -> Image:
    """The brightness plane as the decoder left it (no copy), or a conversion where there is none."""
    if picture.format.name not in _GREY_PLANE:
        return np.asarray(picture.to_ndarray(format="gray"), dtype=np.uint8)
    plane = picture.planes[0]
    buffer: memoryview[int] = memoryview(plane)
    rows: Image = np.frombuffer(buffer, dtype=np.uint8).reshape(-1, plane.line_size)
    return rows[: picture.height, : picture.width]


def _colour(picture: VideoFrame) -> Image:
    return np.asarray(picture.to_ndarray(format="bgr24"), dtype=np.uint8)


def _cause(error: Exception, *, silent: bool, live: bool) -> tuple[str, str]:
    """Why a source failed: its name and in words; never the library's own text, which repeats address and password."""
    if silent:
        return "silent", "the camera accepts the connection but sends no picture; restart the camera or check its load"
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError | PermissionError):
        what = (
            "access is refused; check user name and password" if live else "it may not be read; check its permissions"
        )
        return "access_refused", what
    if isinstance(error, ConnectionRefusedError):
        return "refused", "the connection is refused; check address and port, and that the camera is on"
    if getattr(error, "errno", None) == errno.EPROTONOSUPPORT:
        return "transport_refused", 'the camera refuses this way of sending; set its transport to "auto"'
    if isinstance(error, av.error.HTTPNotFoundError | FileNotFoundError):
        return "not_found", "there is nothing at this address; check the path of the stream"
    if isinstance(error, ValueError):
        if live:
            return "not_video", "the answer is not a video stream; check the address"
        return "not_video", "it is not a video, or it is cut off before its index; copy it again"
    detail = getattr(error, "strerror", None) or type(error).__name__
    if live:
        return "unreachable", f"{detail}; check network and address"
    return "unreadable", f"{detail}; check the file"
