"""Import strings, and where applications are mounted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from superwsgi.config.grammar.import_strings import (
    AppKind,
    FactoryCall,
    ImportString,
    application,
    function,
    health_path,
    mount,
    moved,
    page,
    parse,
    path_of,
    path_prefix,
)
from superwsgi.config.grammar.values import Invalid


@pytest.mark.parametrize(
    ("text", "source", "name"),
    [
        ("shop", "shop", None),
        ("shop.wsgi", "shop.wsgi", None),
        ("shop:app", "shop", "app"),
        ("shop.wsgi:application", "shop.wsgi", "application"),
        ("shop:site.app", "shop", "site.app"),
        ("shop:site.wsgi", "shop", "site.wsgi"),
        ("größe:app", "größe", "app"),
    ],
)
def test_module(text: str, source: str, name: str | None) -> None:
    assert parse(text) == ImportString(AppKind.MODULE, source, name)
    assert application(text, Path("/nowhere")) == text


@pytest.mark.parametrize(
    ("text", "positional", "keywords"),
    [
        ("shop:make()", (), {}),
        ("shop:site.make('x')", ("x",), {}),
        ("shop:make(1, -2.5, None, debug=True)", (1, -2.5, None), {"debug": True}),
        ("pypiserver:app_from_config(roots=['/srv'])", (), {"roots": ["/srv"]}),
        ("shop:make({'a': (1, 2)}, b'x')", ({"a": (1, 2)}, b"x"), {}),
        ("shop:make('a:b', ') #')", ("a:b", ") #"), {}),
        ("app.py:make('/a/b.py:x')", ("/a/b.py:x",), {}),
        ("shop:make('\\d')", ("\\d",), {}),
    ],
)
def test_factory(text: str, positional: tuple[object, ...], keywords: dict[str, object]) -> None:
    found = parse(text)
    assert found.call == FactoryCall(positional, keywords)
    assert str(found) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("shop:make(config)", "config is no literal, did you mean 'config' in quotes?"),
        ("shop:make(os.environ['X'])", "os.environ['X'] is no literal"),
        ("shop:make(1, x=f())", "f() is no literal"),
        ("shop:make(*[1])", "*[1] is no literal"),
        ("shop:make(**{})", "each keyword is there once, and ** is none"),
        ("shop:make(a=1, a=2)", "each keyword is there once, and ** is none"),
        ("shop:make(", "'(' was never closed"),
        ("shop:make(1 2)", "invalid syntax. Perhaps you forgot a comma?"),
        ("shop:make()()", ""),
        ("shop:make()  # (x)", ""),
        ("shop:make() + f()", ""),
        ("shop:make(" + "[" * 10_000 + ")", ""),
    ],
)
def test_factory_refused(text: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert caught.value.expected == "a factory with literal arguments, such as make('/srv', debug=True)"
    assert hint in caught.value.hint


def test_arguments_are_not_shown() -> None:
    assert parse("shop:make(key='s3cret')").label == "shop:make(…)"
    assert parse("shop:make()").label == "shop:make()"


@pytest.mark.parametrize(
    ("text", "absolute"),
    [
        ("app.py", "/srv/app.py"),
        ("app.py:app", "/srv/app.py:app"),
        ("app.py:make(x=':')", "/srv/app.py:make(x=':')"),
        ("my-app.wsgi", "/srv/my-app.wsgi"),
        ("deploy/trac.wsgi", "/srv/deploy/trac.wsgi"),
        ("./shop", "/srv/shop"),
        ("/a b/ä:ö/app.py:app", "/a b/ä:ö/app.py:app"),
        ("/a/b:c.py", "/a/b:c.py"),
        ("/a/b.py:site.wsgi", "/a/b.py:site.wsgi"),
        ("/a (1)/b:c(d)/app.py:make(1)", "/a (1)/b:c(d)/app.py:make(1)"),
        ("site.ini", "paste:/srv/site.ini"),
        ("site.ini#other", "paste:/srv/site.ini#other"),
        ("paste:site.ini#main", "paste:/srv/site.ini#main"),
        ("paste:/etc/site.conf#main", "paste:/etc/site.conf#main"),
        ("a#b.ini", "paste:/srv/a#b.ini"),
        ("a:b.ini#app:main", "paste:/srv/a:b.ini#app:main"),
    ],
)
def test_path(text: str, absolute: str) -> None:
    assert application(text, Path("/srv")) == absolute
    assert application(absolute, Path("/elsewhere")) == absolute
    assert path_of(absolute) in absolute
    assert moved(absolute, lambda path: f"/new{path}").endswith(absolute.removeprefix("paste:"))


def test_a_name_of_both_a_module_and_a_file(tmp_path: Path) -> None:
    """`shop.wsgi` is what others call wsgi.py in the package shop, `trac.wsgi` what mod_wsgi calls a file."""
    assert application("shop.wsgi", tmp_path) == "shop.wsgi"
    Path(tmp_path, "shop.wsgi").touch()
    assert application("shop.wsgi", tmp_path) == f"{tmp_path}/shop.wsgi"
    Path(tmp_path, "shop").mkdir()
    Path(tmp_path, "shop/wsgi.py").touch()
    assert application("shop.wsgi", tmp_path) == "shop.wsgi"
    assert application("./shop.wsgi:app", tmp_path) == f"{tmp_path}/shop.wsgi:app"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("shop:", "name the application in it, such as shop:app"),
        (":app", ""),
        ("", ""),
        (" shop", ""),
        ("shop app", ""),
        ("shop\n:app", ""),
        ("a:b:c", "name the application in it, such as a:app"),
        ("shop:1", "name the application in it, such as shop:app"),
        ("class:app", ""),
        ("shop:class", "name the application in it, such as shop:app"),
        ("shop..web:app", ""),
        ("1shop:app", ""),
        ("my-app", ""),
        ("site.cfg:app.x y", "name the application in it, such as site.cfg:app"),
        ("my-app.cfg", "if that is a file, write ./my-app.cfg"),
        ("config:/srv/site.conf#main", "a Paste file is written paste:site.ini#main"),
        ("egg:shop", "a Paste file is written paste:site.ini#main"),
        ("config:site.ini", "a Paste file is written paste:site.ini#main"),
    ],
)
def test_no_application(text: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text)
    expected = "module:attribute, module:factory() or the path of a file"
    assert (caught.value.expected, caught.value.hint) == (expected, hint)


@given(st.text(alphabet=st.sampled_from(list("ab.:/#()'=, \\0py")) | st.characters(), max_size=30))
@example("paste:a:b.ini#c")
@example("/a:b.py:c(d=':')")
def test_any_text(text: str) -> None:
    """It is refused, or means one thing, however often it is read."""
    try:
        absolute = application(text, Path("/srv"))
    except Invalid:
        return
    assert application(absolute, Path("/elsewhere")) == absolute
    found = parse(absolute)
    assert (found.name, found.call) == (parse(text).name, parse(text).call)
    assert found.kind is AppKind.MODULE or found.source.startswith("/")


@pytest.mark.parametrize("text", ["paste:", "paste:#main", "site.ini#", "paste:site.conf#"])
def test_no_paste_file(text: str) -> None:
    with pytest.raises(Invalid, match="a Paste file such as"):
        parse(text)


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
