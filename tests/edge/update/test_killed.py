"""The plug is pulled before each step of an update: what the next start finds, and that it ends well all the same.

The trace is what the start script started, in order: the version that runs, or `died`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sealwatch.edge.update import state
from tests.edge.update.support import Node, PulledError

# Every step of taking 1.1 and confirming it, in the order in which they are taken -> what is started from then on.
CONFIRMED = {
    "agent.clear": ["1.0", "1.0", "1.1"],
    "agent.build": ["1.0", "1.0", "1.1"],
    "agent.complete": ["1.0", "1.0", "1.1"],
    "agent.trying": ["1.0", "1.0", "1.1"],
    "agent.starts": ["1.0", "1.0", "1.1"],
    "agent.trial": ["1.0", "1.0", "1.1"],
    "agent.current": ["1.0", "1.0", "1.1"],
    "agent.confirmed": ["1.0", "1.1", "1.1"],
    "agent.confirm": ["1.0", "1.1", "1.1"],
}
# Every step of putting back a 1.1 whose camera does not work. What was pulled on the way back goes on back.
PUT_BACK = {
    "agent.putting_back": ["1.0", "1.1", "1.1", "1.0"],  # the second start has its own minutes to prove itself
    "agent.current": ["1.0", "1.1", "1.1", "1.0"],
    "agent.confirm": ["1.0", "1.1", "1.0"],
    "agent.rolled_back": ["1.0", "1.1", "1.0"],
}


def until_pulled(node: Node, seconds: float) -> None:
    """Run, and start again after the plug was pulled."""
    try:
        node.run(seconds)
    except PulledError:
        node.boot()
        node.run(seconds)


def test_the_tables_name_every_step(tmp_path: Path) -> None:
    node = Node(tmp_path, lambda version: version != "1.2")
    node.offered(5, "1.1")
    node.run(60)
    assert node.steps == list(CONFIRMED)
    node.steps.clear()
    node.offered(6, "1.2")
    node.run(state.CONFIRM_WITHIN_S + 60)
    begun = list(CONFIRMED)[:-2]
    assert node.steps == [*begun, *PUT_BACK]


@pytest.mark.parametrize(("step", "trace"), CONFIRMED.items())
def test_an_update_that_works_is_confirmed_whatever_step_the_plug_is_pulled_at(
    tmp_path: Path, step: str, trace: list[str]
) -> None:
    node = Node(tmp_path, pull_before=step)
    node.offered(5, "1.1")
    try:
        node.run(300)
    except PulledError:
        node.boot()
    node.offered(5, "1.1")  # the broker has retained it
    node.run(300)
    assert (node.trace, node.update().outcome, node.slots().standing()) == (trace, "confirmed", "settled")
    node.boot()
    assert node.version == "1.1"


@pytest.mark.parametrize(("step", "trace"), PUT_BACK.items())
def test_an_update_that_fails_is_put_back_whatever_step_the_plug_is_pulled_at(
    tmp_path: Path, step: str, trace: list[str]
) -> None:
    node = Node(tmp_path, lambda version: version != "1.1")
    node.offered(5, "1.1")
    node.run(30)
    assert node.version == "1.1"
    node.pull_before = step
    until_pulled(node, state.CONFIRM_WITHIN_S + 60)
    assert (node.trace, node.update().outcome, node.slots().standing()) == (trace, "rolled_back", "settled")
    assert node.update().reason == "unhealthy"


@pytest.mark.parametrize("lost", ["state.json", "trial", "starts"])
def test_a_file_of_the_trial_that_is_lost_leaves_a_node_that_works(tmp_path: Path, lost: str) -> None:
    node = Node(tmp_path)
    node.offered(5, "1.1")
    node.run(2)
    assert node.version == "1.1"
    (node.data / "update" / lost if lost == "state.json" else node.slots().folder / lost).unlink()
    node.boot()
    if node.wants_restart:
        node.boot()
    node.run(60)
    assert node.version == ("1.0" if lost == "state.json" else "1.1")
    assert node.slots().standing() == "settled"


def test_a_start_script_that_is_killed_while_it_goes_back_goes_back_at_the_next_start(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.offered(5, "1.1")
    node.run(2)
    folder = node.slots().folder
    (folder / "starts").write_text("3")
    (folder / "gave-up").write_text("factory")  # written; the link is still to be changed
    node.boot()
    assert (node.version, node.update().reason) == ("1.0", "does_not_start")
    assert not (folder / "gave-up").exists()
