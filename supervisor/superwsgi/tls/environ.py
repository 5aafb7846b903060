"""The part of the environ about TLS and the client's certificate, with the names of mod_ssl.

No field of a request can set any of these: their keys all begin with `HTTP_`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from superwsgi.apps.types import Environ

_SHORT: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
"""RFC 4514 section 3."""

# RFC 4514 section 2.4; it leaves controls except NUL to us, and line ends must not get into a field or a log.
_ESCAPED: Final = {
    **{ord(mark): f"\\{mark}" for mark in '\\,+"<>;'},
    **{code: f"\\{code:02X}" for code in (*range(32), 127)},
}


def tls_environ(version: str, cipher: str, server_name: str) -> Environ:
    """For a client without a certificate; `server_name` is the name that it asked for, if any."""
    named = {"SSL_TLS_SNI": server_name} if server_name else {}
    return {
        "wsgi.url_scheme": "https",
        "HTTPS": "on",
        "SSL_PROTOCOL": version,
        "SSL_CIPHER": cipher,
        "SSL_CLIENT_VERIFY": "NONE",
        **named,
    }


def client_environ(certificate: Mapping[str, Any], pem: str) -> Environ:
    """For a verified certificate, as ssl.SSLObject.getpeercert() returns it, and as PEM."""
    return {
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_CLIENT_S_DN": distinguished_name(certificate["subject"]),
        "SSL_CLIENT_I_DN": distinguished_name(certificate["issuer"]),
        "SSL_CLIENT_M_SERIAL": certificate["serialNumber"],
        "SSL_CLIENT_V_START": certificate["notBefore"],
        "SSL_CLIENT_V_END": certificate["notAfter"],
        "SSL_CLIENT_CERT": pem,
    }


def distinguished_name(parts: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """A string by RFC 4514, the most specific part first: `CN=alice,O=Example`.

    UTF-8 as PEP 3333 demands for the environ: each byte is a character.
    """
    spelled = ["+".join(f"{_SHORT.get(kind, kind)}={_escape(text)}" for kind, text in part) for part in parts]
    return ",".join(reversed(spelled)).encode().decode("latin-1")


def _escape(value: str) -> str:
    text = value.translate(_ESCAPED)
    if text.endswith(" "):
        text = f"{text[:-1]}\\ "
    return f"\\{text}" if text.startswith((" ", "#")) else text
