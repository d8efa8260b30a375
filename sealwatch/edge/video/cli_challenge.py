"""`sealwatch edge challenge`: flash a camera's lamp once, see whether the picture follows, and remember its light."""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path
from typing import Final

from sealwatch.base import text
from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.text import Language
from sealwatch.edge.config import VIEW_FOLDER, CameraSettings, NodeSettings, data_dir, load_node
from sealwatch.edge.config_light import PositionSettings
from sealwatch.edge.inputs.build import Wires
from sealwatch.edge.outputs.build import output_parts
from sealwatch.edge.ports import SourceError
from sealwatch.edge.supervisor import Supervisor
from sealwatch.edge.video import challenge, doubting, sun
from sealwatch.edge.video.challenge import Verdict
from sealwatch.edge.video.challenger import Challenger
from sealwatch.edge.video.source import open_source

WITHIN_S: Final = 90.0
_STOP_S: Final = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("camera", metavar="CAMERA", help="a camera with a challenge; stop the agent first")
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the node's configuration, node.toml"
    )
    parser.add_argument("--lang", choices=[str(language) for language in Language], help="language (zh)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 where the picture follows, else 1. Raises UsageError, CommandFailed."""
    node, language = load_node(arguments.config), Language(arguments.lang or Language.ZH)
    camera = next((one for one in node.cameras if one.camera_id == arguments.camera), None)
    if camera is None or camera.challenge is None or node.position is None:
        raise UsageError(text.say(language, "challenge.none", camera=arguments.camera))
    if not doubting.dark_at(node.position)(SystemClock().wall_ms()):
        raise CommandFailed(text.say(language, "challenge.dark", height=f"{_height_deg(node.position):.0f}"))
    output = camera.challenge.output
    begins = {"camera": camera.camera_id, "output": output, "flashes": challenge.FLASHES}
    print(text.say(language, "challenge.begins", **begins), flush=True)
    verdict = _try(node, camera, output, data_dir(node, arguments.config))
    if verdict is None:
        raise CommandFailed(text.say(language, "challenge.silent", camera=camera.camera_id, seconds=f"{WITHIN_S:.0f}"))
    values = {"response": f"{verdict.response:.0%}", "delay": f"{verdict.delay_s:.1f}"}
    print(text.say(language, f"challenge.result.{verdict.reason}", **values))
    return 0 if verdict.reason == "lamp_answers" else 1


def _height_deg(position: PositionSettings) -> float:
    at_ms = SystemClock().wall_ms()
    return sun.elevation_deg(at_ms, latitude_deg=position.latitude_deg, longitude_deg=position.longitude_deg)


def _try(node: NodeSettings, camera: CameraSettings, output: str, folder: Path) -> Verdict | None:
    """The verdict of one challenge, or None where none came in time. Raises CommandFailed where no pictures come."""
    clock, stop, verdicts = SystemClock(), threading.Event(), list[Verdict]()
    wires = Wires(node, clock)
    part = output_parts(node, wires, folder, clock, permitted_work=lambda: False)[output]
    lamp = doubting.OutputLamp(part, f"trial of {camera.camera_id}")
    lights = doubting.lights(folder / VIEW_FOLDER, camera.camera_id)
    challenger = Challenger(lamp, lights, clock, every_s=3600.0, told=verdicts.append, at_once=True)
    switching = Supervisor([part], clock)
    switching.start()
    until_s = time.monotonic() + WITHIN_S
    try:
        for frame in open_source(camera, clock).frames(stop):
            challenger.look(frame, quiet=part.health().ok)
            if verdicts or time.monotonic() > until_s:
                break
    except SourceError as error:
        raise CommandFailed(str(error)) from None
    finally:
        stop.set()
        if not switching.stop(_STOP_S):
            wires.close()
    return verdicts[0] if verdicts else None
