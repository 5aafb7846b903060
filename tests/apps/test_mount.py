from collections.abc import Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from superwsgi.apps.mount import mount
from superwsgi.apps.types import Environ, ExcInfo, StartResponse, WSGIApp


def named(name: str) -> WSGIApp:
    """Answers with its name and what it was told about its place."""

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        said = (name, environ["SCRIPT_NAME"], environ["PATH_INFO"])
        return [repr(said).encode()]

    return application


def get(app: WSGIApp, path: str, **environ: Any) -> tuple[str, str]:
    """Status and content of a GET, through the standard library's validator."""
    answered: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None) -> Any:
        answered.append(status)
        return lambda data: None

    told = {"PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "", **environ}
    setup_testing_defaults(told)
    body = validator(app)(told, start_response)
    try:
        content = b"".join(body).decode()
    finally:
        body.close()  # type: ignore[attr-defined]
    return answered[0], content


SITE = mount(
    {
        key: named(key)
        for key in (
            "/",
            "/admin",
            "/admin/reports",
            "api.example.com/v1",
            "api.example.com/v1/beta",
            "www.example.com/",
            "[::1]/v6",
            "/café",
        )
    }
)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/", ("/", "", "/")),
        ("/shop", ("/", "", "/shop")),
        ("/admin", ("/admin", "/admin", "")),
        ("/admin/", ("/admin", "/admin", "/")),
        ("/admin/users", ("/admin", "/admin", "/users")),
        ("/administrator", ("/", "", "/administrator")),
        ("/admin/reports/1", ("/admin/reports", "/admin/reports", "/1")),
        ("/admin/reportsX", ("/admin", "/admin", "/reportsX")),
        ("/ADMIN", ("/", "", "/ADMIN")),
        ("/caf\xc3\xa9/x", ("/café", "/caf\xc3\xa9", "/x")),
    ],
)
def test_the_longest_prefix_wins_in_whole_segments(path: str, answer: tuple[str, str, str]) -> None:
    assert get(SITE, path) == ("200 OK", repr(answer))


@pytest.mark.parametrize(
    ("host", "path", "answer"),
    [
        ("api.example.com", "/v1/users", ("api.example.com/v1", "/v1", "/users")),
        ("api.example.com", "/v1/beta", ("api.example.com/v1/beta", "/v1/beta", "")),
        ("API.Example.COM:8080", "/v1", ("api.example.com/v1", "/v1", "")),
        ("api.example.com.", "/v1", ("api.example.com/v1", "/v1", "")),
        ("api.example.com.:80", "/v1", ("api.example.com/v1", "/v1", "")),
        ("api.example.com", "/admin", ("/admin", "/admin", "")),
        ("www.example.com", "/admin", ("www.example.com/", "", "/admin")),
        ("[::1]:8000", "/v6/x", ("[::1]/v6", "/v6", "/x")),
        ("[::1]", "/v6", ("[::1]/v6", "/v6", "")),
        ("[::2]", "/v6", ("/", "", "/v6")),
        ("evil.example.org", "/v1", ("/", "", "/v1")),
    ],
)
def test_a_host_is_looked_at_first(host: str, path: str, answer: tuple[str, str, str]) -> None:
    assert get(SITE, path, HTTP_HOST=host) == ("200 OK", repr(answer))


def test_without_a_host_field_the_servers_name_counts() -> None:
    told: dict[str, Any] = {"PATH_INFO": "/v1", "SCRIPT_NAME": "", "SERVER_NAME": "api.example.com"}
    body = SITE(told, lambda status, headers, exc_info=None: lambda data: None)
    assert b"api.example.com/v1" in b"".join(body)


def test_what_was_stripped_before_stays_in_script_name() -> None:
    answer = get(SITE, "/admin/users", SCRIPT_NAME="/behind/proxy")
    assert answer == ("200 OK", repr(("/admin", "/behind/proxy/admin", "/users")))


def test_nothing_mounted_there() -> None:
    app = mount({"/admin": named("admin"), "api.example.com": named("api")})
    assert get(app, "/shop") == ("404 Not Found", "404: no application is mounted here\n")
    assert get(app, "/shop", HTTP_HOST="api.example.com")[0] == "200 OK"


def test_one_application_at_the_root_costs_nothing() -> None:
    only = named("only")
    assert mount({"/": only}) is only


def test_flask_and_django_side_by_side() -> None:
    import django  # type: ignore[import-untyped]
    import flask
    from django.conf import settings  # type: ignore[import-untyped]
    from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]
    from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]
    from django.urls import path, reverse  # type: ignore[import-untyped]

    def django_view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"django {reverse('page')}")

    shop = flask.Flask("shop")

    @shop.get("/page")
    def page() -> str:
        return f"flask {flask.url_for('page')}"

    settings.configure(
        SECRET_KEY="test", ALLOWED_HOSTS=["*"], ROOT_URLCONF=(path("page", django_view, name="page"),)
    )
    django.setup()
    app = mount({"/shop": shop, "/office": get_wsgi_application()})
    assert get(app, "/shop/page") == ("200 OK", "flask /shop/page")
    assert get(app, "/office/page") == ("200 OK", "django /office/page")
