"""Recordings as meters, loggers and spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sealwatch.base.errors import UsageError
from sealwatch.edge.power import cli
from sealwatch.edge.power.order import ascending
from sealwatch.edge.power.recorded import Rows, read_power, seconds

T = 1_714_996_800


def taken(path: Path, content: bytes) -> tuple[list[float], list[float], Rows]:
    path.write_bytes(content)
    rows = Rows()
    chunks = list(read_power(path, rows))
    return [t for c in chunks for t in c[0].tolist()], [p for c in chunks for p in c[1].tolist()], rows


@pytest.mark.parametrize(
    "content",
    [
        f"t,active_power_w\n{T},1500\n{T + 1},1501\n".encode(),
        f"\ufefft,active_power_w\r\n{T},1500\r\n{T + 1},1501".encode(),
        f"t,active_power_w\n{T},1500\n{T + 1},1501\n".encode("utf-16"),
        f"x;T ; Active_Power_W\n;{T};1500\n;{T + 1};1501\n".encode(),
        f"timestamp\tactive_power_kw\n{T}000\t1.5\n{T + 1}000\t1.501\n".encode(),
        "时间,总有功功率（kW）\n2024/5/6 12:00:00,1.5\n2024/5/6 12:00:01,1.501\n".encode("gb18030"),
        "时间,有功功率(W)\n2024年05月06日 12:00:00,1500\n2024年5月6日 12:00:01,1501\n".encode(),
        b"t,active_power_w\n2024-05-06T20:00:00+08:00,1500\n2024-05-06T12:00:01Z,1501\n",
        b"t,active_power_w\n2024-05-06 12:00:00,1500\n2024-05-06 12:00:01,1501\n",
        f"t,active_power_a_w,active_power_b_w,active_power_c_w\n{T},500,600,400\n{T + 1},500,600,401\n".encode(),
        f't,active_power_w\n{T},"1,500.0"\n{T + 1},"1,501"\n'.encode(),
        f"t;active_power_kw\n{T};1,5\n{T + 1};1,501\n".encode(),
        f"Time,Active Power (W)\n{T},1500\n{T + 1},1501\n".encode(),
        f"# logger 7\n\nt,P_kW\n{T},1.5\n{T + 1},1.501\n".encode(),
        f"t,p_a_w,p_b_w,p_c_w\n{T},500,600,400\n{T + 1},500,600,401\n".encode(),
        f"t,Power L1 [kW],Power L2 [kW],Power L3 [kW]\n{T},.5,.6,.4\n{T + 1},.5,.6,.401\n".encode(),
        f"t,A相有功功率(kW),B相有功功率(kW),C相有功功率(kW)\n{T},.5,.6,.4\n{T + 1},.5,.6,.401\n".encode(),
        b"date,time,active_power_w\n2024-05-06,12:00:00,1500\n2024-05-06,12:00:01,1501\n",
        "日期,时间,有功功率(W)\n2024/5/6,12:00:00,1500\n2024/5/6,12:00:01,1501\n".encode(),
        f't,active_power_w,note\n{T},1500,"a, b"\n{T + 1},1501,\n'.encode(),
    ],
)
def test_the_same_recording_in_many_hands(content: bytes, tmp_path: Path) -> None:
    t_s, power_w, rows = taken(tmp_path / "a.csv", content)
    assert t_s == [T, T + 1]
    assert power_w == pytest.approx([1500, 1501])
    assert (rows.taken, rows.unreadable, rows.out_of_order) == (2, 0, 0)


@pytest.mark.parametrize("cell", ["", "nan", "inf", "--", "1,2,3", "\x00"])
def test_a_row_without_a_number_is_left_out_and_shown(cell: str, tmp_path: Path) -> None:
    t_s, _, rows = taken(tmp_path / "a.csv", f"t,active_power_w\n{T},1\n{T + 1},{cell}\n{T + 2},3\n".encode())
    if cell == "1,2,3":
        assert t_s == [T, T + 1, T + 2]  # the number is there, more cells than names follow
        return
    assert (t_s, rows.unreadable) == ([T, T + 2], 1)
    assert rows.example.startswith(f"{T + 1},")


def test_a_moment_that_is_none_of_our_time_is_unreadable(tmp_path: Path) -> None:
    content = f"t,active_power_w\n{T},1\n-5,1\n{T + 1}000000000000,2\n9999-01-01T00:00:00Z,2\n{T + 2},3\n"
    t_s, _, rows = taken(tmp_path / "a.csv", content.encode())
    assert (t_s, rows.unreadable) == ([T, T + 2], 3)


def test_a_clock_that_jumped_ahead_or_back_costs_its_own_rows_only(tmp_path: Path) -> None:
    times = [T + k for k in range(100)]
    times[40], times[70], times[99] = T + 10**9, T - 5000, T + 10**9
    content = "t,active_power_w\n" + "".join(f"{t},5\n" for t in times)
    t_s, _, rows = taken(tmp_path / "a.csv", content.encode())
    # Nothing behind the last row tells that its clock ran ahead.
    assert t_s == [T + k for k in range(99) if k not in (40, 70)] + [T + 10**9]
    assert rows.out_of_order == 2


def test_rows_in_no_order_are_sorted() -> None:
    times = np.random.default_rng(1).permutation(np.arange(1000.0))
    assert times[ascending(times, -1.0)].tolist() == list(range(1000))
    assert times[::-1][ascending(times[::-1], 499.5)].tolist() == list(range(500, 1000))
    assert ascending(np.array([5.0, 5.0, 5.0]), 0.0).tolist() == [0]
    assert len(ascending(np.empty(0), 0.0)) == 0


def test_what_is_no_recording_is_refused_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in (b"\x89PNG\r\n\x1a\n\x00\x00", b"\xff\xfe", b"12,13\n14,15\n", bytes(range(256)) * 20):
        (tmp_path / "x.csv").write_bytes(content)
        assert cli.main(["replay-power", str(tmp_path / "x.csv")]) == 2
        assert "the header lacks t and active_power_w" in capsys.readouterr().err
    (tmp_path / "x.csv").write_text("t,active_power_w\n01/02/2024 10:00,5\n")
    assert cli.main(["replay-power", str(tmp_path / "x.csv")]) == 1
    assert "such as '01/02/2024 10:00,5'; times are Unix seconds or ISO 8601" in capsys.readouterr().err
    assert cli.main(["replay-power", str(tmp_path)]) == 2
    with pytest.raises(UsageError, match="cannot be read"):
        list(read_power(tmp_path / "none.csv", Rows()))


def test_a_date_alone_is_midnight() -> None:
    assert seconds("2024/5/6") == seconds("2024-05-06") == T - 43_200


def test_a_power_without_its_unit_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the column 'power' has no unit; call it power_w or power_kw"):
        taken(tmp_path / "a.csv", f"t,power\n{T},1.5\n".encode())


def test_columns_that_only_look_like_a_phase_are_left_alone(tmp_path: Path) -> None:
    content = f"t,active_power_w,flow,raw,p1_bar\n{T},1500,1,2,3\n".encode()
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    (chunk,) = read_power(path, Rows())
    assert chunk.power_w.tolist() == [1500]
    assert np.isnan(chunk.phases_w).all()
