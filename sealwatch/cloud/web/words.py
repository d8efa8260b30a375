"""Times, durations and quantities as people read them. Pure; every unit is shown.

Local time is that of the sites, UTC+8 all year (China has had no daylight saving time since 1991), wherever the server
or the reader stands.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from sealwatch.base import text
from sealwatch.base.text import Language

LOCAL: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400
_JUST_NOW_S: Final = 10
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def local(at_ms: int) -> datetime:
    """A moment in the sites' local time."""
    return datetime.fromtimestamp(at_ms / 1000, LOCAL)


def iso(at_ms: int) -> str:
    """A moment for machines: RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock_time(language: Language, at_ms: int, now_ms: int) -> str:
    """Local time with seconds; the day beside it when it is not today's, the year when it is not this year's."""
    at, now = local(at_ms), local(now_ms)
    time = at.strftime("%H:%M:%S")
    if at.date() == now.date():
        return time
    month = at.month if language is Language.ZH else _MONTHS[at.month - 1]
    day = text.say(language, "web.time.day", day=at.day, month=month)
    if at.year != now.year:
        day = text.say(language, "web.time.day_of_year", day=day, year=at.year)
    return f"{day} {time}"


def ago(language: Language, at_ms: int, now_ms: int) -> str:
    """How long ago, in the one unit that matters. A moment ahead of our clock is 'just now': clocks differ a little."""
    age_s = (now_ms - at_ms) // 1000
    if age_s < _JUST_NOW_S:
        return text.say(language, "web.time.just_now")
    for limit_s, unit_s, key in (
        (_MINUTE_S, 1, "seconds"),
        (_HOUR_S, _MINUTE_S, "minutes"),
        (_DAY_S, _HOUR_S, "hours"),
    ):
        if age_s < limit_s:
            return text.say(language, f"web.time.{key}_ago", n=age_s // unit_s)
    return text.say(language, "web.time.days_ago", n=age_s // _DAY_S)


def lasting(language: Language, duration_ms: int) -> str:
    """A duration, to the second below an hour and to the minute above."""
    seconds = max(0, duration_ms) // 1000
    if seconds < _MINUTE_S:
        return text.say(language, "web.time.seconds", n=seconds)
    if seconds < _HOUR_S:
        minutes, rest = divmod(seconds, _MINUTE_S)
        if rest == 0:
            return text.say(language, "web.time.minutes", n=minutes)
        return text.say(language, "web.time.minutes_seconds", n=minutes, seconds=rest)
    hours, rest = divmod(seconds // _MINUTE_S, _MINUTE_S)
    return text.say(language, "web.time.hours_minutes", n=hours, minutes=rest)


def lasting_roughly(language: Language, duration_ms: int) -> str:
    """A duration without the seconds once it is longer than a minute: for what still goes on."""
    return lasting(language, duration_ms if duration_ms < _MINUTE_S * 1000 else duration_ms // 60_000 * 60_000)


def power(watts: float) -> str:
    """Power with three significant figures at most: 85 W, 2.94 kW, 55 kW."""
    if abs(watts) < 1000:
        return f"{watts:.0f} W"
    kilowatts = watts / 1000
    digits = 2 if abs(kilowatts) < 10 else 1 if abs(kilowatts) < 100 else 0
    return f"{kilowatts:.{digits}f}".rstrip("0").rstrip(".") + " kW" if digits else f"{kilowatts:.0f} kW"


def distance(metres: float) -> str:
    """A distance on the ground: 35 m, 1.2 km, 58 km."""
    if metres < 1000:
        return f"{metres:.0f} m"
    return f"{metres / 1000:.1f} km" if metres < 10_000 else f"{metres / 1000:.0f} km"


def megabytes(size_bytes: int) -> str:
    """The size of a file to download."""
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:.0f} kB"


_UNITS: Final = {
    "w": "W", "kw": "kW", "kwh": "kWh", "wh": "Wh", "v": "V", "a": "A", "s": "s", "ms": "ms", "px": "px",
    "hz": "Hz", "db": "dB", "dbm": "dBm", "percent": "%", "c": "°C", "mb": "MB", "m": "m",
}  # fmt: skip


def reading(name: str, value: float) -> str:
    """A named figure with the unit its name ends in: ("mean_period_s", 118.2) is "118.2 s"."""
    unit = _UNITS.get(name.rpartition("_")[2], "") if "_" in name else ""
    figure = f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.4g}"
    return f"{figure} {unit}".rstrip()


def phrase(language: Language, key: str, fallback: str) -> str:
    """The catalogue's sentence, or `fallback` where a newer node or service uses a word this version lacks."""
    return text.say(language, key) if key in text.catalogue() else fallback
