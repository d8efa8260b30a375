"""``sealwatch simulate fleet``: a county's or a province's nodes against a broker on this machine."""

from __future__ import annotations

import argparse
import ipaddress
import resource
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from sealwatch.base import text
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.mqtt import MqttSettings, address
from sealwatch.simulator import fleet_plan

_MOST = 20_000
_SPARE_FILES = 64


def configure(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    summary = (
        "many nodes of mixed behaviour against a broker on this machine: states, samples, alarms, a reconnect storm"
    )
    parser = commands.add_parser("fleet", help=summary, description=summary)
    parser.add_argument("--nodes", type=int, default=100, metavar="N", help=f"1 to {_MOST} (100)")
    parser.add_argument("--broker", default="mqtt://127.0.0.1:1883", metavar="URL", help="mqtt://127.0.0.1:PORT")
    parser.add_argument("--for", dest="seconds", type=float, default=60.0, metavar="SECONDS", help="how long (60)")
    parser.add_argument("--storm-at", type=float, metavar="SECOND", help="every link breaks at this second")
    parser.add_argument("--seed", type=int, default=1, help="the same seed does the same (1)")
    parser.add_argument(
        "--registry", type=Path, metavar="FILE", help="only write the sites and nodes for cloud.toml into FILE, and end"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    language = text.terminal_language()
    if not 1 <= arguments.nodes <= _MOST:
        raise UsageError(f"--nodes {arguments.nodes}: 1 to {_MOST} nodes can be simulated")
    if not 1 <= arguments.seconds <= 86_400:
        raise UsageError(f"--for {arguments.seconds:g}: 1 to 86400 seconds")
    if arguments.registry is not None:
        arguments.registry.write_text(fleet_plan.registry(arguments.nodes, arguments.seed), encoding="utf-8")
        print(text.say(language, "simulate.fleet.registry", nodes=arguments.nodes, file=arguments.registry))
        return 0
    host, port = address(MqttSettings(url=arguments.broker))
    if not _is_here(host) or not arguments.broker.startswith("mqtt://"):
        raise UsageError(f"--broker {arguments.broker}: a load test is only for mqtt:// on this machine (127.0.0.1)")
    _make_room(arguments.nodes)
    from sealwatch.simulator.fleet import Fleet, Report

    report = Fleet(
        host, port, nodes=arguments.nodes, seconds=arguments.seconds, storm_at_s=arguments.storm_at, seed=arguments.seed
    ).run()
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(report, Report.__struct_fields__, language)
    if not report.connected:
        raise CommandFailed(f"no node could connect to {arguments.broker}; start the broker first")
    return 0 if report.waiting == 0 else 1


def _show(report: object, fields: tuple[str, ...], language: text.Language) -> None:
    table = Table(title=text.say(language, "simulate.fleet.title"), show_header=False)
    for name in fields:
        value = getattr(report, name)
        shown = ", ".join(f"{key} {count}" for key, count in value.items()) if isinstance(value, dict) else value
        table.add_row(text.say(language, f"simulate.fleet.{name}"), str("–" if shown is None else shown))
    Console().print(table)


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _make_room(nodes: int) -> None:
    """A connection is an open file. Raises UsageError where this user may not open so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = nodes + _SPARE_FILES
    if wanted > hard:
        raise UsageError(f"--nodes {nodes}: this user may open {hard} files; raise `ulimit -n`, or take fewer nodes")
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
