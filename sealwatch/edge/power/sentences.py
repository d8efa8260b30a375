"""What a power alarm says to people, in both languages. Times of day are China Standard Time (UTC+8)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.contract.codes import AlarmKind, DeclaredStatus, Phase

CHINA = timezone(timedelta(hours=8), "CST")


def clock_time(at_ms: float) -> str:
    """``02:10`` in China Standard Time."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(CHINA).strftime("%H:%M")


def day_and_time(at_ms: float) -> str:
    """``2024-06-05 23:15:00``, as it is in China."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S")


def kilowatts(power_w: float) -> str:
    """Watts as kilowatts, as exact as people need it: ``9`` or ``2.4``."""
    value = power_w / 1000
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.1f}".removesuffix(".0")


def power_sentences(
    kind: AlarmKind,
    phase: Phase,
    *,
    subject: str = "",
    started_ms: float,
    at_ms: float,
    numbers: Mapping[str, float],
    declared: DeclaredStatus,
) -> tuple[str, str]:
    """The sentence of a power alarm in Chinese and in English."""

    def say(language: Language) -> str:
        values: dict[str, object] = {
            "start": clock_time(started_ms),
            "end": clock_time(at_ms),
            "declared": text.say(language, f"declared.{declared}"),
        }
        if kind is AlarmKind.HOIST_LIKE_CYCLE:
            values |= {
                "end": clock_time(started_ms + 1000 * numbers["last_end_s"]),
                "trips": f"{numbers['trips']:.0f}",
                "kw": kilowatts(numbers["pulse_w"]),
                "spacing": f"{numbers['spacing_s']:.0f}",
            }
            return text.say(language, f"power.hoist.{'over' if phase is Phase.END else 'going'}", **values)
        if kind is AlarmKind.POWER_ANOMALY:
            return text.say(
                language,
                f"power.anomaly.{subject}{'_over' if phase is Phase.END else ''}",
                **values | _anomaly(numbers),
            )
        values |= {"kw": kilowatts(numbers["step_w"]), "after": kilowatts(numbers["after_w"])}
        if phase is Phase.END:
            return text.say(language, "power.step.gone", **values)
        return text.say(language, "power.step.held", before=kilowatts(numbers["before_w"]), **values)

    return say(Language.ZH), say(Language.EN)


def _anomaly(numbers: Mapping[str, float]) -> dict[str, object]:
    """The figures of an anomaly as people read them; what a rule does not give stays empty."""
    return {
        "kw": kilowatts(numbers.get("mean_w", 0.0)),
        "limit": kilowatts(numbers.get("limit_w", 0.0)),
        "minutes": f"{numbers.get('minutes', 0):.0f}",
        "nights": f"{numbers.get('nights', 0):.0f}",
        "hour": f"{numbers.get('hour', 0):.0f}",
        "active": f"{numbers.get('active_minutes', 0):.0f}",
        "like": f"{100 * numbers.get('similarity', 0):.0f}",
        "share": f"{100 * numbers.get('share', 0):.0f}",
        "usual": f"{100 * numbers.get('usual_share', 0):.0f}",
    }


def meter_sentences(meter_id: str, subject: str, phase: Phase, *, started_ms: float, at_ms: float) -> tuple[str, str]:
    """The sentence of something that a meter tells about itself."""

    def say(language: Language) -> str:
        what = text.say(language, f"power.told.{subject}")
        if phase is Phase.END:
            return text.say(language, "power.meter.quiet", meter=meter_id, what=what, end=clock_time(at_ms))
        return text.say(language, "power.meter.told", meter=meter_id, what=what, start=clock_time(started_ms))

    return say(Language.ZH), say(Language.EN)


def fault_sentences(meter_id: str, reason: str, *, started_ms: float, ended_ms: float | None) -> tuple[str, str]:
    """The sentence of a meter that can't be read (`ended_ms` None) or can again."""

    def say(language: Language) -> str:
        start = clock_time(started_ms)
        if ended_ms is not None:
            return text.say(language, "power.meter.back", meter=meter_id, start=start, end=clock_time(ended_ms))
        return text.say(
            language, "power.meter.lost", meter=meter_id, start=start, why=text.say(language, f"power.why.{reason}")
        )

    return say(Language.ZH), say(Language.EN)
