"""A believable county for the page tests: sites, people, an incident, a drawn picture, two hours of power."""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import cv2
import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from numpy.typing import NDArray

from sealwatch.base.clock import ManualClock
from sealwatch.base.mqtt import MqttSettings
from sealwatch.cloud.auth.links import LinkSigner
from sealwatch.cloud.auth.push_key import public_text
from sealwatch.cloud.config import CloudSettings, OidcSettings, WebSettings
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.db.tables import (
    AlarmRecord,
    Base,
    Evidence,
    Incident,
    IncidentEvent,
    Node,
    Page,
    Person,
    QuarantineCount,
    Quarantined,
    Site,
)
from sealwatch.cloud.evidence.store import MemoryEvidence
from sealwatch.cloud.incidents import service
from sealwatch.cloud.paging.channels.settings import Channel
from sealwatch.cloud.permits.store import Announced, announce
from sealwatch.cloud.ports import ChangeBus, TelemetryStore
from sealwatch.cloud.telemetry.memory import MemoryTelemetry
from sealwatch.cloud.web.services import WebServices
from sealwatch.contract.codes import Closure

NOW_MS = 1_795_285_267_000  # 2026-11-22 02:21:07 local time
PUSH_KEY = public_text(ec.derive_private_key(7, ec.SECP256R1()))
SECRET = b"a secret that only these tests know."
RED = "7f3c1e9a5b8d4c2f9e6a0b7d1c3f5e8a"
ORANGE = "1b2c3d4e5f60718293a4b5c6d7e8f901"
YELLOW = "c0ffee00c0ffee00c0ffee00c0ffee00"
MINUTE_MS = 60_000


@cache
def drawn_picture(seed: int = 7) -> bytes:
    """A night picture of a shaft mouth with two people in boxes, as a camera with infrared light would give it."""
    random_ = np.random.default_rng(seed)
    height, width = 720, 1280
    rows = np.linspace(1.0, 0.35, height)[:, None] * np.ones((1, width))
    glow = np.exp(-(((np.arange(width) - 640) / 520) ** 2))[None, :] * np.exp(
        -(((np.arange(height)[:, None] - 430) / 330) ** 2)
    )
    grey = np.clip(28 + 40 * rows + 105 * glow + random_.normal(0, 7, (height, width)), 0, 255).astype(np.uint8)
    picture: NDArray[np.uint8] = np.ascontiguousarray(
        cv2.cvtColor(cv2.GaussianBlur(grey, (3, 3), 0), cv2.COLOR_GRAY2BGR)
    )
    hill = np.array([[0, 250], [240, 170], [560, 230], [900, 150], [1280, 240], [1280, 0], [0, 0]])
    cv2.fillPoly(picture, [hill], (24, 24, 24))
    cv2.fillPoly(picture, [np.array([[470, 620], [470, 330], [640, 250], [810, 330], [810, 620]])], (92, 92, 92))
    cv2.fillPoly(picture, [np.array([[520, 620], [520, 370], [640, 310], [760, 370], [760, 620]])], (14, 14, 14))
    for x in range(540, 760, 36):
        cv2.line(picture, (x, 360), (x, 620), (70, 70, 70), 4)
    cv2.line(picture, (0, 620), (1280, 640), (120, 120, 120), 3)
    for x, top, scale in ((575, 420, 1.0), (690, 440, 0.92)):
        body = (188, 188, 188)
        cv2.circle(picture, (x, top), int(20 * scale), body, -1)
        cv2.ellipse(picture, (x, int(top + 75 * scale)), (int(30 * scale), int(58 * scale)), 0, 0, 360, body, -1)
        for dx in (-14, 14):
            cv2.line(picture, (x + dx, int(top + 120 * scale)), (x + dx, int(top + 200 * scale)), body, int(17 * scale))
        box = (x - int(48 * scale), top - int(30 * scale), x + int(48 * scale), top + int(212 * scale))
        cv2.rectangle(picture, box[:2], box[2:], (60, 200, 255), 3)
        cv2.putText(picture, f"{0.9 - (x - 575) / 1500:.2f}", (box[0], box[1] - 8), 0, 0.8, (60, 200, 255), 2)
    cv2.putText(picture, "2026-11-22 02:14:07  CAM-1", (24, 48), 0, 1.0, (235, 235, 235), 2)
    picture = cv2.add(picture, random_.integers(0, 9, picture.shape, dtype=np.uint8))
    ok, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 82])
    assert ok
    return bytes(data)


def power_series(now_ms: int) -> tuple[list[int], list[float | None]]:
    """Two hours every five seconds: a guard hut, ten minutes of silence, a pump for a while, then hoist-like pulses."""
    random_ = random.Random(3)
    times, watts = [], []
    for at_ms in range(now_ms - 7_200_000, now_ms + 1, 5000):
        age_s = (now_ms - at_ms) / 1000
        if 4700 < age_s < 5300:
            continue
        value = 165 + 25 * math.sin(age_s / 400) + random_.gauss(0, 6)
        if 2500 < age_s < 4100:
            value += 1480 + random_.gauss(0, 9)
        if age_s < 430 and (430 - age_s) % 118 < 84:
            value += 3080 + random_.gauss(0, 45)
        times.append(at_ms)
        watts.append(round(value, 1))
    return times, watts  # type: ignore[return-value]  # a list of floats is one of floats and gaps


@dataclass
class Scene:
    """The stores and the clock behind the pages of one test."""

    database: Database
    telemetry: TelemetryStore = field(default_factory=MemoryTelemetry)
    evidence: MemoryEvidence = field(default_factory=MemoryEvidence)
    clock: ManualClock = field(default_factory=lambda: ManualClock(wall_ms=NOW_MS))
    changes: ChangeBus = field(default_factory=ChangeBus)
    picture: bytes = field(default_factory=drawn_picture)
    public_url: str = "http://127.0.0.1:8000"
    access_token: str = ""
    channels: list[Channel] = field(default_factory=list)
    oidc: OidcSettings | None = None

    @property
    def picture_sha256(self) -> str:
        return hashlib.sha256(self.picture).hexdigest()

    @property
    def links(self) -> LinkSigner:
        return LinkSigner(SECRET, self.public_url)

    def services(self, **web: Any) -> WebServices:
        settings = CloudSettings(
            data_dir="data",
            mqtt=MqttSettings(url="mqtt://127.0.0.1:1883"),
            channels=self.channels,
            oidc=self.oidc,
            web=WebSettings(public_url=self.public_url, access_token=self.access_token, **web),
        )
        return WebServices(
            database=self.database,
            telemetry=self.telemetry,
            evidence=self.evidence,
            links=self.links,
            settings=settings,
            secret=SECRET,
            changes=self.changes,
            counters=lambda: {"alarms_stored": 12, "messages.received": 480},
            clock=self.clock,
            push_key=PUSH_KEY,
        )

    def token(self, person_id: str = "wang", *, incident_id: str = RED, valid_s: int = 3600) -> str:
        expires_at_ms = self.clock.wall_ms() + valid_s * 1000
        return self.links.token(
            incident_id=incident_id, person_id=person_id, page_id="0" * 31 + "1", expires_at_ms=expires_at_ms
        )

    def add(self, *rows: Base) -> None:
        with self.database.write() as session:
            for row in rows:
                session.add(row)
                session.flush()

    def add_registry(self) -> None:
        """Sites, nodes and people; every node is heard from."""
        names = [
            ("jingjiagou", "井家沟主井", "Jingjiagou main shaft", "枸乃甸乡", "Gounaidian township", "power_cut",
             42.0631, 124.9472),
            ("beigou", "北沟风井", "Beigou air shaft", "枸乃甸乡", "Gounaidian township", "guard_hut_only",
             42.0874, 124.9105),
            ("laohudong", "老虎洞二号平硐", "Laohudong adit 2", "大苏河乡", "Dasuhe township", "flooded",
             41.8412, 124.9533),
            ("donggou", "东沟斜井", "Donggou incline", "南口前镇", "Nankouqian town", "drainage_only", None, None),
        ]  # fmt: skip
        for site_id, zh, en, town_zh, town_en, status, latitude_deg, longitude_deg in names:
            site = Site(
                site_id=site_id,
                name_zh=zh,
                name_en=en,
                township_zh=town_zh,
                township_en=town_en,
                declared_status=status,
                latitude_deg=latitude_deg,
                longitude_deg=longitude_deg,
            )
            node = Node(
                node_id=f"{site_id}-1",
                site_id=site_id,
                public_key="A" * 43,
                state="online",
                state_at_ms=NOW_MS - MINUTE_MS,
            )
            self.add(site, node)
        self.add(
            Person(person_id="wang", name="王建国", role="村民组长", level=5, telephone="13800000001"),
            Person(person_id="li", name="李秀英", role="村支书", level=4),
            Person(person_id="zhang", name="张伟", role="应急局矿山股", level=3, language="en"),
        )

    def add_red(self) -> None:
        """The incident of the story: two people and hoist-like power at a site that says it has none."""
        opened_ms = NOW_MS - 7 * MINUTE_MS
        self.evidence.put(self.picture_sha256, self.picture)
        times, watts = power_series(NOW_MS)
        self.telemetry.write(
            site_id="jingjiagou",
            node_id="jingjiagou-1",
            source_id="meter-1",
            at_ms=times,
            values={"active_power_w": watts},
        )
        with self.database.write() as session:
            if session.get(Evidence, self.picture_sha256) is None:
                session.add(self._evidence(self.picture_sha256, "image/jpeg", self.picture))
        verdict = {"verdict": "suspected_illegal_production", "reason": "person_with_hoist_like_power"}
        joined_ms = opened_ms + 96_000
        self.add(
            incident(RED, "jingjiagou", "red", "notified", opened_ms, **verdict),
            self._person_alarm(opened_ms),
            self._hoist_alarm(joined_ms),
            page(1, "wang", "submitted", opened_ms + 300, submitted_at_ms=opened_ms + 420),
            page(2, "li", "sending", opened_ms + 6 * MINUTE_MS, channel="email"),
            page(3, "zhang", "due", opened_ms + 12 * MINUTE_MS),
            event(RED, opened_ms, "opened", kind="person", level="orange"),
            event(RED, opened_ms + 300, "ladder_started", cycle=1, steps=3),
            event(RED, opened_ms + 420, "page_submitted", person_id="wang", channel="webhook", cycle=1, step=0),
            event(RED, joined_ms, "alarm_joined", kind="hoist_like_cycle", level="red"),
            event(RED, joined_ms, "level_raised", **{"from": "orange", "to": "red"}),
        )

    def _person_alarm(self, at_ms: int) -> AlarmRecord:
        return alarm(
            "a1", "person", "orange", at_ms, source_id="cam-1", zone="井口", reason="person_confirmed",
            sentence_zh="井口有 2 人进入,已 6 分钟", sentence_en="2 people at the shaft mouth for 6 minutes",
            numbers={"people": 2.0, "longest_stay_s": 372.0, "best_score": 0.91},
            snapshot_sha256=self.picture_sha256,
        )  # fmt: skip

    def _hoist_alarm(self, at_ms: int) -> AlarmRecord:
        return alarm(
            "a2", "hoist_like_cycle", "red", at_ms, source_id="meter-1", zone="", reason="regular_pulses",
            sentence_zh="提升样用电 4 次,间隔约 118 秒;该站申报断电",
            sentence_en="4 hoist-like pulses about 118 s apart; the site is declared cut off",
            numbers={"pulses": 4.0, "mean_period_s": 118.2, "peak_power_w": 3274.0}, snapshot_sha256=None,
        )  # fmt: skip

    def add_others(self) -> None:
        """Three more incidents (one answered, two closed), and two silent nodes."""
        hour_ms = 60 * MINUTE_MS
        power_step = {"verdict": "power_step", "reason": "power_step"}
        self.add(
            incident(ORANGE, "beigou", "orange", "acknowledged", NOW_MS - 2 * hour_ms),
            incident(YELLOW, "donggou", "yellow", "detected", NOW_MS - 26 * hour_ms, **power_step),
            incident("closed1", "laohudong", "orange", "notified", NOW_MS - 30 * hour_ms),
        )
        with self.database.write() as session:
            service.close(
                session,
                incident_id="closed1",
                actor="desk",
                closure=Closure.PASSER_BY,
                note="",
                now_ms=NOW_MS - 29 * hour_ms,
            )
            row = session.get(Incident, ORANGE)
            assert row is not None
            row.acknowledged_by, row.acknowledged_at_ms = "person:li", NOW_MS - 2 * hour_ms + 74_000
            for node_id, state, at_ms in (
                ("laohudong-1", "offline", NOW_MS - 3 * hour_ms),
                ("donggou-1", "unknown", None),
            ):
                node = session.get(Node, node_id)
                assert node is not None
                node.state, node.state_at_ms = state, at_ms

    def add_clip(self, data: bytes) -> str:
        """A recording of the person alarm, and its hash."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.evidence.put(sha256, data)
        self.add(self._evidence(sha256, "video/mp4", data))
        return sha256

    def _evidence(self, sha256: str, media_type: str, data: bytes) -> Evidence:
        return Evidence(
            sha256=sha256,
            media_type=media_type,
            size_bytes=len(data),
            site_id="jingjiagou",
            node_id="jingjiagou-1",
            alarm_id="a1",
            captured_at_ms=NOW_MS - 7 * MINUTE_MS,
            received_at_ms=NOW_MS,
        )

    def add_permit(self) -> None:
        """Repair by day, announced for a week."""
        announced = Announced(
            site_id="jingjiagou",
            from_ms=NOW_MS - 24 * 60 * MINUTE_MS,
            to_ms=NOW_MS + 6 * 24 * 60 * MINUTE_MS,
            from_hour=8,
            to_hour=17,
            max_power_w=3000,
            max_people=3,
            purpose="更换井口钢门",
            responsible="赵强",
            telephone="13900000002",
        )
        with self.database.write() as session:
            announce(session, announced, author="desk", now_ms=NOW_MS)

    def add_refused(self) -> None:
        """Messages in quarantine."""
        self.add(
            QuarantineCount(reason="bad_signature", count=3, last_at_ms=NOW_MS),
            Quarantined(
                received_at_ms=NOW_MS,
                topic="seal/v1/x/y/alarm",
                reason="bad_signature",
                detail="altered or forged",
                size_bytes=812,
                payload=b"{}",
            ),
        )


def incident(incident_id: str, site_id: str, level: str, state: str, opened_ms: int, **more: Any) -> Incident:
    values = {"verdict": "person_present", "reason": "person_seen", "updated_at_ms": opened_ms} | more
    ladder = {"repeat_after_s": 300, "steps": []}
    return Incident(
        incident_id=incident_id,
        site_id=site_id,
        level=level,
        state=state,
        opened_at_ms=opened_ms,
        ladder=ladder,
        **values,
    )


def alarm(alarm_id: str, kind: str, level: str, at_ms: int, **more: Any) -> AlarmRecord:
    values: dict[str, Any] = {
        "node_id": "jingjiagou-1", "site_id": "jingjiagou", "incident_id": RED, "phase": "update", "score": 0.91,
        "captured_at_ms": at_ms, "ended_at_ms": None, "numbers": {},
        "boot_id": "b" * 32, "seq": 1,
    }  # fmt: skip
    return AlarmRecord(alarm_id=alarm_id, kind=kind, level=level, started_at_ms=at_ms, **(values | more))


def page(step: int, person_id: str, state: str, due_ms: int, **more: Any) -> Page:
    values = {"channel": "webhook", "cycle": 1, "occasion": "opened", "incident_id": RED} | more
    return Page(page_id=f"{step:032x}", step=step - 1, person_id=person_id, state=state, due_at_ms=due_ms, **values)


def event(incident_id: str, at_ms: int, kind: str, /, **detail: Any) -> IncidentEvent:
    return IncidentEvent(incident_id=incident_id, at_ms=at_ms, kind=kind, actor="system", reason=kind, detail=detail)
