"""What the rest of a worker sees of TLS: what a connection sends through, and where that comes from.

The `ssl` module is imported only if a site has a certificate: others save its 3 MB.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from superwsgi.config.sections import NamedCertificate, TlsSettings


class CertificateError(Exception):
    """Certificates that cannot be used; `problems` has key, file and reason for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Out(Protocol):
    """Where a connection's bytes go: its socket, or TLS in front of it."""

    def send(self, data: bytes | memoryview, /) -> int:
        """Like socket.send. If it sent less than all, or raised BlockingIOError, the rest has to be sent
        next."""


class Tls(Out, Protocol):
    """One connection's TLS: see session.py. `begun`: the first step of the handshake has been taken."""

    begun: bool

    def feed(self, data: bytes) -> None: ...
    def handshake(self) -> bool: ...
    def open(self, data: bytes) -> bytes: ...
    def part(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Expiry:
    """Until when a certificate is valid: its file, and wall time in seconds."""

    file: str
    when: float


@dataclass(frozen=True, slots=True)
class SeenCertificate:
    """One of a site's certificates by its key, such as `tls` or `tls.sni 1`: the names that it answers to,
    when it expires (wall time in seconds, None if it cannot be used), why it cannot be used, and what is
    doubtful."""

    key: str
    entry: NamedCertificate
    names: tuple[str, ...]
    expires: float | None
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class Certificates(Protocol):
    """A site's certificates; `warnings` are for the operator, `expires` is that of the one which expires
    first."""

    warnings: list[str]
    expires: Expiry

    def quieten(self) -> None: ...
    def accept(self, sock: socket.socket, environ: dict[str, Any]) -> Tls: ...


def load(tls: TlsSettings, copies: Mapping[str, str] = MappingProxyType({})) -> Certificates | None:
    """The certificates of a site, None if it has none, from `copies` of the files if there are any. Raises
    CertificateError."""
    if tls.certificate is None:
        return None
    from superwsgi.tls import certificates

    return certificates.load(tls, copies)


def look(tls: TlsSettings) -> list[SeenCertificate]:
    """All of a site's certificates, each by itself."""
    if tls.certificate is None and not tls.sni:
        return []
    from superwsgi.tls import certificates

    return certificates.look(tls)
