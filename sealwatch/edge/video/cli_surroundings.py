"""`sealwatch edge surroundings`: what is known of the surroundings of a seal, and learning them anew."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sealwatch.base import text
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.edge.config import VIEW_FOLDER, data_dir, load_node
from sealwatch.edge.video.change_keep import FileSurroundings, surroundings_file
from sealwatch.edge.video.change_map import LEARN_COMPOSITES, PARTS_OF_DAY
from sealwatch.edge.video.views import ViewError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--config", type=Path, required=True, metavar="node.toml")
    parser.add_argument("--renew", metavar="CAMERA", help="learn this camera's surroundings anew; the service is told")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show what is known, or renew it. Raises UsageError, CommandFailed."""
    node, language = load_node(arguments.config), text.terminal_language()
    folder = data_dir(node, arguments.config) / VIEW_FOLDER
    if arguments.renew is not None:
        if arguments.renew not in {camera.camera_id for camera in node.cameras}:
            raise UsageError(f"{arguments.config}: there is no camera {arguments.renew}")
        try:
            surroundings_file(folder, arguments.renew).unlink(missing_ok=True)
        except OSError as error:
            raise CommandFailed(f"{surroundings_file(folder, arguments.renew)}: {error.strerror}") from None
        print(text.say(language, "surroundings.renewed", camera=arguments.renew))
        return 0
    table = Table(title=text.say(language, "surroundings.title"))
    for column in ("camera", "learnt", "restless"):
        table.add_column(text.say(language, f"surroundings.column.{column}"))
    for camera in node.cameras:
        table.add_row(camera.camera_id, *_row(folder, camera.camera_id, language))
    Console().print(table)
    return 0


def _row(folder: Path, camera_id: str, language: text.Language) -> tuple[str, str]:
    try:
        kept = FileSurroundings(folder, camera_id).load()
    except ViewError as error:
        return str(error), ""
    if kept is None:
        return text.say(language, "surroundings.nothing"), ""
    learnt = sum(reference.learnt >= LEARN_COMPOSITES for reference in kept.references.values())
    restless = [float(reference.restless.mean()) for reference in kept.references.values()]
    share = sum(restless) / len(restless) if restless else 0.0
    return text.say(language, "surroundings.parts", learnt=learnt, parts=PARTS_OF_DAY), f"{share:.0%}"
