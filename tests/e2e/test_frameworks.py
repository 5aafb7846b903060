"""Flask and Django, side by side in one site: at the root, under a prefix and on a host of their own."""

import pytest

from tests.e2e.daemon import FIXTURE_APPS, Answer

FLASK, DJANGO = "e2e_flask:make()", "e2e_django.wsgi:application"


@pytest.fixture(scope="module")
def site(shared_daemon):
    shared_daemon.site(
        app=None,
        apps={
            "/": FLASK,
            "/blog": FLASK,
            "/shop": DJANGO,
            "django.example": DJANGO,
            "django.example/deep/down": FLASK,
        },
        chdir=str(FIXTURE_APPS),
        env={"DJANGO_SETTINGS_MODULE": "e2e_django.settings"},
        workers=1,
        preload=True,
    )
    return shared_daemon.start()


class Mounted:
    """One of the applications, by its host and prefix; a keep-alive connection a test."""

    def __init__(self, site, host, prefix, source):
        self.site, self.host, self.prefix = site, host, prefix
        self.source = FIXTURE_APPS / source
        self._client = site.client()

    def ask(self, path, method="GET", body=None, **fields):
        headers = {"Host": self.host, **fields}
        self._client.request(method, self.prefix + path, body, headers)
        return Answer(self._client.getresponse())

    def close(self):
        self._client.close()


PLACES = {
    "flask at the root": ("flask.example", "", "e2e_flask.py"),
    "flask under a prefix": ("flask.example:8080", "/blog", "e2e_flask.py"),
    "django under a prefix": ("any.example", "/shop", "e2e_django/views.py"),
    "django on a host": ("django.example", "", "e2e_django/views.py"),
    "flask on a host under a prefix": ("django.example.", "/deep/down", "e2e_flask.py"),
}


@pytest.fixture(params=PLACES.values(), ids=PLACES)
def app(site, request):
    app = Mounted(site, *request.param)
    yield app
    app.close()


def test_urls_that_the_application_builds_lead_back_to_it(app):
    said = app.ask("/").json()
    assert said["self"] == f"{app.prefix}/"
    assert said["page"] == f"http://{app.host}{app.prefix}/page/a%20b"
    assert app.ask("/page/a%20b").text.strip() == "<h1>a b</h1>"


def test_a_template_escapes_what_a_client_sent(app):
    assert app.ask("/page/%3Cb%3E").text.strip() == "<h1>&lt;b&gt;</h1>"


def test_a_form_with_a_file(app):
    content = (
        bytes(range(256)) * 4000
    )  # over limits.body_memory and Django's own 2.5 MB limit for forms alone
    body = (
        b'--X\r\nContent-Disposition: form-data; name="title"\r\n\r\nA title\r\n'
        b'--X\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--X--\r\n"
    )
    answer = app.ask("/upload", "POST", body, **{"Content-Type": "multipart/form-data; boundary=X"})
    assert answer.json() == {"title": "A title", "name": "a.bin", "size": len(content)}


def test_cookies_make_a_session(app):
    first = app.ask("/count")
    cookie = first.headers["set-cookie"].partition(";")[0]
    assert (first.text, app.ask("/count", Cookie=cookie).text) == ("1", "2")


def test_a_streamed_response(app):
    answer = app.ask("/stream")
    assert answer.text == "piece 0\npiece 1\npiece 2\n"
    assert answer.headers["transfer-encoding"] == "chunked"


def test_a_static_file(app):
    answer = app.ask("/file")
    assert answer.body == app.source.read_bytes()
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert app.ask("/file", "HEAD").headers["content-length"] == answer.headers["content-length"]


def test_a_file_in_memory(app):
    assert app.ask("/memory").body == b"in memory"


def test_a_redirect_to_an_absolute_url(app):
    answer = app.ask("/moved")
    assert (answer.status, answer.headers["location"]) == (302, f"http://{app.host}{app.prefix}/page/new")


def test_errors_are_the_applications_own_pages(app):
    assert app.ask("/nowhere").status == 404
    assert app.ask("/forbidden").status == 403
    assert app.ask("/").status == 200


def test_a_view_that_raises_tells_the_log_alone(app):
    mark = app.site.mark()
    answer = app.ask("/fails")
    assert answer.status == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    app.site.wait_log(r"Traceback(?s:.*)ValueError: secret of the view", since=mark)
    assert app.ask("/").status == 200


def test_a_prefix_takes_whole_segments(site):
    assert "<title>404 Not Found</title>" in site.get("/shopping").text, "Flask's page, from the root"
    assert site.get("/shop").json()["self"] == "/shop/"
