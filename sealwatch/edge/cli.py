"""`sealwatch edge`: run the agent, check what it is connected to, show its key, replay recordings."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

from sealwatch.base import text
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.redact import RedactingFormatter
from sealwatch.base.text import Language
from sealwatch.edge import identity
from sealwatch.edge.config import VIEW_FOLDER, data_dir, load_node

# Command -> (module, its configure function, help). Offered where the module is there, imported only when called.
_ELSEWHERE: Final = {
    "enrol": ("sealwatch.edge.enrolment.cli", "configure", "make this machine a node, with a one-time token"),
    "cameras": (
        "sealwatch.edge.cameras.cli",
        "configure",
        "find cameras by ONVIF, read their streams, and what to set",
    ),
    "challenge": (
        "sealwatch.edge.video.cli_challenge",
        "configure",
        "flash a camera's lamp and see whether it follows",
    ),
    "replay": ("sealwatch.edge.cli_replay", "configure", "a recorded video through the camera's chain"),
    "update": ("sealwatch.edge.update.cli", "configure", "updates of agent and model: how they stand, now, back"),
    "diagnostics": ("sealwatch.edge.diagnostics.cli", "configure", "one file that says how this node is, redacted"),
    "page": ("sealwatch.edge.page.cli", "configure", "who may use the installer's page on the node"),
    "meter": ("sealwatch.edge.power.cli", "configure_meter", "ask a meter"),
    "surroundings": (
        "sealwatch.edge.video.cli_surroundings",
        "configure",
        "what is known of the surroundings of a seal; learn them anew",
    ),
    "pack": ("sealwatch.edge.recorder.cli", "configure_pack", "evidence of an alarm or a stretch of time into a file"),
    "replay-power": ("sealwatch.edge.power.cli", "configure_replay_power", "recorded power through the meter's rules"),
    "profile": ("sealwatch.edge.power.cli", "configure_profile", "the kinds of meters that are known"),
}


class _LazyParser(argparse.ArgumentParser):
    """A parser that gets its arguments from another module once it is really used."""

    source: tuple[str, str] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        if self.source is not None:
            (module, function), self.source = self.source, None
            getattr(_load(module), function)(self)
        return super().parse_known_args(args, namespace)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the commands of the edge."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_LazyParser)
    summary = "run the agent until it is told to stop"
    run = _with_config(commands.add_parser("run", help=summary, description=summary))
    run.add_argument("--verbose", action="store_true", help="log more")
    run.set_defaults(run=_run)
    summary = "try every camera, every meter, disk, model, clock and broker; exit code 1 where something is wrong"
    check = _with_config(commands.add_parser("check", help=summary, description=summary))
    check.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    check.add_argument("--lang", choices=[str(language) for language in Language], help="language of the table (zh)")
    check.set_defaults(run=_check)
    summary = "print the node's public key, for the registry of the service; made where there is none yet"
    key = _with_config(commands.add_parser("key", help=summary, description=summary))
    key.set_defaults(run=_key)
    summary = "take what a camera shows at the next start as its true view, after it was moved on purpose"
    forget = _with_config(commands.add_parser("forget-view", help=summary, description=summary))
    forget.add_argument("camera", metavar="CAMERA", help="the camera's id")
    forget.set_defaults(run=_forget_view)
    for name, (module, function, summary) in _ELSEWHERE.items():
        if importlib.util.find_spec(module) is not None:
            commands.add_parser(name, help=summary, description=summary).source = (module, function)


def _with_config(command: _LazyParser) -> _LazyParser:
    command.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the node's configuration, node.toml"
    )
    return command


def _load(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "sealwatch":
            raise
        raise UsageError(
            f"this needs the package '{error.name}', which is not installed; run: pip install 'sealwatch[edge]'"
        ) from None


def _run(arguments: argparse.Namespace) -> int:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.INFO, handlers=[handler])
    ring = _load("sealwatch.edge.diagnostics.bundle").LogRing()
    logging.getLogger().addHandler(ring)
    configuring = _load("sealwatch.edge.configuring")
    configuring.settle(arguments.config)
    try:
        agent = _load("sealwatch.edge.agent").Agent(load_node(arguments.config), arguments.config, log_lines=ring.lines)
    except UsageError as error:
        if not configuring.give_up(arguments.config, error):
            raise
        logging.getLogger(__name__).warning("a pushed configuration cannot be started and is put back: %s", error)
        _begin_anew()
    code = int(agent.run())
    if agent.restart_wanted:
        _begin_anew()
    return code


def _begin_anew() -> NoReturn:
    """The same program in the same process, so that systemd sees one service that goes on."""
    logging.shutdown()
    start, slots = os.environ.get("SEALWATCH_START"), os.environ.get("SEALWATCH_SLOTS")
    if start and slots:  # another slot may be the one to use now
        os.execv(start, [start, slots, *sys.argv[1:]])  # noqa: S606 - the command that we were started with
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - exactly the command that we were started with


def _check(arguments: argparse.Namespace) -> int:
    check = _load("sealwatch.edge.check")
    findings = check.check_node(load_node(arguments.config), arguments.config)
    if arguments.json:
        print(check.as_json(findings))
    else:
        check.print_table(findings, Language(arguments.lang or text.Language.ZH))
    sys.stdout.flush()
    code = 0 if check.passed(findings) else 1
    if any(finding.reason == "no_answer" for finding in findings):
        os._exit(code)  # a probe hangs inside a library on its own thread; it would break the interpreter's end
    return code


def _key(arguments: argparse.Namespace) -> int:
    node = load_node(arguments.config)
    print(identity.load_or_create(data_dir(node, arguments.config)).public_key_text)
    return 0


def _forget_view(arguments: argparse.Namespace) -> int:
    node = load_node(arguments.config)
    there = [camera.camera_id for camera in node.cameras]
    if arguments.camera not in there:
        raise UsageError(f"no camera '{arguments.camera}'; there are: {', '.join(there) or 'none'}")
    path = _load("sealwatch.edge.video.views").view_file(
        data_dir(node, arguments.config) / VIEW_FOLDER, arguments.camera
    )
    try:
        path.unlink()
    except FileNotFoundError:
        raise CommandFailed(
            f"camera {arguments.camera} has no view that is kept; it is learnt when the agent runs"
        ) from None
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}; check the folder, its owner and its rights") from None
    print(f"view of camera {arguments.camera} forgotten; restart the agent and it learns what it sees then")
    return 0
