"""The service's certificate authority: X.509 (RFC 5280) with ECDSA P-256, in a folder of its own.

``ca.pem`` and ``ca-key.pem`` are made at first use. Whoever has an authority already puts an intermediate one there
under these names before the first start. ``crl.pem`` lists what was revoked, for the broker.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sealwatch.base.errors import UsageError
from sealwatch.base.files import replace_file

CA_DAYS: Final = 20 * 365
LEAF_DAYS: Final = 365
CRL_DAYS: Final = 10 * 365
"""The broker turns everybody away when its list is out of date. A new one is written at every start and revocation."""
_SLACK: Final = dt.timedelta(days=1)
"""A node whose clock is a little behind must not find its new certificate not yet valid."""
_PEM: Final = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Issued:
    """A new certificate."""

    serial: str
    pem: str
    not_after_ms: int


@dataclass(frozen=True, slots=True)
class Revoked:
    serial: str
    at_ms: int


def _time(ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ms // 1000, tz=dt.UTC)


class Authority:
    """Signs certificates and the list of revoked ones."""

    def __init__(self, folder: Path, now_ms: int) -> None:
        """Opens what is there, or makes it. Raises UsageError for files that can't be used."""
        self._folder = folder
        self._certificate_file, self._key_file = folder / "ca.pem", folder / "ca-key.pem"
        self.crl_file = folder / "crl.pem"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._certificate_file.exists():
                self._make(now_ms)
            key = serialization.load_pem_private_key(self._key_file.read_bytes(), password=None)
            self.certificate = x509.load_pem_x509_certificate(self._certificate_file.read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"{folder}: the certificate authority cannot be used ({error}); restore it") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self.certificate.public_key():
            raise UsageError(f"{folder}: ca.pem and ca-key.pem do not belong together, or are not ECDSA; restore them")
        self._key = key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(_PEM).decode()

    def _make(self, now_ms: int) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SealWatch CA")])
        public = key.public_key()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_time(now_ms) - _SLACK)
            .not_valid_after(_time(now_ms) + dt.timedelta(days=CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(key, hashes.SHA256())
        )
        replace_file(self._key_file, private_pem(key))  # first: a certificate without its key would be of no use
        replace_file(self._certificate_file, certificate.public_bytes(_PEM), mode=0o644)

    def issue(
        self,
        public_key: ec.EllipticCurvePublicKey,
        name: str,
        *,
        now_ms: int,
        hosts: Sequence[str] = (),
        days: int = LEAF_DAYS,
    ) -> Issued:
        """A certificate for the common name `name`; with `hosts` for a server of these names or addresses too."""
        until = min(_time(now_ms) + dt.timedelta(days=days), self.certificate.not_valid_after_utc)
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])
        serial = x509.random_serial_number()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(serial)
            .not_valid_before(min(_time(now_ms), until) - _SLACK)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Issued(f"{serial:x}", certificate.public_bytes(_PEM).decode(), int(until.timestamp() * 1000))

    def write_crl(self, revoked: Sequence[Revoked], now_ms: int) -> None:
        """The list of what was revoked, whole. Raises OSError."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(_time(now_ms) - _SLACK)
            .next_update(_time(now_ms) + dt.timedelta(days=CRL_DAYS))
        )
        for one in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(int(one.serial, 16))
                .revocation_date(_time(one.at_ms))
                .build()
            )
        replace_file(self.crl_file, builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM), mode=0o644)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """An unencrypted PKCS #8 key, as programs without a keyboard want it."""
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def key_of_csr(pem: str) -> ec.EllipticCurvePublicKey:
    """The key that asks, once its own signature holds. Raises ValueError."""
    csr = x509.load_pem_x509_csr(pem.encode())
    key = csr.public_key()
    if not csr.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("wanted is a PKCS #10 request of an ECDSA key")
    return key


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
