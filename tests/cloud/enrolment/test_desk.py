"""Tokens, certificates, renewal and revocation, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.errors import UsageError
from sealwatch.cloud.db.tables import Node
from sealwatch.cloud.downlink.queue import newest
from sealwatch.cloud.enrolment import desk
from sealwatch.cloud.enrolment.authority import Authority
from sealwatch.cloud.enrolment.desk import Desk
from sealwatch.cloud.registry.view import load
from sealwatch.contract import enrolment
from sealwatch.contract.enrolment import EnrolRequest, Granted, RenewRequest, read_token
from sealwatch.contract.signing import public_key_text
from sealwatch.contract.topics import Channel
from sealwatch.contract.wire import Refused
from tests.cloud.world import World

SERVICE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
HOUR_S = 3600.0


class Machine:
    """Keys of somebody who wants to be a node."""

    def __init__(self) -> None:
        self.key, self._tls = Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "sealwatch-cloud")])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self._tls, hashes.SHA256())
        self.csr = request.public_bytes(serialization.Encoding.PEM).decode()

    def enrol(self, token: str, *, csr: str | None = None) -> bytes:
        asked = EnrolRequest(public_key=public_key_text(self.key.public_key()), csr=csr or self.csr)
        return enrolment.sign(read_token(token).key, asked)

    def renew(self, node_id: str = "node-9") -> bytes:
        return enrolment.sign(self.key, RenewRequest(node_id=node_id, csr=self.csr))


class County:
    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.clock = world, world.clock
        self.authority = Authority(folder, world.clock.wall_ms())
        self.desk = Desk(
            database=world.database, authority=self.authority, key=SERVICE, mqtt_url="mqtts://b", clock=world.clock
        )

    def token(self, node_id: str = "node-9") -> str:
        with self.world.database.write() as session:
            return desk.make_token(
                session,
                key=SERVICE,
                node_id=node_id,
                site_id="s1",
                author="desk",
                now_ms=self.clock.wall_ms(),
                valid_s=HOUR_S,
            )

    def revoke(self, node_id: str = "node-9") -> int:
        with self.world.database.write() as session:
            count = desk.revoke(session, node_id, now_ms=self.clock.wall_ms())
            desk.write_crl(session, self.authority, self.clock.wall_ms())
            return count

    def listed(self) -> int:
        return len(list(x509.load_pem_x509_crl(self.authority.crl_file.read_bytes())))

    def registered(self, node_id: str = "node-9") -> bool:
        with self.world.database.read() as session:
            return node_id in load(session).nodes


@pytest.fixture
def county(world: World, tmp_path: Path) -> County:
    return County(world, tmp_path / "ca")


def granted(answer: bytes) -> tuple[Granted, x509.Certificate]:
    signed, found = enrolment.read(Granted, answer)
    assert signed.key == public_key_text(SERVICE.public_key())
    return found, x509.load_pem_x509_certificate(found.certificate.encode())


def refusal(ask: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        ask()
    return caught.value.reason


def test_a_token_makes_a_node_with_the_name_that_the_token_gives(county: County) -> None:
    machine = Machine()
    found, certificate = granted(county.desk.enrol(machine.enrol(county.token())))
    assert certificate.subject.rfc4514_string() == "CN=node-9", "not the name that the request wishes for"
    certificate.verify_directly_issued_by(county.authority.certificate)
    assert (found.site_id, found.node_id, found.mqtt_url) == ("s1", "node-9", "mqtts://b")
    assert county.registered()


def test_a_lost_answer_is_asked_for_again_and_is_the_same(county: County) -> None:
    machine, token = Machine(), county.token()
    first, again = (granted(county.desk.enrol(machine.enrol(token)))[0] for _ in range(2))
    assert first.certificate == again.certificate


def test_a_used_token_is_no_use_to_others(county: County) -> None:
    token = county.token()
    county.desk.enrol(Machine().enrol(token))
    assert refusal(lambda: county.desk.enrol(Machine().enrol(token))) == "used_token"


def test_an_expired_an_unknown_and_an_altered_one_are_refused(county: County) -> None:
    token, machine = county.token(), Machine()
    request = machine.enrol(token)
    assert refusal(lambda: county.desk.enrol(request.replace(b"BEGIN", b"BEGUN"))) == "bad_signature"
    county.clock.advance(HOUR_S + 1)
    assert refusal(lambda: county.desk.enrol(request)) == "expired_token"
    other = enrolment.new_token(SERVICE.public_key()).text()
    assert refusal(lambda: county.desk.enrol(machine.enrol(other))) == "unknown_token"
    assert not county.registered()


def test_a_request_that_is_none_uses_no_token_up(county: County) -> None:
    token = county.token()
    assert refusal(lambda: county.desk.enrol(Machine().enrol(token, csr="nothing"))) == "bad_csr"
    county.desk.enrol(Machine().enrol(token))


def test_renewal_wants_the_nodes_own_key(county: County) -> None:
    machine = Machine()
    first, _ = granted(county.desk.enrol(machine.enrol(county.token())))
    assert granted(county.desk.renew(machine.renew()))[0].certificate == first.certificate, "not a day old"
    county.clock.advance(200 * 86_400)
    later, _ = granted(county.desk.renew(machine.renew()))
    assert later.not_after_ms > first.not_after_ms
    assert refusal(lambda: county.desk.renew(Machine().renew())) == "unknown_node"
    assert refusal(lambda: county.desk.renew(machine.renew("node-1"))) == "unknown_node"


def test_a_revoked_node_has_no_rights_left_until_it_is_enrolled_anew(county: County) -> None:
    machine, unused = Machine(), county.token()
    county.desk.enrol(machine.enrol(county.token()))
    assert (county.revoke(), county.listed(), county.registered()) == (1, 1, False)
    assert refusal(lambda: county.desk.renew(machine.renew())) == "unknown_node"
    assert refusal(lambda: county.desk.enrol(Machine().enrol(unused))) == "expired_token"
    county.desk.enrol(Machine().enrol(county.token()))
    assert (county.registered(), county.listed()) == (True, 1)


def test_a_machine_that_takes_a_nodes_place_ends_the_former_ones_certificate(county: County) -> None:
    county.desk.enrol(Machine().enrol(county.token()))
    county.desk.enrol(Machine().enrol(county.token()))
    assert county.listed() == 1


def test_an_enrolled_node_gets_the_declaration_of_its_site(county: County) -> None:
    county.desk.enrol(Machine().enrol(county.token()))
    with county.world.database.read() as session:
        assert newest(session, "node-9", Channel.DECLARATION) is not None
        assert session.get_one(Node, "node-9").site_id == "s1"


def test_the_authority_is_the_same_at_every_start_and_its_key_is_closed_to_others(
    county: County, tmp_path: Path
) -> None:
    assert Authority(tmp_path / "ca", 1).pem == county.authority.pem
    key = tmp_path / "ca" / "ca-key.pem"
    assert key.stat().st_mode & 0o077 == 0
    key.write_text("gone")
    with pytest.raises(UsageError, match="restore it"):
        Authority(tmp_path / "ca", 1)


@pytest.mark.parametrize("node_id", ["sealwatch-cloud", "a/b", "+", ""])
def test_no_node_gets_a_name_that_the_broker_would_take_for_another(county: County, node_id: str) -> None:
    with pytest.raises(UsageError, match=r"can be no node|kept for the service"):
        county.token(node_id)


@pytest.mark.parametrize("text", ["", "abc", "a.b", "x" * 43, "密.钥", "-" * 43 + "." + "A" * 21])
def test_what_is_no_token_is_no_token(text: str) -> None:
    with pytest.raises(ValueError, match="not a token"):
        read_token(text)


def enrolled(county: County) -> Machine:
    machine = Machine()
    county.desk.enrol(machine.enrol(county.token()))
    return machine


def trusted(county: County) -> list[str]:
    with county.world.database.read() as session:
        node = load(session).nodes["node-9"]
        return [public_key_text(key) for key in node.trusted(county.clock.wall_ms()).values()]


def test_another_key_is_believed_at_once_and_the_former_one_for_thirty_days(county: County) -> None:
    machine, following = enrolled(county), Ed25519PrivateKey.generate()
    asked = enrolment.key_request("node-9", machine.key, following)
    signed, accepted = enrolment.read(enrolment.KeyAccepted, county.desk.change_key(asked))
    old, new = public_key_text(machine.key.public_key()), public_key_text(following.public_key())
    assert (signed.key, accepted.public_key) == (public_key_text(SERVICE.public_key()), new)
    assert trusted(county) == [new, old]
    county.clock.advance(60)
    county.desk.change_key(asked)  # its answer was lost
    assert trusted(county) == [new, old]
    with pytest.raises(Refused, match="unknown_node"):
        county.desk.change_key(enrolment.key_request("node-9", machine.key, Ed25519PrivateKey.generate()))
    county.clock.advance(30 * 86_400)
    assert trusted(county) == [new]
    with pytest.raises(Refused, match="unknown_node"):
        county.desk.change_key(asked)


def test_a_key_that_the_asker_does_not_have_is_refused_and_so_is_one_of_cloud_toml(county: County) -> None:
    machine = enrolled(county)
    stranger = Ed25519PrivateKey.generate()
    claimed = enrolment.KeyRequest(node_id="node-9", public_key=public_key_text(stranger.public_key()), proof="AAAA")
    with pytest.raises(Refused, match="bad_proof"):
        county.desk.change_key(enrolment.sign(machine.key, claimed))
    with county.world.database.write() as session:
        session.get_one(Node, "node-9").enrolled_at_ms = None
    with pytest.raises(Refused, match="key_in_cloud_toml"):
        county.desk.change_key(enrolment.key_request("node-9", machine.key, stranger))


def test_a_revocation_and_another_enrolment_end_the_former_key_at_once(county: County) -> None:
    machine, following = enrolled(county), Ed25519PrivateKey.generate()
    county.desk.change_key(enrolment.key_request("node-9", machine.key, following))
    county.revoke()
    assert not county.registered()
    other = Machine()
    county.desk.enrol(other.enrol(county.token()))
    assert trusted(county) == [public_key_text(other.key.public_key())]
