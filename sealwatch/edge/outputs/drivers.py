"""What switches one output: a terminal of a wire, or a recorded sentence through the sound card."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, Protocol

from sealwatch.edge.inputs.wire import Wire, WireError

PLAYER: Final = "aplay"


class Driver(Protocol):
    """Switches one output. Callable from one thread at a time."""

    def switch(self, on: bool) -> None:
        """Bring it into a state; asked for again and again while it should be on. Raises WireError."""
        ...

    def state(self) -> bool | None:
        """What it says of itself, or None where it says nothing. Raises WireError."""
        ...

    def close(self) -> None: ...


class TerminalDriver:
    """A relay, coil, pin or MQTT switch."""

    def __init__(self, wire: Wire, channel: str) -> None:
        self._wire, self._channel = wire, channel

    def switch(self, on: bool) -> None:
        """Write it to the wire."""
        self._wire.write(self._channel, on)

    def state(self) -> bool | None:
        """Ask the wire."""
        return self._wire.state(self._channel)

    def close(self) -> None:
        """The wire belongs to its part."""


class SoundDriver:
    """A WAV file played by `aplay`, again from its beginning for as long as it should be on. No shell is involved."""

    def __init__(self, path: str, *, player: str = PLAYER) -> None:
        self._path, self._player = path, player
        self._process: subprocess.Popen[bytes] | None = None

    def switch(self, on: bool) -> None:
        """Start the player where none plays, or end it. Raises WireError: not_installed | wrong_setup | broken."""
        if not on:
            self._end()
            return
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            if code != 0:
                raise WireError("broken", f"{self._player} ends with {code} on {self._path}; check sound card and file")
        if self._process is None:
            problem = sound_problem(self._path, player=self._player)
            if problem is not None:
                raise problem
            self._process = subprocess.Popen(
                [self._player, "-q", self._path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def state(self) -> bool | None:
        """Nothing tells whether the loudspeaker is heard."""
        return None

    def close(self) -> None:
        """End the player."""
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)


def sound_problem(path: str, *, player: str = PLAYER) -> WireError | None:
    """Why a file can't be played, or None."""
    if shutil.which(player) is None:
        return WireError("not_installed", f"{player} is not installed; run: apt install alsa-utils")
    if not (Path(path).is_file() and os.access(path, os.R_OK)):
        return WireError("wrong_setup", f"{path}: no such sound file, or it cannot be read")
    return None
