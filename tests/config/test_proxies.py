"""`root`, `proxy.prefix` and `proxy.fields` in a site file: what they may say, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from superwsgi.config.loading import load
from superwsgi.config.schema import Site
from superwsgi.config.sections import Proxy
from superwsgi.config.shown.effective import keys
from superwsgi.config.surprises import surprises
from tests.config.sites import APP, loaded, problems

ROOT = "root: expected a path such as /shop"
FIELD = "proxy.fields: expected a field's name such as REMOTE_USER, or its beginning such as OIDC_CLAIM_*"


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("", "/"),
        ("root: /shop", "/shop"),
        ("root: /shop/", "/shop"),
        ("root: /a/b.c~d", "/a/b.c~d"),
        ("root: /größe", "/größe"),
        ("root: /", "/"),
        ('root: ""', "/"),
        ("root: ${NOTHING:-/}", "/"),
        ("env: {SCRIPT_NAME: /shop}", "/shop"),
        ("env: {SCRIPT_NAME: /shop/}", "/shop"),
        ('env: {SCRIPT_NAME: ""}', "/"),
        ("env: {SCRIPT_NAME: /shop}\nroot: /shop/", "/shop"),
    ],
)
def test_roots(tmp_path: Path, text: str, root: str) -> None:
    assert loaded(tmp_path, APP + text).root == root


def test_as_an_environ_has_it() -> None:
    site = Site(apps={"/": "a:b"}, name="site", root="/größe")
    assert site.script_name.encode("latin-1").decode() == "/größe"
    assert Site(apps={"/": "a:b"}, name="site").script_name == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("root: shop", f"2:7: {ROOT}, got 'shop': did you mean '/shop'?"),
        ("root: //shop", f"2:7: {ROOT}, got '//shop': a proxy in front could read '//' in another way"),
        ("root: /a/../b", f"2:7: {ROOT}, got '/a/../b': a proxy in front could read '..' in another way"),
        ("root: /a;b", f"2:7: {ROOT}, got '/a;b': a proxy in front could read ';' in another way"),
        ("root: /shop/*", f"2:7: {ROOT}, got '/shop/*': a proxy in front could read '*' in another way"),
        ("root: /s%68op", f"2:7: {ROOT}, got '/s%68op': write it decoded"),
        ("root: /sh op", f"2:7: {ROOT}, got '/sh op'"),
        ("root: off", f"2:7: {ROOT}, got 'off': for none leave the key out"),
        (
            "root: http://a/shop",
            f"2:7: {ROOT}, got 'http://a/shop': it has no scheme and no host; for one host of several "
            "there is apps: {api.example.com/v1: ...}",
        ),
        ("env: {SCRIPT_NAME: shop}", f"2:20: {ROOT}, got 'shop': did you mean '/shop'?"),
        (
            "env: {SCRIPT_NAME: /a}\nroot: /b",
            "3:1: root: is '/b', and SCRIPT_NAME in the environment is '/a': both say where the site is: "
            "keep one of them",
        ),
        (
            "root: /\nenv: {SCRIPT_NAME: /a}",
            "2:1: root: is '/', and SCRIPT_NAME in the environment is '/a': "
            "both say where the site is: keep one of them",
        ),
        ("script_name: /a", "2:1: unknown key 'script_name': it is 'root' here"),
        ("forwarder_headers: A_B", "2:1: unknown key 'forwarder_headers': it is 'proxy.fields' here"),
    ],
)
def test_what_is_wrong_with_a_root(tmp_path: Path, text: str, said: str) -> None:
    assert problems(tmp_path, APP + text) == [said]


def test_a_root_of_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=b\nSCRIPT_NAME=/shop\n")
    assert loaded(tmp_path, APP + "env_file: .env").root == "/shop"
    assert loaded(tmp_path, APP + "env_file: .env\nenv: {SCRIPT_NAME: /other}").root == "/other"
    assert "SCRIPT_NAME in the environment is" in problems(tmp_path, APP + "env_file: .env\nroot: /b")[0]
    (tmp_path / ".env").write_text("A=b\nSCRIPT_NAME=shop\n")
    assert problems(tmp_path, APP + "env_file: .env") == [
        ".env:2:1: root: expected a path such as /shop, got what SCRIPT_NAME stands for"
    ]


def test_where_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(APP + "env:\n  SCRIPT_NAME: /shop\nproxy: {fields: [REMOTE_USER]}\n")
    shown = {key.name: (key.text, key.source) for key in keys(load(file, {}))}
    assert shown["root"] == ("/shop", "site.yaml:3")
    assert shown["proxy.fields"] == ("REMOTE_USER", "site.yaml:4")


def test_fields(tmp_path: Path) -> None:
    names = ("OIDC_CLAIM_*", "REMOTE_USER", "X-Remote-Groups", "X_SSL_*", "X-SSL-Client-*", "User")
    text = f"proxy: {{prefix: on, fields: [{', '.join(names)}]}}"
    assert loaded(tmp_path, APP + text).proxy == Proxy(prefix=True, fields=names)
    assert loaded(tmp_path, APP + "proxy: {fields: OIDC_*}").proxy.fields == ("OIDC_*",)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            '"*"',
            f"{FIELD}, got '*': any client could say anything by it: "
            "name what the proxy sets, such as X_SSL_*",
        ),
        ("OIDC*", f"{FIELD}, got 'OIDC*': did you mean 'OIDC_*' or 'OIDC'?"),
        ("OIDC_", f"{FIELD}, got 'OIDC_': did you mean 'OIDC_*'?"),
        ("OIDC_*_x", f"{FIELD}, got 'OIDC_*_x': a star stands at the end alone"),
        (
            "HTTP_REMOTE_USER",
            f"{FIELD}, got 'HTTP_REMOTE_USER': write the field, not its variable: REMOTE_USER",
        ),
        ('"REMOTE_USER: joe"', f"{FIELD}, got 'REMOTE_USER: joe': a name alone, without a value"),
        ("a b", f"{FIELD}, got 'a b'"),
    ],
)
def test_what_is_no_name_of_a_field(tmp_path: Path, fields: str, said: str) -> None:
    assert problems(tmp_path, f"{APP}proxy: {{fields: {fields}}}") == [f"2:17: {said}"]


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("CONTENT_LENGTH", "where a request ends"),
        ("content-length", "where a request ends"),
        ("Transfer_Encoding", "where a request ends"),
        ("CONTENT_*", "it would take CONTENT_LENGTH, too: it says where"),
        ("Host", "whom it is for"),
        ("PROXY", "the server reads it itself"),
        ("X_FORWARDED_FOR", "believed anyway, spelled with hyphens"),
        ("X_*", "it would take X_FORWARDED_FOR, too"),
        ("X-Forwarded-*", "it would take X_FORWARDED_FOR, too"),
        ("SCRIPT_NAME", "proxy.prefix: on"),
        ("PATH_*", "proxy.prefix: on"),
        ("X-Forwarded-Prefix", "proxy.prefix: on"),
        ("Cookie", "clients send it themselves"),
        ("USER_*", "it would take USER_AGENT, too: clients send it themselves"),
    ],
)
def test_what_is_no_field_of_a_proxy_alone(tmp_path: Path, field: str, hint: str) -> None:
    (said,) = problems(tmp_path, f"{APP}proxy: {{fields: [A_B, {field}]}}")
    assert said.startswith(f"2:23: proxy.fields: expected a field that only a proxy sets, got '{field}': ")
    assert hint in said


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("fields: [X_User, x-user]", "names that are the same but for their spelling"),
        ("fields: [OIDC_CLAIM_*, OIDC-CLAIM-*]", "names that are the same but for their spelling"),
        ("trusted: [], fields: [A_B]", "no effect while proxy.trusted is empty"),
        ("trusted: [], prefix: on", "no effect while proxy.trusted is empty"),
        ("fields: [A_B, A_B]", "A_B is listed twice"),
    ],
)
def test_what_cannot_be_together(tmp_path: Path, proxy: str, said: str) -> None:
    assert said in problems(tmp_path, f"{APP}proxy: {{{proxy}}}")[0]


def test_paths_that_are_below_the_root_twice(tmp_path: Path) -> None:
    text = """
root: /shop
apps: {/: a:b, /shop: c:d, /shopping: e:f}
paths: {/shop/reports: {log: off}, /reports: {log: off}}
warmup: [/shop/, /basket]
health: {live: /shop/livez}
"""
    found = surprises(loaded(tmp_path, text))
    assert found == [
        "apps: /shop: is below root, so clients find it at /shop/shop",
        "paths: /shop/reports: is below root, so clients find it at /shop/shop/reports",
        "health: /shop/livez: is below root, so clients find it at /shop/shop/livez",
        "warmup: /shop/: is below root, so clients find it at /shop/shop/",
    ]
