"""What programs send to the JSON API, read as strictly as its document says."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

_Name = TypeVar("_Name", bound=StrEnum)
Named = Annotated[_Name, Field(strict=False)]
"""A name of an enumeration: in JSON it is text, which a strict reader would not take for the name."""

_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")
"""JSON can spell a NUL and half of a surrogate pair, but no text of a database holds them."""


class Body(BaseModel):
    """The body of a request: `false` is no number, `"1"` neither, and a field that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if _holds_no_text(value):
            raise ValueError("a text holds a character that cannot be kept (U+0000, or half of a surrogate pair)")
        return value


def _holds_no_text(value: Any) -> bool:
    if isinstance(value, str):
        return _NO_TEXT.search(value) is not None
    if isinstance(value, dict):
        return any(_holds_no_text(key) or _holds_no_text(one) for key, one in value.items())
    return isinstance(value, list) and any(map(_holds_no_text, value))
