"""Certificates for tests: an authority, what it signs, and files that are wrong in one way."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import trustme
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
