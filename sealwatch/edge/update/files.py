"""What lies in ``update/`` of the data folder besides the files of releases."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import msgspec

from sealwatch.edge.update.slots import Slots, as_slot
from sealwatch.edge.update.state import Known, Update, decode

logger = logging.getLogger(__name__)
STATE_FILE: Final = "state.json"
ASKED_FILE: Final = "asked"
"""``now``, ``rollback agent`` or ``rollback model``: written by a person's command, read by the agent."""


def load(data_folder: Path) -> Known:
    """What is known of updates; a file that can't be read counts as none: what is in use stays."""
    file = data_folder / "update" / STATE_FILE
    try:
        return decode(file.read_bytes())
    except FileNotFoundError:
        return Known()
    except (OSError, msgspec.DecodeError) as error:
        logger.warning("%s cannot be read (%s) and is not used", file, error)
        return Known()


def may_go_back(update: Update, slots: Slots) -> bool:
    """Whether a confirmed update is in use and what was there before it is still whole."""
    former = as_slot(update.former)
    there = former == "factory" or bool(slots.complete(former))
    return update.outcome == "confirmed" and slots.current() == update.slot and there
