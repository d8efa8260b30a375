"""What a node holds to show who it is: key and certificate for TLS, the authority, and where all this came from.

``data_dir/tls``: ``node.key`` (made here, never leaves), ``node.pem``, ``ca.pem``, ``enrolment.json``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from sealwatch.base.errors import UsageError
from sealwatch.base.files import replace_file
from sealwatch.contract.enrolment import Granted

FOLDER: Final = "tls"
_PEM: Final = serialization.Encoding.PEM


class Origin(Struct, frozen=True, kw_only=True):
    """Which service enrolled this node."""

    cloud_url: str
    service_public_key: str
    https_ca_file: str = ""


class Validity(Struct, frozen=True):
    """From when to when a certificate holds."""

    from_ms: int
    to_ms: int


class Papers:
    """The files. Methods raise OSError where the disk refuses."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / FOLDER
        self.key_file, self.certificate_file = self.folder / "node.key", self.folder / "node.pem"
        self.ca_file, self._origin_file = self.folder / "ca.pem", self.folder / "enrolment.json"

    def origin(self) -> Origin | None:
        """Who enrolled this node; None where nobody has. Raises UsageError for a file that can't be read."""
        try:
            return msgspec.json.decode(self._origin_file.read_bytes(), type=Origin)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise UsageError(f"{self._origin_file}: cannot be read ({error}); enrol the node again") from None

    def csr(self, name: str) -> str:
        """A request for the node's TLS key (ECDSA P-256), which is made at the first call and then stays."""
        key = self._key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        return request.public_bytes(_PEM).decode()

    def _key(self) -> ec.EllipticCurvePrivateKey:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            key = serialization.load_pem_private_key(self.key_file.read_bytes(), password=None)
        except FileNotFoundError:
            key = ec.generate_private_key(ec.SECP256R1())
            pem = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            replace_file(self.key_file, pem)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{self.key_file}: cannot be read ({error}); move it away and enrol again") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise UsageError(f"{self.key_file}: is no ECDSA key; move it away and enrol again")
        return key

    def keep(self, granted: Granted, origin: Origin) -> None:
        """Put down what was granted; the origin last, so that it is there only with all the rest."""
        replace_file(self.ca_file, granted.ca.encode(), mode=0o644)
        replace_file(self.certificate_file, granted.certificate.encode(), mode=0o644)
        replace_file(self._origin_file, msgspec.json.encode(origin))

    def validity(self) -> Validity | None:
        """Of the certificate at hand; None where there is none that can be read."""
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        except (OSError, ValueError):
            return None
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return Validity(int(begin.timestamp() * 1000), int(end.timestamp() * 1000))
