"""`sealwatch demo`: tells the story as it happens, or runs it once and prints a summary."""

from __future__ import annotations

import argparse
import json
import queue
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
from rich.console import Console

from sealwatch.base import text
from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.text import Language
from sealwatch.demo import clip, story, summary
from sealwatch.demo.people import ReceivedPage
from sealwatch.demo.stage import BEHIND_S, SPEED, DemoSettings, Stage

ONCE_TIMEOUT_S = 120.0
_LOOK_S = 0.2
_TONES = {"red": "bold red", "orange": "dark_orange", "yellow": "yellow", "blue": "blue", "good": "green", "bad": "red"}
# Where people walk in the packaged clip; for another source the whole picture is watched.
_CLIP_ZONE = ((0.02, 0.3), (0.98, 0.3), (0.98, 0.98), (0.02, 0.98))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--source", help="rtsp://... | file.mp4 | /dev/video0 instead of the demo clip")
    parser.add_argument("--broker", default="", metavar="URL", help="mqtt://host:port instead of the embedded broker")
    parser.add_argument("--dir", type=Path, default=Path("var/demo"), help="folder for what it leaves behind")
    parser.add_argument("--port", type=int, default=8000, help="port of the page; 0 takes a free one")
    parser.add_argument("--once", action="store_true", help="run the story once, answer the page, and end")
    parser.add_argument("--json", action="store_true", help="with --once: print one JSON summary on standard output")
    parser.add_argument("--fetch-clip", action="store_true", help="only make sure that the demo clip is here")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo. Raises CommandFailed where something in it does not start."""
    if options.fetch_clip:
        clip.fetch_clip(lambda line: print(line, file=sys.stderr))
        return 0
    if options.source and "://" not in options.source and not Path(options.source).exists():
        raise UsageError(f"{options.source}: no such file or device; name a video, a camera or an rtsp:// address")
    source = options.source or str(clip.fetch_clip(lambda line: print(line, file=sys.stderr)))
    zone = _CLIP_ZONE if options.source is None and source.endswith("vtest.avi") else ()
    settings = DemoSettings(
        folder=options.dir, source=source, zone=zone, broker_url=options.broker, web_port=options.port
    )
    signal.signal(signal.SIGTERM, _interrupt)
    # With --json the standard output belongs to the summary alone.
    telling = Narrator(Console(stderr=options.json, highlight=False))
    telling.say("demo.using", source=re.sub(r"//[^@/]*@", "//", source))
    telling.say("demo.starting")
    pages: queue.Queue[ReceivedPage] = queue.Queue()
    with Stage(settings, on_page=pages.put) as stage:
        telling.say("demo.ready", tone="good", url=stage.url)
        tale = Tale(stage, telling, pages)
        if options.once:
            result = tale.run_once()
            if options.json:
                print(json.dumps(result, ensure_ascii=False, indent=2))
            return 0 if result["messages"]["lost"] == 0 else 1
        try:
            tale.run_forever()
        except KeyboardInterrupt:
            telling.say("demo.stopping")
    telling.say("demo.stopped", folder=options.dir)
    return 0


class Narrator:
    """Prints lines of the story with the seconds since the start: Chinese, and the same in English below it."""

    def __init__(self, console: Console) -> None:
        self._console, self._start_s = console, time.monotonic()

    def say(self, key: str, *, tone: str = "plain", **values: object) -> None:
        """A line of the catalogue."""
        self.tell(
            story.Line(zh=text.say(Language.ZH, key, **values), en=text.say(Language.EN, key, **values), tone=tone)
        )

    def tell(self, line: story.Line) -> None:
        """A line of the story."""
        at = f"{time.monotonic() - self._start_s:6.1f} s  "
        self._console.print(at + line.zh, style=_TONES.get(line.tone), markup=False, soft_wrap=True)
        self._console.print(" " * len(at) + line.en, style="dim", markup=False, soft_wrap=True)


class Tale:
    """Looks at the service again and again and tells what changed."""

    def __init__(self, stage: Stage, narrator: Narrator, pages: queue.Queue[ReceivedPage]) -> None:
        self._stage, self._narrator, self._pages = stage, narrator, pages
        self._incidents: dict[str, story.Incident] = {}
        self._received: list[ReceivedPage] = []
        self._client = httpx.Client(base_url=stage.url, timeout=5)
        self._start_wall_ms = SystemClock().wall_ms() - round((SystemClock().monotonic_s() - stage.start_s) * 1000)

    def run_forever(self) -> None:
        """Tell the story until Ctrl-C. Raises CommandFailed where one of the programs ends by itself."""
        while True:
            self._look()
            time.sleep(_LOOK_S)

    def run_once(self) -> dict[str, Any]:
        """Until a person and hoist-like power were seen and paged; answer; and the summary. Raises CommandFailed."""
        wanted = {"person", "hoist_like_cycle"}
        incident = self._until(
            lambda: next((i for i in self._incidents.values() if wanted <= {a["kind"] for a in i["alarms"]}), None),
            "a person and hoist-like power",
        )
        incident_id = incident["incident_id"]
        page = self._until(
            lambda: next((p for p in self._received if p.answer_url), None), "a page on one of the telephones"
        )
        self._answer(page.answer_url)
        self._until(lambda: self._incidents[incident_id]["acknowledged_at_ms"], "the answer to arrive")
        memory = {name: round(self._stage.resident_mb(name), 1) for name in ("agent", "service")}
        self._settle()
        counters = self._client.get("/api/v1/counters").raise_for_status().json()
        final = self._incidents[incident_id]
        folder = self._stage.settings.folder
        result = summary.summarise(
            service=folder / "service" / "cloud.sqlite",
            outbox=folder / "node" / "outbox.db",
            incident_id=incident_id,
            power_time=self._real_time,
            counters=counters,
        )
        keys = ("incident_id", "level", "state", "verdict", "opened_at_ms", "acknowledged_at_ms", "acknowledged_name")
        result["incident"] = {key: final[key] for key in keys} | {"history": final["events"], "pages": final["pages"]}
        result["resident_mb"] = memory
        return result

    def _until(self, found: Callable[[], Any], what: str) -> Any:
        deadline_s = time.monotonic() + ONCE_TIMEOUT_S
        while time.monotonic() < deadline_s:
            self._look()
            value = found()
            if value:
                return value
            time.sleep(_LOOK_S)
        raise CommandFailed(
            f"waited {ONCE_TIMEOUT_S:.0f} s for {what}; the logs are in {self._stage.settings.folder.resolve()}"
        )

    def _look(self) -> None:
        self._stage.check_running()
        try:
            items = self._client.get("/api/v1/incidents").raise_for_status().json()["items"]
            for item in reversed(items):
                known = self._incidents.get(item["incident_id"])
                if known is None or known["updated_at_ms"] != item["updated_at_ms"] or not known["acknowledged_at_ms"]:
                    self._tell_of(item["incident_id"])
        except httpx.HTTPError:
            return  # the service is busy or restarting; the next look tells
        while not self._pages.empty():
            page = self._pages.get()
            self._received.append(page)
            self._narrator.say("demo.page_received", address=page.address, title=page.title)
            self._narrator.say("demo.answer_here", url=page.answer_url)

    def _tell_of(self, incident_id: str) -> None:
        incident: story.Incident = {}
        for language in Language:
            answer = self._client.get(f"/api/v1/incidents/{incident_id}", params={"lang": language}).raise_for_status()
            incident |= answer.json() | {f"sentence_{language}": answer.json()["sentence"]}
        for line in story.between(self._incidents.get(incident_id), incident):
            self._narrator.tell(line)
        if incident_id not in self._incidents:
            self._narrator.say("demo.look", url=f"{self._stage.url}/incidents/{incident_id}")
        self._incidents[incident_id] = incident

    def _answer(self, url: str) -> None:
        """Open the link as a person would and press the first button."""
        with httpx.Client(timeout=10, follow_redirects=True) as browser:
            browser.get(url).raise_for_status()
            browser.post(f"{url}/answer", data={"answer": "going"}).raise_for_status()

    def _settle(self) -> None:
        """Let what the agent has sent arrive, then end it politely."""
        deadline_s = time.monotonic() + 10
        folder = self._stage.settings.folder
        while time.monotonic() < deadline_s and summary.waiting(folder / "node" / "outbox.db") > 0:
            time.sleep(_LOOK_S)
        self._stage.end("agent")

    def _real_time(self, label_ms: int) -> int:
        """When a reading labelled by the clock that catches up was really made."""
        since_ms = label_ms - (self._start_wall_ms - BEHIND_S * 1000)
        caught_up_ms = BEHIND_S / (SPEED - 1) * SPEED * 1000
        return round(self._start_wall_ms + since_ms / SPEED) if since_ms < caught_up_ms else label_ms


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
