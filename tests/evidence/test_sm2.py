"""SM2 as the second signature, by the openssl command; SM3 as the second digest."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.evidence import digests, sm2
from sealwatch.evidence.sm2 import Sm2Signer, Sm2Verifier
from sealwatch.evidence.verify import verify
from tests.evidence import support
from tests.evidence.support import KEY

needs_openssl = pytest.mark.skipif(not sm2.available(), reason="the openssl command is not installed")


def test_sm3_gives_the_digest_of_the_standard() -> None:
    # GB/T 32905-2016, appendix A.1: the digest of "abc".
    found = digests.of_chunks([b"a", b"bc"], sm3=True)
    assert found.sm3 == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert digests.of_chunks([b"abc"]).sm3 is None


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Sm2Signer:
    key_file = tmp_path_factory.mktemp("sm2") / "sm2.pem"
    sm2.make_key(key_file)
    assert key_file.stat().st_mode & 0o077 == 0
    return Sm2Signer(key_file)


@pytest.fixture
def public(signer: Sm2Signer, tmp_path: Path) -> Path:
    file = tmp_path / "sm2.pub.pem"
    file.write_bytes(signer.public_pem())
    return file


@needs_openssl
def test_a_pack_with_both_signatures_holds(signer: Sm2Signer, public: Path, tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    path.write_bytes(support.build(tmp_path, second=signer))
    assert verify(path, [KEY.public_key()], second=Sm2Verifier([public])).findings == ()


@needs_openssl
def test_an_sm2_signature_nobody_checked_does_not_pass_silently(signer: Sm2Signer, tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    path.write_bytes(support.build(tmp_path, second=signer))
    verdict = verify(path, [KEY.public_key()])
    assert not verdict.holds
    assert {f.reason for f in verdict.faults} == {"sm2_not_checked"}


@needs_openssl
def test_taking_the_sm2_signature_off_is_noticed(signer: Sm2Signer, public: Path, tmp_path: Path) -> None:
    pack = support.unpack(support.build(tmp_path, second=signer))
    member = "manifests/clip-1.json"
    data = pack.members[member]
    pack.members[member] = data[: data.index(b',"sm2"')] + b"}"
    path = tmp_path / "pack.zip"
    path.write_bytes(pack.zipped())
    found = {(f.reason, f.member) for f in verify(path, [KEY.public_key()], second=Sm2Verifier([public])).faults}
    assert ("sm2_missing", member) in found


@needs_openssl
def test_an_altered_sm2_signature_is_told_from_a_foreign_key(signer: Sm2Signer, public: Path, tmp_path: Path) -> None:
    signature = signer.sign(b"text")
    verifier = Sm2Verifier([public])
    assert verifier.check(signer.key_id, b"text", signature) == "good"
    assert verifier.check(signer.key_id, b"texts", signature) == "bad"
    assert verifier.check(signer.key_id, b"text", signature[:-1] + bytes([signature[-1] ^ 1])) == "bad"
    assert verifier.check("0" * 16, b"text", signature) == "unknown_key"


@needs_openssl
def test_a_key_of_another_kind_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="SM2 key"):
        Sm2Signer(tmp_path / "nowhere.pem")
    with pytest.raises(UsageError, match="SM2 public key"):
        Sm2Verifier([tmp_path / "nowhere.pem"])
    other = tmp_path / "p256.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    other.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(CommandFailed, match="SM2"):
        Sm2Signer(other)
    other.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(UsageError, match="SM2"):
        Sm2Verifier([other])


def test_without_openssl_nothing_pretends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not sm2.available()
    assert Sm2Verifier([tmp_path / "any.pem"]).check("0" * 16, b"", b"") == "not_available"
    with pytest.raises(CommandFailed, match="apt install openssl"):
        Sm2Signer(tmp_path / "any.pem")
