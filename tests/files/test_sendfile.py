"""Files that an application names in its response."""

from functools import partial
from pathlib import Path
from urllib.parse import quote

import flask
import pytest
from django.http import HttpResponse

from superwsgi.files.sendfile import Sendfile
from superwsgi.http.errors import WsgiError
from tests.files.asking import age, ask

LARGE = bytes(range(256)) * 1000


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(LARGE)
    age(folder / "a.pdf")
    (folder / "b.txt").write_text("hello")
    (tmp_path / "secret").write_text("secret")
    return folder


class Body:
    """Is never to be asked for a piece where a file is sent."""

    def __init__(self, pieces=()):
        self._pieces = pieces
        self.closed = 0

    def __iter__(self):
        return iter(self._pieces)

    def close(self):
        self.closed += 1


def naming(files, *fields, status="200 OK", body=None):
    """An application that answers with these fields."""

    def app(environ, start_response):
        start_response(status, list(fields))
        return [b"dropped"] if body is None else body

    return sending(app, files)


def sending(app, files):
    return Sendfile(app, {"/protected": str(files)}).answer


@pytest.fixture(params=["X-Accel-Redirect", "x-sendfile"])
def field(request, files):
    """Makes the field that names a file."""
    accel = request.param == "X-Accel-Redirect"
    return lambda name: (request.param, f"/protected/{quote(name)}" if accel else f"{files}/{name}")


def test_the_applications_fields_and_status_stay(files, field):
    fields = [
        *(field("a.pdf"), ("Content-Type", "application/x-pdf"), ("Content-Length", "7")),
        *(("Content-Disposition", "attachment"), ("Set-Cookie", "a=b"), ("Cache-Control", "private")),
        *(("Content-Encoding", "gzip"), ("X-Accel-Buffering", "no"), ("Expires", "0")),
    ]
    answer = ask(naming(files, *fields), "/")
    assert (answer.status, answer.body) == (200, LARGE)
    has = answer.fields
    assert has["content-type"] == "application/x-pdf"
    assert has["content-length"] == str(len(LARGE))
    assert (has["content-disposition"], has["set-cookie"], has["cache-control"]) == (
        "attachment",
        "a=b",
        "private",
    )
    assert (has["x-accel-buffering"], has["expires"], has["accept-ranges"]) == ("no", "0", "bytes")
    assert not has.keys() & {"x-sendfile", "x-accel-redirect", "content-encoding"}


def test_a_missing_or_empty_type_is_guessed(files, field):
    assert ask(naming(files, field("a.pdf")), "/").fields["content-type"] == "application/pdf"
    answer = ask(naming(files, field("b.txt"), ("Content-Type", "")), "/")
    assert answer.fields["content-type"] == "text/plain"


@pytest.mark.parametrize("status", ["403 Forbidden", "201 Created"])
def test_another_status_has_the_whole_file(files, field, status):
    app = naming(files, field("b.txt"), status=status)
    answer = ask(app, "/", range="bytes=0-1", if_none_match="*")
    assert (answer.status, answer.body) == (int(status[:3]), b"hello")


def test_a_304_of_the_application_stays_one(files, field):
    answer = ask(naming(files, field("b.txt"), ("ETag", '"x"'), status="304 Not Modified", body=[]), "/")
    assert (answer.status, answer.body, answer.fields) == (304, b"", {"etag": '"x"'})


def test_validators_ranges_and_head(files, field):
    age(files / "a.pdf")
    app = naming(files, field("a.pdf"))
    fields = ask(app, "/").fields
    assert ask(app, "/", if_none_match=fields["etag"]).status == 304
    assert ask(app, "/", if_modified_since=fields["last-modified"]).status == 304
    part = ask(app, "/", range="bytes=2-4", if_range=fields["etag"])
    assert (part.status, part.body) == (206, LARGE[2:5])
    assert ask(app, "/", range="bytes=999999-").status == 416
    head = ask(app, "/", "HEAD")
    assert (head.status, head.body, head.fields) == (200, b"", fields)
    assert ask(app, "/", "POST", range="bytes=0-1").body == LARGE


def test_the_applications_own_validators_go_first(files, field):
    app = naming(
        files, field("b.txt"), ("ETag", '"mine"'), ("Last-Modified", "Fri, 27 Nov 2026 14:00:00 GMT")
    )
    assert ask(app, "/").fields["etag"] == '"mine"'
    assert ask(app, "/", if_none_match='"mine"').status == 304
    assert ask(app, "/", if_modified_since="Fri, 27 Nov 2026 14:00:00 GMT").status == 304


def test_its_body_is_dropped_and_closed(files, field):
    body = Body()
    assert ask(naming(files, field("b.txt"), body=body), "/").body == b"hello"
    assert body.closed == 1


def test_what_it_writes_is_dropped(files, field):
    def app(environ, start_response):
        write = start_response("200 OK", [field("b.txt")])
        write(b"dropped")
        return []

    assert ask(sending(app, files), "/").body == b"hello"


def test_an_application_that_is_a_generator(files, field):
    closed = []

    def app(environ, start_response):
        start_response("200 OK", [field("b.txt")] if environ["PATH_INFO"] == "/" else [])
        try:
            yield b"first"
            yield b"second"
        finally:
            closed.append(environ["PATH_INFO"])

    assert ask(sending(app, files), "/").body == b"hello"
    assert ask(sending(app, files), "/other").body == b"firstsecond"
    assert closed == ["/", "/other"]


def test_a_generator_that_fails_at_once_is_closed(files):
    class Failing(Body):
        def __iter__(self):
            raise ValueError

    for body in (Failing(), Body(1 / zero for zero in [0])):
        with pytest.raises((ValueError, ZeroDivisionError)):
            sending(lambda environ, start_response, body=body: body, files)({}, None)
        assert body.closed == 1


def test_fields_that_can_be_read_only_once(files, field):
    def app(environ, start_response):
        named = [field("b.txt")] if environ["PATH_INFO"] == "/" else []
        start_response("200 OK", iter([("X-A", "b"), *named]))
        return [b"page"]

    for path, body in {"/": b"hello", "/other": b"page"}.items():
        answer = ask(lambda environ, start: sending(app, files)(environ, partial(_listed, start)), path)
        assert (answer.fields["x-a"], answer.body) == ("b", body)


def _listed(start_response, status, fields, *more):
    """As the server does it."""
    return start_response(status, list(fields), *more)


def test_an_error_page_after_all(files, field):
    def app(environ, start_response):
        start_response("200 OK", [field("b.txt")])
        try:
            raise ValueError
        except ValueError as error:
            start_response("500 Oh", [], (type(error), error, error.__traceback__))
        return [b"sorry"]

    answer = ask(sending(app, files), "/")
    assert (answer.status, answer.body) == (500, b"sorry")


def test_two_responses_are_one_too_many(files, field):
    def app(environ, start_response):
        start_response("200 OK", [field("b.txt")])
        start_response("200 OK", [])
        return []

    with pytest.raises(WsgiError):
        ask(sending(app, files), "/")


def test_other_responses_pass_as_they_are(files):
    body = Body([b"x"])

    def app(environ, start_response):
        start_response("200 OK", [("X-Accel-Buffering", "no")])
        return body

    seen = []
    result = sending(app, files)({"REQUEST_METHOD": "GET"}, lambda *said: seen.append(said))
    assert (result, seen) == (body, [("200 OK", [("X-Accel-Buffering", "no")])])


@pytest.mark.parametrize(
    "value",
    [
        *(
            "/protected/../secret",
            "/protected/%2e%2e/secret",
            "/protected/./b.txt",
            "/protected/b.txt%00",
            "",
        ),
        *(
            "/other/b.txt",
            "/protectedx/b.txt",
            "protected/b.txt",
            "b.txt",
            "http://x/protected/b.txt",
            "@named",
        ),
    ],
)
def test_an_impossible_redirect_is_500(files, value):
    answer = ask(naming(files, ("X-Accel-Redirect", value)), "/")
    assert (answer.status, b"secret" in answer.body) == (500, False)


def test_an_impossible_sendfile_is_500(files, tmp_path):
    (files / "out").symlink_to(tmp_path / "secret")
    paths = [
        tmp_path / "secret",
        f"{files}/../secret",
        "b.txt",
        "",
        f"{files}x/b.txt",
        files / "out",
        "/etc/passwd",
    ]
    for path in map(str, paths):
        answer = ask(naming(files, ("X-Sendfile", path)), "/")
        assert (answer.status, b"secret" in answer.body) == (500, False), path


def test_a_missing_file_is_404(files, field):
    for name in ("none", "", "a.pdf/b"):
        assert ask(naming(files, field(name)), "/").status == 404


def test_names_are_decoded(files):
    for name in ("a b.txt", "100%.txt", "größe.txt", "q?.txt", "x%41.txt"):
        (files / name).write_text(name)
        latin = name.encode().decode("latin-1")
        for field in (
            ("X-Accel-Redirect", f"/protected/{quote(name)}"),
            *(("X-Sendfile", f"{files}/{each}") for each in (name, latin, quote(name))),
        ):
            assert ask(naming(files, field), "/").body.decode() == name, field
    assert ask(naming(files, ("X-Accel-Redirect", "/protected/b.txt?download=1")), "/").body == b"hello"


def test_both_fields_may_name_the_same_file(files):
    accel, sendfile = ("X-Accel-Redirect", "/protected/b.txt"), ("X-Sendfile", f"{files}/b.txt")
    assert ask(naming(files, accel, sendfile), "/").body == b"hello"
    other = ("X-Sendfile", f"{files}/a.pdf")
    assert ask(naming(files, accel, other), "/").status == 500


def test_a_folder_may_be_spelled_by_another_link(files, tmp_path):
    (tmp_path / "current").symlink_to("files")
    app = naming(files, ("X-Sendfile", f"{tmp_path}/current/b.txt"))
    assert ask(app, "/").body == b"hello"


def test_no_descriptor_is_left_open(files, field):
    app = naming(files, field("a.pdf"))
    ask(app, "/")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for asked in (
        {},
        {"method": "HEAD"},
        {"if_none_match": "*"},
        {"range": "bytes=0-1"},
        {"range": "bytes=9999999-"},
    ):
        ask(app, "/", **asked)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_fields_that_the_server_refuses_leave_nothing_open(files, field):
    def refusing(status, fields):
        raise WsgiError("no")

    app = naming(files, field("a.pdf"))
    ask(app, "/")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for method in ("GET", "POST"):
        with pytest.raises(WsgiError):
            app({"REQUEST_METHOD": method}, refusing)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_flask(files):
    app = flask.Flask("shop")
    app.config["USE_X_SENDFILE"] = True
    app.add_url_rule("/", view_func=lambda: flask.send_file(files / "a.pdf", as_attachment=True))
    wrapped = sending(app.wsgi_app, files)
    answer = ask(wrapped, "/")
    assert (answer.status, answer.body, answer.fields["content-type"]) == (200, LARGE, "application/pdf")
    assert answer.fields["content-disposition"] == "attachment; filename=a.pdf"
    part = ask(wrapped, "/", range="bytes=1-2")
    assert (part.status, part.body, part.fields["content-range"]) == (
        206,
        LARGE[1:3],
        f"bytes 1-2/{len(LARGE)}",
    )
    assert ask(wrapped, "/", if_none_match=answer.fields["etag"]).status == 304


def test_django(files):
    def app(environ, start_response):
        response = HttpResponse(charset="utf-8")  # by default the settings', which are one for all tests
        response["X-Accel-Redirect"] = "/protected/" + quote("größe.pdf")
        del response["Content-Type"]
        start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
        return response

    (files / "größe.pdf").write_bytes(LARGE)
    answer = ask(sending(app, files), "/")
    assert (answer.status, answer.body, answer.fields["content-type"]) == (200, LARGE, "application/pdf")
