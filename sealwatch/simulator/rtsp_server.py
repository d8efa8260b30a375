"""The RTSP server behind `RtspCamera`: GStreamer, in a process of its own.

GStreamer's RTSP server has no wheel, so this file runs under the distribution's Python, which has GStreamer's bindings
and nothing of ours: it imports nothing but the standard library and `gi`.

It reads one JSON object (the fields of `Job`) from standard input, answers with one JSON object per line on standard
output, and ends when standard input does. Answers: ``{"ready": port, "codec": "h264"}``, or ``{"error": sentence}``, or
``{"missing": [elements or bindings]}``, and then no more.

A player decodes (or only unpacks) the file in real time, again and again; a shared pipeline of the RTSP server sends
what the player hands over, as a camera does: who connects later sees the same pictures.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

PREROLL_STEPS, PREROLL_STEP_NS = 100, 100_000_000
# Parameter sets travel with each key frame already; a payloader that adds its own would do so before every slice, and
# receivers would take one picture of two slices for two.
PAYLOADERS = {"h264": "rtph264pay config-interval=0", "h265": "rtph265pay config-interval=0", "mjpeg": "rtpjpegpay"}
# Two seconds between key frames at 25 pictures a second, as cameras come from the factory.
_QUICK = "tune=zerolatency speed-preset=ultrafast bitrate=4000 key-int-max=50"
ENCODERS = {
    "h264": f"x264enc {_QUICK} ! video/x-h264,stream-format=byte-stream",
    "h265": f"x265enc {_QUICK} ! video/x-h265,stream-format=byte-stream",
    "mjpeg": "jpegenc quality=85",
}
COPIED = {
    "video/x-h264": ("h264", "h264parse config-interval=-1", "video/x-h264,stream-format=byte-stream,alignment=au"),
    "video/x-h265": ("h265", "h265parse config-interval=-1", "video/x-h265,stream-format=byte-stream,alignment=au"),
    "image/jpeg": ("mjpeg", "identity", "image/jpeg"),
}


@dataclass(frozen=True)
class Job:
    """What to serve and how."""

    file: str
    host: str
    port: int
    path: str
    codec: str
    username: str
    password: str
    stall_after_s: float | None
    transport: str


def answer(**values: Any) -> None:
    print(json.dumps(values), flush=True)


class Unusable(Exception):  # noqa: N818 - the file is at fault, and the message says how
    """The file can't be served."""


class Player:
    """Plays the file for ever, in real time, handing each buffer to `target`."""

    def __init__(self, gst: Any, job: Job) -> None:
        self._gst = gst
        self._job = job
        self._pipeline = gst.Pipeline()
        self._sink = gst.ElementFactory.make("appsink")
        self._target: Any = None
        self._await_key = False
        self._loop_offset_ns = self._end_ns = self._origin_ns = 0
        self._stopped = False
        self._unfit = ""
        self.codec = job.codec
        self.caps: Any = None
        self._build()

    def _build(self) -> None:
        make = self._gst.ElementFactory.make
        source, parts = make("filesrc"), make("parsebin" if self._job.codec == "copy" else "decodebin")
        source.set_property("location", self._job.file)
        for name, value in (("emit-signals", True), ("sync", True), ("max-buffers", 2)):
            self._sink.set_property(name, value)
        self._sink.connect("new-sample", self._on_sample)
        for element in (source, parts, self._sink):
            self._pipeline.add(element)
        source.link(parts)
        parts.connect("pad-added", self._on_pad)
        bus = self._pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::eos", self._again)

    def _on_pad(self, _element: Any, pad: Any) -> None:
        """Connect the first video stream, through what its kind needs, to the sink."""
        kind = (pad.get_current_caps() or pad.query_caps(None)).get_structure(0).get_name()
        if self._sink.get_static_pad("sink").is_linked():
            return self._discard(pad)
        if self._job.codec != "copy":
            chain = "videoconvert ! capsfilter caps=video/x-raw,format=I420" if kind.startswith("video/") else ""
        elif kind in COPIED:
            self.codec, parser, caps = COPIED[kind]
            chain = f"{parser} ! capsfilter caps={caps}"
        else:
            chain, self._unfit = "", f"its {kind} can't be sent as it is; serve it with another codec than 'copy'"
        if not chain:
            return self._discard(pad)
        between = self._gst.parse_bin_from_description(chain, True)
        self._pipeline.add(between)
        between.sync_state_with_parent()
        between.link(self._sink)
        pad.link(between.get_static_pad("sink"))
        return None

    def _discard(self, pad: Any) -> None:
        """Sound and further streams go nowhere; a pad left open would stop the whole file."""
        sink = self._gst.parse_bin_from_description("queue leaky=downstream ! fakesink async=false", True)
        self._pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def prepare(self) -> None:
        """Open the file as far as its first picture. Raises Unusable."""
        self._pipeline.set_state(self._gst.State.PAUSED)
        bus, result = self._pipeline.get_bus(), self._gst.StateChangeReturn.ASYNC
        for _ in range(PREROLL_STEPS):
            result, _, _ = self._pipeline.get_state(PREROLL_STEP_NS)
            if result != self._gst.StateChangeReturn.ASYNC or self._unfit_only():
                break
        sample = self._sink.emit("try-pull-preroll", PREROLL_STEP_NS)
        if sample is None:
            message = bus.pop_filtered(self._gst.MessageType.ERROR)
            raise Unusable(message.parse_error()[0].message if message else self._unfit or "no picture came out of it")
        self.caps = sample.get_caps()

    def _unfit_only(self) -> bool:
        """Whether the file has shown a stream that can't be served and, so far, none that can."""
        return bool(self._unfit) and not self._sink.get_static_pad("sink").is_linked()

    def start(self) -> None:
        self._pipeline.set_state(self._gst.State.PLAYING)

    def stop(self) -> None:
        self._pipeline.set_state(self._gst.State.NULL)

    def on_failure(self, callback: Any) -> None:
        """Have `callback(bus, message)` called when the file can't be played on."""
        self._pipeline.get_bus().connect("message::error", callback)

    def stall(self) -> bool:
        """Hand over nothing more: the server still answers, as a camera whose encoder hangs does."""
        self._stopped = True
        return False

    def feed(self, target: Any) -> None:
        """Hand over to this application source from now on, its time starting at zero."""
        target.set_property("caps", self.caps)
        self._await_key = True
        self._target = target

    def _again(self, _bus: Any, _message: Any) -> None:
        self._loop_offset_ns = self._end_ns
        self._pipeline.set_state(self._gst.State.NULL)
        for element in list(self._pipeline.children):  # what was made for the streams of the last round
            if element.get_factory().get_name() == "bin":
                self._pipeline.remove(element)
        self._pipeline.set_state(self._gst.State.PLAYING)

    def _on_sample(self, sink: Any) -> Any:
        """Called by GStreamer at the time each picture is due."""
        ok, buffer = self._gst.FlowReturn.OK, sink.emit("pull-sample").get_buffer()
        none = self._gst.CLOCK_TIME_NONE
        at_ns = self._loop_offset_ns + (buffer.pts if buffer.pts != none else buffer.dts)
        self._end_ns = max(self._end_ns, at_ns + (buffer.duration if buffer.duration != none else 40_000_000))
        target = self._target
        if target is None or self._stopped:
            return ok
        if self._await_key and buffer.has_flags(self._gst.BufferFlags.DELTA_UNIT):
            return ok
        if self._await_key:
            self._origin_ns = at_ns
        copy = buffer.copy()
        copy.pts = at_ns - self._origin_ns
        copy.dts = none if buffer.dts == none else max(0, self._loop_offset_ns + buffer.dts - self._origin_ns)
        # While the other side is not ready yet, it takes nothing: go on waiting for a picture that can be a first one.
        self._await_key = target.emit("push-buffer", copy) != ok
        return ok


class Server:
    """The RTSP server around a player."""

    def __init__(self, job: Job) -> None:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstRtspServer", "1.0")
        from gi.repository import GLib, Gst, GstRtspServer

        Gst.init(None)
        self._glib, self._gst, self._rtsp = GLib, Gst, GstRtspServer
        self._job = job
        self._loop = GLib.MainLoop()
        self._failure = ""
        self._playing = False

    def missing(self) -> list[str]:
        """GStreamer elements this job needs that are not installed."""
        names = ["appsrc", "appsink", "filesrc", "videoconvert", "parsebin", "decodebin", "rtpbin"]
        if self._job.codec == "copy":
            names += ["h264parse", "h265parse", *(payloader.split()[0] for payloader in PAYLOADERS.values())]
        else:
            names += [ENCODERS[self._job.codec].split()[0], PAYLOADERS[self._job.codec].split()[0]]
        return [name for name in names if self._gst.ElementFactory.find(name) is None]

    def run(self) -> None:
        """Serve until standard input ends. Raises Unusable."""
        player = Player(self._gst, self._job)
        try:
            player.prepare()
            port = self._serve(player)
            self._glib.io_add_watch(sys.stdin.fileno(), self._glib.IO_IN | self._glib.IO_HUP, self._on_input)
            answer(ready=port, codec=player.codec)
            player.on_failure(self._on_failure)
            self._loop.run()
        finally:
            player.stop()
        if self._failure:
            raise Unusable(self._failure)

    def _on_failure(self, _bus: Any, message: Any) -> None:
        self._failure = message.parse_error()[0].message
        self._loop.quit()

    def _serve(self, player: Player) -> int:
        server = self._rtsp.RTSPServer()
        server.set_address(self._job.host)
        server.set_service(str(self._job.port))
        factory = self._rtsp.RTSPMediaFactory()
        factory.set_shared(True)
        if self._job.transport != "any":
            from gi.repository import GstRtsp

            lower = GstRtsp.RTSPLowerTrans
            factory.set_protocols(lower.TCP if self._job.transport == "tcp" else lower.UDP)
        encode = f"videoconvert ! {ENCODERS[self._job.codec]} ! " if self._job.codec != "copy" else ""
        factory.set_launch(
            "( appsrc name=source is-live=true format=time max-bytes=0 ! queue leaky=downstream max-size-buffers=50 ! "
            f"{encode}{PAYLOADERS[player.codec]} name=pay0 pt=96 )"
        )
        factory.connect("media-configure", self._on_media, player)
        if self._job.username:
            self._protect(server, factory)
        server.get_mount_points().add_factory(self._job.path, factory)
        if server.attach(None) == 0:
            raise Unusable(f"port {self._job.port} of {self._job.host} is not free")
        self._server = server
        return int(server.get_bound_port())

    def _protect(self, server: Any, factory: Any) -> None:
        """Ask for user and password by Digest, as cameras do."""
        from gi.repository import GstRtsp

        auth, token = self._rtsp.RTSPAuth(), self._rtsp.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(self._job.username, self._job.password, token)
        permissions = self._rtsp.RTSPPermissions()
        permissions.add_role("viewer")
        for right in ("media.factory.access", "media.factory.construct"):
            permissions.add_permission_for_role("viewer", right, True)
        factory.set_permissions(permissions)
        server.set_auth(auth)

    def _on_media(self, _factory: Any, media: Any, player: Player) -> None:
        """A first viewer came, or came back after all had left."""
        player.feed(media.get_element().get_by_name("source"))
        if self._playing:
            return
        self._playing = True
        if self._job.stall_after_s == 0:
            player.stall()
        elif self._job.stall_after_s is not None:
            self._glib.timeout_add(int(self._job.stall_after_s * 1000), player.stall)
        player.start()

    def _on_input(self, *_: Any) -> bool:
        self._loop.quit()
        return False


def main() -> int:
    job = Job(**json.loads(sys.stdin.readline()))
    try:
        server = Server(job)
    except (ImportError, ValueError) as error:
        answer(missing=[str(error)])
        return 1
    missing = server.missing()
    if missing:
        answer(missing=missing)
        return 1
    try:
        server.run()
    except Unusable as error:
        answer(error=str(error))
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
