"""The one place where a node's configuration file is changed by a program: whole or not at all, and always valid.

What people wrote around the changed part (order, comments, spelling of numbers) stays as it was.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import tomlkit
from msgspec import Struct
from tomlkit.items import AoT, Array, InlineTable, Table

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.files import replace_file
from sealwatch.base.settings import read_text
from sealwatch.edge.config import (
    CameraSettings,
    LineSettings,
    NodeSettings,
    RegionSettings,
    ZoneSettings,
    drawn_twice,
    parse_node,
)

_DIGITS = 4  # of a coordinate: a ten-thousandth of the picture is finer than any finger


class ChangedMeanwhileError(CommandFailed):
    """Somebody else has written the file since it was read."""


class Drawn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is drawn on one camera's picture; the same fields as in its `[[cameras]]` table."""

    zones: list[ZoneSettings] = []
    lines: list[LineSettings] = []
    equipment: list[RegionSettings] = []


def drawn_of(camera: CameraSettings) -> Drawn:
    """What is drawn on the picture of `camera`."""
    return Drawn(zones=camera.zones, lines=camera.lines, equipment=camera.equipment)


def revision(text: str) -> str:
    """Names exactly this text of a configuration file."""
    return hashlib.sha256(text.encode()).hexdigest()


def with_drawn(text: str, camera_id: str, drawn: Drawn) -> str:
    """The configuration `text` with other zones, lines and regions of one camera; all else stays as it is written.

    Raises SettingsError where `text` is no configuration, UsageError for a camera it does not have or a name that is
    used twice, and CommandFailed where the file is written in a way that cannot be changed without changing more.
    """
    before = parse_node(text, name="node.toml")
    index = next((i for i, c in enumerate(before.cameras) if c.camera_id == camera_id), None)
    if index is None:
        raise UsageError(f"no camera '{camera_id}' in the configuration")
    if problem := drawn_twice(drawn.zones, drawn.lines, drawn.equipment):
        raise UsageError(problem)
    rounded = msgspec.convert(_rounded(msgspec.to_builtins(drawn)), Drawn)
    wanted = _replaced(before, index, rounded)
    document = tomlkit.parse(text)
    table: Any = document["cameras"][index]
    for key in ("zones", "lines", "equipment"):
        _put(table, key, _plain(getattr(rounded, key)))
    after = tomlkit.dumps(document)
    try:
        agrees = parse_node(after, name="node.toml") == wanted
    except UsageError:
        agrees = False
    if not agrees:
        raise CommandFailed(
            f"camera {camera_id}: its table is written in a way that cannot be changed safely; "
            "write its zones, lines and equipment as [[cameras.zones]] tables or edit the file by hand"
        )
    return after


def install(path: Path, text: str, *, expected: str | None = None) -> NodeSettings:
    """Put `text` in place of the configuration file, durably; what it says.

    `expected` is the revision that is to be replaced. Raises SettingsError for a text that is no valid configuration
    (nothing is written then), ChangedMeanwhileError, and CommandFailed where the file cannot be written.
    """
    node = parse_node(text, name=str(path))
    target = path.resolve()
    if expected is not None and revision(read_text(target)) != expected:
        raise ChangedMeanwhileError(f"{path}: somebody else has changed it meanwhile; load it again, then change it")
    try:
        replace_file(target, text.encode(), mode=stat.S_IMODE(target.stat().st_mode))
    except OSError as error:
        raise CommandFailed(
            f"{path}: cannot be written: {os.strerror(error.errno or 0)}; "
            "let the agent's user write this file and its folder"
        ) from None
    return node


def _replaced(node: NodeSettings, index: int, drawn: Drawn) -> NodeSettings:
    cameras = list(node.cameras)
    cameras[index] = msgspec.structs.replace(
        cameras[index], zones=drawn.zones, lines=drawn.lines, equipment=drawn.equipment
    )
    return msgspec.structs.replace(node, cameras=cameras)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {key: inner if key.endswith("_s") else _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return value


def _plain(items: Sequence[Struct]) -> list[dict[str, Any]]:
    """As TOML wants it: no nulls, and lists instead of tuples."""
    found: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(items))
    return [{key: value for key, value in item.items() if value is not None} for item in found]


def _put(table: Any, key: str, items: list[dict[str, Any]]) -> None:
    """Set a list of tables; tables that are not altered keep their text, those that are keep their comments."""
    there = table.get(key)
    if [dict(one) for one in _unwrapped(there)] == items:
        return
    if isinstance(there, AoT) and items:
        old = {str(one.get("name")): one for one in there}
        fresh = [_updated(old.pop(item["name"], None) or tomlkit.table(), item) for item in items]
        while len(there):
            del there[0]
        for one in fresh:
            there.append(one)
        return
    if there is not None:
        table.remove(key)
    if items:
        table.add(key, _array(items))


def _unwrapped(there: Any) -> list[Any]:
    return list(there.unwrap()) if isinstance(there, AoT | Array) else []


def _updated(table: Table, item: dict[str, Any]) -> Table:
    for key in [key for key in table if key not in item]:
        table.remove(key)
    for key, value in item.items():
        if key not in table or _bare(table[key]) != value:
            table[key] = value
    return table


def _bare(value: Any) -> Any:
    return value.unwrap() if hasattr(value, "unwrap") else value


def _array(items: list[dict[str, Any]]) -> Array:
    array = tomlkit.array()
    for item in items:
        inline: InlineTable = tomlkit.inline_table()
        inline.update(item)
        array.append(inline)
    return array.multiline(True)
