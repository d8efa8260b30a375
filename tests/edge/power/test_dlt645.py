"""Frames of DL/T 645-2007, whole, split, joined, broken and drowned in noise."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from dlt645.protocol.protocol import DLT645Protocol
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.edge.power.dlt645 import Assembler, Broken, Frame, bcd, encode, read_request, to_bcd

ADDRESSES = st.text("0123456789", min_size=12, max_size=12)
FRAMES = st.builds(Frame, ADDRESSES, st.sampled_from([0x11, 0x91, 0xD1, 0xB1, 0x13]), st.binary(max_size=60))


def recorded() -> list[dict[str, object]]:
    folder = Path(os.environ.get("SEALWATCH_SHARED_DATA", Path(__file__).parents[3].parent / "shared/data"))
    file = folder / "protocol/frames_dev.json"
    if not file.exists():
        return []
    return [f for f in json.loads(file.read_text()) if f["proto"] == "dlt645-2007"]


def test_a_read_request_is_the_one_of_the_standard() -> None:
    frame = encode(read_request("123456789012", "00010000"), preamble=0)
    assert frame.hex(" ").upper() == "68 12 90 78 56 34 12 68 11 04 33 33 34 33 68 16"


def test_an_energy_answer_decodes_to_kilowatt_hours() -> None:
    (frame,) = Assembler().feed(bytes.fromhex("68 12 90 78 56 34 12 68 91 08 33 33 34 33 89 67 45 33 54 16"))
    assert isinstance(frame, Frame)
    assert (frame.address, frame.identifier, frame.is_answer) == ("123456789012", "00010000", True)
    assert bcd(frame.data[4:], decimals=2, signed=False) == 1234.56


@pytest.mark.parametrize(
    ("raw", "value"),
    [("12 25 00", 0.2512), ("12 25 80", -0.2512), ("99 99 79", 79.9999), ("FF FF FF", None), ("00 00 00", 0.0)],
)
def test_power_carries_its_sign_in_the_highest_bit_and_all_f_means_absent(raw: str, value: float | None) -> None:
    assert bcd(bytes.fromhex(raw), decimals=4, signed=True) == value


def test_digits_above_nine_are_refused() -> None:
    with pytest.raises(ValueError, match="not a BCD number"):
        bcd(bytes.fromhex("0A 00 00"), decimals=4, signed=True)


def test_a_refusal_names_its_errors() -> None:
    (frame,) = Assembler().feed(bytes.fromhex("68 12 90 78 56 34 12 68 D1 01 35 8D 16"))
    assert isinstance(frame, Frame)
    assert frame.refused
    assert frame.errors == ["no_such_data"]
    assert frame.identifier is None


def test_echo_and_answer_in_one_buffer_come_apart() -> None:
    request, answer = read_request("123456789012", "00010000"), Frame("123456789012", 0x91, b"\0\0\1\0\x56\x34\x12\0")
    assert Assembler().feed(encode(request) + encode(answer)) == [request, answer]


def test_a_stray_start_byte_does_not_block_the_line_once_it_falls_silent() -> None:
    frame = Frame("000000000001", 0x91, b"\0\0\3\2\1\2\3")
    assembler = Assembler()
    noise = bytes.fromhex("68 01 02 03 04 05 06 68 91 50")  # promises 80 bytes that never come
    assert assembler.feed(noise + encode(frame)) == []
    found = assembler.give_up_waiting()
    assert found[0] == Broken("incomplete", noise + encode(frame))
    assert found[-1] == frame
    assert assembler.pending == 0


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(1, 40), max_size=40))
def test_frames_survive_any_splitting(frames: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(encode(f, preamble=i % 5) for i, f in enumerate(frames))
    assembler, found = Assembler(), []
    for cut in cuts:
        found += assembler.feed(stream[:cut])
        stream = stream[cut:]
    found += assembler.feed(stream)
    assert found == frames


@given(st.binary(max_size=600), st.integers(1, 50))
def test_any_bytes_are_taken_without_a_crash_and_nothing_stays_behind(noise: bytes, cut: int) -> None:
    assembler = Assembler()
    for start in range(0, len(noise), cut):
        assembler.feed(noise[start : start + cut])
    while assembler.pending:
        before = assembler.pending
        assembler.give_up_waiting()
        assert assembler.pending < before


@given(FRAMES, st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_byte_never_passes_as_another_frame(frame: Frame, where: int, change: int) -> None:
    raw = bytearray(encode(frame, preamble=0))
    raw[where % len(raw)] ^= change
    pieces = Assembler().feed(bytes(raw))
    # One damaged byte always breaks the sum, a marker or the length.
    assert not [p for p in pieces if isinstance(p, Frame)]


@given(FRAMES)
def test_the_other_implementation_reads_what_we_write_and_we_read_what_it_writes(frame: Frame) -> None:
    _, theirs = DLT645Protocol.deserialize_with_remaining(encode(frame))
    assert theirs is not None
    assert (bytes(theirs.addr)[::-1].hex(), theirs.ctrl_code, bytes(theirs.data)) == (
        frame.address,
        frame.control,
        frame.data,
    )
    built = DLT645Protocol.build_frame(bytes.fromhex(frame.address)[::-1], frame.control, frame.data, 4)
    assert Assembler().feed(bytes(built)) == [frame]


@given(st.integers(1, 6), st.integers(0, 4), st.booleans(), st.data())
def test_numbers_survive_the_way_to_bcd_and_back(size: int, decimals: int, signed: bool, data: st.DataObject) -> None:
    limit = (8 if signed else 10) * 10 ** (2 * size - 1) - 1
    digits = data.draw(st.integers(-limit if signed else 0, limit))
    value = digits / 10**decimals
    assert bcd(to_bcd(value, size=size, decimals=decimals, signed=signed), decimals=decimals, signed=signed) == value


@pytest.mark.shared_data
@pytest.mark.skipif(not recorded(), reason="protocol/frames_dev.json of the evaluation recordings is not there")
def test_every_recorded_frame_decodes_as_stated_or_is_refused_as_broken() -> None:
    reasons = {"bad-checksum": "bad_checksum", "bad-end": "bad_end"}
    for record in recorded():
        assembler = Assembler()
        pieces: list[Frame | Broken] = assembler.feed(bytes.fromhex(str(record["hex"])))
        pieces += assembler.give_up_waiting()
        checks = record["check"]
        assert isinstance(checks, list)
        good = [c for c in checks if c["status"] == "ok"]
        frames = [p for p in pieces if isinstance(p, Frame)]
        assert len(frames) == len(good), record["stated"]
        for frame, check in zip(frames, good, strict=True):
            assert frame.address == check["addr"]
            assert f"{frame.control:02X}" == check["ctrl"]
            assert frame.data.hex().upper() == (check.get("data") or "")
            assert frame.identifier == check.get("di")
        broken = [p.reason for p in pieces if isinstance(p, Broken)]
        for check in checks:
            if check["status"] in reasons:
                assert reasons[check["status"]] in broken, record["stated"]
