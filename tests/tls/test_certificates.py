"""Certificates from their files: what is wrong with them, in the words of an operator."""

from __future__ import annotations

import gc
import os
import ssl
import weakref
from datetime import datetime, timedelta, timezone

import pytest

from superwsgi.config.sections import NamedCertificate, TlsSettings
from superwsgi.tls.interface import CertificateError, Expiry, load
from tests.certificates import der, encrypted


def problems(certificate, key=None, **more):
    with pytest.raises(CertificateError) as caught:
        load(TlsSettings(certificate=str(certificate), key=key and str(key), **more))
    return caught.value.problems


def test_none():
    assert load(TlsSettings()) is None


def test_good(pair):
    certificates = load(TlsSettings(certificate=str(pair.certificate), key=str(pair.key)))
    assert certificates is not None
    assert certificates.warnings == []
    context = certificates.context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    names = {cipher["name"] for cipher in context.get_ciphers()}
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in names)
    assert all("GCM" in name or "CHACHA20" in name for name in names)


def test_certificate_and_key_in_one_file(pair, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(pair.key.read_bytes() + pair.certificate.read_bytes())
    assert load(TlsSettings(certificate=str(both))) is not None


def test_a_certificate_of_another_authority_than_its_clients(pair, ca):
    assert load(TlsSettings(certificate=str(pair.certificate), key=str(pair.key), client_ca=str(ca.file)))


def test_a_key_that_is_not_the_certificates(ca, pair):
    for other in ca.pair("other.example.com"), ca.pair("rsa.example.com", rsa=True):
        assert problems(pair.certificate, other.key) == [
            f"tls.key: {other.key} is not the key of the certificate in {pair.certificate}"
        ]


def test_missing_files(pair, tmp_path):
    gone = tmp_path / "gone.pem"
    assert problems(gone, pair.key) == [f"tls.certificate: {gone} cannot be read: No such file or directory"]
    assert problems(pair.certificate, gone) == [f"tls.key: {gone} cannot be read: No such file or directory"]
    assert problems(pair.certificate, pair.key, client_ca=str(gone)) == [
        f"tls.client_ca: {gone} cannot be read: No such file or directory"
    ]
    assert problems(tmp_path, pair.key) == [f"tls.certificate: {tmp_path} cannot be read: Is a directory"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(pair, tmp_path):
    closed = tmp_path / "closed.key"
    closed.write_bytes(pair.key.read_bytes())
    closed.chmod(0)
    assert problems(pair.certificate, closed) == [f"tls.key: {closed} cannot be read: Permission denied"]


def test_files_that_are_something_else(pair, tmp_path):
    text = tmp_path / "text.pem"
    text.write_text("hello")
    assert problems(text, pair.key) == [
        f"tls.certificate: no certificate in {text}; a PEM file has a line with BEGIN and CERTIFICATE"
    ]
    assert problems(pair.certificate, pair.certificate) == [
        f"tls.key: no private key in {pair.certificate}; a PEM file has a line with BEGIN and PRIVATE KEY"
    ]
    assert problems(pair.certificate) == [
        f"tls.certificate: no private key in {pair.certificate}; "
        "a PEM file has a line with BEGIN and PRIVATE KEY"
    ]
    assert problems(pair.certificate, der(pair.key)) == [
        f"tls.key: {der(pair.key)} is DER, not PEM: convert it with openssl x509 or openssl pkey"
    ]


def test_a_broken_certificate(pair, tmp_path):
    broken = tmp_path / "broken.pem"
    broken.write_text(pair.certificate.read_text().replace("\nM", "\n!", 1))
    [problem] = problems(broken, pair.key)
    assert problem.startswith(f"tls.certificate: OpenSSL cannot use {broken} and {pair.key}: ")


def test_an_encrypted_key(pair):
    file = encrypted(pair.key)
    assert problems(pair.certificate, file) == [
        f"tls.key: {file} is encrypted, and there is nobody to type its passphrase"
    ]


def test_every_problem_at_once(pair, tmp_path):
    gone = str(tmp_path / "gone.pem")
    more = (NamedCertificate(certificate=gone, key=str(pair.key)), NamedCertificate(certificate=gone))
    found = problems(gone, pair.key, client_ca=gone, sni=more)
    assert [problem.partition(":")[0] for problem in found] == [
        "tls.certificate",
        "tls.client_ca",
        "tls.sni 1.certificate",
        "tls.sni 2.certificate",
    ]


def test_an_expired_certificate_is_used_with_a_warning(ca):
    old = ca.pair("old.example.com", not_after=datetime(2020, 1, 1, tzinfo=timezone.utc))
    certificates = load(TlsSettings(certificate=str(old.certificate), key=str(old.key)))
    assert certificates is not None
    [warning] = certificates.warnings
    assert warning.startswith(f"tls.certificate: {old.certificate} has expired: valid until Jan  1 ")


def test_which_one_expires_first(ca, pair):
    ends = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=9)
    soon = ca.pair("soon.example.com", not_after=ends)
    tls = TlsSettings(
        certificate=str(pair.certificate),
        key=str(pair.key),
        sni=(NamedCertificate(certificate=str(soon.certificate), key=str(soon.key)),),
    )
    certificates = load(tls)
    assert certificates is not None
    assert certificates.expires == Expiry(str(soon.certificate), ends.timestamp())


def test_nothing_keeps_a_key(pair):
    """The master only looks at certificates: no cycle may keep them until a garbage collection."""
    gc.disable()
    try:
        certificates = load(TlsSettings(certificate=str(pair.certificate), key=str(pair.key)))
        context = weakref.ref(certificates.context)
        del certificates
        assert context() is None
    finally:
        gc.enable()
