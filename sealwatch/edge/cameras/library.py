"""The optional packages behind ONVIF: imported when a camera is really asked, and named where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from sealwatch.base.errors import UsageError


def module(name: str) -> Any:
    """The module `name` of the extra ``onvif``. Raises UsageError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"this needs the package '{error.name}', which is not installed; run: pip install 'sealwatch[onvif]'"
        ) from None
