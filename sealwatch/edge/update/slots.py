"""Two places for an agent or a model, and the link that says which one is used. The order of writing is the safety.

``slots/agent/`` and ``slots/model/`` of the data folder hold each::

  a/ b/       the slots; a slot with ``.complete`` in it is whole, and the file says which release it is
  current     a link to ``a`` or ``b``; without it the one that the machine was installed with is used (``factory``)
  trial       while the one in `current` has yet to prove itself: the slot to go back to
  starts      how often it was started since
  gave-up     written by ``sealwatch-start`` when it went back because the new one did not get up

``deploy/systemd/sealwatch-start`` counts the starts and goes back after the third: it needs no Python, so that it works
however broken the new agent is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

from sealwatch.base.files import Step, replace_file, sync_folder
from sealwatch.contract.release import Kind

FOLDER: Final = "slots"
FACTORY: Final = "factory"
START_ENV: Final = "SEALWATCH_START"
SLOTS_ENV: Final = "SEALWATCH_SLOTS"
SLOT_ENV: Final = "SEALWATCH_SLOT"
Slot = Literal["a", "b", "factory"]
Standing = Literal["settled", "on_trial", "gave_up"]


def _no_step(_name: str) -> None: ...


def started_from(data_folder: Path, environment: Mapping[str, str] = os.environ) -> str | None:
    """The slot of the running agent, or None where ``sealwatch-start`` did not start it from this data folder."""
    slots = environment.get(SLOTS_ENV, "")
    if not slots or Path(slots).resolve() != (data_folder / FOLDER).resolve():
        return None
    return environment.get(SLOT_ENV)


def current_model(data_folder: Path) -> Path | None:
    """The manifest of the model that was installed by an update, or None: the model store's."""
    folder = data_folder / FOLDER / "model" / "current"
    return next(iter(sorted(folder.glob("*.toml"))), None)


def as_slot(name: str) -> Slot:
    """A slot by its name; anything else is the one that the machine was installed with."""
    return "a" if name == "a" else "b" if name == "b" else "factory"


class Slots:
    """The slots of one kind. Methods raise OSError where the disk refuses."""

    def __init__(self, data_folder: Path, kind: Kind, step: Step = _no_step) -> None:
        """`step` is told each step before it is taken, such as ``agent.current``."""
        self.kind, self.folder = kind, data_folder / FOLDER / kind
        self._link, self._trial = self.folder / "current", self.folder / "trial"
        self._starts, self._gave_up = self.folder / "starts", self.folder / "gave-up"
        self._step = step

    def current(self) -> Slot:
        """The slot in use."""
        try:
            return as_slot(self._link.readlink().name)
        except OSError:
            return "factory"

    def other(self) -> Slot:
        """The slot that may be filled."""
        return "b" if self.current() == "a" else "a"

    def path(self, slot: Slot) -> Path:
        return self.folder / slot

    def standing(self) -> Standing:
        """What the files say: `on_trial` only where the new one is really in use."""
        if self._gave_up.exists():
            return "gave_up"
        if self._trial.exists() and self.former() != self.current():
            return "on_trial"
        return "settled"

    def former(self) -> Slot:
        """The slot to go back to while one is on trial."""
        return as_slot(self._trial.read_text().strip())

    def forget_gave_up(self) -> None:
        self._remove(self._gave_up)

    def complete(self, slot: Slot) -> str:
        """SHA-256 of the release that a whole slot holds; empty for one that is not whole."""
        try:
            return (self.path(slot) / ".complete").read_text().strip()
        except OSError:
            return ""

    def fill(self, slot: Slot, release_sha256: str, build: Callable[[Path], None]) -> None:
        """Make a slot anew with `build`; it counts only once everything in it is on the disk."""
        path = self.path(slot)
        self._step(f"{self.kind}.clear")
        if path.exists():
            (path / ".complete").unlink(missing_ok=True)
            sync_folder(path)
            shutil.rmtree(path)
        self._step(f"{self.kind}.build")
        path.mkdir(mode=0o700, parents=True)
        build(path)
        os.sync()  # thousands of files: one by one it would take a card minutes
        self._step(f"{self.kind}.complete")
        replace_file(path / ".complete", release_sha256.encode())

    def switch(self, slot: Slot) -> None:
        """Use `slot` from the next start on, on trial."""
        self._step(f"{self.kind}.starts")
        self._remove(self._starts)
        self._step(f"{self.kind}.trial")
        replace_file(self._trial, self.current().encode())
        self._point(slot)

    def confirm(self) -> None:
        """The one in use stays."""
        self._step(f"{self.kind}.confirm")
        self._remove(self._trial)
        self._remove(self._starts)

    def put_back(self, former: Slot) -> None:
        """Use the former one from the next start on; may be repeated."""
        self._point(former)
        self.confirm()

    def _point(self, slot: Slot) -> None:
        self._step(f"{self.kind}.current")
        if slot == "factory":
            self._remove(self._link)
            return
        draft = self.folder / ".current"
        draft.unlink(missing_ok=True)
        draft.symlink_to(slot)
        draft.replace(self._link)
        sync_folder(self.folder)

    def _remove(self, path: Path) -> None:
        if path.exists() or path.is_symlink():
            path.unlink()
            sync_folder(self.folder)
