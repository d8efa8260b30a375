"""Reads what the machine measures from /sys and /proc. `root` is another folder in tests: the twin of the kernel.

Sources: the kernel's ``Documentation/ABI/testing`` (sysfs-class-thermal, sysfs-class-net-statistics,
sysfs-block ``stat``), ``Documentation/driver-api/mmc/mmc-dev-attrs.rst`` (life_time, pre_eol_info), the driver
raspberrypi-hwmon (in0_lcrit_alarm) and proc(5). A file that is missing or unreadable is a measurement that is missing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from sealwatch.edge.health.ledger import Counters
from sealwatch.edge.health.machine import Readings

_SECTOR_BYTES: Final = 512  # of the kernel's counters, whatever the disk's own sectors are


def readings(data_folder: Path, *, certificate_file: str, wall_ms: int, root: Path = Path("/")) -> Readings:
    """Everything that is judged at this moment."""
    memory = _memory(root)
    disk = _disk(data_folder, root)
    life, reserve = (None, None) if disk is None else _life(disk)
    return Readings(
        temperature_c=_temperature_c(root),
        undervolted=_undervolted(root),
        memory_free_bytes=memory.get("MemAvailable"),
        memory_bytes=memory.get("MemTotal"),
        disk_life=life,
        disk_reserve=reserve,
        disk_free_ratio=_free_ratio(data_folder),
        certificate_days=certificate_days(Path(certificate_file), wall_ms) if certificate_file else None,
    )


def counters(data_folder: Path, *, root: Path = Path("/")) -> Counters:
    """What the kernel has counted since its boot: bytes to the disk of `data_folder`, bytes of the way to the net."""
    disk = _disk(data_folder, root)
    fields = [] if disk is None else _text(disk / "stat").split()
    written = int(fields[6]) * _SECTOR_BYTES if len(fields) > 6 else None
    boot = _text(root / "proc/sys/kernel/random/boot_id")
    return Counters(boot=boot, written=written, interfaces=_interfaces(root), outward=_outward(root))


def certificate_days(path: Path, wall_ms: int) -> float | None:
    """Days until the first certificate of a PEM file ends; negative after it; None where it cannot be read."""
    try:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None
    return (ends - datetime.fromtimestamp(wall_ms / 1000, UTC)).total_seconds() / 86_400


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    try:
        return int(_text(path), 0)
    except ValueError:
        return None


def _numbers(paths: Iterable[Path]) -> list[int]:
    return [number for path in paths if (number := _number(path)) is not None]


def _temperature_c(root: Path) -> float | None:
    """The hottest zone; millidegrees Celsius."""
    return max((n / 1000 for n in _numbers((root / "sys/class/thermal").glob("thermal_zone*/temp"))), default=None)


def _undervolted(root: Path) -> bool | None:
    """Whether the firmware of a Raspberry Pi has seen too low a supply since it was last asked."""
    for sensor in (root / "sys/class/hwmon").glob("hwmon*"):
        if _text(sensor / "name") == "rpi_volt" and (alarm := _number(sensor / "in0_lcrit_alarm")) is not None:
            return alarm != 0
    return None


def _memory(root: Path) -> dict[str, int]:
    """Bytes by the names of /proc/meminfo."""
    found = {}
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[0].isdigit() and words[1] == "kB":
            found[name] = int(words[0]) * 1024
    return found


def _disk(folder: Path, root: Path) -> Path | None:
    """The whole disk that holds `folder`, below /sys; None where it is no single disk (an overlay, a network disk)."""
    try:
        device = folder.stat().st_dev
        found = (root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve(strict=True)
    except OSError:
        return None
    return found.parent if (found / "partition").exists() else found


def _free_ratio(folder: Path) -> float | None:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free / usage.total if usage.total else None


def _life(disk: Path) -> tuple[int | None, int | None]:
    """eMMC's own estimates (see `Readings`); SD cards have none. Zero means that the device does not say."""
    try:
        used = max((int(word, 16) for word in _text(disk / "device/life_time").split()), default=0)
    except ValueError:
        used = 0
    return used or None, _number(disk / "device/pre_eol_info") or None


def _interfaces(root: Path) -> dict[str, tuple[int, int]]:
    """Bytes sent and received by every interface but the loopback."""
    found = {}
    for folder in (root / "sys/class/net").glob("*"):
        sent, received = (_number(folder / f"statistics/{name}_bytes") for name in ("tx", "rx"))
        if folder.name != "lo" and sent is not None and received is not None:
            found[folder.name] = (sent, received)
    return found


def _outward(root: Path) -> tuple[str, ...]:
    """The interfaces that lead to everywhere: destination and mask of their route are 0."""
    rows = [line.split() for line in _text(root / "proc/net/route").splitlines()[1:]]
    return tuple(sorted({row[0] for row in rows if len(row) > 7 and row[1] == row[7] == "00000000"}))
