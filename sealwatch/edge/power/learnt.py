"""What a meter's watcher has learnt of its site, kept over restarts.

A file is JSON with a version; it is replaced whole or not at all. One that can't be read is set aside beside it
(``.damaged``) for whoever wants to look, and learning begins anew.

Outcomes of loading: ``new`` (there was none), ``restored``, ``other_version`` (written by another version of this
software: set aside as well), ``damaged``.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import msgspec

from sealwatch.base.files import replace_file
from sealwatch.edge.power.appliances import Appliances
from sealwatch.edge.power.rules.baseline import BaselineState
from sealwatch.edge.power.rules.habits import NightState, ShareState
from sealwatch.edge.power.rules.template import TemplateState

VERSION = 1
Outcome = Literal["new", "restored", "other_version", "damaged"]
_log = logging.getLogger(__name__)


class Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that takes days to learn. Times in it are Unix seconds, days or hours."""

    v: int = VERSION
    baseline: BaselineState
    nights: NightState
    share: ShareState
    appliances: Appliances
    template: TemplateState = TemplateState()


class _Head(msgspec.Struct):
    v: int


class LearntFile:
    """Where one watcher keeps it. No method raises: a meter is watched with or without a memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ok = True

    def load(self) -> tuple[Learnt | None, Outcome]:
        """What an earlier life left, and the named outcome."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None, "new"
        except OSError as error:
            _log.warning("what was learnt cannot be read from %s: %s", self._path, error.strerror)
            return None, "damaged"
        try:
            if (version := msgspec.json.decode(data, type=_Head).v) != VERSION:
                self._set_aside(f"it has version {version}, this software writes {VERSION}")
                return None, "other_version"
            return msgspec.json.decode(data, type=Learnt), "restored"
        except msgspec.MsgspecError as error:
            self._set_aside(str(error))
            return None, "damaged"

    def save(self, learnt: Learnt) -> None:
        """Put it on the disk; a disk that refuses is logged once, until it takes again."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, msgspec.json.encode(learnt))
        except OSError as error:
            if self._ok:
                _log.warning("what was learnt cannot be kept in %s: %s", self._path, error.strerror)
            self._ok = False
        else:
            self._ok = True

    def _set_aside(self, why: str) -> None:
        aside = self._path.with_name(f"{self._path.name}.damaged")
        try:
            self._path.replace(aside)
        except OSError as error:
            _log.warning("%s: %s; it cannot be set aside: %s", self._path, why, error.strerror)
        else:
            _log.warning("%s: %s; it was set aside as %s, learning begins anew", self._path, why, aside.name)
