"""Updates: taken or refused, fetched within the budget, switched in a quiet moment, proved or put back."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.contract.codes import AlarmKind
from sealwatch.edge.update import state
from tests.edge.update.support import Node, agent, offer, release, sealed

OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))


def test_a_newer_agent_is_fetched_switched_to_and_confirmed(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.offered(5, "1.1")
    node.run(60)
    assert (node.version, node.slots().current(), node.update().outcome) == ("1.1", "a", "confirmed")
    assert (node.replies[-1].command_id, node.replies[-1].ok) == ("update-agent-5", True)
    node.offered(6, "1.2")
    node.run(60)
    assert (node.version, node.slots().current()) == ("1.2", "b")
    assert node.trace == ["1.0", "1.1", "1.2"]
    assert node.slots().standing() == "settled"


def test_one_whose_parts_fail_is_put_back_within_its_minutes_and_not_tried_again(tmp_path: Path) -> None:
    node = Node(tmp_path, lambda version: version != "1.1")
    node.offered(5, "1.1")
    node.run(state.CONFIRM_WITHIN_S + 30)
    assert (node.version, node.update().outcome, node.update().reason) == ("1.0", "rolled_back", "unhealthy")
    assert node.update().detail == "cam-1 (no_signal)"
    node.offered(5, "1.1")
    node.run(60)
    assert node.trace == ["1.0", "1.1", "1.0"]
    assert node.told[-1] == ("update_put_back", "agent", "1.1", "1.0")


def test_without_an_ack_of_the_service_it_is_put_back(tmp_path: Path) -> None:
    node = Node(tmp_path, acknowledged=False)
    node.offered(5, "1.1")
    node.run(state.CONFIRM_WITHIN_S + 30)
    assert (node.version, node.update().detail) == ("1.0", "uplink (no ack)")


def test_an_agent_that_does_not_even_start_is_given_up_by_the_start_script(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.offered(5, "1.1", b"#!/bin/sh\nexit 3\n")
    node.run(60)
    assert node.trace == ["1.0", "died", "died", "died", "1.0"]
    assert (node.update().outcome, node.update().reason) == ("rolled_back", "does_not_start")
    node.offered(6, "1.2")
    node.run(60)
    assert node.version == "1.2"


def test_one_that_was_confirmed_and_is_damaged_later_leaves_the_installed_one_running(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.offered(5, "1.1")
    node.run(60)
    (node.slots().path("a") / "bin" / "sealwatch").write_bytes(b"\0\0")
    node.boot()
    assert node.version == "1.0"


def test_it_waits_for_the_end_of_an_alarm(tmp_path: Path) -> None:
    node = Node(tmp_path, busy="alarm_open")
    node.offered(5, "1.1")
    node.run(3600)
    assert (node.version, node.keeper.health().reason) == ("1.0", "alarm_open")
    node.busy = ""
    node.run(60)
    assert node.version == "1.1"


def test_what_may_stand_for_months_does_not_hold_it_up() -> None:
    assert state.not_quiet([AlarmKind.NODE_FAULT, AlarmKind.CAMERA_FAULT], configuration_on_trial=False) == ""
    assert state.not_quiet([AlarmKind.NODE_FAULT, AlarmKind.PERSON], configuration_on_trial=False) == "alarm_open"
    assert state.not_quiet([], configuration_on_trial=True) == "configuration_on_trial"


def test_files_come_within_the_days_budget_and_go_on_where_they_were(tmp_path: Path) -> None:
    node = Node(tmp_path, daily_bytes=1000)
    body = agent("1.1") + b"#" * 2500
    node.offered(5, "1.1", body)
    node.run(4 * 3600)
    assert (node.keeper.health().reason, sum(most for _, _, most in node.source.asked)) == ("budget_spent", 1000)
    node.boot()
    for _ in range(3):
        node.clock.advance(86_400)
        node.run(600)
    assert node.version == "1.1"
    assert [at for _, at, _ in node.source.asked] == [0, 1000, 2000]


def test_asked_for_by_a_person_it_does_not_wait_for_tomorrow(tmp_path: Path) -> None:
    node = Node(tmp_path, daily_bytes=1000)
    node.offered(5, "1.1", agent("1.1") + b"#" * 2500)
    node.run(600)
    (node.data / "update" / "asked").write_text("now")
    node.run(600)
    assert node.version == "1.1"


def test_a_link_that_is_away_is_tried_again_and_counted(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.source.down = True
    node.offered(5, "1.1")
    node.run(3600)
    assert node.keeper.health().reason == "unreachable"
    assert 3 < len(node.source.asked) < 60
    node.source.down = False
    node.run(1800)
    assert node.version == "1.1"


def test_a_file_that_comes_altered_is_never_installed(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.offered(5, "1.1")
    [sha256] = node.source.files
    node.source.files[sha256] = agent("6.6")
    node.run(600)
    assert (node.version, node.keeper.health().reason) == ("1.0", "altered")
    node.source.files[sha256] = agent("1.1")
    node.run(600)
    assert node.version == "1.1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (sealed(release("1.0", files={"agent": b"x"})), "not_newer"),
        (sealed(release("0.9.9", files={"agent": b"x"})), "not_newer"),
        (sealed(release("1.1", min_agent="1.0.1", files={"agent": b"x"})), "needs_newer_agent"),
        (sealed(release("1.1", platform="linux-x86_64-cp311", files={"agent": b"x"})), "other_platform"),
        (sealed(release("1.1", files={"agent": b"x"}), OTHER), "unknown_key"),
        (sealed(release("1.1", files={"agent": b"x"})).replace("1.1", "1.2"), "bad_signature"),
        ("{}", "wrong_shape"),
    ],
)
def test_what_is_not_to_be_installed_is_refused_by_name(tmp_path: Path, text: str, reason: str) -> None:
    node = Node(tmp_path)
    node.keeper.take(offer(5, (5, text)))
    node.run(60)
    assert (node.update().outcome, node.update().reason, node.version) == ("refused", reason, "1.0")
    assert (node.replies[-1].ok, node.replies[-1].reason) == (False, reason)
    assert node.source.asked == []


def test_an_older_offer_another_nodes_and_one_of_a_strangers_key_change_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.offered(7, "1.1")
    node.run(60)
    newer = sealed(release("1.2", files={"agent": b"x"}))
    for payload in (offer(6, (6, newer)), offer(8, (8, newer), key=OTHER), offer(8, (8, newer), node_id="n2"), b"x"):
        node.keeper.take(payload)
    node.run(60)
    assert (node.version, node.keeper.known.offer) == ("1.1", 7)


def test_what_cannot_be_installed_is_refused_and_what_is_in_use_goes_on(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.offered(5, "1.1", b"cannot be installed")
    node.run(60)
    assert (node.update().reason, node.update().detail, node.trace) == ("not_installable", "no such wheel", ["1.0"])


def test_an_offer_that_is_withdrawn_before_it_was_fetched_is_forgotten(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.source.down = True
    node.offered(5, "1.1")
    node.run(30)
    node.keeper.take(offer(6))
    node.source.down = False
    node.run(600)
    assert (node.update().outcome, node.version) == ("withdrawn", "1.0")


def test_a_person_may_go_back_to_the_former_agent_once(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.offered(5, "1.1")
    node.run(60)
    for _ in range(2):
        (node.data / "update" / "asked").write_text("rollback agent")
        node.run(60)
    assert (node.trace, node.update().reason) == (["1.0", "1.1", "1.0"], "asked")


def test_a_model_has_slots_of_its_own_and_goes_back_by_itself(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.parts = lambda _version: model_is_good(node)
    for number, body in ((5, b"good"), (6, b"bad")):
        node.source.add(body)
        text = sealed(release(str(number), kind="model", platform="any", files={"model.toml": body}))
        node.keeper.take(offer(number, (number, text)))
        node.run(state.CONFIRM_WITHIN_S + 60)
        assert (node.slots("model").current(), node.update("model").in_use_version) == ("a", "5")
    assert node.update("model").outcome == "rolled_back"
    assert node.version == "1.0"


def model_is_good(node: Node) -> bool:
    slots = node.slots("model")
    manifest = slots.path(slots.current()) / "model.toml"
    return not manifest.exists() or manifest.read_bytes() != b"bad"


def test_an_agent_that_the_start_script_did_not_start_installs_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.keeper._running_slot = None
    node.offered(5, "1.1")
    node.run(60)
    assert (node.version, node.keeper.health().reason) == ("1.0", "not_started_from_slots")


def test_files_that_no_release_needs_any_more_are_removed(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for number in (5, 6):
        node.offered(number, f"1.{number}")
        node.run(60)
    assert len(list((node.data / "update" / "files").iterdir())) == 1
