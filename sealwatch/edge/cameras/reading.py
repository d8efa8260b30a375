"""How one camera is set up, asked by ONVIF's device and media services.

The clock is asked first and without a password (ONVIF core, PRE_AUTH), because a digest counts only for some seconds
of the camera's own time (WS-Security UsernameToken 1.0). The password is never sent as itself, and never to another
machine than the one that was named; one wrong answer ends it, because cameras lock their account after a few.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from sealwatch.base.clock import Clock
from sealwatch.base.redact import placeholders
from sealwatch.edge.cameras import library
from sealwatch.edge.cameras.discovery import at_host, printable
from sealwatch.edge.cameras.sheet import CODECS, CameraError, Profile, Sheet

TIMEOUT_S: Final = 6
_MEDIA: Final = {
    "http://www.onvif.org/ver20/media/wsdl": "media2",
    "http://www.onvif.org/ver10/media/wsdl": "media",
}
_MOST_PROFILES: Final = 32


@dataclass(frozen=True, slots=True)
class Login:
    """Who asks. Never printed."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Login(…)"


def read(sheet: Sheet, login: Login | None, clock: Clock, *, timeout_s: int = TIMEOUT_S) -> Sheet:
    """What the camera tells of itself; without `login` its clock alone. What fails after that is its `failure`.

    Raises CameraError where it does not even tell the time, UsageError without the extra ``onvif``.
    """
    line = _Line(sheet, login, clock, timeout_s)
    sheet = replace(sheet, clock_offset_s=line.clock_offset_s())
    if login is None:
        return sheet
    try:
        sheet = line.identity(sheet)
        return line.profiles(sheet)
    except CameraError as error:
        return replace(sheet, failure=error.reason)


class _Line:
    """One conversation with one camera."""

    def __init__(self, sheet: Sheet, login: Login | None, clock: Clock, timeout_s: int) -> None:
        self._sheet, self._login, self._clock, self._timeout_s = sheet, login, clock, timeout_s
        self._offset_s = 0.0
        self._http_digest = False
        self._services = library.module("onvif.services")
        self._cache = library.module("onvif").CacheMode.MEM  # the default one writes a database into the home folder
        for name in ("onvif", "zeep"):  # they log whole messages, with the user's name in them
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    def clock_offset_s(self) -> float | None:
        """The camera's clock minus this machine's, seconds; None where it does not say."""
        service = self._service(self._services.Device, self._sheet.xaddr, None)
        said = _ask(service.GetSystemDateAndTime)
        utc = getattr(said, "UTCDateTime", None)
        if utc is None or utc.Date is None or utc.Time is None:
            return None
        try:
            at = dt.datetime(
                utc.Date.Year, utc.Date.Month, utc.Date.Day, utc.Time.Hour, utc.Time.Minute,
                min(utc.Time.Second, 59), tzinfo=dt.UTC,
            )  # fmt: skip
        except (TypeError, ValueError):
            return None
        self._offset_s = at.timestamp() + 0.5 - self._clock.wall_ms() / 1000  # whole seconds are told
        return round(self._offset_s, 1)

    def identity(self, sheet: Sheet) -> Sheet:
        """Maker, model, serial number and firmware."""
        said = self._authorised(self._services.Device, self._sheet.xaddr, lambda s: s.GetDeviceInformation())
        return replace(
            sheet,
            maker=printable(said.Manufacturer) or sheet.maker,
            model=printable(said.Model) or sheet.model,
            serial=printable(said.SerialNumber),
            firmware=printable(said.FirmwareVersion),
        )

    def profiles(self, sheet: Sheet) -> Sheet:
        """Its streams, by Media2 where it has it (only that one knows H.265), else by Media."""
        where = self._media()
        failure = CameraError("no_media")
        if "media2" in where:
            try:
                found = self._authorised(self._services.Media2, where["media2"], self._by_media2)
                if found:
                    return replace(sheet, service="media2", profiles=tuple(found))
            except CameraError as error:
                failure = error  # some answer by Media although they promise Media2
        if "media" in where and failure.reason != "wrong_password":
            found = self._authorised(self._services.Media, where["media"], self._by_media)
            if found:
                return replace(sheet, service="media", profiles=tuple(found))
        raise failure

    def _media(self) -> dict[str, str]:
        """Addresses of the media services by their short name, on this camera's own machine."""
        found = {}
        try:
            said = self._authorised(self._services.Device, self._sheet.xaddr, lambda s: s.GetServices(False))
            found = {_MEDIA[one.Namespace]: one.XAddr for one in said if one.Namespace in _MEDIA}
        except CameraError as error:
            if error.reason != "refused_by_camera":
                raise
            said = self._authorised(
                self._services.Device, self._sheet.xaddr, lambda s: s.GetCapabilities(Category="Media")
            )
            if getattr(said, "Media", None) is not None:
                found = {"media": said.Media.XAddr}
        with contextlib.suppress(ValueError):
            return {name: at_host(address, self._sheet.host) for name, address in found.items()}
        return {}

    def _by_media2(self, service: Any) -> list[Profile]:
        found = []
        for one in (service.GetProfiles(Type=["VideoEncoder"]) or [])[:_MOST_PROFILES]:
            coder = getattr(one.Configurations, "VideoEncoder", None) if one.Configurations is not None else None
            if coder is not None:
                uri = service.GetStreamUri(Protocol="RTSP", ProfileToken=one.token)
                found.append(self._profile(one, coder, uri, coder.GovLength))
        return found

    def _by_media(self, service: Any) -> list[Profile]:
        found = []
        setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
        for one in (service.GetProfiles() or [])[:_MOST_PROFILES]:
            coder = one.VideoEncoderConfiguration
            if coder is not None:
                uri = service.GetStreamUri(StreamSetup=setup, ProfileToken=one.token)
                gop = getattr(coder.H264, "GovLength", None) if coder.H264 is not None else None
                found.append(self._profile(one, coder, getattr(uri, "Uri", uri), gop))
        return found

    def _profile(self, one: Any, coder: Any, uri: Any, gop: Any) -> Profile:
        rate, size = coder.RateControl, coder.Resolution
        return Profile(
            token=printable(str(one.token)),
            name=printable(one.Name),
            codec=CODECS.get(str(coder.Encoding).upper().replace(".", ""), "unknown"),
            width=_whole(getattr(size, "Width", None)),
            height=_whole(getattr(size, "Height", None)),
            fps=float(rate.FrameRateLimit) if rate is not None and rate.FrameRateLimit else None,
            bit_rate_kbps=_whole(getattr(rate, "BitrateLimit", None)),
            gop_frames=_whole(gop),
            uri=self._stream(str(uri or "")),
        )

    def _stream(self, uri: str) -> str:
        """The stream's address on this camera's own machine, without any secret in it."""
        try:
            if urlsplit(uri).scheme not in ("rtsp", "rtsps"):
                return ""
            return placeholders(at_host(uri, self._sheet.host))
        except ValueError:
            return ""

    def _authorised(self, kind: Any, xaddr: str, ask: Callable[[Any], Any]) -> Any:
        """The answer with a digest in the message, or by HTTP Digest where the camera wants that one instead."""
        try:
            return _ask(lambda: ask(self._service(kind, xaddr, self._login)))
        except _WantsHttpDigest:
            if self._http_digest:
                raise CameraError("wrong_password") from None
        self._http_digest = True
        try:
            return _ask(lambda: ask(self._service(kind, xaddr, self._login)))
        except _WantsHttpDigest:
            raise CameraError("wrong_password") from None

    def _service(self, kind: Any, xaddr: str, login: Login | None) -> Any:
        parts = urlsplit(xaddr)
        service = kind(
            xaddr=xaddr,
            host=parts.hostname or "",
            port=parts.port or (443 if parts.scheme == "https" else 80),
            username=login.username if login else None,
            password=login.password if login else None,
            http_digest=self._http_digest,
            timeout=self._timeout_s,
            cache=self._cache,
            use_https=parts.scheme == "https",
        )
        # A camera's own certificate proves nothing, and neither way of logging in tells the password.
        warnings.filterwarnings("ignore", category=library.module("urllib3.exceptions").InsecureRequestWarning)
        session = service.operator.client.transport.session
        session.trust_env = False  # no proxy and no .netrc stands between this machine and a camera beside it
        session.max_redirects = 0
        if login is not None and not self._http_digest:
            created = dt.datetime.fromtimestamp(self._clock.wall_ms() / 1000 + self._offset_s, dt.UTC)
            service.operator.client.wsse = library.module("zeep.wsse.username").UsernameToken(
                login.username, login.password, use_digest=True, created=created.replace(microsecond=0)
            )
        return service


class _WantsHttpDigest(Exception):  # noqa: N818 - a question of the camera's, no error yet
    """HTTP 401: the camera wants the password by HTTP Digest, or it is wrong."""


def _ask(call: Callable[[], Any]) -> Any:
    """The answer. Raises CameraError, _WantsHttpDigest. The library's own words hold addresses: none is kept."""
    wrapped = library.module("onvif.utils.exceptions").ONVIFOperationException
    try:
        return call()
    except wrapped as error:
        failure = _cause(error.original_exception)
    except Exception as error:  # noqa: BLE001 - the edge of foreign code: whatever a camera answers is a finding
        failure = _cause(error)
    raise failure


def _cause(error: Exception) -> Exception:
    """What an error of the library means."""
    requests, zeep = library.module("requests.exceptions"), library.module("zeep.exceptions")
    if isinstance(error, requests.Timeout):
        return CameraError("slow")
    if isinstance(error, requests.RequestException):
        return CameraError("not_onvif" if isinstance(error, requests.TooManyRedirects) else "unreachable")
    if isinstance(error, zeep.Fault):
        told = {getattr(code, "localname", str(code)) for code in error.subcodes or ()} | {str(error.code)}
        wrong = any("NotAuthorized" in one or "FailedAuthentication" in one for one in told)
        return CameraError("wrong_password" if wrong else "refused_by_camera")
    if isinstance(error, zeep.TransportError):
        status = getattr(error, "status_code", None)
        if status == 401:
            return _WantsHttpDigest()
        return CameraError("wrong_password" if status == 403 else "not_onvif")
    return CameraError("not_onvif")


def _whole(value: Any) -> int | None:
    try:
        return int(value) or None
    except (TypeError, ValueError):
        return None
