"""Previews: small whatever comes in, and nothing that is no picture is decoded."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sealwatch.cloud.evidence.preview import MOST_BYTES, Previews, preview, size_px


def noise(width: int, height: int, kind: str = "JPEG") -> bytes:
    """The worst picture to compress."""
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (640, 480), (300, 2000), (64, 64)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_preview_is_a_jpeg_within_its_weight_even_of_noise(width: int, height: int, kind: str) -> None:
    small = preview(noise(width, height, kind))
    assert len(small) <= MOST_BYTES
    image = Image.open(io.BytesIO(small))
    assert image.format == "JPEG"
    assert image.width / image.height == pytest.approx(width / height, rel=0.05)


def test_a_small_jpeg_is_passed_on_untouched() -> None:
    data = noise(64, 48)
    assert preview(data) is data
    assert size_px(data) == (64, 48)


def test_a_transparent_picture_gets_no_transparency() -> None:
    out = io.BytesIO()
    Image.new("RGBA", (900, 600), (200, 0, 0, 10)).save(out, "PNG")
    assert Image.open(io.BytesIO(preview(out.getvalue()))).mode == "RGB"


@pytest.mark.parametrize("data", [b"", b"<svg onload=x>", b"GIF89a" + b"\0" * 50, b"\xff\xd8\xff\xe0", b"%PDF-1.4"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a picture"):
        preview(data)


def test_a_truncated_picture_is_refused_not_half_shown() -> None:
    data = noise(1920, 1080)
    with pytest.raises(ValueError, match="broken"):
        preview(data[: len(data) // 3])


def test_a_picture_that_would_fill_the_memory_is_not_decoded() -> None:
    out = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(out, "PNG")
    with pytest.raises(ValueError, match=r"not a picture|pixels"):
        preview(out.getvalue())


@given(data=st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_no_bytes_cause_anything_but_a_refusal(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which sentence it is does not matter here
        preview(b"\xff\xd8\xff" + data)


def test_the_latest_previews_are_remembered_and_the_oldest_forgotten() -> None:
    previews = Previews(most=2)
    pictures = [noise(700 + i, 500) for i in range(3)]
    first = previews.of("a", pictures[0])
    assert previews.of("a", b"not looked at again") is first
    previews.of("b", pictures[1])
    previews.of("c", pictures[2])
    with pytest.raises(ValueError, match="not a picture"):
        previews.of("a", b"gone")
