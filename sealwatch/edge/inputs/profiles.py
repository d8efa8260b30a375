"""Maps of Modbus modules: one TOML file per kind in `sealwatch/firmware_config/io`. Adding a module adds a file."""

from __future__ import annotations

import re
from importlib import resources
from typing import Annotated, Literal

from msgspec import Meta, Struct

from sealwatch.base import settings
from sealwatch.base.settings import SettingsError

Text = Annotated[str, Meta(min_length=1, max_length=500)]


class ChannelBlock(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Channels that lie next to each other in one table of the module."""

    prefix: Annotated[str, Meta(pattern=r"^[a-z]{1,8}$", description="di gives channels di1, di2 ...")]
    table: Literal["discrete_inputs", "coils", "input_registers", "holding_registers"]
    first: Annotated[int, Meta(ge=0, le=65535, description="Address of channel 1, as sent (from 0).")]
    count: Annotated[int, Meta(ge=1, le=64)]
    scale: Annotated[float, Meta(description="Factor from a register's number to the unit.")] = 1.0
    unit: Annotated[str, Meta(max_length=8, description="What a register measures: ohm, mA, V.")] = ""


class ModuleProfile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one kind of module calls its terminals."""

    title_zh: Text
    title_en: Text
    description_zh: Text
    description_en: Text
    source: Annotated[Text, Meta(description="Where the addresses come from.")]
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    inputs: Annotated[list[ChannelBlock], Meta(max_length=16)] = []
    outputs: Annotated[list[ChannelBlock], Meta(max_length=16)] = []


_FOLDER = resources.files("sealwatch.firmware_config") / "io"
_CHANNEL = re.compile(r"^([a-z]+)([0-9]+)$")


def profile_names() -> list[str]:
    """The maps that come with the software."""
    return sorted(f.name.removesuffix(".toml") for f in _FOLDER.iterdir() if f.name.endswith(".toml"))


def load_profile(name: str) -> ModuleProfile:
    """A map by the name of its file without ``.toml``. Raises SettingsError."""
    if name not in profile_names():
        raise SettingsError(f"module profile '{name}' is not known; choose one of {', '.join(profile_names())}")
    return parse_profile((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"), name=f"io/{name}.toml")


def parse_profile(text: str, *, name: str) -> ModuleProfile:
    """A map from TOML text. Raises SettingsError."""
    profile = settings.parse(ModuleProfile, text, name=name)
    prefixes = [block.prefix for block in (*profile.inputs, *profile.outputs)]
    twice = {prefix for prefix in prefixes if prefixes.count(prefix) > 1}
    if twice:
        raise SettingsError(f"{name}: the prefix {', '.join(sorted(twice))} is used twice; give each block its own")
    for block in profile.outputs:
        if block.table != "coils":
            raise SettingsError(f"{name}: outputs.{block.prefix}: only coils can be switched")
    return profile


def find(blocks: list[ChannelBlock], channel: str) -> tuple[ChannelBlock, int] | None:
    """The block of a channel and its place in it (from 0), or None where there is no such channel."""
    match = _CHANNEL.match(channel)
    if match is None:
        return None
    for block in blocks:
        if block.prefix == match[1] and 1 <= int(match[2]) <= block.count:
            return block, int(match[2]) - 1
    return None
