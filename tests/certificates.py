"""Certificates for tests: an authority, what it signs, and files that are wrong in one way."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


class Pair(NamedTuple):
    """Files of a certificate with its chain, and of its key."""

    certificate: Path
    key: Path


class Authority:
    """Writes to `folder`; `file` is its own certificate."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.file = folder / f"{name}.pem"
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(self.file)

    def pair(
        self,
        *names: str,
        common_name: str | None = None,
        organization: str | None = None,
        not_after: datetime | None = None,
        rsa: bool = False,
    ) -> Pair:
        leaf = self._ca.issue_cert(
            *names,
            common_name=common_name,
            organization_name=organization,
            not_after=not_after,
            key_type=trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA,
        )
        stem = (names or (common_name,))[0].replace("*", "any")
        pair = Pair(self.folder / f"{stem}.pem", self.folder / f"{stem}.key")
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(pair.key)
        return pair

    def client(self, pair: Pair | None = None, *alpn: str) -> ssl.SSLContext:
        """What a client that trusts this authority needs, with a certificate of its own perhaps."""
        context = ssl.create_default_context(cafile=self.file)
        if pair is not None:
            context.load_cert_chain(*pair)
        if alpn:
            context.set_alpn_protocols(alpn)
        return context


def with_bytes_for_a_name(folder: Path) -> Pair:
    """Signed by itself, for a DNS name that is neither ASCII nor UTF-8."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd")])
    names = x509.UnrecognizedExtension(x509.OID_SUBJECT_ALTERNATIVE_NAME, b"\x30\x04\x82\x02\xff\xfe")
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, SHA256())
    )
    pair = Pair(folder / "odd.pem", folder / "odd.key")
    pair.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pair


def encrypted(key: Path) -> Path:
    """The same key behind a passphrase."""
    file = key.with_suffix(".encrypted")
    secret = load_pem_private_key(key.read_bytes(), None)
    file.write_bytes(
        secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    return file


def der(key: Path) -> Path:
    """The same key, not in PEM."""
    file = key.with_suffix(".der")
    secret = load_pem_private_key(key.read_bytes(), None)
    file.write_bytes(secret.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    return file
