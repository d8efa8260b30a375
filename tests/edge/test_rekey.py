"""Another signing key: the plug pulled before each step, a lost answer, and evidence under both keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base import keys
from sealwatch.base.clock import ManualClock
from sealwatch.contract.messages import Command
from sealwatch.contract.signing import public_key_text
from sealwatch.edge.enrolment.asking import AskError
from sealwatch.edge.enrolment.rekey import NEXT_FILE, KeyChange
from sealwatch.edge.identity import KEY_FILE
from sealwatch.edge.recorder import packing
from sealwatch.evidence.verify import verify
from tests.edge.recorder import support
from tests.edge.recorder.support import CAMERA, KEY
from tests.edge.recorder.support import Node as Recorder

CHANGE = Command(site_id="s1", node_id="n1", command_id="c", name="change_key", issued_at_ms=1, expires_at_ms=2)


class PulledError(BaseException):
    """The plug."""


@dataclass
class Node:
    """A node and a service that knows its keys; started again whenever it asks for it."""

    folder: Path
    pull_before: str = ""
    clock: ManualClock = field(default_factory=ManualClock)
    steps: list[str] = field(default_factory=list)
    down: bool = False

    def __post_init__(self) -> None:
        self.known = [public_key_text(keys.load_or_create(self.folder / KEY_FILE).public_key())]
        self.boot()

    def boot(self) -> None:
        self.restarted = False
        self.key = keys.load_or_create(self.folder / KEY_FILE)
        self.change = KeyChange(
            self.folder,
            self.key,
            self.ask,
            self.clock,
            restart=lambda: setattr(self, "restarted", True),
            step=self.step,
        )

    def step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.pull_before:
            self.pull_before = ""
            raise PulledError

    def ask(self, present: Ed25519PrivateKey, following: Ed25519PrivateKey) -> None:
        if self.down:
            raise AskError("unreachable", "no link")
        assert public_key_text(present.public_key()) in self.known
        text = public_key_text(following.public_key())
        if text not in self.known:
            self.known.append(text)
        self.step("answer")

    def run(self, seconds: float = 60) -> None:
        until_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < until_s:
            self.clock.advance(min(self.change.step() or 0.1, 10))
            if self.restarted:
                self.boot()


@pytest.mark.parametrize(
    ("pull_before", "steps"),
    [
        ("", ["ask", "answer", "replace"]),
        ("ask", ["ask", "ask", "answer", "replace"]),
        ("answer", ["ask", "answer", "ask", "answer", "replace"]),  # the service has it and the answer was lost
        ("replace", ["ask", "answer", "replace", "ask", "answer", "replace"]),
    ],
)
def test_the_key_is_changed_once_whatever_step_the_plug_is_pulled_at(
    tmp_path: Path, pull_before: str, steps: list[str]
) -> None:
    node = Node(tmp_path, pull_before)
    first = node.known[0]
    assert node.change.command(CHANGE).reason == "begun"
    try:
        node.run()
    except PulledError:
        node.boot()
        node.run()
    assert node.steps == steps
    assert node.known == [first, public_key_text(node.key.public_key())]
    assert not (tmp_path / NEXT_FILE).exists()
    assert (node.change.health().reason, (tmp_path / KEY_FILE).stat().st_mode & 0o777) == ("settled", 0o600)


def test_without_the_service_the_present_key_stays_and_the_change_waits(tmp_path: Path) -> None:
    node = Node(tmp_path, down=True)
    node.change.command(CHANGE)
    node.run()
    assert (node.steps[-1], node.change.health().reason) == ("ask", "unreachable")
    assert public_key_text(keys.load_or_create(tmp_path / KEY_FILE).public_key()) == node.known[0]
    node.down = False
    node.run(1000)
    assert len(node.known) == 2


def test_a_pack_over_a_change_of_key_holds_with_both_keys_and_not_with_one(tmp_path: Path) -> None:
    film = support.encode(tmp_path / "film.ts", seconds=20)
    first = Recorder(tmp_path / "footage", ManualClock())
    began_ms = first.clock.wall_ms()
    first.feed(film)
    second = first.restart()
    following = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
    second.sealer._key = following
    second.feed(film)
    second.hang_up()
    items = packing.items_between(second.footage, CAMERA, began_ms, second.clock.wall_ms())
    packing.write_pack(second.footage, items, tmp_path / "pack.zip", pack_id="p")
    both = [KEY.public_key(), following.public_key()]
    assert verify(tmp_path / "pack.zip", both).holds
    for one in both:
        verdict = verify(tmp_path / "pack.zip", [one])
        assert not verdict.holds
        assert {finding.reason for finding in verdict.faults} == {"wrong_key"}
