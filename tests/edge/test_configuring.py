"""A pushed configuration: taken or refused, confirmed or put back, and what a plug pulled at any step leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.clock import ManualClock
from sealwatch.base.errors import UsageError
from sealwatch.contract import wire
from sealwatch.contract.messages import NodeConfig, PartHealth, Reply
from sealwatch.contract.signing import public_key_text
from sealwatch.edge import configuring, trial
from sealwatch.edge.config import load_node, service_key
from sealwatch.edge.configuring import ConfigKeeper, TrialFiles
from sealwatch.edge.trial import TrialState

SERVICE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class PulledError(BaseException):
    """The plug."""


def toml(mark: str, *, site: str = "s1", pinned: bool = True, folder: str = "data") -> str:
    key = f'service_public_key = "{public_key_text(SERVICE.public_key())}"\n' if pinned else ""
    head = f'site_id = "{site}"\nnode_id = "n1"\ndata_dir = "{folder}"\n{key}'
    return f'# {mark}\n{head}mqtt.url = "mqtt://127.0.0.1:1"\n'


def pushed(version: int, text: str, *, key: Ed25519PrivateKey = SERVICE, node_id: str = "n1") -> bytes:
    return wire.seal(key, NodeConfig(site_id="s1", node_id=node_id, version=version, issued_at_ms=1, toml=text))


def part(part_id: str, *, ok: bool = True, kind: str = "camera") -> PartHealth:
    return PartHealth(part_id=part_id, kind=kind, ok=ok, reason="well" if ok else "no_signal")


@dataclass
class Node:
    """A node that is started again whenever it asks for it, as long as `healthy` says what its parts are like."""

    folder: Path
    parts: Callable[[str], list[PartHealth]] = lambda _text: [part("cam-1")]
    clock: ManualClock = field(default_factory=ManualClock)
    connected: bool = True
    replies: list[Reply] = field(default_factory=list)
    pull_before: str = ""
    restarts: int = 0

    def __post_init__(self) -> None:
        self.path = self.folder / "node.toml"
        if not self.path.exists():
            self.path.write_text(toml("own"), encoding="utf-8")
        self.boot()

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def mark(self) -> str:
        return self.text.splitlines()[0].removeprefix("# ")

    def step(self, name: str) -> None:
        if name == self.pull_before:
            self.pull_before = ""
            raise PulledError

    def boot(self) -> None:
        self.wants_restart = False
        configuring.settle(self.path, self.step)
        node = load_node(self.path)
        self.keeper = ConfigKeeper(
            self.path,
            node,
            service_key=service_key(node),
            clock=self.clock,
            parts=lambda: self.parts(self.text),
            connected=lambda: self.connected,
            restart=lambda: setattr(self, "wants_restart", True),
            reply=self.replies.append,
            step=self.step,
        )

    def run(self, seconds: float) -> None:
        """Let time pass, starting again whenever the node asks for it."""
        for _ in range(int(seconds)):
            self.keeper.tick()
            if self.wants_restart:
                self.restarts += 1
                self.boot()
            self.clock.advance(1)

    def outcome(self) -> tuple[str, str]:
        return self.replies[-1].command_id, self.replies[-1].reason


def test_a_configuration_that_works_is_confirmed_and_the_former_one_is_kept(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert node.keeper.take(pushed(7, toml("new"))) == "taken"
    assert node.keeper.health().reason == "trying"
    node.run(10)
    assert (node.mark, node.restarts, node.outcome()) == ("new", 1, ("config-7", "confirmed"))
    assert node.keeper.health().reason == "as_pushed"
    assert (tmp_path / "node.toml.former").read_text(encoding="utf-8") == toml("own")
    assert node.keeper.take(pushed(7, toml("new"))) == "unchanged"
    assert node.keeper.take(pushed(6, toml("old"))) == "not_newer"


def test_one_that_makes_a_part_fail_is_put_back_within_a_minute_and_not_tried_again(tmp_path: Path) -> None:
    node = Node(tmp_path, lambda text: [part("cam-1", ok="bad" not in text)])
    node.keeper.take(pushed(7, toml("bad")))
    node.run(62)
    assert (node.mark, node.restarts, node.outcome()) == ("own", 2, ("config-7", "rolled_back"))
    assert node.replies[-1].detail == "cam-1 (no_signal)"
    assert (node.keeper.health().ok, node.keeper.health().reason) == (False, "rolled_back")
    assert node.keeper.take(pushed(7, toml("bad"))) == "unchanged"
    node.keeper.take(pushed(8, toml("good")))
    node.run(10)
    assert (node.mark, node.outcome()) == ("good", ("config-8", "confirmed"))


def test_one_that_loses_the_broker_is_put_back(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.keeper.take(pushed(7, toml("elsewhere")))
    node.connected = False
    node.run(62)
    assert node.mark == "own"
    node.connected = True
    node.run(1)
    assert node.outcome() == ("config-7", "rolled_back")


def test_a_camera_that_was_dead_before_does_not_stand_in_the_way(tmp_path: Path) -> None:
    node = Node(tmp_path, lambda _text: [part("cam-1", ok=False), part("cam-2")])
    node.keeper.take(pushed(7, toml("new")))
    node.run(10)
    assert node.mark == "new"


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (part("cam-9", ok=False), "put_back"),
        (part("meter-9", ok=False, kind="meter"), "put_back"),
        (part("footage-9", ok=False, kind="recorder"), "confirm"),
    ],
)
def test_what_is_new_must_work_unless_it_rightly_takes_days(new: PartHealth, verdict: str) -> None:
    state = trial.begin(TrialState(), 1, "x", [part("cam-1")])
    assert trial.judge(state, [part("cam-1"), new], connected=True, running_s=60)[0] == verdict


def test_a_part_that_says_it_is_well_too_soon_is_not_believed() -> None:
    state = trial.begin(TrialState(), 1, "x", [])
    assert trial.judge(state, [], connected=True, running_s=1)[0] == "wait"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (pushed(7, toml("x"), key=Ed25519PrivateKey.generate()), "unknown_key"),
        (pushed(7, toml("x")).replace(b"# x", b"# y"), "bad_signature"),
        (pushed(7, toml("x"), node_id="n2"), "not_for_this_node"),
        (pushed(7, "camera = 1\n" + toml("x")), "invalid"),
        (pushed(7, toml("x", site="s2")), "other_node"),
        (pushed(7, toml("x", folder="elsewhere")), "other_node"),
        (pushed(7, toml("x", pinned=False)), "unpins_service"),
        (b"{}", "wrong_shape"),
    ],
)
def test_anything_else_is_refused_by_name_and_changes_nothing(tmp_path: Path, payload: bytes, reason: str) -> None:
    node = Node(tmp_path)
    assert node.keeper.take(payload) == reason
    assert (node.mark, node.wants_restart) == ("own", False)
    if reason in {"invalid", "other_node", "unpins_service"}:
        assert node.outcome() == ("config-7", reason)
        assert node.keeper.take(payload) == "unchanged"


def test_an_invalid_one_is_answered_with_what_to_do(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.keeper.take(pushed(7, "camera = 1\n" + toml("x")))
    assert "did you mean 'cameras'?" in node.replies[-1].detail


def test_a_local_change_is_drift_until_the_next_push(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.keeper.take(pushed(7, toml("new")))
    node.run(10)
    node.path.write_text(toml("by hand"), encoding="utf-8")
    node.boot()
    assert (node.keeper.health().ok, node.keeper.health().reason) == (True, "local_changes")
    node.keeper.take(pushed(8, toml("new")))
    node.run(10)
    assert (node.mark, node.keeper.health().reason) == ("new", "as_pushed")


def test_a_push_of_what_is_in_place_is_confirmed_without_a_restart(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert node.keeper.take(pushed(7, toml("own"))) == "taken"
    assert (node.wants_restart, node.outcome()) == (False, ("config-7", "confirmed"))


def test_another_one_during_a_trial_is_taken_after_it(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.keeper.take(pushed(7, toml("new")))
    node.run(2)
    assert node.keeper.take(pushed(8, toml("newer"))) == "busy"
    node.run(20)
    assert (node.mark, node.outcome()) == ("newer", ("config-8", "confirmed"))


def test_one_that_makes_the_agent_die_again_and_again_is_put_back(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.keeper.take(pushed(7, toml("deadly")))
    for _ in range(trial.MOST_STARTS):
        node.boot()
        assert node.mark == "deadly"
    node.boot()
    assert node.mark == "own"
    node.run(1)
    assert node.outcome() == ("config-7", "rolled_back")


def test_one_that_cannot_even_be_built_is_put_back_and_an_own_one_is_not(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert not configuring.give_up(node.path, UsageError("no such port"))
    node.keeper.take(pushed(7, toml("bad")))
    assert configuring.give_up(node.path, UsageError("no such port"))
    node.boot()
    node.run(1)
    assert (node.mark, node.replies[-1].detail) == ("own", "no such port")


def test_a_folder_that_cannot_be_written_is_told_and_changes_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path)

    def full(_name: str) -> None:
        raise OSError(28, "No space left on device")

    node.keeper._files = TrialFiles(node.path, full)
    assert node.keeper.take(pushed(7, toml("new"))) == "not_kept"
    assert (node.mark, node.replies[-1].reason) == ("own", "not_kept")


# Killed right before each step; then the agent starts, the broker delivers what it retains, and a minute passes.
# in place after the start -> in place in the end, restarts on the way
KILLED_TAKING = [
    ("former.write", "own", 1),
    ("former.rename", "own", 1),
    ("former.sync_folder", "own", 1),
    ("trial.write", "own", 1),
    ("trial.rename", "own", 1),
    ("trial.sync_folder", "own", 1),
    ("config.write", "own", 1),
    ("config.rename", "own", 1),
    ("config.sync_folder", "new", 0),
]


@pytest.mark.parametrize(("step", "after_start", "restarts"), KILLED_TAKING)
def test_killed_while_it_is_put_in_place(tmp_path: Path, step: str, after_start: str, restarts: int) -> None:
    node = Node(tmp_path, pull_before=step)
    with pytest.raises(PulledError):
        node.keeper.take(pushed(7, toml("new")))
    node.boot()
    assert node.mark == after_start
    node.keeper.take(pushed(7, toml("new")))
    node.run(62)
    assert (node.mark, node.restarts, node.outcome()) == ("new", restarts, ("config-7", "confirmed"))
    assert (tmp_path / "node.toml.former").read_text(encoding="utf-8") == toml("own")


@pytest.mark.parametrize("step", ["trial.write", "trial.rename", "trial.sync_folder"])
def test_killed_while_it_is_confirmed(tmp_path: Path, step: str) -> None:
    node = Node(tmp_path)
    node.keeper.take(pushed(7, toml("new")))
    node.boot()
    node.pull_before = step
    with pytest.raises(PulledError):
        node.run(10)
    node.boot()
    node.run(10)
    assert (node.mark, node.outcome()) == ("new", ("config-7", "confirmed"))


KILLED_PUTTING_BACK = [
    *(("trial." + step, 1) for step in ("write", "rename")),  # still on trial: another minute
    *(("trial." + step, 0) for step in ("sync_folder",)),
    *(("config." + step, 0) for step in ("write", "rename", "sync_folder")),
]


@pytest.mark.parametrize(("step", "more_trials"), KILLED_PUTTING_BACK)
def test_killed_while_it_is_put_back(tmp_path: Path, step: str, more_trials: int) -> None:
    node = Node(tmp_path, lambda text: [part("cam-1", ok="bad" not in text)])
    node.keeper.take(pushed(7, toml("bad")))
    node.run(1)
    node.pull_before = step
    with pytest.raises(PulledError):
        node.run(62)
    before = node.restarts
    node.boot()
    node.keeper.take(pushed(7, toml("bad")))
    node.run(62)
    assert (node.mark, node.outcome()) == ("own", ("config-7", "rolled_back"))
    assert node.restarts - before == more_trials


NEXT = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def test_the_services_key_is_changed_by_three_configurations_and_a_slip_locks_nobody_out(tmp_path: Path) -> None:
    node = Node(tmp_path)
    old, new = (public_key_text(key.public_key()) for key in (SERVICE, NEXT))
    both = toml("both").replace(f'"{old}"\n', f'"{old}"\nnext_service_public_key = "{new}"\n')
    alone = toml("alone").replace(old, new)
    assert node.keeper.take(pushed(7, alone, key=NEXT)) == "unknown_key"
    assert node.keeper.take(pushed(7, alone)) == "unpins_service", "sealed by a key that it would no longer believe"
    assert node.keeper.take(pushed(8, both)) == "taken"
    node.run(10)
    assert node.keeper.take(pushed(9, alone, key=NEXT)) == "taken"
    node.run(10)
    assert (node.mark, node.outcome()) == ("alone", ("config-9", "confirmed"))
    assert node.keeper.take(pushed(10, both)) == "unknown_key"
