"""What a client's certificate becomes in the environ."""

from __future__ import annotations

import pytest

from superwsgi.tls.environ import distinguished_name


def name(text):
    return distinguished_name(((("organizationName", "Example"),), (("commonName", text),)))


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("alice", "CN=alice"),
        ("Alice, of Wonderland", "CN=Alice\\, of Wonderland"),
        ("x+O=Root", "CN=x\\+O=Root"),
        (" #", "CN=\\ #"),
        ("#", "CN=\\#"),
        ("a ", "CN=a\\ "),
        ("a\0b", "CN=a\\00b"),
        ("a\r\nX-User: root", "CN=a\\0D\\0AX-User: root"),
        ("\x1b[2J\x7f", "CN=\\1B[2J\\7F"),
        ("é", "CN=\xc3\xa9"),
    ],
)
def test_a_name_cannot_pass_for_more_than_it_is(text, spelled):
    """RFC 4514 section 2.4; applications put it into fields and logs."""
    assert name(text) == f"{spelled},O=Example"
