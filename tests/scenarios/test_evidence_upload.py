"""Clips on their way from a node to the service: resumed, verified, within a budget, refused where they must be."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwatch.base.broker import free_port
from sealwatch.base.clock import ManualClock
from sealwatch.cloud.evidence import http
from sealwatch.cloud.evidence.receive import Arrived, Receiver, Refused, Sender
from sealwatch.cloud.evidence.store import FileEvidence
from sealwatch.contract import signing
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.upload import (
    FILES_PATH,
    ITEMS_PATH,
    MAX_PIECE_BYTES,
    SIGNED_AS,
    Announcement,
    FileState,
    Receipt,
    request_text,
)
from sealwatch.contract.wire import encode
from sealwatch.edge.recorder.footage import CLIPS
from sealwatch.edge.recorder.upload import CarrierError, HttpsCarrier, Uploader, Waiting, choose
from tests.edge.recorder import support
from tests.edge.recorder.support import KEY, Node

NODE, SITE = "fushun-017-1", "210423000017"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.encode(tmp_path_factory.mktemp("film") / "film.ts", seconds=60)


@pytest.fixture
def node(tmp_path: Path, film: Path) -> Node:
    """A node with one sealed clip."""
    node = Node(tmp_path / "footage", ManualClock())
    node.feed(film, at={20.0: node.say(Phase.START), 25.0: node.say(Phase.END)})
    node.hang_up()
    return node


class Service:
    """A receiver with a registry of one node."""

    def __init__(self, folder: Path) -> None:
        self.store = FileEvidence(folder / "evidence")
        self.arrived: list[Arrived] = []
        self.free = 10**12
        self.known = {NODE: Sender(NODE, SITE, KEY.public_key())}
        self.receiver = Receiver(
            folder / "uploads",
            self.store,
            self._find,
            on_arrived=self._note,
            free_bytes=lambda _path: self.free,
        )

    def _find(self, node_id: str) -> Sender | None:
        return self.known.get(node_id)

    def _note(self, arrived: Arrived) -> None:
        if arrived not in self.arrived:
            self.arrived.append(arrived)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path / "service")


class Direct:
    """A carrier without a wire that can fail before the service hears a request or after it has answered."""

    def __init__(self, service: Service, *, fail: random.Random | None = None) -> None:
        self.service, self.fail = service, fail
        self.sent: list[str] = []

    def announce(self, announcement: Announcement) -> Receipt:
        self._maybe()
        body = encode(announcement)
        sender = self._sender("POST", ITEMS_PATH, 0, body)
        try:
            receipt = self.service.receiver.announce(sender, body)
        except Refused as refused:
            raise CarrierError("refused", refused.detail) from None
        self._maybe()
        return receipt

    def send(self, sha256: str, offset_bytes: int, data: bytes) -> FileState:
        self._maybe()
        sender = self._sender("PATCH", FILES_PATH + sha256, offset_bytes, data)
        self.sent.append(sha256)
        try:
            state = self.service.receiver.take(sender, sha256, offset_bytes, data)
        except Refused as refused:
            raise CarrierError(refused.reason, refused.detail, refused.offset_bytes) from None
        self._maybe()
        return state

    def _sender(self, method: str, path: str, offset_bytes: int, body: bytes) -> Sender:
        said = request_text(method, path, offset_bytes, hashlib.sha256(body).hexdigest())
        signature = signing.sign(KEY, SIGNED_AS, said)
        return self.service.receiver.check_request(
            NODE, signature, method=method, path=path, offset_bytes=offset_bytes, body=body
        )

    def _maybe(self) -> None:
        if self.fail is not None and self.fail.random() < 0.3:
            raise CarrierError("unreachable", "the link is away")


def work(uploader: Uploader, node: Node, *, steps: int = 400) -> None:
    for _ in range(steps):
        if not [c for c in node.store.clips(state="sealed") if not c.sent]:
            return
        node.clock.advance(uploader.step())
    raise AssertionError(f"not sent: {uploader.health()}")


def clip_files(node: Node) -> list[Path]:
    return sorted(p for p in (node.folder / CLIPS).rglob("*") if p.is_file())


def test_a_clip_arrives_whole_with_its_snapshot_first(node: Node, service: Service) -> None:
    carrier = Direct(service)
    uploader = Uploader(lambda: node.footage, carrier, node.clock, piece_bytes=4096)
    work(uploader, node)
    assert [a.file.name for a in service.arrived] == ["snapshot.jpg", "clip.mp4"]
    assert {a.manifest.alarm_id for a in service.arrived} == {"a1"}
    for file in clip_files(node):
        data = file.read_bytes()
        assert service.store.get(hashlib.sha256(data).hexdigest()) == data
    assert len(carrier.sent) > 3  # in pieces
    assert uploader.health().ok


@pytest.mark.parametrize("seed", range(12))
def test_a_link_that_fails_at_any_moment_costs_nothing_but_time(node: Node, service: Service, seed: int) -> None:
    uploader = Uploader(lambda: node.footage, Direct(service, fail=random.Random(seed)), node.clock, piece_bytes=3000)
    work(uploader, node)
    for file in clip_files(node):
        data = file.read_bytes()
        assert service.store.get(hashlib.sha256(data).hexdigest()) == data
    assert len(service.arrived) == 2


def test_a_service_that_lost_what_was_not_synced_is_followed_back(node: Node, service: Service) -> None:
    uploader = Uploader(lambda: node.footage, Direct(service), node.clock, daily_bytes=10_000, piece_bytes=3000)
    uploader.step()
    [part] = (p for p in (service.receiver._parts).rglob("*") if p.is_file())
    part.write_bytes(part.read_bytes()[:100])
    node.clock.advance(86_400)
    again = Uploader(lambda: node.footage, Direct(service), node.clock, piece_bytes=3000)
    work(again, node)
    assert len(service.arrived) == 2


class TestBudget:
    def test_what_the_day_allows_is_sent_and_the_rest_the_next_day(self, node: Node, service: Service) -> None:
        uploader = Uploader(lambda: node.footage, Direct(service), node.clock, daily_bytes=6000, piece_bytes=2000)
        uploader.step()
        assert uploader.step() > 0
        assert uploader.health().reason == "budget_spent"
        assert node.store.sent_bytes(node.clock.wall_ms()) <= 6000 + 2000
        days = 0
        while not all(c.sent for c in node.store.clips(state="sealed")):
            node.clock.advance(86_400)
            for _ in range(5):
                uploader.step()
            days += 1
            assert days < 200
        assert days > 2

    def test_the_last_part_is_kept_for_urgent_ones(self) -> None:
        yellow = Waiting("y", Level.YELLOW, 1, 100)
        red = Waiting("r", Level.RED, 1, 100)
        assert choose([yellow], sent_today_bytes=79, daily_bytes=100).clip_id == "y"
        assert choose([yellow], sent_today_bytes=80, daily_bytes=100).reason == "budget_kept_for_urgent"
        assert choose([yellow, red], sent_today_bytes=80, daily_bytes=100).clip_id == "r"
        assert choose([red], sent_today_bytes=100, daily_bytes=100).reason == "budget_spent"
        assert choose([red], sent_today_bytes=100, daily_bytes=None).clip_id == "r"
        assert choose([], sent_today_bytes=0, daily_bytes=None).reason == "nothing_to_send"

    @given(
        st.lists(st.tuples(st.sampled_from(list(Level)), st.integers(0, 1000)), min_size=1, max_size=20),
        st.integers(0, 200),
        st.one_of(st.none(), st.integers(1, 100)),
    )
    @settings(deadline=None)
    def test_nothing_less_urgent_goes_before_something_more_urgent(
        self, raw: list[tuple[Level, int]], sent: int, daily: int | None
    ) -> None:
        waiting = [Waiting(str(i), level, at, 10) for i, (level, at) in enumerate(raw)]
        choice = choose(waiting, sent_today_bytes=sent, daily_bytes=daily)
        if choice.clip_id is not None:
            chosen = waiting[int(choice.clip_id)]
            assert chosen.level.urgency == min(w.level.urgency for w in waiting)
            assert daily is None or sent < daily
        else:
            assert daily is not None


class TestRefused:
    def announcement(self, node: Node) -> Announcement:
        [clip] = node.store.clips(state="sealed")
        sealed = node.store.manifest("clip", clip.id)
        assert sealed is not None
        [number] = node.store.link_numbers([hashlib.sha256(sealed).hexdigest()])
        return Announcement(manifest=sealed.decode(), link=node.store.links(number, number)[0].decode())

    def reason(self, service: Service, announcement: Announcement, sender: Sender | None = None) -> str:
        with pytest.raises(Refused) as caught:
            service.receiver.announce(sender or service.known[NODE], encode(announcement))
        return caught.value.reason

    def test_an_altered_manifest(self, node: Node, service: Service) -> None:
        said = self.announcement(node)
        altered = msgspec.structs.replace(said, manifest=said.manifest.replace("person", "animal", 1))
        assert self.reason(service, altered) == "altered"

    def test_a_manifest_that_another_key_signed(self, node: Node, service: Service) -> None:
        rogue = Sender(NODE, SITE, Ed25519PrivateKey.generate().public_key())
        assert self.reason(service, self.announcement(node), rogue) == "wrong_key"

    def test_evidence_of_another_node(self, node: Node, service: Service) -> None:
        assert self.reason(service, self.announcement(node), Sender("other", SITE, KEY.public_key())) == "foreign_node"

    def test_a_link_of_another_item(self, node: Node, service: Service) -> None:
        said = self.announcement(node)
        other = msgspec.structs.replace(said, link=node.store.links(1, 1)[0].decode())
        assert self.reason(service, other) == "not_linked"

    def test_a_file_that_arrives_altered_is_thrown_away(self, node: Node, service: Service) -> None:
        receiver, sender = service.receiver, service.known[NODE]
        receipt = receiver.announce(sender, encode(self.announcement(node)))
        small = min(receipt.files, key=lambda f: f.size_bytes)
        with pytest.raises(Refused) as caught:
            receiver.take(sender, small.sha256, 0, b"x" * small.size_bytes)
        assert caught.value.reason == "hash_mismatch"
        assert service.store.get(small.sha256) is None
        assert service.arrived == []

    def test_pieces_out_of_place_unannounced_or_too_many(self, node: Node, service: Service) -> None:
        receiver, sender = service.receiver, service.known[NODE]
        for sha256 in ("0" * 64, "../../etc/passwd"):
            with pytest.raises(Refused, match="not_announced"):
                receiver.take(sender, sha256, 0, b"x")
        receipt = receiver.announce(sender, encode(self.announcement(node)))
        sha256 = receipt.files[0].sha256
        with pytest.raises(Refused) as caught:
            receiver.take(sender, sha256, 5, b"x")
        assert (caught.value.reason, caught.value.offset_bytes) == ("wrong_offset", 0)
        with pytest.raises(Refused, match="too_large"):
            receiver.take(sender, sha256, 0, b"x" * (MAX_PIECE_BYTES + 1))
        service.free = 1000
        with pytest.raises(Refused, match="no_room"):
            receiver.take(sender, sha256, 0, b"x")

    def test_an_item_that_is_refused_does_not_hold_up_others_and_is_offered_again(
        self, node: Node, service: Service
    ) -> None:
        service.known[NODE] = Sender(NODE, SITE, Ed25519PrivateKey.generate().public_key())
        real = Direct(service)

        class Wrong(Direct):
            def _sender(self, *_values: object) -> Sender:
                return service.known[NODE]

        uploader = Uploader(lambda: node.footage, Wrong(service), node.clock)
        uploader.step()
        assert uploader.health().reason == "refused"
        assert uploader.health().numbers["refused_items"] == 1
        assert uploader.step() > 0
        assert uploader.health().reason == "nothing_to_send"
        service.known[NODE] = Sender(NODE, SITE, KEY.public_key())
        node.clock.advance(3601)
        uploader._carrier = real
        work(uploader, node)


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Signals belong to the test run."""


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    app = FastAPI()
    app.include_router(http.build(service.receiver))
    port = free_port()
    server = _Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


class TestOverHttp:
    def test_a_clip_arrives(self, node: Node, service: Service, url: str) -> None:
        carrier = HttpsCarrier(url, node_id=NODE, key=KEY)
        uploader = Uploader(lambda: node.footage, carrier, node.clock, piece_bytes=9999)
        work(uploader, node)
        assert len(service.arrived) == 2

    @pytest.mark.parametrize(("node_id", "known"), [(NODE, False), ("stranger", True)])
    def test_a_stranger_or_a_wrong_key_is_turned_away(
        self, node: Node, service: Service, url: str, node_id: str, known: bool
    ) -> None:
        key = KEY if known else Ed25519PrivateKey.generate()
        uploader = Uploader(lambda: node.footage, HttpsCarrier(url, node_id=node_id, key=key), node.clock)
        uploader.step()
        assert uploader.health().reason == "refused"
        assert service.arrived == []

    def test_a_wrong_offset_over_the_wire_says_where_to_go_on(self, node: Node, url: str) -> None:
        carrier = HttpsCarrier(url, node_id=NODE, key=KEY)
        said = TestRefused().announcement(node)
        file = carrier.announce(said).files[0]
        with pytest.raises(CarrierError) as caught:
            carrier.send(file.sha256, 7, b"x")
        assert (caught.value.reason, caught.value.offset_bytes) == ("wrong_offset", 0)

    def test_a_service_that_is_away_is_tried_again_later(self, node: Node) -> None:
        carrier = HttpsCarrier(f"http://127.0.0.1:{free_port()}", node_id=NODE, key=KEY)
        uploader = Uploader(lambda: node.footage, carrier, node.clock)
        assert 0 < uploader.step() <= 2
        assert uploader.health().reason == "unreachable"
