"""`sealwatch models`: fetch, list, evaluate."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from sealwatch.base import text
from sealwatch.base.errors import UsageError
from sealwatch.models import build, fetch, manifest, store
from sealwatch.models.build import State
from sealwatch.models.errors import ModelError
from sealwatch.models.evaluate import Evaluation, evaluate
from sealwatch.models.manifest import ModelSpec, Precision, SourceSpec, Variant
from sealwatch.models.runtime import Detector


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the room's commands."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("fetch", help="download, check and build the detection models that are missing")
    one.add_argument(
        "--calibrate", type=Path, metavar="CLIP", help="also learn the INT8 ranges from this clip or folder of pictures"
    )
    one.set_defaults(run=run_fetch)
    one = commands.add_parser("list", help="show which models are built")
    one.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    one.set_defaults(run=run_list)
    one = commands.add_parser("evaluate", help="measure a model on labelled pictures")
    one.add_argument("images", type=Path, metavar="IMAGES", help="folder of pictures")
    one.add_argument("--labels", type=Path, required=True, help="folder of YOLO label files, one per picture")
    one.add_argument("--person-class", type=int, default=0, metavar="ID", help="the labels' number for a person (0)")
    one.add_argument("--model", type=Path, action="append", help=".onnx file or manifest; may be given several times")
    one.add_argument("--threads", type=int, choices=range(1, 65), default=1, metavar="N", help="processor cores (1)")
    one.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    one.set_defaults(run=run_evaluate)


def run_fetch(arguments: argparse.Namespace) -> int:
    """Make every variant of the packaged models that can be made; nothing where all are there."""
    folder, console = store.folder(), Console(stderr=True, highlight=False)
    clip: Path | None = arguments.calibrate
    if clip is not None and not clip.exists():
        raise UsageError(f"{clip}: no such clip or folder; name one to calibrate on, or leave --calibrate out")
    with fetch.locked(folder):
        for model in manifest.packaged().model:
            if model.source is not None:
                _complete(folder, model, model.source, clip, console)
    print(_say("models.ready", folder=folder))
    return 0


def _complete(folder: Path, model: ModelSpec, source: SourceSpec, clip: Path | None, console: Console) -> None:
    """Build the variants of one model that are not ready: first the fp32 ones, then INT8 from them."""
    wanted = [v for v in model.variant if build.state_of(folder, v) is not State.READY]
    plain = [v for v in wanted if v.precision is Precision.FP32]
    if plain:
        source_folder = _source(folder, source, console)
        for variant in plain:
            with console.status(_say("models.building", file=variant.file)):
                build.convert_variant(folder, model, variant, source_folder)
            console.print(_say("models.built", file=variant.file, size_mb=_size_mb(folder, variant)), soft_wrap=True)
    for variant in model.variant:
        due = variant in wanted and build.state_of(folder, variant) is not State.REFUSED
        if variant.precision is Precision.INT8 and (due or clip is not None):
            _quantise(folder, model, variant, clip, console)


def _quantise(folder: Path, model: ModelSpec, variant: Variant, clip: Path | None, console: Console) -> None:
    """Build one INT8 variant, or say why the fp32 one stays in use."""
    try:
        with console.status(_say("models.building", file=variant.file)):
            made = build.quantise_variant(folder, model, variant, clip)
    except ModelError as error:
        console.print(_say("models.kept_fp32", reason=error), soft_wrap=True)
        return
    values = {"source": made.source, "pictures": made.pictures, "agreement": f"{made.agreement:.2f}"}
    console.print(
        _say("models.built_int8", file=variant.file, size_mb=_size_mb(folder, variant), **values), soft_wrap=True
    )


def _source(folder: Path, source: SourceSpec, console: Console) -> Path:
    """The source's files, downloaded with a progress bar if they are not kept yet."""
    if not fetch.missing_files(store.source_folder(folder, source), source):
        return store.source_folder(folder, source)
    kept_mb = f"{sum(f.size_bytes for f in source.file) / 1e6:.1f}"
    size_mb = round(source.download_bytes / 1e6)
    console.print(_say("models.fetching", package=source.requirement, size_mb=size_mb, kept_mb=kept_mb), soft_wrap=True)
    columns = (TextColumn("  "), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        task = progress.add_task("", total=source.download_bytes)

        def report(done_bytes: int) -> None:
            progress.update(task, completed=min(done_bytes, source.download_bytes))

        packer = fetch.NpmPacker(lambda key: progress.console.print(_say(key), soft_wrap=True))
        result = fetch.fetch(source, folder, packer, report)
    console.print(_say("models.checked", files=", ".join(f.file_name for f in source.file)), soft_wrap=True)
    return result


def run_list(arguments: argparse.Namespace) -> int:
    """Show what the model store holds."""
    folder = store.folder()
    default = store.best_built(folder)
    rows = [
        _row(folder, model, variant, is_default=default is not None and default[1].file == variant.file)
        for model in manifest.packaged().model
        for variant in model.variant
    ]
    if arguments.json:
        _print_json({"folder": str(folder), "variants": rows})
        return 0
    console = Console(highlight=False)
    for model in manifest.packaged().model:
        table = Table(title=_say("models.list_title", model=model.summary, folder=folder))
        for column in ("file", "state", "input", "precision", "note"):
            table.add_column(_say(f"models.column.{column}"), overflow="fold")
        for row in (r for r in rows if r["model"] == model.name):
            notes = [_say("models.default")] if row["default"] else []
            calibration = row["calibration"]
            if isinstance(calibration, dict):
                notes.append(_say("models.note.calibration", **calibration))
            size = f"{row['width_px']}x{row['height_px']}"
            state = _say(f"models.state.{row['state']}")
            table.add_row(str(row["file"]), state, size, str(row["precision"]), "; ".join(notes))
        console.print(table)
    return 0


def _row(folder: Path, model: ModelSpec, variant: Variant, *, is_default: bool) -> dict[str, object]:
    record = build.read_record(folder, variant)
    return {
        "model": model.name,
        "file": variant.file,
        "state": build.state_of(folder, variant).value,
        "default": is_default,
        "width_px": variant.width_px,
        "height_px": variant.height_px,
        "precision": variant.precision.value,
        "calibration": None if record is None else msgspec.to_builtins(record.calibration),
    }


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Measure one or more models on a labelled set."""
    results: list[tuple[str, Evaluation]] = []
    for path in arguments.model or [None]:
        detector = Detector.load(path, threads=arguments.threads)
        results.append((detector.variant.file, _evaluate_with_progress(detector, arguments)))
    if arguments.json:
        _print_json([{"model": name} | msgspec.to_builtins(result) for name, result in results])
        return 0
    console, first = Console(highlight=False), results[0][1]
    console.print(
        _say(
            "models.evaluate.set",
            pictures=first.pictures,
            persons=first.persons,
            unlabelled=first.unlabelled_pictures,
            unreadable=first.unreadable_pictures,
        )
    )
    console.print(_table(results))
    return 0


def _evaluate_with_progress(detector: Detector, arguments: argparse.Namespace) -> Evaluation:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(detector.variant.file)
        return evaluate(
            detector,
            arguments.images,
            arguments.labels,
            person_class=arguments.person_class,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


def _table(results: list[tuple[str, Evaluation]]) -> Table:
    table = Table()
    table.add_column(_say("models.evaluate.model"), overflow="fold", min_width=28)
    for column in ("ap_50", "ap_30"):
        table.add_column(_say(f"models.evaluate.{column}"), justify="right")
    for rate in results[0][1].rates:
        table.add_column(_say("models.evaluate.hit", threshold=rate.threshold), justify="right")
        table.add_column(_say("models.evaluate.false", threshold=rate.threshold), justify="right")
    table.add_column(_say("models.evaluate.distrusted"), justify="right")
    for column in ("ms", "cpu_ms"):
        table.add_column(_say(f"models.evaluate.{column}"), justify="right")
    for name, result in results:
        cells = [_figure(result.ap_50), _figure(result.ap_30)]
        for rate in result.rates:
            cells += [f"{rate.hit}/{rate.with_persons}", f"{rate.false}/{rate.without_persons}"]
        table.add_row(
            name,
            *cells,
            str(result.distrusted_boxes),
            f"{result.median_ms:.0f}/{result.p95_ms:.0f}",
            f"{result.cpu_median_ms:.0f}",
        )
    return table


def _figure(value: float | None) -> str:
    return _say("models.evaluate.none") if value is None else f"{value:.3f}"


def _size_mb(folder: Path, variant: Variant) -> str:
    return f"{(folder / variant.file).stat().st_size / 1e6:.1f}"


def _say(key: str, **values: object) -> str:
    return text.say(text.terminal_language(), key, **values)


def _print_json(value: object) -> None:
    json.dump(value, sys.stdout, indent=2)
    print()
