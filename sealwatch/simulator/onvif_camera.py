"""A camera that speaks ONVIF: WS-Discovery over UDP, and device, media and media2 services over SOAP.

It judges logins as cameras do: a WS-Security digest counts once and only near the camera's own time, or, with
`http_digest`, it asks for HTTP Digest instead. What it streams is described, not sent: `RtspCamera` does that.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import http.server
import re
import secrets
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self
from xml.sax.saxutils import escape

GROUP: Final = "239.255.255.250"
_FRESH_S: Final = 60.0
_PRE_AUTH: Final = {"GetSystemDateAndTime", "GetServices", "GetCapabilities"}
_OPERATION: Final = re.compile(rb"<(?:[\w-]+:)?Body[^>]*>\s*<(?:[\w-]+:)?(\w+)")
_DEVICE: Final = "http://www.onvif.org/ver10/device/wsdl"
_MEDIA: Final = "http://www.onvif.org/ver10/media/wsdl"
_MEDIA2: Final = "http://www.onvif.org/ver20/media/wsdl"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One profile. `rate_kbps`, `fps` and `gop_frames` as the camera is set up."""

    token: str
    codec: Literal["H264", "H265", "JPEG"] = "H264"
    width: int = 1280
    height: int = 720
    fps: int = 15
    rate_kbps: int = 1024
    gop_frames: int = 30
    path: str = "/live"


MAIN: Final = Stream(token="main", width=2560, height=1440, fps=25, rate_kbps=4096, gop_frames=50, path="/main")  # noqa: S106
SUB: Final = Stream(token="sub", path="/sub")  # noqa: S106 - ONVIF calls a profile's name a token


@dataclass(kw_only=True)
class OnvifCamera:
    """A camera on 127.0.0.1, from `with` to the end of its block. It answers probes on the loopback card."""

    username: str = "admin"
    password: str = "one two"  # noqa: S105 - the camera's, of nobody
    streams: tuple[Stream, ...] = (MAIN, SUB)
    clock_off_s: float = 0.0
    media2: bool = True
    http_digest: bool = False
    delay_s: float = 0.0
    claims: str = ""
    """The host it says it has, where that is not its own."""
    discovery_port: int = 0
    asked: list[str] = field(default_factory=list)
    """The operations it was asked for, refused ones with ``!``."""

    def __enter__(self) -> Self:
        self._nonces: set[str] = set()
        self._challenge = secrets.token_hex(8)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._udp.bind(("", self.discovery_port))
        self.discovery_port = self._udp.getsockname()[1]
        member = struct.pack("@4s4si", socket.inet_aton(GROUP), bytes(4), socket.if_nametoindex("lo"))
        self._udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self._udp.settimeout(0.1)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True),
            threading.Thread(target=self._answer_probes, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(5)
        self._udp.close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def xaddr(self) -> str:
        """The address of the device service."""
        return f"http://127.0.0.1:{self.port}/onvif/device_service"

    def now(self) -> dt.datetime:
        """What its own clock shows."""
        return dt.datetime.fromtimestamp(time.time() + self.clock_off_s, dt.UTC)

    def _claimed(self, path: str) -> str:
        return f"http://{self.claims or '127.0.0.1'}:{self.port}{path}"

    def _answer_probes(self) -> None:
        while not self._stop.is_set():
            try:
                probe, sender = self._udp.recvfrom(8192)
            except TimeoutError:
                continue
            asked = re.search(rb"MessageID>([^<]+)<", probe)
            if asked is None or b"NetworkVideoTransmitter" not in probe:
                continue
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
                own.bind(("127.0.0.1", 0))  # where its services are, whatever other addresses this machine has
                own.sendto(self._probe_match(asked[1].decode()).encode(), sender)

    def _probe_match(self, relates_to: str) -> str:
        return (
            '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
            ' xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
            ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
            f' xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><s:Header><a:RelatesTo>{escape(relates_to)}'
            "</a:RelatesTo></s:Header><s:Body><d:ProbeMatches><d:ProbeMatch><a:EndpointReference><a:Address>"
            f"urn:uuid:simulated-{self.port}</a:Address></a:EndpointReference><d:Types>dn:NetworkVideoTransmitter"
            "</d:Types><d:Scopes>onvif://www.onvif.org/name/ACME%20Eye onvif://www.onvif.org/hardware/EY-4"
            f"</d:Scopes><d:XAddrs>{self._claimed('/onvif/device_service')}</d:XAddrs></d:ProbeMatch>"
            "</d:ProbeMatches></s:Body></s:Envelope>"
        )

    def serve(self, path: str, body: bytes, authorization: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body of the answer to one message."""
        if self.delay_s:
            self._stop.wait(self.delay_s)
        found = _OPERATION.search(body)
        operation = found[1].decode() if found else ""
        if operation not in _PRE_AUTH:
            if self.http_digest and not self._http_ok(authorization, path):
                self.asked.append(f"!{operation}")
                challenge = f'Digest realm="camera", nonce="{self._challenge}", qop="auth"'
                return 401, {"WWW-Authenticate": challenge}, ""
            if not self.http_digest and not self._digest_ok(body):
                self.asked.append(f"!{operation}")
                return 400, {}, _fault("ter:NotAuthorized", "Sender not authorized")
        self.asked.append(operation)
        token = re.search(rb"ProfileToken>([^<]+)<", body)
        answer = self._answer(operation, path, token[1].decode() if token else "")
        if answer is None:
            return 400, {}, _fault("ter:ActionNotSupported", "Optional action not implemented")
        return 200, {}, _envelope(answer)

    def _digest_ok(self, body: bytes) -> bool:
        """WS-Security UsernameToken 1.0: base64(sha1(nonce + created + password)), fresh and never seen before."""
        parts = {}
        for name in ("Username", "Password", "Nonce", "Created"):
            value = re.search(rf"<(?:\w+:)?{name}(?:\s[^>]*)?>([^<]*)<".encode(), body)
            if value is None:
                return False
            parts[name] = value[1].decode()
        at = dt.datetime.fromisoformat(parts["Created"])
        at = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
        raw = base64.b64decode(parts["Nonce"]) + parts["Created"].encode() + self.password.encode()
        digest = base64.b64encode(hashlib.sha1(raw).digest()).decode()  # noqa: S324 - the protocol's own
        fresh = abs((self.now() - at).total_seconds()) < _FRESH_S and parts["Nonce"] not in self._nonces
        self._nonces.add(parts["Nonce"])
        return fresh and parts["Username"] == self.username and hmac.compare_digest(digest, parts["Password"])

    def _http_ok(self, authorization: str, path: str) -> bool:
        """HTTP Digest (RFC 7616 with MD5), for POST of the same path."""
        said = dict(re.findall(r'(\w+)="?([^",]+)"?', authorization))

        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - the protocol's own

        secret = md5(f"{self.username}:camera:{self.password}")
        parts = (secret, self._challenge, said.get("nc", ""), said.get("cnonce", ""), "auth", md5(f"POST:{path}"))
        return said.get("username") == self.username and said.get("response") == md5(":".join(parts))

    def _answer(self, operation: str, path: str, token: str) -> str | None:
        if operation == "GetSystemDateAndTime":
            return self._time()
        if operation == "GetDeviceInformation":
            return (
                "<tds:GetDeviceInformationResponse><tds:Manufacturer>ACME</tds:Manufacturer>"
                "<tds:Model>Eye 4</tds:Model>"
                "<tds:FirmwareVersion>5.7</tds:FirmwareVersion><tds:SerialNumber>EY4-0042</tds:SerialNumber>"
                "<tds:HardwareId>1</tds:HardwareId></tds:GetDeviceInformationResponse>"
            )
        if operation == "GetServices":
            offered = [(_DEVICE, "device_service"), (_MEDIA, "media")] + [(_MEDIA2, "media2")] * self.media2
            return f"<tds:GetServicesResponse>{''.join(map(self._service, offered))}</tds:GetServicesResponse>"
        if path.endswith("media2") and self.media2:
            return self._by_media2(operation, token)
        return self._by_media(operation, token) if path.endswith("media") else None

    def _service(self, offered: tuple[str, str]) -> str:
        namespace, name = offered
        return (
            f"<tds:Service><tds:Namespace>{namespace}</tds:Namespace><tds:XAddr>{self._claimed(f'/onvif/{name}')}"
            "</tds:XAddr><tds:Version><tt:Major>2</tt:Major><tt:Minor>6</tt:Minor></tds:Version></tds:Service>"
        )

    def _time(self) -> str:
        now = self.now()
        return (
            "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>Manual</tt:DateTimeType>"
            "<tt:DaylightSavings>false</tt:DaylightSavings><tt:UTCDateTime>"
            f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute><tt:Second>{now.second}"
            f"</tt:Second></tt:Time><tt:Date><tt:Year>{now.year}</tt:Year><tt:Month>{now.month}</tt:Month>"
            f"<tt:Day>{now.day}</tt:Day></tt:Date></tt:UTCDateTime></tds:SystemDateAndTime>"
            "</tds:GetSystemDateAndTimeResponse>"
        )

    def _by_media2(self, operation: str, token: str) -> str | None:
        if operation == "GetProfiles":
            profiles = "".join(
                f'<tr2:Profiles token="{s.token}" fixed="true"><tr2:Name>{s.token}</tr2:Name><tr2:Configurations>'
                f'<tr2:VideoEncoder token="e-{s.token}" GovLength="{s.gop_frames}"><tt:Name>e</tt:Name>'
                f"<tt:UseCount>1</tt:UseCount><tt:Encoding>{s.codec}</tt:Encoding>{_size(s)}"
                f"<tt:RateControl><tt:FrameRateLimit>{s.fps}</tt:FrameRateLimit><tt:BitrateLimit>{s.rate_kbps}"
                "</tt:BitrateLimit></tt:RateControl><tt:Quality>5</tt:Quality></tr2:VideoEncoder>"
                "</tr2:Configurations></tr2:Profiles>"
                for s in self.streams
            )
            return f"<tr2:GetProfilesResponse>{profiles}</tr2:GetProfilesResponse>"
        if operation == "GetStreamUri" and (uri := self._uri(token)):
            return f"<tr2:GetStreamUriResponse><tr2:Uri>{uri}</tr2:Uri></tr2:GetStreamUriResponse>"
        return None

    def _by_media(self, operation: str, token: str) -> str | None:
        """The older service: it knows no H.265 and does not show such a stream."""
        if operation == "GetProfiles":
            profiles = "".join(
                f'<trt:Profiles token="{s.token}" fixed="true"><tt:Name>{s.token}</tt:Name>'
                f'<tt:VideoEncoderConfiguration token="e-{s.token}"><tt:Name>e</tt:Name><tt:UseCount>1</tt:UseCount>'
                f"<tt:Encoding>{s.codec}</tt:Encoding>{_size(s)}<tt:Quality>5</tt:Quality><tt:RateControl>"
                f"<tt:FrameRateLimit>{s.fps}</tt:FrameRateLimit><tt:EncodingInterval>1</tt:EncodingInterval>"
                f"<tt:BitrateLimit>{s.rate_kbps}</tt:BitrateLimit></tt:RateControl>"
                f"<tt:H264><tt:GovLength>{s.gop_frames}</tt:GovLength><tt:H264Profile>Main</tt:H264Profile></tt:H264>"
                "<tt:SessionTimeout>PT60S</tt:SessionTimeout></tt:VideoEncoderConfiguration></trt:Profiles>"
                for s in self.streams
                if s.codec != "H265"
            )
            return f"<trt:GetProfilesResponse>{profiles}</trt:GetProfilesResponse>"
        if operation == "GetStreamUri" and (uri := self._uri(token)):
            return (
                f"<trt:GetStreamUriResponse><trt:MediaUri><tt:Uri>{uri}</tt:Uri><tt:InvalidAfterConnect>false"
                "</tt:InvalidAfterConnect><tt:InvalidAfterReboot>false</tt:InvalidAfterReboot>"
                "<tt:Timeout>PT0S</tt:Timeout></trt:MediaUri></trt:GetStreamUriResponse>"
            )
        return None

    def _uri(self, token: str) -> str:
        path = next((s.path for s in self.streams if s.token == token), "")
        return escape(f"rtsp://{self.claims or '127.0.0.1'}:554{path}") if path else ""


def _size(stream: Stream) -> str:
    return f"<tt:Resolution><tt:Width>{stream.width}</tt:Width><tt:Height>{stream.height}</tt:Height></tt:Resolution>"


def _envelope(body: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
        f' xmlns:tds="{_DEVICE}" xmlns:trt="{_MEDIA}" xmlns:tr2="{_MEDIA2}"'
        ' xmlns:ter="http://www.onvif.org/ver10/error" xmlns:tt="http://www.onvif.org/ver10/schema">'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )


def _fault(subcode: str, reason: str) -> str:
    return _envelope(
        f"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en">{reason}</s:Text></s:Reason></s:Fault>'
    )


def _handler(camera: OnvifCamera) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, headers, answer = camera.serve(self.path, body, self.headers.get("Authorization", ""))
            payload = answer.encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/soap+xml; charset=utf-8", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: Any) -> None:
            """A camera tells nobody who asks."""

    return Handler
