"""Import strings, and where applications are mounted."""

from __future__ import annotations

import pytest

from superwsgi.config.text.grammar import Invalid
from superwsgi.config.text.import_strings import (
    function,
    health_path,
    import_string,
    mount,
    page,
    path_prefix,
)


@pytest.mark.parametrize(
    "text",
    [
        "shop:app",
        "shop.wsgi:application",
        "shop:create_app()",
        "shop:site.app",
        "shop:site.make()",
        "größe:app",
    ],
)
def test_import_string(text: str) -> None:
    assert import_string(text) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("shop", "name the application in it, such as shop:app"),
        ("shop:", "name the application in it, such as shop:app"),
        ("shop.wsgi", "name the application in it, such as shop.wsgi:application"),
        ("shop/wsgi.py", "name the application in it, such as shop.wsgi:application"),
        ("./shop.py:app", "name the application in it, such as shop:app"),
        ("shop:create_app(1)", "a factory is called without arguments"),
        ("shop:create_app(", "a factory is called without arguments"),
        (":app", ""),
        ("", ""),
        ("shop app", ""),
        ("a:b:c", "name the application in it, such as a:app"),
        ("class:app", ""),
        ("shop..wsgi:app", ""),
        ("1shop:app", ""),
    ],
)
def test_import_string_refused(text: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        import_string(text)
    assert (caught.value.expected, caught.value.hint) == ("module:attribute or module:factory()", hint)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("/", "/"),
        ("/admin", "/admin"),
        ("/admin/", "/admin"),
        ("/a/b", "/a/b"),
        ("/käse", "/käse"),
        ("api.example.com", "api.example.com/"),
        ("API.example.com/", "api.example.com/"),
        ("api.example.com/v1/", "api.example.com/v1"),
        ("localhost", "localhost/"),
        ("intranet/", "intranet/"),
        ("intranet/wiki", "intranet/wiki"),
    ],
)
def test_mount(text: str, key: str) -> None:
    assert mount(text) == key
    assert mount(key) == key


NO_EMPTY_PART = "a prefix has no empty part, space, ? or #"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("admin", "did you mean '/admin'? A host alone is 'admin/'"),
        ("//", NO_EMPTY_PART),
        ("/a//b", NO_EMPTY_PART),
        ("/a b", NO_EMPTY_PART),
        ("/a?b", NO_EMPTY_PART),
        ("/caf%C3%A9", "write the prefix decoded"),
        ("localhost:8000/x", "a host has no scheme and no port here"),
        ("http://example.com/x", "a host has no scheme and no port here"),
        ("-x.example.com/", NO_EMPTY_PART),
    ],
)
def test_mount_refused(text: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        mount(text)
    assert (caught.value.expected, caught.value.hint) == ("/prefix, host or host/prefix", hint)


def test_function() -> None:
    assert function("shop.hooks:Pool.reopen") == "shop.hooks:Pool.reopen"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("shop:reopen()", "name it, without calling it: shop:reopen"),
        ("shop.reopen", ""),
        ("shop:", ""),
        ("", ""),
    ],
)
def test_function_refused(text: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        function(text)
    assert (caught.value.expected, caught.value.hint) == ("module:function", hint)


@pytest.mark.parametrize("text", ["/", "/a/b?c=d&e", "/k%C3%A4se", "shop.example.com/", "localhost/cart?x=/"])
def test_page(text: str) -> None:
    assert page(text) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("cart", "did you mean '/cart'?"),
        ("shop.example.com", "did you mean '/shop.example.com'?"),
        (
            "https://shop.example.com/cart",
            "did you mean 'shop.example.com/cart'? A page has no scheme",
        ),
        ("http://shop.example.com", "did you mean 'shop.example.com/'? A page has no scheme"),
        ("/two words", "percent-encode spaces and what is not ASCII"),
        ("/käse", "percent-encode spaces and what is not ASCII"),
        ("/new\r\nline", ""),
        ("shop:80/cart", ""),
        ("", ""),
    ],
)
def test_page_refused(text: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        page(text)
    assert caught.value.hint == hint


@pytest.mark.parametrize("text", ["/livez", "/-/health", "/health/", "/a.b/c~d:e@f", "/..."])
def test_health_path(text: str) -> None:
    assert health_path(text) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", ""),
        ("/", "it would hide the application's front page"),
        ("off", "for none leave the key out"),
        ("livez", "did you mean '/livez'?"),
        ("http://x/livez", "a path has no scheme and no host: it is answered whatever the Host"),
        ("/livez?full", "a query is ignored: leave it out"),
        ("/live#z", "a query is ignored: leave it out"),
        ("/%6civez", ""),
        ("/gesünd", ""),
        ("/a b", ""),
        ("//livez", ""),
        ("/a//b", ""),
        ("/a/../b", ""),
        ("/./livez", ""),
    ],
)
def test_health_path_refused(text: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        health_path(text)
    assert (caught.value.expected, caught.value.hint) == ("a path such as /livez", hint)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/", "/"),
        ("/healthz", "/healthz"),
        ("/static/", "/static"),
        ("/api/v1", "/api/v1"),
        ("/größe", "/größe"),
    ],
)
def test_path_prefix(text: str, path: str) -> None:
    assert path_prefix(text) == path


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", ""),
        ("healthz", "did you mean '/healthz'?"),
        ("/static/*", "did you mean '/static'? It stands for all that is below it, too, without a star"),
        ("/static*", "did you mean '/static'? It stands for all that is below it, too, without a star"),
        ("/static/**", "did you mean '/static'? It stands for all that is below it, too, without a star"),
        ("/*", "did you mean '/'? It stands for all that is below it, too, without a star"),
        ("*.js", "it stands for all that is below it, too, and takes no star"),
        ("/*/js", "it stands for all that is below it, too, and takes no star"),
        ("http://x/static", "a path has no scheme and no host: it is meant on every host"),
        ("x.example/static", "a path has no scheme and no host: it is meant on every host"),
        ("/a?b", "a query is not looked at: leave it out"),
        ("/a#b", "a query is not looked at: leave it out"),
        ("/%61", "write the path decoded"),
        ("off", "for none leave the key out"),
        ("/a//b", ""),
        ("/a/../b", ""),
        ("/./a", ""),
        ("/a b", ""),
    ],
)
def test_path_prefix_refused(text: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        path_prefix(text)
    assert (caught.value.expected, caught.value.hint) == ("a path such as /healthz or /static", hint)
