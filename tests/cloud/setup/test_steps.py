"""The walk over steps, and what a person reads where something is not as wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealwatch.base.errors import UsageError
from sealwatch.cli import main
from sealwatch.cloud.setup import files
from sealwatch.cloud.setup.steps import Outcome, Step, Told, done, walk
from tests.support import mosquitto_or_skip


def test_a_failed_step_holds_up_what_needs_it_and_nothing_else() -> None:
    def fails() -> Told:
        raise UsageError("the moon is in the way; move it")

    ran: list[str] = []

    def runs() -> Told:
        ran.append("x")
        return done("authority.made", folder="x")

    steps = [Step("a", fails), Step("b", runs, ("a",)), Step("c", runs, ("b",)), Step("d", runs)]
    outcomes = dict(walk(steps))
    assert [told.outcome for told in outcomes.values()] == [
        Outcome.FAILED,
        Outcome.WAITING,
        Outcome.WAITING,
        Outcome.DONE,
    ]
    assert str(outcomes["a"].values["cause"]) == "the moon is in the way; move it"
    assert outcomes["c"].values == {"step": "b"}
    assert ran == ["x"]


class Shell:
    """`sealwatch cloud init` in a folder of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def __call__(self, *more: str) -> tuple[int, dict[str, str], str]:
        """Exit code, outcome by step, everything said."""
        command = ["cloud", "init", "--folder", str(self.folder / "etc"), "--data", str(self.folder / "data")]
        code = main([*command, *more])
        said = self._capsys.readouterr()
        lines = [line.split(":", 1)[0].split(maxsplit=1) for line in said.out.splitlines() if not line.startswith(" ")]
        return code, {one[1]: one[0] for one in lines if len(one) == 2}, said.out + said.err


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("LANG", "C")
    monkeypatch.delenv("LC_ALL", raising=False)
    return Shell(tmp_path, capsys)


def test_debians_broker_takes_the_file_beside_its_own(shell: Shell, tmp_path: Path) -> None:
    shell("--host", "seal.example.cn")
    ours = (shell.folder / "etc" / "broker" / "mosquitto.conf").read_text(encoding="utf-8")
    ours = ours.replace("listener 8883", "listener {port} 127.0.0.1")
    debian = "persistence true\npersistence_location {folder}/\n"
    with mosquitto_or_skip(debian + ours):
        pass
    alone = tmp_path / "mosquitto.conf"
    alone.write_text("# persistence_location /nowhere\n")
    assert "persistence_location /var/lib/mosquitto/" in files._broker_config(tmp_path, alone)


def test_a_token_is_shown_where_something_else_failed(shell: Shell) -> None:
    code, outcomes, said = shell("--host", "seal.example.cn", *SITE, "--page", "webhook:nobody")
    assert (code, outcomes["test page"], outcomes["enrolment token"]) == (1, "failed", "done")
    assert "--token" in said


SITE = ("--site", "210423000017=示范沟一号井", "--node", "node-1")


def test_it_stops_where_a_person_is_needed_and_goes_on_from_there(shell: Shell) -> None:
    code, outcomes, said = shell("--host", "seal.example.cn")
    assert code == 1
    assert (outcomes["registry"], outcomes["enrolment token"]) == ("failed", "waiting")
    assert "--site ID=NAME" in said
    code, outcomes, said = shell("--host", "seal.example.cn", *SITE)
    assert code == 0
    assert outcomes["configuration"] == outcomes["registry"] == outcomes["enrolment token"] == "done"
    assert outcomes["certificate authority"] == outcomes["broker"] == "skipped"
    assert "sealwatch edge enrol --cloud https://seal.example.cn" in said
    config = (shell.folder / "etc" / "cloud.toml").read_text(encoding="utf-8")
    code, outcomes, _ = shell("--host", "seal.example.cn", *SITE)
    assert code == 0
    assert {step for step, outcome in outcomes.items() if outcome == "done"} == {"enrolment token"}
    assert (shell.folder / "etc" / "cloud.toml").read_text(encoding="utf-8") == config


def test_secrets_are_files_that_nobody_else_reads_and_no_two_are_the_same(shell: Shell) -> None:
    shell("--host", "seal.example.cn", "--database", "postgresql://sealwatch@127.0.0.1:9/sealwatch")
    files = list((shell.folder / "etc" / "secrets").iterdir())
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    drawn = [file.read_text(encoding="utf-8") for file in files if file.suffix != ".sql"]
    assert len({*drawn}) == len(drawn) == 3


def test_other_wishes_than_the_file_holds_are_named(shell: Shell) -> None:
    shell("--host", "seal.example.cn", *SITE)
    code, outcomes, said = shell("--host", "seal.example.cn", "--series", "victoria=http://127.0.0.1:9", *SITE)
    assert (code, outcomes["configuration"]) == (1, "failed")
    assert "telemetry.engine" in said


@pytest.mark.parametrize(
    "wrong",
    [
        ("--host", "https://seal.example.cn"),
        ("--host", "seal.example.cn", "--series", "opentsdb=http://x"),
        ("--host", "seal.example.cn", "--database", "mysql://x"),
        ("--host", "seal.example.cn", "--layout", "compose", "--database", "postgresql://sealwatch@x/y"),
    ],
)
def test_a_call_that_cannot_be_meant_is_one_sentence_and_writes_nothing(shell: Shell, wrong: tuple[str, ...]) -> None:
    code, _, said = shell(*wrong)
    assert code == 2
    assert said.startswith("sealwatch: --")
    assert not (shell.folder / "etc").exists()
