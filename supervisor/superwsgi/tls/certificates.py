"""The site's certificates, from their files to the contexts with which a worker speaks TLS, or why they
cannot be used.

The master loads them to find mistakes while the old ones still serve, and then drops them. The mold loads
them again, from copies if only root may read the files (handed.py); its workers inherit them by the fork, and
with them the key of session tickets: a client may resume its session with any worker of the generation.
"""

from __future__ import annotations

import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from superwsgi.apps.types import Environ
from superwsgi.config.sections import NamedCertificate, TlsSettings
from superwsgi.tls.interface import CertificateError, Expiry, SeenCertificate
from superwsgi.tls.session import NamedSession, Tls, reason

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: Mozilla's intermediate list, less finite-field Diffie-Hellman. TLS 1.3 has its own list."""

_MINIMUM: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
_MISMATCHES: Final = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"})
_DER: Final = b"\x30"  # SEQUENCE, with which both begin


class Certificates:
    """`context` answers all clients, with another context's certificate for names that have their own."""

    def __init__(self, context: ssl.SSLContext, warnings: list[str], expires: Expiry) -> None:
        self.context = context
        self.warnings = warnings
        self.expires = expires

    def quieten(self) -> None:
        """Keep Python from printing a traceback, in this process, for each name that it cannot decode before
        it calls us: a client may ask for any name."""
        sys.unraisablehook = partial(_unless_name, sys.unraisablehook)

    def accept(self, sock: socket.socket, environ: Environ) -> Tls:
        """TLS for a connection that will begin with a handshake; `environ` is the connection's."""
        return Tls(sock, self.context, environ)


def _unless_name(
    otherwise: Callable[[sys.UnraisableHookArgs], object], unraisable: sys.UnraisableHookArgs
) -> None:
    about_name = isinstance(unraisable.object, bytes) or "servername" in (unraisable.err_msg or "")
    if not (about_name and unraisable.exc_type is UnicodeDecodeError):
        otherwise(unraisable)


def load(tls: TlsSettings, copies: Mapping[str, str]) -> Certificates:
    """Raises CertificateError."""
    assert tls.certificate is not None
    problems: list[str] = []
    pairs = [_Pair.load(key, entry, tls, copies, problems) for key, entry in _entries(tls).items()]
    if problems:
        raise CertificateError(problems)
    default = pairs[0].context
    default.sni_callback = _Chooser(pairs)
    first_to_expire = min((pair.expires for pair in pairs), key=lambda expiry: expiry.when)
    return Certificates(default, [doubt for pair in pairs for doubt in pair.doubts], first_to_expire)


def _entries(tls: TlsSettings) -> dict[str, NamedCertificate]:
    """By the key that errors name."""
    entries = {f"tls.sni {number}": entry for number, entry in enumerate(tls.sni, 1)}
    if tls.certificate is None:
        return entries
    return {"tls": NamedCertificate(certificate=tls.certificate, key=tls.key), **entries}


def look(tls: TlsSettings) -> list[SeenCertificate]:
    """Each certificate by itself, for somebody who wants to know all about them."""
    seen: list[SeenCertificate] = []
    said: list[str] = []
    for key, entry in _entries(tls).items():
        problems: list[str] = []
        pair = _Pair.load(key, entry, tls, {}, problems)
        new = tuple(problem for problem in problems if problem not in said)
        said += new
        expires = None if problems else pair.expires.when
        seen.append(SeenCertificate(key, entry, pair.names, expires, new, tuple(pair.doubts)))
    return seen


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate with its key, ready for use."""

    context: ssl.SSLContext
    names: tuple[str, ...]
    doubts: list[str]
    expires: Expiry

    @classmethod
    def load(
        cls,
        key: str,
        entry: NamedCertificate,
        tls: TlsSettings,
        copies: Mapping[str, str],
        problems: list[str],
    ) -> _Pair:
        context = _context(tls)
        found = [*_unusable(key, entry, copies, context), *_unusable_authorities(tls, copies, context)]
        problems += (problem for problem in found if problem not in problems)
        if found:
            return cls(context, (), [], Expiry(entry.certificate, 0.0))
        about = _about(copies.get(entry.certificate, entry.certificate))
        names = entry.names or tuple(
            name.lower() for kind, name in about.get("subjectAltName", ()) if kind == "DNS"
        )
        doubts = [f"{key}.certificate: {entry.certificate} {doubt}" for doubt in _doubts(about)]
        return cls(context, names, doubts, Expiry(entry.certificate, _end(about)))


class _Chooser:
    """Called in a handshake with the name that the client asks for, or None.

    Exact names take precedence over `*.` (RFC 6125 section 6.4.3), and of two certificates for a name the
    first one in the site file.
    """

    def __init__(self, pairs: list[_Pair]) -> None:
        # The first is None: its context holds this object, and a cycle would keep its key in the master.
        contexts = [None, *(pair.context for pair in pairs[1:])]
        named = [
            (name, context) for pair, context in zip(pairs, contexts, strict=True) for name in pair.names
        ]
        self._contexts: dict[str, ssl.SSLContext | None] = dict(reversed(named))

    def __call__(self, session: ssl.SSLObject, name: str | None, _default: ssl.SSLContext) -> None:
        if name is None or not name.isprintable() or not isinstance(session, NamedSession):
            return
        session.server_name = name = name.lower()
        known = name if name in self._contexts else f"*.{name.partition('.')[2]}"
        chosen = self._contexts.get(known)
        if chosen is not None:
            session.context = chosen


def _context(tls: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _MINIMUM[tls.minimum]
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # the client knows whether it has AES in hardware
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = NamedSession
    if tls.client_ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL if tls.client == "optional" else ssl.CERT_REQUIRED
    return context


def _unusable(
    key: str, entry: NamedCertificate, copies: Mapping[str, str], context: ssl.SSLContext
) -> Iterator[str]:
    """Why a certificate and its key cannot be used; nothing if they can."""
    key_key, key_file = (
        (f"{key}.key", entry.key) if entry.key is not None else (f"{key}.certificate", entry.certificate)
    )
    problems = [
        *_not_pem(f"{key}.certificate", entry.certificate, copies, _CERTIFICATE, "certificate"),
        *_not_pem(key_key, key_file, copies, _KEY, "private key"),
    ]
    yield from problems
    if problems:
        return
    try:
        chain, its_key = (copies.get(file, file) for file in (entry.certificate, key_file))
        context.load_cert_chain(chain, its_key, _refuse_passphrase)
    except _Encrypted:
        yield f"{key_key}: {key_file} is encrypted, and there is nobody to type its passphrase"
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            yield f"{key_key}: {key_file} is not the key of the certificate in {entry.certificate}"
        else:
            yield f"{key}.certificate: OpenSSL cannot use {entry.certificate} and {key_file}: {reason(error)}"
    except OSError as error:
        yield f"{key}.certificate: {entry.certificate} cannot be used: {error.strerror}"


class _Encrypted(Exception):
    """A key asks for its passphrase."""


def _refuse_passphrase() -> str:
    raise _Encrypted


def _unusable_authorities(
    tls: TlsSettings, copies: Mapping[str, str], context: ssl.SSLContext
) -> Iterator[str]:
    if tls.client_ca is None:
        return
    problems = list(_not_pem("tls.client_ca", tls.client_ca, copies, _CERTIFICATE, "certificate"))
    yield from problems
    if not problems:
        try:
            context.load_verify_locations(copies.get(tls.client_ca, tls.client_ca))
        except ssl.SSLError as error:
            yield f"tls.client_ca: OpenSSL cannot use {tls.client_ca}: {reason(error)}"


def _not_pem(key: str, file: str, copies: Mapping[str, str], mark: bytes, what: str) -> Iterator[str]:
    try:
        content = Path(copies.get(file, file)).read_bytes()
    except OSError as error:
        yield f"{key}: {file} cannot be read: {error.strerror}"
        return
    if content.startswith(_DER):
        yield f"{key}: {file} is DER, not PEM: convert it with openssl x509 or openssl pkey"
    elif mark not in content:
        yield f"{key}: no {what} in {file}; a PEM file has a line with BEGIN and {what.upper()}"


def _about(file: str) -> dict[str, Any]:
    """The contents of a file's first certificate, in the form of SSLSocket.getpeercert().

    The function is from CPython's own tests, where it has been since 2.6; there is no other way without a
    dependency that applications may pin.
    """
    about: dict[str, Any] = ssl._ssl._test_decode_cert(file)  # type: ignore[attr-defined]
    return about


def _end(about: dict[str, Any]) -> float:
    """Until when it is valid, wall time in seconds."""
    return float(ssl.cert_time_to_seconds(about["notAfter"]))


def _doubts(about: dict[str, Any]) -> Iterator[str]:
    now = time.time()
    if _end(about) < now:
        yield f"has expired: valid until {about['notAfter']}"
    if ssl.cert_time_to_seconds(about["notBefore"]) > now:
        yield f"is not yet valid: valid from {about['notBefore']}"
