"""``sealwatch simulate``: a believable mine on this machine."""

from __future__ import annotations

import argparse
import importlib
import importlib.util

from sealwatch.simulator import meter


def configure(parser: argparse.ArgumentParser) -> None:
    """Add ``meter`` and, where it is installed, ``camera``."""
    commands = parser.add_subparsers(dest="device", required=True, metavar="DEVICE")
    summary = "a DL/T 645-2007 meter on TCP or a pseudo-terminal"
    meter.configure(commands.add_parser("meter", help=summary, description=summary))
    if importlib.util.find_spec("sealwatch.simulator.camera") is not None:
        summary = "a camera that serves a clip"
        camera = importlib.import_module("sealwatch.simulator.camera")
        camera.configure_camera(commands.add_parser("camera", help=summary, description=summary))
