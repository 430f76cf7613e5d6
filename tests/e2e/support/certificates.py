"""Certificates for tests, in files: an authority that issues what a test needs."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Certificate", "split_name"]

_DAY = dt.timedelta(days=1)
_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Certificate(NamedTuple):
    """A certificate and its key, in files and as objects."""

    x509: x509.Certificate
    key: _Key
    cert_file: Path
    key_file: Path

    @property
    def pem(self) -> str:
        """The certificate file's text (with the chain, where there is one)."""
        return self.cert_file.read_text("ascii")

    @property
    def key_pem(self) -> str:
        """The key file's text."""
        return self.key_file.read_text("ascii")

    @property
    def sha256(self) -> str:
        """The fingerprint in lower-case hex."""
        return self.x509.fingerprint(hashes.SHA256()).hex()


def split_name(name: str) -> x509.GeneralName:
    """`spiffe://x` is a URI, an address an IP, `a@b` a mailbox, all else a DNS name."""
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    if "@" in name:
        return x509.RFC822Name(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _make_key(*, rsa_key: bool) -> _Key:
    if rsa_key:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


class Authority:
    """A certificate authority whose files lie in `folder`."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.folder = folder
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        self.x509 = (
            x509.CertificateBuilder()
            .subject_name(self._subject)
            .issuer_name(self._subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + 30 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / f"{name.replace(' ', '-')}.pem"
        self.file.write_bytes(self.x509.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        *names: str,
        file: str = "",
        rsa_key: bool = False,
        days: tuple[int, int] = (-1, 20),
        password: str = "",
        client: bool = False,
    ) -> Certificate:
        """Issues a certificate for these names.

        Args:
            names: the first one is the common name too.
            file: stem of the files; by default the first name.
            rsa_key: RSA of 2048 bits instead of P-256.
            days: first and last day of validity, from now.
            password: the key is encrypted with it.
            client: for client authentication; else for a server.
        """
        key = _make_key(rsa_key=rsa_key)
        now = dt.datetime.now(dt.UTC)
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * _DAY)
            .not_valid_after(now + days[1] * _DAY)
            .add_extension(
                x509.SubjectAlternativeName([split_name(name) for name in names]), critical=False
            )
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        stem = file or names[0].replace("/", "_").replace("*", "wild")
        cert_file, key_file = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            encryption = serialization.BestAvailableEncryption(password.encode())
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
            )
        )
        return Certificate(made, key, cert_file, key_file)

    def ocsp_response(self, certificate: Certificate, *, days: tuple[int, int] = (-1, 5)) -> bytes:
        """A response that says the certificate is good, DER."""
        now = dt.datetime.now(dt.UTC)
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=certificate.x509,
            issuer=self.x509,
            algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=now + days[0] * _DAY,
            next_update=now + days[1] * _DAY,
            revocation_time=None,
            revocation_reason=None,
        )
        response = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, self.x509).sign(
            self._key, hashes.SHA256()
        )
        return response.public_bytes(serialization.Encoding.DER)

    def revoke(self, *certificates: Certificate) -> Path:
        """A revocation list with these certificates on it, in a file."""
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._subject)
            .last_update(now - _DAY)
            .next_update(now + 10 * _DAY)
        )
        for certificate in certificates:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.x509.serial_number)
                .revocation_date(now - _DAY)
                .build()
            )
        file = self.folder / "revoked.crl"
        listed = builder.sign(self._key, hashes.SHA256())
        file.write_bytes(listed.public_bytes(serialization.Encoding.PEM))
        return file
