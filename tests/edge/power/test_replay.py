"""Recorded power through the live rules."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from sealwatch.edge.power import cli
from sealwatch.edge.power.edges import Array
from sealwatch.edge.power.recorded import Rows, read_power, seconds

START_S = 1_715_000_400  # 21:00 in China


def hoisting() -> Array:
    power = np.full(6000, 300.0) + np.random.default_rng(0).normal(0, 5, 6000)
    for k in range(31):
        power[600 + 120 * k : 690 + 120 * k] += 9000
    return power


def write(path: Path, power: Array, stamp: str = "{t}") -> Path:
    rows = "".join(f"{stamp.format(t=START_S + k)},{w:.1f}\n" for k, w in enumerate(power))
    path.write_text("t,active_power_w\n" + rows)
    return path


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert cli.main(["replay-power", *arguments, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_night_of_hoisting_is_told_line_by_line_with_a_summary_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = lines(capsys, str(write(tmp_path / "a.csv", hoisting())), "--declared", "power_cut")
    alarms = [line for line in told if line["type"] == "alarm" and line["kind"] == "hoist_like_cycle"]
    assert [a["phase"] for a in alarms] == ["start", "update", "update", "update", "end"]
    assert alarms[0]["t_s"] == pytest.approx(START_S + 810, abs=3)
    assert "31 次约 9 kW 的提升样脉冲" in str(alarms[-1]["sentence_zh"])
    assert "申报断电" in str(alarms[-1]["sentence_zh"])
    assert "21:10" in str(alarms[-1]["sentence_en"])
    assert told[-1]["type"] == "summary"
    assert told[-1]["rows"] == 6000
    assert [line["t_s"] for line in told[:-1]] == sorted(line["t_s"] for line in told[:-1])  # type: ignore[type-var]  # numbers
    assert {"step", "pulse"} <= {str(line["kind"]) for line in told if line["type"] == "event"}


def test_the_declaration_comes_from_the_node_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "node.toml"
    config.write_text(
        'site_id = "s"\nnode_id = "n"\ndata_dir = "d"\ndeclared_status = "permitted_work"\n'
        '[mqtt]\nurl = "mqtt://127.0.0.1:1883"\n'
    )
    told = lines(capsys, str(write(tmp_path / "a.csv", hoisting())), "--config", str(config))
    assert {line["level"] for line in told if line["type"] == "alarm"} == {"yellow"}


def test_permits_come_from_a_declaration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = str(write(tmp_path / "a.csv", hoisting()))
    permit = {"permit_id": "p", "from_ms": START_S * 1000, "to_ms": (START_S + 1500) * 1000, "max_power_w": 12000}
    said = tmp_path / "declaration.json"
    said.write_text(json.dumps({"declared_status": "drainage_only", "permits": [permit]}))
    hoisted = [line for line in lines(capsys, recording, "--declaration", str(said)) if "level" in line]
    assert hoisted[0]["level"] == "yellow"
    assert "报备" in str(hoisted[0]["sentence_zh"])
    assert hoisted[-2]["level"] == "orange"  # it went on when the permit had run out
    assert cli.main(["replay-power", recording, "--declaration", str(tmp_path / "none.json")]) == 2
    said.write_text("{}")
    assert cli.main(["replay-power", recording, "--declaration", str(said)]) == 2
    assert "it must hold declared_status" in capsys.readouterr().err


def test_bad_rows_are_counted_and_the_rest_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.csv", hoisting())
    rows = path.read_text().splitlines()
    rows[50], rows[60], rows[70], rows[80] = "x,1", f"{START_S + 59}", f"{START_S + 69},nan", f"{START_S - 900},5"
    path.write_text("\n".join(rows))
    summary = lines(capsys, str(path))[-1]
    assert (summary["rows"], summary["rows_unreadable"], summary["rows_out_of_order"]) == (5996, 3, 1)
    assert "hoist_like_cycle:start" in str(summary["alarms"])


def test_times_may_be_iso_8601_or_milliseconds_or_seconds() -> None:
    assert seconds("2024-05-06T20:00:00+08:00") == seconds("1714996800") == seconds("1714996800000")
    assert seconds("2024-05-06 12:00:00") == 1714996800


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("", 2, "header lacks t and active_power_w"),
        ("moment,power\n1,2\n", 2, "header lacks"),
        ("t,active_power_w\n", 1, "no row with a time and a power"),
        ("t,active_power_w\nx,y\n", 1, "1 unreadable"),
    ],
)
def test_an_unusable_file_is_refused_with_a_sentence(
    content: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert cli.main(["replay-power", str(path)]) == code
    assert said in capsys.readouterr().err


def test_a_missing_file_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay-power", str(tmp_path / "no.csv")]) == 2
    assert "no such file" in capsys.readouterr().err.lower()


def test_a_slower_meter_is_analysed_at_its_own_pace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{START_S + 60 * k},{300 if k < 60 or k > 120 else 15_300}" for k in range(240)]
    path.write_text("t,active_power_w\n" + "\n".join(rows))
    told = lines(capsys, str(path))
    sizes = [line["numbers"]["size_w"] for line in told if line["type"] == "event" and line["kind"] == "step"]  # type: ignore[index]  # numbers is an object
    assert sizes == [15_000, -15_000]


def drawn(path: Path, out: Path) -> str:
    assert cli.main(["profile", str(path), "--html", str(out), "--declared", "drainage_only"]) == 0
    page = out.read_text()
    assert "http" not in page  # nothing is fetched from anywhere
    return page


def test_a_short_recording_fills_its_picture_with_a_scale_and_every_pulse_marked(tmp_path: Path) -> None:
    page = drawn(write(tmp_path / "a.csv", hoisting()), tmp_path / "o.html")
    assert page.count("<svg") == 1
    assert re.findall(r">(\d\d:\d\d)</text>", page)[::3] == ["21:00", "21:30", "22:00", "22:30"]
    assert "10 kW</text>" in page
    assert page.count("<title>9.0 kW</title>") == 31
    assert "31 次约 9 kW 的提升样脉冲" in page
    assert "31 hoist-like pulses" in page


def test_days_are_strips_on_one_scale_and_gaps_stay_open(tmp_path: Path) -> None:
    times = [t for t in range(0, 3 * 86_400, 60) if not 100_000 < t < 110_000]
    rows = "".join(f"{START_S + t},{2000 if t // 7200 % 2 else -200}\n" for t in times)
    path = tmp_path / "a.csv"
    path.write_text("t,active_power_w\n" + rows)
    page = drawn(path, tmp_path / "o.html")
    assert page.count("<svg") == 4  # from 21:00 on, midnights of UTC+8 apart
    assert re.findall(r">(20\d\d-\d\d-\d\d)</text>", page) == [f"2024-05-0{d}" for d in (6, 7, 8, 9)]
    assert [path.count("M") for path in re.findall(r"<path d='([^']*)'", page)] == [1, 1, 2, 1]
    assert ">-1</text>" in page  # power that was given back lies below zero


def test_a_compressor_is_a_square_wave_among_the_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cycle = np.concatenate((np.full(60, 50_000.0), np.full(40, 17_000.0)))
    power = np.concatenate((np.full(300, 300.0), np.tile(cycle, 20), np.full(2000, 300.0)))
    told = lines(capsys, str(write(tmp_path / "a.csv", power)), "--declared", "drainage_only")
    waves = [line for line in told if line.get("kind") == "square_wave"]
    assert [w["phase"] for w in waves] == ["start", "end"]
    assert waves[1]["numbers"]["size_w"] == pytest.approx(33_000, rel=0.01)  # type: ignore[index]  # numbers is an object
    assert told[-1]["alarms"] == {}


def test_a_train_of_pulses_is_told_with_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = lines(capsys, str(write(tmp_path / "a.csv", hoisting())))
    (train,) = [line for line in told if line.get("kind") == "pulse_train"]
    assert train["reason"] == "hoist_like"
    numbers = train["numbers"]
    assert isinstance(numbers, dict)
    assert (numbers["trips"], round(numbers["spacing_s"]), round(numbers["energy_per_trip_wh"])) == (31, 120, 225)


@pytest.mark.shared_data
def test_the_real_series_run_through_without_a_crash(tmp_path: Path) -> None:
    folder = Path(os.environ.get("SEALWATCH_SHARED_DATA", Path(__file__).parents[3].parent / "shared/data")) / "power"
    if not folder.exists():
        pytest.skip("power/ of the evaluation recordings is not there")
    steel = (folder / "steel/Steel_industry_data.csv").read_text(encoding="utf-8-sig").splitlines()[1:]
    rows = []
    for k, line in enumerate(steel):
        rows.append(f"{1_514_736_000 + 900 * k},{float(line.split(',')[1]) * 4000:.0f}")
    (tmp_path / "steel.csv").write_text("t,active_power_w\n" + "\n".join(rows))
    pump = (folder / "skab/data/anomaly-free/anomaly-free.csv").read_text().splitlines()
    names = pump[0].split(";")
    current, voltage = names.index("Current"), names.index("Voltage")
    rows = []
    for line in pump[1:]:
        cells = line.split(";")
        rows.append(f"{cells[0]},{float(cells[current]) * float(cells[voltage]):.1f}")
    (tmp_path / "pump.csv").write_text("t,active_power_w\n" + "\n".join(rows))
    for name in ("steel", "pump"):
        assert cli.main(["profile", str(tmp_path / f"{name}.csv"), "--html", str(tmp_path / f"{name}.html")]) == 0
        counted = Rows()
        assert sum(len(chunk.t_s) for chunk in read_power(tmp_path / f"{name}.csv", counted)) > 1000
        assert counted.unreadable == 0
