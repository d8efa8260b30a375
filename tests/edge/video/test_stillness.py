"""A picture that hangs is told within seconds, however it is encoded again; a living one is not, even a quiet one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from sealwatch.edge.ports import Image
from sealwatch.edge.video.stillness import Stillness, StillnessWatch
from tests.edge.video.clips import wall, with_figure

FPS = 10


def noisy(picture: Image, rng: np.random.Generator, sigma: float) -> Image:
    return np.clip(picture.astype(np.float32) + rng.normal(0, sigma, picture.shape[:2])[:, :, None], 0, 255).astype(
        np.uint8
    )


def scene(living_s: float, frozen_s: float, *, sigma: float = 2.5, seed: int = 3) -> list[Image]:
    """A wall in sensor noise, somebody who walks by at the fifth second, then one picture for the rest."""
    rng, base, pictures = np.random.default_rng(seed), wall(), []
    for index in range(int(living_s * FPS)):
        t_s = index / FPS
        shown = with_figure(base, 0.1 + 0.4 * (t_s - 5.0)) if 5.0 <= t_s < 7.0 else base
        pictures.append(noisy(shown, rng, sigma))
    return pictures + [pictures[-1]] * int(frozen_s * FPS)


def encoded(
    path: Path, pictures: list[Image], codec: str, options: dict[str, object], bit_rate: int = 0
) -> Iterator[Any]:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", options
        if bit_rate:
            stream.bit_rate = bit_rate
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="gray")


def frozen_spans(pictures: Iterator[Any]) -> list[tuple[float, float]]:
    """From when to when the watch says frozen."""
    watch, spans, before = StillnessWatch(), [], False
    t_s = 0.0
    for index, grey in enumerate(pictures):
        t_s = index / FPS
        now: Stillness = watch.look(grey, in_place=True, now_s=t_s, now_ms=index * 100)
        if now.frozen and not before:
            spans.append([t_s, t_s])
        if now.frozen:
            spans[-1][1] = t_s
        before = now.frozen
    return [(a, b) for a, b in spans]


ENCODERS = [
    pytest.param("libx264", {"crf": "23", "g": "25"}, 0, id="constant quality, short groups"),
    pytest.param("libx264", {"crf": "28"}, 0, id="coarse, long groups"),
    pytest.param("libx264", {"g": "50"}, 300_000, id="constant bit rate"),
    pytest.param("mpeg4", {}, 800_000, id="MPEG-4 part 2"),
]


@pytest.mark.parametrize(("codec", "options", "bit_rate"), ENCODERS)
def test_a_picture_that_hangs_behind_an_encoder_is_told_within_seven_seconds_and_stays_told(
    tmp_path: Path, codec: str, options: dict[str, object], bit_rate: int
) -> None:
    spans = frozen_spans(encoded(tmp_path / "hangs.mkv", scene(15, 20), codec, options, bit_rate))
    assert len(spans) == 1
    begins_s, ends_s = spans[0]
    assert 18.0 <= begins_s <= 22.0
    assert ends_s >= 34.5


@pytest.mark.parametrize(("codec", "options", "bit_rate"), ENCODERS)
@pytest.mark.parametrize("sigma", [0.8, 4.0])
def test_a_quiet_living_scene_is_never_frozen(
    tmp_path: Path, codec: str, options: dict[str, object], bit_rate: int, sigma: float
) -> None:
    assert frozen_spans(encoded(tmp_path / "lives.mkv", scene(30, 0, sigma=sigma), codec, options, bit_rate)) == []


def test_an_encoder_that_swallows_the_noise_is_judged_by_equal_pictures_alone() -> None:
    """Whole groups of equal pictures are its nature: they teach how long stillness may last."""
    rng, base = np.random.default_rng(1), cv2.cvtColor(wall(), cv2.COLOR_BGR2GRAY)
    groups = [np.clip(base + rng.integers(-1, 2, base.shape), 0, 255).astype(np.uint8) for _ in range(30)]
    living = [picture for picture in groups for _ in range(3 * FPS)]
    assert frozen_spans(iter(living)) == []
    (span,) = frozen_spans(iter(living + [groups[-1]] * (20 * FPS)))
    assert 92 <= span[0] <= 97


def test_another_light_is_learnt_before_anything_is_said_about_it() -> None:
    """The lamp goes on and the noise sinks to a tenth: no frozen picture."""
    rng, base = np.random.default_rng(1), wall()
    day = [noisy(base, rng, 5.0) for _ in range(20 * FPS)]
    lit = np.clip(base.astype(np.int16) + 50, 0, 255).astype(np.uint8)
    night = [noisy(lit, rng, 0.5) for _ in range(20 * FPS)]
    greys = (cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in day + night)
    assert frozen_spans(greys) == []
