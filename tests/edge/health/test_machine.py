"""What the machine says of itself: read from a twin of /sys and /proc, judged, counted, and told as standing items."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.health import faults, ledger, sysfs
from sealwatch.edge.health.ledger import Counters, Ledger
from sealwatch.edge.health.machine import Budgets, MachineState, Readings, Use, judge
from sealwatch.edge.health.watch import LEDGER_FILE, MachineWatch
from sealwatch.edge.ports import AlarmDraft
from tests.certificates import Authority

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z, 08:00 at the site
HOUR_MS = 3_600_000


class Kernel:
    """The twin: the files of a Raspberry Pi below a folder, with the disk of that folder in them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.put("proc/meminfo", "MemTotal:        3884000 kB\nMemAvailable:    1942000 kB\nHugePages_Total:       0\n")
        self.put("proc/sys/kernel/random/boot_id", "boot-1\n")
        self.put(
            "proc/net/route",
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
            "wwan0\t00000000\t0100000A\t0003\t0\t0\t700\t00000000\t0\t0\t0\n"
            "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n",
        )
        self.traffic("wwan0", 1000, 2000)
        self.traffic("eth0", 77_000, 77_000)  # cameras: not on the bill
        self.put("sys/class/thermal/thermal_zone0/temp", "48312\n")
        self.put("sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
        self.put("sys/class/hwmon/hwmon1/name", "rpi_volt\n")
        self.put("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
        device = root.stat().st_dev
        self.put("sys/devices/mmc0/block/mmcblk0/mmcblk0p2/partition", "2\n")
        self.written(100)
        number = root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}"
        number.parent.mkdir(parents=True)
        number.symlink_to(root / "sys/devices/mmc0/block/mmcblk0/mmcblk0p2")

    def put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def traffic(self, name: str, sent: int, received: int) -> None:
        self.put(f"sys/class/net/{name}/statistics/tx_bytes", f"{sent}\n")
        self.put(f"sys/class/net/{name}/statistics/rx_bytes", f"{received}\n")

    def written(self, sectors: int) -> None:
        self.put("sys/devices/mmc0/block/mmcblk0/stat", f"  9  8  7  6  5  4  {sectors}  3  0  2  1\n")

    def readings(self) -> Readings:
        return sysfs.readings(self.root, certificate_file="", wall_ms=NOW_MS, root=self.root)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_the_files_of_a_pi_are_read_with_their_units(kernel: Kernel) -> None:
    seen = kernel.readings()
    assert seen.disk_free_ratio is not None
    assert 0 < seen.disk_free_ratio <= 1
    assert seen == Readings(
        temperature_c=48.312,
        undervolted=False,
        memory_free_bytes=1942000 * 1024,
        memory_bytes=3884000 * 1024,
        disk_free_ratio=seen.disk_free_ratio,
    )
    assert sysfs.counters(kernel.root, root=kernel.root) == Counters(
        boot="boot-1",
        written=51_200,
        interfaces={"wwan0": (1000, 2000), "eth0": (77_000, 77_000)},
        outward=("wwan0",),
    )


@pytest.mark.parametrize(
    ("life", "reserve", "expected"),
    [("0x02 0x03\n", "0x01\n", (3, 1)), ("0x00 0x00\n", "0x00\n", (None, None)), ("broken\n", "\n", (None, None))],
)
def test_the_wear_of_an_emmc_is_the_worse_of_its_two_estimates(
    kernel: Kernel, life: str, reserve: str, expected: tuple[int | None, int | None]
) -> None:
    kernel.put("sys/devices/mmc0/block/mmcblk0/device/life_time", life)
    kernel.put("sys/devices/mmc0/block/mmcblk0/device/pre_eol_info", reserve)
    seen = kernel.readings()
    assert (seen.disk_life, seen.disk_reserve) == expected


def test_a_machine_that_measures_nothing_is_judged_by_nothing(tmp_path: Path) -> None:
    nowhere = tmp_path / "none"
    seen = sysfs.readings(nowhere, certificate_file=str(tmp_path / "none.pem"), wall_ms=NOW_MS, root=tmp_path)
    assert seen == Readings()
    assert sysfs.counters(tmp_path, root=tmp_path) == Counters(boot="")
    assert judge(MachineState(), seen, Use(), Budgets(), 0.0, NOW_MS)[1] == []


def test_the_days_of_a_real_certificate(tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).issue("node-1")
    days = sysfs.certificate_days(certificate, int(dt.datetime.now(dt.UTC).timestamp() * 1000))
    assert days is not None
    assert 0 < days < 3650
    assert sysfs.certificate_days(tmp_path / "none", NOW_MS) is None


@pytest.mark.parametrize(
    ("seen", "used", "part_id", "reason"),
    [
        (Readings(temperature_c=79.9), Use(), "machine-temperature", "cool_enough"),
        (Readings(temperature_c=80.0), Use(), "machine-temperature", "too_hot"),
        (Readings(undervolted=False), Use(), "machine-power", "voltage_holds"),
        (Readings(undervolted=True), Use(), "machine-power", "undervoltage"),
        (Readings(memory_bytes=1000, memory_free_bytes=50), Use(), "machine-memory", "memory_left"),
        (Readings(memory_bytes=1000, memory_free_bytes=49), Use(), "machine-memory", "memory_short"),
        (Readings(disk_life=8, disk_reserve=1), Use(), "machine-disk", "disk_lasts"),
        (Readings(disk_life=9, disk_reserve=1), Use(), "machine-disk", "disk_worn"),
        (Readings(disk_life=1, disk_reserve=2), Use(), "machine-disk", "disk_worn"),
        (Readings(certificate_days=30.0), Use(), "machine-certificate", "certificate_valid"),
        (Readings(certificate_days=29.9), Use(), "machine-certificate", "certificate_expires"),
        (Readings(certificate_days=-0.1), Use(), "machine-certificate", "certificate_expired"),
        (Readings(), Use(written_today=10), "machine-writes", "writes_counted"),
        (Readings(), Use(written_today=11), "machine-writes", "writes_over_budget"),
        (Readings(), Use(written_today=0, written_last_day=11), "machine-writes", "writes_over_budget"),
        (Readings(), Use(sent_month=50, received_month=29), "machine-data", "data_counted"),
        (Readings(), Use(sent_month=50, received_month=30), "machine-data", "data_plan_nearly_used"),
        (Readings(), Use(sent_month=50, received_month=50), "machine-data", "data_plan_used"),
    ],
)
def test_each_limit_from_both_sides(seen: Readings, used: Use, part_id: str, reason: str) -> None:
    budgets = Budgets(daily_write_bytes=10, monthly_data_bytes=100)
    _, (part,) = judge(MachineState(), seen, used, budgets, 0.0, NOW_MS)
    fine = {"cool_enough", "voltage_holds", "memory_left", "disk_lasts", "certificate_valid"}
    assert (part.part_id, part.reason) == (part_id, reason)
    assert part.ok == (reason in fine | {"writes_counted", "data_counted"})


def test_without_a_budget_bytes_are_counted_and_nobody_is_bothered() -> None:
    used = Use(written_today=10**15, sent_month=10**15, received_month=0)
    assert all(part.ok for part in judge(MachineState(), Readings(), used, Budgets(), 0.0, NOW_MS)[1])


def test_heat_around_its_limit_is_one_item_and_not_many() -> None:
    state, told = MachineState(), []
    for at_s, celsius in enumerate([79, 81, 79, 81, 76, 80, 74.9, 79, 76]):
        state, (part,) = judge(state, Readings(temperature_c=celsius), Use(), Budgets(), at_s, NOW_MS)
        told.append(part.ok)
    assert told == [True, False, False, False, False, False, True, True, True]


def test_a_dip_of_the_supply_is_an_item_that_clears_itself_ten_minutes_after_the_last_one() -> None:
    state, machine, drafts = MachineState(), faults.FaultState(), list[tuple[int, AlarmDraft]]()
    for at_s in range(0, 1200, 10):
        dips = at_s in (10, 200)
        state, parts = judge(state, Readings(undervolted=dips), Use(), Budgets(), at_s, NOW_MS)
        machine, begun = faults.step(machine, parts, at_s, NOW_MS + at_s * 1000, boot_id="b")
        drafts += [(at_s, draft) for draft in begun]
    assert [(at_s, draft.phase.value) for at_s, draft in drafts] == [(130, "start"), (830, "end")]
    assert "电源" in drafts[0][1].sentence_zh
    assert "power supply" in drafts[0][1].sentence_en


def every_fault() -> list[PartHealth]:
    seen = Readings(
        temperature_c=90,
        undervolted=True,
        memory_bytes=10**9,
        memory_free_bytes=10**6,
        disk_life=11,
        certificate_days=3,
    )
    used = Use(written_today=10**12, written_last_day=10**12, sent_month=10**9, received_month=0)
    parts = []
    for plan, days in ((10**9, 3.0), (1.2 * 10**9, -3.0)):
        budgets = Budgets(daily_write_bytes=10**10, monthly_data_bytes=plan)
        readings = Readings(**{name: getattr(seen, name) for name in seen.__slots__} | {"certificate_days": days})
        parts += judge(MachineState(), readings, used, budgets, 0.0, NOW_MS)[1]
    return [part for part in parts if not part.ok]


@pytest.mark.parametrize("part", every_fault(), ids=lambda part: part.reason)
def test_every_fault_has_advice_of_its_own_in_both_languages(part: PartHealth) -> None:
    state, drafts = faults.step(faults.FaultState(), [part], 0.0, NOW_MS, boot_id="b")
    _, drafts = faults.step(state, [part], 120.0, NOW_MS + 120_000, boot_id="b")
    (draft,) = drafts
    assert draft.reason == part.reason
    assert part.reason not in draft.sentence_en  # the fallback names the reason because it has no words
    assert draft.sentence_zh != draft.sentence_en


def counters(boot: str, written: int | None = None, **interfaces: int) -> Counters:
    """Interfaces by what they sent; each received ten times as much. Only wwan0 leads outward."""
    return Counters(
        boot=boot,
        written=written,
        interfaces={name: (sent, 10 * sent) for name, sent in interfaces.items()},
        outward=("wwan0",),
    )


def counted(script: list[tuple[int, Counters]], book: Ledger | None = None) -> Ledger:
    book = book or Ledger()
    for wall_ms, now in script:
        book = ledger.step(book, now, wall_ms)
    return book


def test_days_and_months_are_the_sites_and_a_boot_begins_counters_anew() -> None:
    book = counted(
        [
            (NOW_MS, counters("a", 1000, wwan0=1000)),  # before the first look: not ours
            (NOW_MS + HOUR_MS, counters("a", 1500, wwan0=1010)),
            (NOW_MS + 2 * HOUR_MS, counters("b", 70, wwan0=5)),
        ]
    )
    assert (book.day, book.written, book.last_written, book.sent, book.received) == ("2026-01-01", 570, None, 15, 150)
    book = counted([(NOW_MS + 16 * HOUR_MS, counters("b", 80, wwan0=6))], book)
    assert (book.day, book.written, book.last_written, book.sent) == ("2026-01-02", 10, 570, 16)
    book = counted([(NOW_MS + 31 * 24 * HOUR_MS, counters("b", 80, wwan0=7))], book)
    assert (book.month, book.sent, book.last_written) == ("2026-02", 1, 10)


def test_a_clock_from_1970_moves_nothing_to_another_day() -> None:
    book = counted([(NOW_MS, counters("a", 0)), (5_000, counters("b", 30)), (NOW_MS + HOUR_MS, counters("b", 50))])
    assert (book.day, book.written, book.last_written) == ("2026-01-01", 50, None)


@pytest.mark.parametrize(
    ("story", "sent"),
    [
        ([{"wwan0": 100}, {"wwan0": 130}, {"wwan0": 150}], 50),
        ([{"wwan0": 100}, {}, {"wwan0": 150}], 50),  # lost and found, counting on
        ([{"wwan0": 100}, {}, {"wwan0": 5}], 5),  # plugged in again, counting anew
        ([{}, {"wwan0": 7}, {"wwan0": 9}], 9),  # a modem that came later
        ([{"wwan0": 100, "eth0": 0}, {"wwan0": 100, "eth0": 10_000}], 0),  # cameras are not on the bill
    ],
)
def test_what_an_interface_does_is_counted_once(story: list[dict[str, int]], sent: int) -> None:
    assert counted([(NOW_MS, counters("a", **interfaces)) for interfaces in story]).sent == sent


def test_what_was_counted_outlives_the_agent_and_a_damaged_file_does_not_end_it(kernel: Kernel) -> None:
    clock = ManualClock(wall_ms=NOW_MS)

    def watch() -> MachineWatch:
        return MachineWatch(
            kernel.root,
            clock,
            readings=lambda _wall_ms: Readings(),
            counters=lambda: sysfs.counters(kernel.root, root=kernel.root),
        )

    def today_bytes(of: MachineWatch) -> float:
        clock.advance(10)
        return next(part.numbers["today_gb"] for part in of.health() if part.part_id == "machine-writes") * 1e9

    first = watch()
    assert today_bytes(first) == 0
    kernel.written(100 + 4_000_000)
    assert today_bytes(first) == pytest.approx(2_048e6)
    first.keep()
    kernel.written(100 + 6_000_000)  # while the agent was not there
    assert today_bytes(watch()) == pytest.approx(3_072e6)
    (kernel.root / LEDGER_FILE).write_text("{")
    assert today_bytes(watch()) == 0


def test_the_machine_is_not_asked_for_every_status(kernel: Kernel) -> None:
    asked, clock = list[int](), ManualClock(wall_ms=NOW_MS)

    def readings(wall_ms: int) -> Readings:
        asked.append(wall_ms)
        return Readings()

    watch = MachineWatch(kernel.root, clock, readings=readings, counters=lambda: Counters(boot="a"))
    for _ in range(20):
        watch.health()
        clock.advance(1)
    assert len(asked) == 2


def test_this_machine_is_read_without_any_rights(tmp_path: Path) -> None:
    seen = sysfs.readings(tmp_path, certificate_file="", wall_ms=NOW_MS)
    assert seen.memory_bytes is not None
    assert seen.memory_free_bytes is not None
    assert 0 < seen.memory_free_bytes < seen.memory_bytes
    assert sysfs.counters(tmp_path).boot
