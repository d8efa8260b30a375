"""``sealwatch edge meter | replay-power | profile``: tools for the installer and for recorded power."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

from sealwatch.base import text
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.edge.config import MeterSettings
from sealwatch.edge.ports import MeterBus, MeterError
from sealwatch.edge.power import replay, scan, weekly
from sealwatch.edge.power.bus import Lines
from sealwatch.edge.power.decode import PROTOCOLS, explain, from_hex
from sealwatch.edge.power.plausible import Doubt, doubts
from sealwatch.edge.power.profiles import load_profile, profile_names
from sealwatch.edge.power.sentences import day_and_time, kilowatts

_BLOCKS = " ▁▂▃▄▅▆▇█"
configure_replay_power = replay.configure
configure_profile = weekly.configure


def configure_meter(parser: argparse.ArgumentParser) -> None:
    """Add ``decode | scan | read | watch | test``."""
    commands = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    decode = commands.add_parser("decode", help="frames in hex, in words", description="Frames in hex, in words.")
    decode.add_argument("--protocol", type=str.lower, choices=sorted(PROTOCOLS), default="dlt645-2007")
    decode.add_argument("--address", default="", help="frames of other addresses are 'foreign'")
    decode.add_argument(
        "hex", nargs="*", metavar="HEX", help="bytes of one capture; without, one capture a line on stdin"
    )
    decode.set_defaults(run=run_decode)
    for name, run, summary in (
        ("scan", run_scan, "find protocol, speed and address of the meter on a line; of Modbus it takes minutes"),
        ("read", run_read, "read everything once"),
        ("watch", run_watch, "live power with a small plot"),
        ("test", run_test, "read for a while and say in words what is wrong"),
    ):
        task = commands.add_parser(name, help=summary, description=summary)
        task.add_argument("--url", required=True, help="tcp://host:port, serial:/dev/ttyUSB0 or modbus-tcp://host:502")
        task.add_argument("--baud", type=_number(300, 115_200, int), default=2400)
        task.add_argument("--json", action="store_true")
        if name == "scan":
            task.add_argument("--protocol", choices=scan.PROTOCOLS, help="only this one (default: each in turn)")
        else:
            task.add_argument("--address", required=True, help="as printed on the meter")
            task.add_argument("--profile", default="dlt645-2007-three-phase", choices=profile_names())
            task.add_argument("--ratio", type=_number(1e-3, 1e5), default=1.0, help="CT ratio times PT ratio")
        if name in ("watch", "test"):
            task.add_argument("--seconds", type=_number(0, 1e9), default=0 if name == "watch" else 20)
        task.set_defaults(run=run)


def _number(least: float, most: float, kind: type[int | float] = float) -> Callable[[str], float]:
    """A number from `least` to `most`, as an option wants it; argparse tells what is none."""

    def number(written: str) -> float:
        value = kind(written)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{written} is not from {least:g} to {most:g}")
        return value

    return number


def run_decode(arguments: argparse.Namespace) -> int:
    """One JSON object per frame. What is no hex is an object too, is told by its line, and the rest go on."""
    if arguments.hex:
        if not _tell_frames(arguments, " ".join(arguments.hex), "HEX"):
            raise CommandFailed("what was given is no hex; give bytes such as 68 01 00 ... 16")
        return 0
    wrong = 0
    for number, line in enumerate(sys.stdin.buffer, start=1):
        capture = line.decode("utf-8-sig", errors="replace").strip()
        if capture:
            wrong += not _tell_frames(arguments, capture, f"line {number}")
    if wrong:
        raise CommandFailed(f"{wrong} lines on standard input are no hex")
    return 0


def _tell_frames(arguments: argparse.Namespace, capture: str, where: str) -> bool:
    """Write the frames of a capture; False, and an object that says so, where it is no hex."""
    try:
        facts = explain(arguments.protocol, from_hex(capture), address=arguments.address)
    except UsageError as error:
        sys.stderr.write(f"{where}: {error}\n")
        facts = [{"status": "not_hex", "protocol": arguments.protocol, "detail": str(error)}]
    for fact in facts:
        sys.stdout.write(json.dumps(fact, ensure_ascii=False) + "\n")
    return bool(facts[0]["status"] != "not_hex")


def run_scan(arguments: argparse.Namespace) -> int:
    """Ask any meter for its address, in every protocol and at the usual speeds."""

    def told(protocol: str, baud: int, error: MeterError) -> None:
        sys.stderr.write(f"{protocol}, {baud} bit/s: {explain_failure(error)}\n")

    wanted = [arguments.protocol] if arguments.protocol else scan.PROTOCOLS
    try:
        found = scan.scan(arguments.url, wanted, baud=arguments.baud, told=told)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if found is None:
        raise CommandFailed(
            f"no meter answers on {arguments.url}; check power, wires A/B and that one meter is on the line"
        )
    if arguments.json:
        sys.stdout.write(json.dumps(asdict(found)) + "\n")
        return 0
    sys.stdout.write(f"meter {found.address} at {found.baud} bit/s, {found.protocol}\n")
    for name in found.profiles:
        sys.stdout.write(f"--profile {name}  {load_profile(name).title_zh} / {load_profile(name).title_en}\n")
    return 0


def run_read(arguments: argparse.Namespace) -> int:
    """Every quantity of the profile, and doubts about them."""
    with _opened(arguments) as bus:
        values, refused = _everything(bus, arguments)
    if refused:
        sys.stderr.write(f"{text.say('zh', 'power.why.exception')} / the meter does not tell: {', '.join(refused)}\n")
    found = doubts(values)
    if arguments.json:
        answer = {"values": values, "doubts": [d.reason for d in found]}
        sys.stdout.write(json.dumps(answer) + "\n")
        return 0
    for name, value in values.items():
        shown = day_and_time(1000 * value) if name.endswith("_unix_s") else f"{value:.3f}"
        sys.stdout.write(f"{name:34} {shown:>19}\n")
    _say(found)
    return 0


def _everything(bus: MeterBus, arguments: argparse.Namespace) -> tuple[dict[str, float], list[str]]:
    """What the meter tells, and the quantities of its profile that it refuses. Raises CommandFailed."""
    values: dict[str, float] = {}
    refused: list[str] = []
    for quantity in load_profile(arguments.profile).quantities:
        try:
            values |= bus.read(arguments.address, [quantity]) if quantity not in values else {}
        except MeterError as error:
            if error.reason != "exception":
                raise CommandFailed(explain_failure(error)) from None
            refused.append(quantity)
    return values, refused


def _say(found: Sequence[Doubt]) -> None:
    for doubt in found:
        sys.stdout.write(text.say("zh", f"power.doubt.{doubt.reason}") + "\n")
        sys.stdout.write(text.say("en", f"power.doubt.{doubt.reason}") + "\n")


def run_watch(arguments: argparse.Namespace) -> int:
    """A line a second: power, and a plot of the last minute."""
    history: list[float] = []
    with _opened(arguments) as bus:
        for power_w in _powers(bus, arguments):
            if power_w is None:
                continue
            history = [*history[-59:], power_w]
            if arguments.json:
                sys.stdout.write(json.dumps({"active_power_w": power_w}) + "\n")
            else:
                sys.stdout.write(f"{kilowatts(power_w):>8} kW  {spark(history)}\n")
            sys.stdout.flush()
    return 0


def run_test(arguments: argparse.Namespace) -> int:
    """Read for a while, then everything once; exit 1 with the cause where fewer than 99 % of the readings came."""
    failed: dict[str, int] = {}
    found: list[Doubt] = []
    with _opened(arguments) as bus:
        powers = list(_powers(bus, arguments, failed))
        good = [p for p in powers if p is not None]
        if good and not failed:
            found = doubts(_everything(bus, arguments)[0])
    facts: dict[str, Any] = {"readings": len(powers), "good": len(good), "failed": failed}
    facts["doubts"] = [doubt.reason for doubt in found]
    if arguments.json:
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        sys.stdout.write(f"{len(good)} of {len(powers)} readings are good\n")
        _say(found)
    if len(good) < 0.99 * len(powers) or not good:
        # The first of late answers looks like none: the reason that helps stands before silence.
        worst = max(failed, key=lambda r: (failed[r], r != "silent"), default="silent")
        raise CommandFailed(
            f"{text.say('zh', f'power.why.{worst}')} / {text.say('en', f'power.why.{worst}')}: {failed}"
        )
    return 0


def explain_failure(error: MeterError) -> str:
    """What went wrong, in words."""
    return f"{text.say('zh', f'power.why.{error.reason}')} / {error.detail}"


def spark(values: Sequence[float]) -> str:
    """A plot one character high, from zero to the highest value."""
    top = max(*values, 1.0)
    return "".join(_BLOCKS[max(0, min(8, round(8 * v / top)))] for v in values)


def _opened(arguments: argparse.Namespace) -> closing[MeterBus]:
    digits = arguments.address
    if not (digits.isdigit() and len(digits) <= 12):
        raise UsageError(f"--address {digits}: give up to 12 digits")
    meter = MeterSettings(
        meter_id="meter",
        url=arguments.url,
        address=digits,
        profile=arguments.profile,
        baud=arguments.baud,
        transformer_ratio=arguments.ratio,
    )
    return closing(Lines().bus(meter))


def _powers(
    bus: MeterBus, arguments: argparse.Namespace, failed: dict[str, int] | None = None
) -> Iterator[float | None]:
    """A reading a second, for `--seconds` (0: until interrupted); failures are said and counted."""
    begun_s = time.monotonic()
    count = 0
    while not arguments.seconds or time.monotonic() - begun_s < arguments.seconds:
        try:
            yield bus.read(arguments.address, ["active_power_w"])["active_power_w"]
        except (MeterError, KeyError) as error:
            problem = error if isinstance(error, MeterError) else MeterError("garbage", "no total active power")
            sys.stderr.write(explain_failure(problem) + "\n")
            if failed is not None:
                failed[problem.reason] = failed.get(problem.reason, 0) + 1
            yield None
        count += 1
        time.sleep(max(0.0, begun_s + count - time.monotonic()))


def main(argv: Sequence[str] | None = None) -> int:
    """The three commands by themselves: ``python -m sealwatch.edge.power.cli``."""
    parser = argparse.ArgumentParser(prog="sealwatch edge")
    rooms = parser.add_subparsers(dest="command", required=True)
    configure_meter(rooms.add_parser("meter"))
    configure_replay_power(rooms.add_parser("replay-power"))
    configure_profile(rooms.add_parser("profile"))
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except UsageError as error:
        sys.stderr.write(f"sealwatch: {error}\n")
        return 2
    except CommandFailed as error:
        sys.stderr.write(f"sealwatch: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
