"""What the page gives an inspector on the road: the clip in pieces, the way there, the permit, whom to call."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from sealwatch.cloud.web import ranges
from tests.cloud.web.scene import ORANGE, RED, Scene
from tests.cloud.web.test_pages import MOST_FIRST_VIEW_BYTES, MOST_PREVIEW_BYTES, text_of

CLIP = bytes(range(256)) * 40


@pytest.mark.parametrize(
    ("wanted", "status", "body", "content_range"),
    [
        ("", 200, CLIP, None),
        ("bytes=0-", 206, CLIP, "bytes 0-10239/10240"),
        ("bytes=100-199", 206, CLIP[100:200], "bytes 100-199/10240"),
        ("bytes=-5", 206, CLIP[-5:], "bytes 10235-10239/10240"),
        ("bytes=10000-99999", 206, CLIP[10000:], "bytes 10000-10239/10240"),
        ("bytes=10240-", 416, b"", "bytes */10240"),
        ("bytes=9-3", 416, b"", "bytes */10240"),
        ("bytes=0-1,5-6", 200, CLIP, None),
        ("bytes=-", 200, CLIP, None),
        ("lines=1-2", 200, CLIP, None),
    ],
)
def test_a_range_is_the_piece_that_was_asked_for(
    wanted: str, status: int, body: bytes, content_range: str | None
) -> None:
    answer = ranges.response(CLIP, "video/mp4", wanted)
    assert (answer.status_code, answer.body, answer.headers.get("content-range")) == (status, body, content_range)


def test_the_clip_is_offered_with_its_size_and_loaded_only_when_played(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    sha256 = scene.add_clip(CLIP)
    for page in (f"/incidents/{RED}", f"/a/{scene.token('wang')}"):
        html = client.get(page).text
        assert f'preload="none" src="{page}/clips/{sha256}"' in html
        assert "10 kB，点开才下载" in html
        piece = client.get(f"{page}/clips/{sha256}", headers={"Range": "bytes=0-9"})
        assert (piece.status_code, piece.content, piece.headers["content-type"]) == (206, CLIP[:10], "video/mp4")
    scene.add_others()
    assert client.get(f"/incidents/{ORANGE}/clips/{sha256}").status_code == 404


def test_an_altered_clip_is_not_played(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    sha256 = scene.add_clip(CLIP)
    scene.evidence._files[sha256] = b"another"
    assert client.get(f"/incidents/{RED}/clips/{sha256}").status_code == 409


def test_the_way_there_is_given_for_each_map_in_its_own_datum(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    html = client.get(f"/a/{scene.token('wang')}").text
    assert 'href="geo:42.063100,124.947200?q=' in html
    amap = re.search(r'href="https://uri.amap.com/navigation\?to=([\d.]+)%2C([\d.]+)%2C', html)
    assert amap is not None
    assert (float(amap[1]), float(amap[2])) == pytest.approx((124.9532, 42.0650), abs=0.002)
    assert (float(amap[1]), float(amap[2])) != pytest.approx((124.9472, 42.0631), abs=0.0005)
    scene.add_others()


def test_a_site_that_nobody_measured_says_so(scene: Scene, client: TestClient) -> None:
    scene.add_others()
    (yellow,) = re.findall(r'class="card level-yellow" href="([^"]+)"', client.get("/").text)
    assert "站点坐标未登记，不能导航" in client.get(yellow).text


def test_the_permit_and_whom_to_call_stand_on_the_page(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    assert "此刻没有有效的报备单" in client.get(f"/incidents/{RED}").text
    scene.add_permit()
    html = client.get(f"/a/{scene.token('li')}").text
    read = text_of(html.split('id="permits"')[1].split("</section>")[0])
    assert "更换井口钢门 现在不在时段内" in read
    assert "每天 8 时至 17 时；最多 3 人、3 kW" in read
    assert 'href="tel:13900000002"' in html
    assert 'href="tel:13800000001"' in html


def test_the_first_view_of_a_link_stays_below_its_weight_with_everything_on_it(
    scene: Scene, client: TestClient
) -> None:
    scene.add_red()
    scene.add_permit()
    scene.add_clip(CLIP)
    page = f"/a/{scene.token('wang')}"
    html = client.get(page).text
    total = len(html.encode()) + len(client.get("/sw.js").content)
    urls = set(re.findall(r'(?:href|src)="(/(?:static|a)/[^"]+)"', html))
    for url in urls:
        if "/static/" in url or url.endswith("/preview"):
            size = len(client.get(url).content)
            assert size <= MOST_PREVIEW_BYTES
            total += size
    assert total <= MOST_FIRST_VIEW_BYTES, total


def test_the_service_worker_is_never_an_old_one_and_wants_no_login(scene: Scene, client: TestClient) -> None:
    answer = client.get("/sw.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
    assert "没有网络" in client.get("/offline").text
