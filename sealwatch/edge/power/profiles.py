"""Meter profiles: one TOML file per kind of meter in `sealwatch/firmware_config/meters`. Adding a meter adds a file."""

from __future__ import annotations

from importlib import resources
from typing import Annotated, Literal

from msgspec import Meta, Struct

from sealwatch.base import settings
from sealwatch.base.settings import SettingsError

Pace = Annotated[
    Literal["fast", "slow", "asked"],
    Meta(description="fast: at every poll; slow: in turn, one of them every few seconds; asked: by meter read alone."),
]
Quantity = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$", description="Name with unit: active_power_w.")]
Text = Annotated[str, Meta(min_length=1, max_length=500)]


class BcdField(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One BCD number inside the data of an identifier."""

    quantity: Quantity
    offset: Annotated[int, Meta(ge=0, le=199, description="First byte behind the identifier.")] = 0
    size: Annotated[int, Meta(ge=1, le=8, description="Bytes.")]
    decimals: Annotated[int, Meta(ge=0, le=8)]
    signed: Annotated[bool, Meta(description="The highest bit is the sign.")] = False
    moment: Annotated[bool, Meta(description="YYMMDDhhmmss of the meter's clock (UTC+8), told in Unix seconds.")] = (
        False
    )
    scale: Annotated[float, Meta(description="Factor from the meter's unit to that of the quantity.")] = 1.0


class Dlt645Block(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One data identifier of DL/T 645-2007 and what its answer holds."""

    identifier: Annotated[str, Meta(pattern=r"^[0-9A-F]{8}$")]
    pace: Pace
    fields: Annotated[list[BcdField], Meta(min_length=1, max_length=16)]


class RegisterField(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One number inside a block of registers."""

    quantity: Quantity
    offset: Annotated[int, Meta(ge=0, le=124, description="First register, counted from the block's.")] = 0
    type: Literal["float32", "int32", "uint32", "int16", "uint16"]
    word_order: Annotated[
        Literal["high_first", "low_first"], Meta(description="Which of two registers holds the high half.")
    ] = "high_first"
    scale: Annotated[float, Meta(description="Factor from the meter's number to the quantity's unit.")] = 1.0

    @property
    def words(self) -> int:
        return 2 if self.type.endswith("32") else 1


class ModbusBlock(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Registers that are read with one request."""

    register: Annotated[int, Meta(ge=0, le=65535, description="First register, as sent (from 0).")]
    count: Annotated[int, Meta(ge=1, le=125)]
    function: Annotated[Literal[3, 4], Meta(description="3: holding registers, 4: input registers.")] = 3
    pace: Pace
    fields: Annotated[list[RegisterField], Meta(min_length=1, max_length=32)]


class ObjectField(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One number of an attribute."""

    quantity: Quantity
    position: Annotated[
        int, Meta(ge=0, le=63, description="Place in the array, through its structures; 0 for a single number.")
    ] = 0
    scale: Annotated[float, Meta(description="Factor from the meter's number to the quantity's unit.")] = 1.0


class ObjectBlock(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attribute of an object of DL/T 698.45."""

    attribute: Annotated[str, Meta(pattern=r"^[0-9A-F]{8}$", description="OAD: object, attribute, index.")]
    pace: Pace
    fields: Annotated[list[ObjectField], Meta(min_length=1, max_length=16)]


class MeterProfile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read one kind of meter."""

    title_zh: Text
    title_en: Text
    description_zh: Text
    description_en: Text
    protocol: Annotated[
        Literal["dlt645-2007", "dlt698.45", "modbus"],
        Meta(description="modbus: RTU on serial: and tcp: lines, Modbus TCP on modbus-tcp: ones."),
    ]
    phases: Annotated[int, Meta(ge=1, le=3)]
    baud: Annotated[int, Meta(ge=300, le=115200, description="Usual speed as delivered.")] = 2400
    parity: Literal["N", "E", "O"] = "E"
    stop_bits: Literal[1, 2] = 1
    dlt645: list[Dlt645Block] = []
    dlt698: list[ObjectBlock] = []
    modbus: list[ModbusBlock] = []

    @property
    def quantities(self) -> list[str]:
        """Every quantity that can be read, in the order of the file."""
        return [f.quantity for block in self.blocks for f in block.fields]

    @property
    def blocks(self) -> list[Dlt645Block] | list[ObjectBlock] | list[ModbusBlock]:
        """What is read, in the order of the file."""
        if self.protocol == "modbus":
            return self.modbus
        return self.dlt698 if self.protocol == "dlt698.45" else self.dlt645

    def groups(self) -> tuple[list[str], list[list[str]]]:
        """What to read at every poll, and the groups to read in turn."""
        fast = [f.quantity for block in self.blocks if block.pace == "fast" for f in block.fields]
        slow = [[f.quantity for f in block.fields] for block in self.blocks if block.pace == "slow"]
        return fast, slow


_FOLDER = resources.files("sealwatch.firmware_config") / "meters"


def profile_names() -> list[str]:
    """The profiles that come with the software."""
    return sorted(f.name.removesuffix(".toml") for f in _FOLDER.iterdir() if f.name.endswith(".toml"))


def load_profile(name: str) -> MeterProfile:
    """A profile by the name of its file without ``.toml``. Raises SettingsError."""
    if name not in profile_names():
        raise SettingsError(f"meter profile '{name}' is not known; choose one of {', '.join(profile_names())}")
    return parse_profile((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"), name=f"meters/{name}.toml")


def parse_profile(text: str, *, name: str) -> MeterProfile:
    """A profile from TOML text. Raises SettingsError."""
    profile = settings.parse(MeterProfile, text, name=name)
    twice = {q for q in profile.quantities if profile.quantities.count(q) > 1}
    if twice:
        raise SettingsError(f"{name}: the quantity {', '.join(sorted(twice))} is read twice; keep one of them")
    if "active_power_w" not in profile.quantities:
        raise SettingsError(f"{name}: no field gives active_power_w; the rules need it")
    for block in profile.modbus:
        beyond = [f.quantity for f in block.fields if f.offset + f.words > block.count]
        if beyond:
            raise SettingsError(f"{name}: register {block.register}: {beyond[0]} lies beyond the block's {block.count}")
    return profile
