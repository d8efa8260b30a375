"""Install the agent from aarch64 wheels beside an arm64 userland and let it check itself: ``make arm64-selftest``.

mmdebstrap unpacks Debian's Python for arm64, pip installs the extra ``edge`` for that machine, and qemu-user runs it
without root and without binfmt_misc. Then, on the emulated processor: ``sealwatch edge check`` with a camera (a file),
the person model, disk, key and clock; a detection that must agree with this machine's; and the agent itself until it
has told systemd's socket that it lives, and its end.

One line says what came of it, or why nothing could be tried here. Not covered: speed, and a Pi's own devices.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any, Final

from sealwatch.demo.clip import cached_clip

ROOT: Final = Path(__file__).parents[2]
PLACE: Final = ROOT / "var" / "arm64"
SUITE: Final = "bookworm"
INSTALL: Final = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
EMULATOR: Final = "qemu-aarch64-static"
PROCESSOR: Final = "cortex-a72"  # a Raspberry Pi 4's
CORES: Final = 4
WITHIN_S: Final = 300
_CPUINFO: Final = """\
processor\t: {core}
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
_DETECT: Final = """\
import json, sys
import numpy as np
from sealwatch.models.runtime import Detector
picture = np.load(sys.argv[1])
found = Detector.load().detect(picture, 0.5)
print(json.dumps([[d.label, d.score, *d.box] for d in found]))
"""


class SelfTestFailedError(Exception):
    """One sentence: what did not hold."""


def why_not() -> str:
    """Why nothing can be emulated here; empty where it can."""
    missing = [
        package
        for program, package in (("mmdebstrap", "mmdebstrap"), (EMULATOR, "qemu-user-static"))
        if shutil.which(program) is None
    ]
    if missing:
        return f"not installed: {', '.join(missing)}"
    try:
        _picture()
    except FileNotFoundError as error:
        return str(error)
    return ""


def prepare() -> None:
    """Userland, wheels and the project into `PLACE`; what is there is used again. Raises CalledProcessError."""
    PLACE.mkdir(parents=True, exist_ok=True)
    userland, site = PLACE / "root", _site()
    if not userland.exists():
        tar = PLACE / "root.tar"
        mode = "root" if os.geteuid() == 0 else "unshare"
        _run(
            "mmdebstrap", "--quiet", f"--mode={mode}", "--arch=arm64", "--variant=extract",
            f"--include={','.join(INSTALL)}", SUITE, str(tar),
        )  # fmt: skip
        fresh = PLACE / "root.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        _run("tar", "-xf", str(tar), "--exclude=./dev/*", "--no-same-owner", "-C", str(fresh))
        tar.unlink()
        _pretend_board(fresh)
        fresh.rename(userland)
    if not site.exists():
        fresh = PLACE / "site.new"
        shutil.rmtree(fresh, ignore_errors=True)
        platforms = [f"--platform={tag}_aarch64" for tag in ("manylinux_2_28", "manylinux_2_27", "manylinux2014")]
        _pip(
            *platforms, "--python-version=3.11", "--implementation=cp", "--only-binary=:all:", "--target", str(fresh),
            *_requirements(),
        )  # fmt: skip
        fresh.rename(site)
    shutil.rmtree(PLACE / "own", ignore_errors=True)
    _pip("--no-deps", "--target", str(PLACE / "own"), str(ROOT))


def _requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["edge"]]


def _site() -> Path:
    """Where the wheels lie; another folder as soon as the project wants other packages."""
    return PLACE / f"site-{hashlib.sha256(repr(_requirements()).encode()).hexdigest()[:12]}"


def _pretend_board(userland: Path) -> None:
    """What qemu-user does not translate: ONNX Runtime reads its processor from these files and dies of an x86's."""
    (userland / "proc").mkdir(exist_ok=True)
    (userland / "proc" / "cpuinfo").write_text("".join(_CPUINFO.format(core=core) for core in range(CORES)))
    folder = userland / "sys" / "devices" / "system" / "cpu"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present", "online"):
        (folder / name).write_text(f"0-{CORES - 1}\n")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, cwd=ROOT)


def _pip(*arguments: str) -> None:
    _run(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", *arguments)


def emulated(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The arm64 Python with the installed packages; its stdout is a pipe, its stderr ours."""
    userland = PLACE / "root"
    command = [EMULATOR, "-cpu", PROCESSOR, "-L", str(userland), str(userland / "usr/bin/python3.11"), "-s"]
    paths = f"{PLACE / 'own'}:{_site()}"
    return subprocess.Popen(
        [*command, *arguments],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    )


def said(process: subprocess.Popen[str]) -> str:
    """What a process printed until its end. Raises SelfTestFailedError where it does not end."""
    try:
        return process.communicate(timeout=WITHIN_S)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise SelfTestFailedError(f"an emulated command did not end within {WITHIN_S} s") from None


def _clip() -> Path:
    path = cached_clip()
    if path is None:
        raise FileNotFoundError("the demo clip is not here; run: make clip")
    return path


def _picture() -> Any:
    """A picture with pedestrians, BGR."""
    import av

    with av.open(str(_clip())) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == 100:
                return frame.to_ndarray(format="bgr24")
    raise FileNotFoundError("the demo clip is too short; run: make clip")


def check_node(config: Path) -> list[str]:
    """`sealwatch edge check`: what was tried and found well. The broker of the file is nobody, on purpose."""
    process = emulated("-m", "sealwatch", "edge", "check", "--config", str(config), "--json")
    findings = json.loads(said(process))["findings"]
    for finding in findings:
        if finding["state"] == "wrong" and finding["subject"] != "broker":
            raise SelfTestFailedError(f"edge check: {finding['subject']}: {finding['sentence_en']}")
    return [f"{finding['subject']} {finding['reason']}" for finding in findings]


def same_detections(folder: Path) -> int:
    """The detector on both processors over one picture; how many it found. Raises SelfTestFailedError."""
    import numpy as np

    np.save(folder / "picture.npy", _picture())
    arguments = ("-c", _DETECT, str(folder / "picture.npy"))
    theirs = json.loads(said(emulated(*arguments)))
    ours = json.loads(
        subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    )
    theirs, ours = (sorted(rows, key=lambda row: (row[0], *row[2:])) for rows in (theirs, ours))
    if [row[0] for row in theirs] != [row[0] for row in ours] or not theirs:
        raise SelfTestFailedError(
            f"arm64 detects {[row[0] for row in theirs]}, this machine {[row[0] for row in ours]}"
        )
    apart = np.abs(np.array([row[1:] for row in theirs]) - np.array([row[1:] for row in ours])).max(axis=0)
    worst_score, worst_px = float(apart[0]), float(apart[1:].max())
    print(f"   detections differ by at most {worst_px:.2f} px and {worst_score:.3f} in score")
    if worst_px > 8 or worst_score > 0.1:
        raise SelfTestFailedError("arm64 and this machine see different things")
    return len(theirs)


def agent_lives_and_ends(config: Path, folder: Path) -> None:
    """`sealwatch edge run` until it says READY=1 and WATCHDOG=1, then SIGTERM. Raises SelfTestFailedError."""
    address = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(address))
        heard.settimeout(WITHIN_S)
        agent = emulated("-m", "sealwatch", "edge", "run", "--config", str(config), NOTIFY_SOCKET=str(address))
        try:
            words = [heard.recv(4096).partition(b"\n")[0] for _ in range(2)]
            agent.send_signal(signal.SIGTERM)
            code = agent.wait(WITHIN_S)
        except (TimeoutError, subprocess.TimeoutExpired):
            raise SelfTestFailedError("the agent did not come to life or did not end") from None
        finally:
            agent.kill()
            agent.communicate()
    if (words, code) != ([b"READY=1", b"WATCHDOG=1"], 0):
        raise SelfTestFailedError(f"the agent said {words} and ended with {code}")


def main() -> int:
    """0 where everything held or nothing could be tried, 1 where something did not hold."""
    reason = why_not()
    if reason:
        print(f"arm64 self-test: skipped: {reason}")
        return 0
    try:
        print("== userland, aarch64 wheels, the project", flush=True)
        prepare()
        with tempfile.TemporaryDirectory(prefix="sealwatch-arm64-") as name:
            folder = Path(name)
            config = folder / "node.toml"
            config.write_text(
                'site_id = "site-1"\nnode_id = "node-1"\ndata_dir = "data"\n[mqtt]\nurl = "mqtt://127.0.0.1:1"\n'
                f'[[cameras]]\ncamera_id = "cam-1"\nsource = "{_clip()}"\nrepeat = true\n'
            )
            print("== edge check", flush=True)
            for line in check_node(config):
                print(f"   {line}")
            print("== one picture, two processors", flush=True)
            count = same_detections(folder)
            print("== the agent", flush=True)
            agent_lives_and_ends(config, folder)
    except (SelfTestFailedError, subprocess.CalledProcessError) as error:
        print(f"arm64 self-test: failed: {error}")
        return 1
    print(f"arm64 self-test: passed on an emulated {PROCESSOR}; {count} detections agree with this machine's")
    return 0


if __name__ == "__main__":
    sys.exit(main())
