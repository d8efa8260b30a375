"""A camera that isn't there: a clip, served over RTSP, again and again.

No wheel brings an RTSP server for Linux, so GStreamer's is used, from the distribution: `rtsp_server.py` runs as a
child process under the distribution's Python.
"""

from __future__ import annotations

import argparse
import json
import queue
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

from sealwatch.base import text
from sealwatch.base.errors import CommandFailed, UsageError

Transport = Literal["any", "tcp", "udp"]
Codec = Literal["h264", "h265", "mjpeg", "copy"]
CODECS: tuple[Codec, ...] = ("h264", "h265", "mjpeg", "copy")

SYSTEM_PYTHON = Path("/usr/bin/python3")
PACKAGES = (
    "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav"
)
PATH = "/live"
READY_WITHIN_S = 30.0
STOP_WITHIN_S = 5.0
DEFAULT_PORT = 8554


class GStreamerMissing(CommandFailed):
    """The distribution's GStreamer is not installed, or not all of it that is needed."""


class RtspCamera:
    """A clip behind an RTSP address, from `with` to the end of its block::

        with RtspCamera(Path("gate.mp4"), stall_after_s=2) as camera:
            av.open(camera.url)

    The clip starts when the first viewer comes, runs in real time and starts over at its end, with time going on.
    `codec` "copy" sends the file's own H.264, H.265 or JPEG unchanged. After `stall_after_s` of playing the camera
    answers but sends no picture any more; 0 means that it never sends one. With a `transport`
    it refuses the other one, as some cameras do. Entering the block waits until the camera
    can be reached. Raises GStreamerMissing, CommandFailed for a file or port that can't be used.
    """

    def __init__(
        self,
        file: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        codec: Codec = "h264",
        username: str = "",
        password: str = "",
        stall_after_s: float | None = None,
        transport: Transport = "any",
    ) -> None:
        self._file, self._host, self._port = file, host, port
        self._username, self._password = username, password
        self._job: dict[str, Any] = {
            "file": str(file.absolute()),
            "host": host,
            "port": port,
            "path": PATH,
            "codec": codec,
            "username": username,
            "password": password,
            "stall_after_s": stall_after_s,
            "transport": transport,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the camera is, without its password. Known inside the block."""
        return f"rtsp://{self._host}:{self._port}{PATH}"

    @property
    def url_with_password(self) -> str:
        """The address with user and password in it, as players take it."""
        who = f"{quote(self._username, safe='')}:{quote(self._password, safe='')}@" if self._username else ""
        return f"rtsp://{who}{self._host}:{self._port}{PATH}"

    def __enter__(self) -> Self:
        if not self._file.is_file():
            raise CommandFailed(f"{self._file}: no such file; name a video clip")
        if not SYSTEM_PYTHON.exists():
            raise GStreamerMissing(f"no {SYSTEM_PYTHON} on this machine; on Debian: sudo apt-get install {PACKAGES}")
        script = Path(__file__).with_name("rtsp_server.py")
        self._errors = tempfile.TemporaryFile()
        # In its own process group: Ctrl-C in the terminal reaches us, and we end the server in our time.
        self._process = subprocess.Popen(
            [str(SYSTEM_PYTHON), "-I", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            start_new_session=True,
        )  # fmt: skip
        try:
            self._port = self._wait_until_ready(self._process)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._errors.close()

    @property
    def running(self) -> bool:
        """Whether the camera's process lives."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> None:
        """Block until the server ends, which it does of itself only by failing. Raises CommandFailed."""
        if self._process is not None:
            code = self._process.wait()
            raise CommandFailed(f"the camera of {self._file} ended by itself (exit code {code}): {self._complaint()}")

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> int:
        """The port the server listens on. Raises GStreamerMissing, CommandFailed."""
        if process.stdin is None or process.stdout is None:
            raise CommandFailed("the camera's process has no pipes")
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(self._job).encode() + b"\n")
            process.stdin.flush()
        answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=lambda: answers.put(process.stdout.readline()), daemon=True).start()  # type: ignore[union-attr]  # checked above, the lambda forgets
        try:
            line = answers.get(timeout=READY_WITHIN_S)
        except queue.Empty:
            raise CommandFailed(f"the camera of {self._file} did not come up in {READY_WITHIN_S:.0f} s") from None
        if not line:
            process.wait()
            raise CommandFailed(f"the camera of {self._file} did not start: {self._complaint()}")
        return self._port_in(json.loads(line))

    def _port_in(self, told: dict[str, Any]) -> int:
        if "missing" in told:
            raise GStreamerMissing(
                f"a simulated camera needs GStreamer's RTSP server, and {', '.join(told['missing'])} is missing; "
                f"on Debian: sudo apt-get install {PACKAGES}"
            )
        if "error" in told:
            raise CommandFailed(
                f"{self._file}: cannot be served as a camera: {told['error']}; try another clip or port"
            )
        return int(told["ready"])

    def _complaint(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it gave no reason"


def gstreamer_missing() -> str:
    """Why simulated cameras can't run on this machine, or nothing where they can."""
    if not SYSTEM_PYTHON.exists():
        return f"{SYSTEM_PYTHON} is not there"
    program = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; "
        "Gst.init(None); raise SystemExit(Gst.ElementFactory.find('x264enc') is None)"
    )
    done = subprocess.run([str(SYSTEM_PYTHON), "-I", "-c", program], capture_output=True, timeout=60)
    return "" if done.returncode == 0 else f"GStreamer's RTSP server is not installed ({PACKAGES})"


def configure_camera(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sealwatch simulate camera`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the clip to serve, looped")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0 takes a free one")
    parser.add_argument(
        "--codec", choices=CODECS, default="h264", help="'copy' sends the file's own pictures unchanged"
    )
    parser.add_argument("--user", default="", help="user name the camera asks for")
    parser.add_argument("--password", default="", help="password the camera asks for")
    parser.add_argument(
        "--stall-after", type=_seconds, metavar="S", help="after S seconds accept viewers but send nothing"
    )
    parser.set_defaults(run=run_camera)


def run_camera(arguments: argparse.Namespace) -> int:
    """Serve the clip until Ctrl-C."""
    if bool(arguments.user) != bool(arguments.password):
        raise UsageError("--user and --password go together; give both or neither")
    signal.signal(signal.SIGTERM, _interrupt)
    camera = RtspCamera(
        arguments.file,
        host=arguments.host,
        port=arguments.port,
        codec=arguments.codec,
        username=arguments.user,
        password=arguments.password,
        stall_after_s=arguments.stall_after,
    )
    with camera:
        language = text.terminal_language()
        print(text.say(language, "simulate.camera_serves", file=arguments.file, url=camera.url), flush=True)
        with suppress(KeyboardInterrupt):
            camera.wait()
    return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _port(value: str) -> int:
    port = int(value)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is 0 to 65535")
    return port


def _seconds(value: str) -> float:
    seconds = float(value)
    if not 0 <= seconds <= 86400:
        raise argparse.ArgumentTypeError("0 to 86400 seconds")
    return seconds
