"""Which picture of an incident is shown first."""

from __future__ import annotations

import hashlib
import io

from PIL import Image

from sealwatch.cloud.web.incident_page import pictures
from sealwatch.cloud.web.views import AlarmView
from sealwatch.contract.codes import AlarmKind


class Kept:
    """A store in memory; what was altered raises."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def put(self, sha256: str, data: bytes) -> None:
        self.files[sha256] = data

    def get(self, sha256: str) -> bytes | None:
        return self.files.get(sha256)


def alarm(kind: AlarmKind, started_at_ms: int, sha256: str | None) -> AlarmView:
    return AlarmView(
        node_id="n",
        alarm_id=f"a{started_at_ms}",
        kind=kind.value,
        level="red",
        source_id="s",
        zone="",
        phase="start",
        score=1.0,
        reason="r",
        numbers={},
        sentence_zh="",
        sentence_en="",
        started_at_ms=started_at_ms,
        ended_at_ms=None,
        snapshot_sha256=sha256,
    )


def test_a_camera_comes_before_the_chart_of_a_meter_and_a_chart_before_nothing() -> None:
    store, names = Kept(), []
    for k in range(2):
        out = io.BytesIO()
        Image.new("RGB", (40 + k, 30)).save(out, "JPEG")
        names.append(hashlib.sha256(out.getvalue()).hexdigest())
        store.put(names[-1], out.getvalue())
    camera, chart = alarm(AlarmKind.PERSON, 1000, names[0]), alarm(AlarmKind.HOIST_LIKE_CYCLE, 9000, names[1])
    assert [p.url for p in pictures([chart, camera], store, "u")] == [f"u/{names[0]}", f"u/{names[1]}"]
    assert [p.url for p in pictures([chart], store, "u")] == [f"u/{names[1]}"]
    # A camera's picture that has not come yet waits behind a chart that is there.
    waiting = alarm(AlarmKind.PERSON, 2000, "0" * 64)
    assert [p.state for p in pictures([waiting, chart], store, "u")] == ["shown", "awaited"]
