"""The settings of a Raspberry Pi as the programs that read them understand them, and the script that makes its card."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PI = ROOT / "sealwatch" / "firmware_config" / "raspberrypi"
ETC = PI / "root" / "etc"
SCRIPT = PI / "build_image.sh"
SETTINGS = sorted(path for folder in (PI / "root", PI / "boot") for path in folder.rglob("*") if path.is_file())


def needs(program: str) -> pytest.MarkDecorator:
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    return pytest.mark.skipif(found is None, reason=f"{program} is not installed")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path, **environment})


@needs("nft")
def test_the_firewall_is_taken_by_nftables() -> None:
    checked = run("unshare", "--user", "--map-root-user", "--net", "nft", "-c", "-f", str(ETC / "nftables.conf"))
    if "unshare" in checked.stderr:
        pytest.skip(f"no network of its own can be made here: {checked.stderr.strip()}")
    assert (checked.returncode, checked.stderr) == (0, "")


@needs("systemd-analyze")
def test_the_agents_unit_with_its_drop_in_and_the_key_unit_are_taken_by_systemd(tmp_path: Path) -> None:
    program = shutil.which("true") or "/bin/true"
    for unit in (ROOT / "deploy/systemd/sealwatch-edge.service", ETC / "systemd/system/sealwatch-hostkey.service"):
        text = re.sub(r"^ExecStart=\S+", f"ExecStart={program}", unit.read_text(), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text)
    shutil.copytree(ETC / "systemd/system/sealwatch-edge.service.d", tmp_path / "sealwatch-edge.service.d")
    units = [str(tmp_path / name) for name in ("sealwatch-edge.service", "sealwatch-hostkey.service")]
    checked = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("name", ["system.conf", "journald.conf"])
def test_systemd_knows_every_word_that_it_is_told(name: str) -> None:
    shipped = next(
        (path for path in map(Path, (f"/etc/systemd/{name}", f"/usr/lib/systemd/{name}")) if path.exists()), None
    )
    if shipped is None:
        pytest.skip(f"systemd's own {name}, which lists every word, is not here")
    known = set(re.findall(r"^#?([A-Za-z]+)=", shipped.read_text(), flags=re.MULTILINE))
    told = re.findall(r"^([A-Za-z]+)=", (ETC / f"systemd/{name}.d/50-sealwatch.conf").read_text(), flags=re.MULTILINE)
    assert told
    assert set(told) <= known


def test_the_kernel_knows_every_setting() -> None:
    text = (ETC / "sysctl.d/50-sealwatch.conf").read_text()
    names = re.findall(r"^([a-z0-9_.]+) =", text, flags=re.MULTILINE)
    assert len(names) > 8
    missing = [name for name in names if not Path("/proc/sys", *name.split(".")).exists()]
    assert not missing


@needs("chronyd")
def test_the_clock_settings_are_taken_by_chrony() -> None:
    checked = run("chronyd", "-p", "-f", str(ETC / "chrony/conf.d/50-sealwatch.conf"))
    assert checked.returncode == 0, checked.stderr
    assert "rtcsync" in checked.stdout


@needs("nmcli")
@pytest.mark.parametrize(("name", "kind"), [("modem", "gsm"), ("cameras", "802-3-ethernet")])
def test_a_connection_is_taken_by_networkmanager(name: str, kind: str) -> None:
    path = ETC / f"NetworkManager/system-connections/{name}.nmconnection"
    with path.open() as keyfile:
        command = ["nmcli", "--offline", "connection", "modify", "connection.id", "renamed"]
        taken = subprocess.run(command, stdin=keyfile, capture_output=True, text=True)
    assert taken.returncode == 0, taken.stderr
    read = configparser.ConfigParser()
    read.read_string(taken.stdout)
    assert read["connection"]["id"] == "renamed"
    assert read["connection"]["type"] in {kind, kind.removeprefix("802-3-")}
    assert read["connection"]["autoconnect-retries"] == "0"


@needs("shellcheck")
def test_the_script_has_no_fault_that_shellcheck_knows() -> None:
    checked = run("shellcheck", str(SCRIPT))
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name the image to be made"),
        (["--size-gb", "3", "x.img"], "a whole number of 4 or more, not '3'"),
        (["--models", "/nowhere", "x.img"], "/nowhere is no folder"),
        (["--frobnicate"], "there is no option --frobnicate"),
        (["--onto", "/nowhere", "x.img"], "not both"),
    ],
)
def test_a_wrong_call_is_refused_with_one_sentence(arguments: list[str], sentence: str) -> None:
    called = run("bash", str(SCRIPT), *arguments)
    assert called.returncode == 2
    assert sentence in called.stderr


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: str(path.relative_to(PI)))
def test_every_file_says_why_and_holds_no_secret(path: Path) -> None:
    text = path.read_text()
    assert "#" in text or "//" in text or path.name == "cmdline.txt"
    assert not re.search(r"(?i)(psk|password|privatekey)\s*=\s*\S", text)


def test_every_file_is_named_in_the_readme() -> None:
    readme = (PI / "README.md").read_text()
    missing = [str(path.relative_to(PI)) for path in SETTINGS if str(path.relative_to(PI)) not in readme]
    assert not missing
