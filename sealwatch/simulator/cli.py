"""``sealwatch simulate``: a believable mine on this machine."""

from __future__ import annotations

import argparse

from sealwatch.simulator import camera, fleet_cli, meter


def configure(parser: argparse.ArgumentParser) -> None:
    """Add ``meter``, ``camera`` and ``fleet``."""
    commands = parser.add_subparsers(dest="device", required=True, metavar="DEVICE")
    summary = "a DL/T 645-2007 meter on TCP or a pseudo-terminal"
    meter.configure(commands.add_parser("meter", help=summary, description=summary))
    fleet_cli.configure(commands)
    summary = "an RTSP camera that plays a clip over and over"
    camera.configure_camera(commands.add_parser("camera", help=summary, description=summary))
