"""Files of `static`, in front of an application that says its path."""

import contextlib
import gzip
import itertools
import os
import threading
import tracemalloc
from functools import partial

import pytest

from superwsgi.files import static
from superwsgi.files.known import Knowledge
from superwsgi.files.static import StaticFiles
from tests.files.asking import age, ask

LARGE = bytes(range(256)) * 1000


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"app: " + environ["PATH_INFO"].encode("latin-1")]


@pytest.fixture
def public(tmp_path):
    folder = tmp_path / "public"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"hello")
    (folder / "large.bin").write_bytes(LARGE)
    age(folder / "large.bin")
    (folder / "below").mkdir()
    (folder / "below" / "b.css").write_bytes(b"b {}")
    return folder


@pytest.fixture
def site(public):
    """Asks for files at /static, in `public`."""
    app = serving({"/static": public})
    return lambda path, method="GET", **fields: ask(app, path, method, **fields)


@pytest.fixture
def keeping(public):
    """The same, where what has changed just now is kept, too."""
    app = serving({"/static": public}, settled=-(10**12))
    return lambda path, method="GET", **fields: ask(app, path, method, **fields)


def serving(folders, **settled):
    named = {key: str(folder) for key, folder in folders.items()}
    return StaticFiles(application, named, Knowledge().fields, **settled).answer


def change(path, content):
    """Until the file system's clock has gone on."""
    before = path.stat().st_ctime_ns
    path.write_bytes(content)
    while path.stat().st_ctime_ns == before:
        path.write_bytes(content)


def is_of_the_application(answer):
    return answer.body.startswith(b"app: ")


@pytest.mark.parametrize(("path", "content"), [("/static/a.txt", b"hello"), ("/static/large.bin", LARGE)])
def test_a_file(site, path, content):
    answer = site(path)
    assert (answer.status, answer.body) == (200, content)
    assert answer.fields["content-length"] == str(len(content))
    assert answer.fields["accept-ranges"] == "bytes"
    assert answer.fields["cache-control"] == "max-age=60, public"
    assert site(path) == answer


def test_types(site):
    assert site("/static/a.txt").fields["content-type"] == 'text/plain; charset="utf-8"'
    assert site("/static/below/b.css").fields["content-type"] == 'text/css; charset="utf-8"'
    assert site("/static/large.bin").fields["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("path", ["/static/a.txt", "/static/large.bin"])
def test_head_has_the_fields_alone(site, path):
    answer = site(path, "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.fields == site(path).fields


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_another_method_is_405_for_a_file_and_goes_on_elsewhere(site, method):
    answer = site("/static/a.txt", method)
    assert (answer.status, answer.fields["allow"]) == (405, "GET, HEAD")
    assert is_of_the_application(site("/static/none", method))


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/a.txt", "/static", "/static/", "/staticx/a.txt", "/STATIC/a.txt", "/static/A.TXT"),
        *("/static/none", "/static/below", "/static/below/", "/static/a.txt/", "/static/a.txt/b"),
        *("/static//a.txt", "/static/./a.txt", "/static/below/../a.txt", "/static/../secret"),
        *("/static/../public/a.txt", "/static//etc/passwd", "/static/%2e%2e/secret", "/static/..\\secret"),
        *("/static/a.txt\0", "/static/\0", "/static/" + "x" * 300, "/static/" + "x/" * 3000 + "x"),
    ],
)
def test_what_is_no_file_goes_on_to_the_application(site, public, path):
    (public.parent / "secret").write_text("secret")
    answer = site(path)
    assert (answer.status, answer.body) == (200, b"app: " + path.encode("latin-1"))


@pytest.mark.parametrize("name", [".env", ".git/config", "below/.htpasswd", ".well-known/x"])
def test_a_name_with_a_dot_is_never_sent(site, public, name):
    assert is_of_the_application(site(f"/static/{name}"))
    (public / name).parent.mkdir(exist_ok=True)
    (public / name).write_text("secret")
    assert site(f"/static/{name}").status == 404


def test_an_error_of_the_application_is_its_own(public):
    def failing(environ, start_response):
        raise LookupError

    files = StaticFiles(failing, {"/": str(public)}, Knowledge().fields)
    with pytest.raises(LookupError) as caught:
        ask(files.answer, "/none")
    assert caught.value.__context__ is None


def test_well_known_is_meant_to_be_read_at_the_root(public):
    app = serving({"/": public})
    (public / ".well-known").mkdir()
    (public / ".well-known" / "security.txt").write_text("mail us")
    (public / ".well-known" / ".secret").write_text("no")
    assert ask(app, "/.well-known/security.txt").body == b"mail us"
    assert ask(app, "/.well-known/.secret").status == 404
    assert ask(app, "/a.txt").body == b"hello"
    assert is_of_the_application(ask(app, "/"))


def test_links_inside_are_followed_and_others_are_not(site, public, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (public / "inside").symlink_to("below")
    (public / "absolute").symlink_to(public / "a.txt")
    (public / "file").symlink_to(tmp_path / "secret")
    (public / "up").symlink_to("..")
    (public / "nowhere").symlink_to("none")
    (public / "round").symlink_to("round")
    assert site("/static/inside/b.css").body == b"b {}"
    assert site("/static/absolute").body == b"hello"
    assert site("/static/file").status == 404
    assert site("/static/up/secret").status == 404
    assert is_of_the_application(site("/static/nowhere"))
    assert is_of_the_application(site("/static/round"))


def test_a_link_does_not_show_what_a_dot_hides_but_is_as_in_a_volume_of_kubernetes(site, public):
    (public / ".env").write_text("secret")
    (public / "env").symlink_to(".env")
    (public / "..2026_11_27").mkdir()
    (public / "..2026_11_27" / "k.txt").write_text("volume")
    (public / "..data").symlink_to("..2026_11_27")
    (public / "k.txt").symlink_to("..data/k.txt")
    assert site("/static/env").status == 404
    assert site("/static/k.txt").body == b"volume"
    assert site("/static/..data/k.txt").status == 404


def test_a_file_that_a_link_replaces_is_not_sent_any_more(keeping, public, tmp_path):
    site = keeping
    (tmp_path / "secret").write_text("hello")
    assert site("/static/a.txt").status == 200
    (public / "a.txt").unlink()
    (public / "a.txt").symlink_to(tmp_path / "secret")
    assert site("/static/a.txt").status == 404


def test_pipes_and_the_like_are_not_opened(site, public):
    os.mkfifo(public / "pipe")
    (public / "null").symlink_to("/dev/null")
    assert site("/static/pipe").status == 404
    assert site("/static/null").status == 404


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_404(site, public):
    (public / "a.txt").chmod(0)
    assert site("/static/a.txt").status == 404


@pytest.mark.parametrize("kind", ["site", "keeping"])
@pytest.mark.parametrize("name", ["a.txt", "large.bin"])
def test_changes_show_at_once(request, public, name, kind):
    site = request.getfixturevalue(kind)
    before = site(f"/static/{name}")
    for content in (before.body[::-1], b"longer" * 50_000, b"", before.body):
        change(public / name, content)
        answer = site(f"/static/{name}")
        assert (answer.status, answer.body) == (200, content)
        assert answer.fields["content-length"] == str(len(content))
        if name == "a.txt":
            assert (answer.fields["etag"] == before.fields["etag"]) == (content == before.body)
    (public / name).unlink()
    assert is_of_the_application(site(f"/static/{name}"))
    (public / name).write_bytes(b"again")
    assert site(f"/static/{name}").body == b"again"


@contextlib.contextmanager
def meanwhile(*steps):
    """Take these steps, again and again, in another thread."""
    done = threading.Event()

    def run():
        for step in itertools.cycle(steps):
            if done.is_set():
                return
            step()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_file_that_is_replaced_meanwhile_is_always_one_of_both(site, public, size):
    path, new = public / "turns.bin", public / "new"

    def replace(content):
        new.write_bytes(content)
        new.replace(path)

    versions = [b"a" * size, b"b" * (size + 1)]
    replace(versions[0])
    with meanwhile(*(partial(replace, each) for each in versions)):
        found = [site("/static/turns.bin") for _ in range(300)]
    answers = {(answer.fields["etag"], answer.body) for answer in found}
    assert {body for _, body in answers} <= set(versions)
    assert len({tag for tag, _ in answers}) == len(answers)


def test_a_link_that_comes_and_goes_never_leads_out(site, public, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b.css").write_text("secret")
    links = {"file": ("a.txt", tmp_path / "secret"), "below2": ("below", tmp_path / "folder")}

    def point(name, target):
        (public / "new").symlink_to(target)
        (public / "new").rename(public / name)

    steps = [partial(point, name, target) for name, targets in links.items() for target in targets]
    for step in steps:
        step()
    with meanwhile(*steps):
        found = {site(path).body for path in ["/static/file", "/static/below2/b.css"] * 200}
    assert b"secret" not in found
    assert {b"hello", b"b {}"} & found


def test_a_folder_that_is_replaced_shows_at_once(keeping, public):
    site = keeping
    assert site("/static/a.txt").body == b"hello"
    public.rename(public.with_name("old"))
    assert is_of_the_application(site("/static/a.txt"))
    public.mkdir()
    (public / "a.txt").write_text("new")
    assert site("/static/a.txt").body == b"new"


def test_what_is_kept_is_bounded(public):
    for number in range(300):
        (public / f"{number}.bin").write_bytes(bytes(60_000))
    files = StaticFiles(application, {"/": str(public)}, Knowledge().fields, settled=-(10**12))
    for number in range(300):
        assert len(ask(files.answer, f"/{number}.bin").body) == 60_000
    assert static.KEPT * 0.9 < files.weight <= static.KEPT


@pytest.mark.parametrize("path", ["/static/a.txt", "/static/large.bin"])
def test_validators(site, public, path):
    age(public / path.rpartition("/")[2])
    fields = site(path).fields
    unchanged = site(path, if_none_match=fields["etag"])
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert unchanged.fields["etag"] == fields["etag"]
    assert unchanged.fields["cache-control"] == fields["cache-control"]
    assert "content-type" not in unchanged.fields
    assert "content-length" not in unchanged.fields
    assert site(path, if_modified_since=fields["last-modified"]).status == 304
    assert site(path, if_none_match='"other"').status == 200
    assert site(path, "HEAD", if_none_match=fields["etag"]).status == 304


@pytest.mark.parametrize("path", ["/static/a.txt", "/static/large.bin"])
def test_ranges(site, path):
    whole = site(path)
    size, tag = len(whole.body), whole.fields["etag"]
    part = site(path, range="bytes=1-3")
    assert (part.status, part.body) == (206, whole.body[1:4])
    assert part.fields["content-range"] == f"bytes 1-3/{size}"
    assert part.fields["etag"] == tag
    assert site(path, range="bytes=-2").body == whole.body[-2:]
    assert site(path, range="bytes=0-0", if_range=tag).body == whole.body[:1]
    assert site(path, range="bytes=0-0", if_range='"old"') == whole
    beyond = site(path, range=f"bytes={size}-")
    assert (beyond.status, beyond.fields["content-range"]) == (416, f"bytes */{size}")
    assert site(path, "HEAD", range="bytes=0-0").status == 200


def test_compressed_files_beside_it(site, public):
    plain = b"body {}\n" * 1000
    (public / "c.css").write_bytes(plain)
    (public / "c.css.gz").write_bytes(packed := gzip.compress(plain))
    (public / "c.css.br").write_bytes(b"br" * 10)
    (public / "c.css.zst").write_bytes(b"zst" * 100)
    found = {
        each: site("/static/c.css", accept_encoding=each)
        for each in ("gzip", "br", "zstd", "gzip, br, zstd", "br;q=0, zstd", "gzip;q=0.5, zstd;q=0.1", "")
    }
    assert [answer.fields.get("content-encoding") for answer in found.values()] == [
        *("gzip", "br", "zstd", "br", "zstd", "gzip", None)
    ]
    assert found["gzip"].body == packed
    assert found[""].body == plain
    assert {answer.fields["vary"] for answer in found.values()} == {"Accept-Encoding"}
    assert {answer.fields["content-type"] for answer in found.values()} == {'text/css; charset="utf-8"'}
    assert len({answer.fields["etag"] for answer in found.values()}) == 4
    tag = found["gzip"].fields["etag"]
    again = site("/static/c.css", accept_encoding="gzip", if_none_match=tag)
    assert (again.status, again.fields["vary"]) == (304, "Accept-Encoding")
    assert site("/static/c.css", if_none_match=tag).status == 200
    assert "vary" not in site("/static/a.txt").fields


def test_made_up_encodings_do_not_fill_the_memory(keeping, public):
    (public / "c.css").write_bytes(b"body {}\n" * 1000)
    (public / "c.css.gz").write_bytes(b"gz")
    keeping("/static/c.css")
    tracemalloc.start()
    try:
        for number in range(300):
            accepted = f"gzip, {number}{'x' * 10_000}"
            assert keeping("/static/c.css", accept_encoding=accepted).fields["content-encoding"] == "gzip"
        assert tracemalloc.get_traced_memory()[0] < 300_000
    finally:
        tracemalloc.stop()


def test_a_compressed_file_that_is_older_is_not_sent(site, public):
    (public / "c.js").write_bytes(b"one;" * 100)
    (public / "c.js.gz").write_bytes(gzip.compress(b"one;" * 100))
    assert "content-encoding" in site("/static/c.js", accept_encoding="gzip").fields
    age(public / "c.js.gz")
    (public / "c.js").write_bytes(b"two;" * 100)
    answer = site("/static/c.js", accept_encoding="gzip")
    assert (answer.fields.get("content-encoding"), answer.body) == (None, b"two;" * 100)


def test_a_compressed_file_does_not_outlive_its_original(keeping, public):
    site = keeping
    (public / "c.js").write_bytes(b"one;" * 100)
    (public / "c.js.gz").write_bytes(gzip.compress(b"one;" * 100))
    assert "content-encoding" in site("/static/c.js", accept_encoding="gzip").fields
    (public / "c.js.gz").unlink()
    assert site("/static/c.js", accept_encoding="gzip").body == b"one;" * 100
    (public / "c.js.gz").write_bytes(gzip.compress(b"one;" * 100))
    (public / "c.js").unlink()
    assert is_of_the_application(site("/static/c.js", accept_encoding="gzip"))


def test_hashed_names_are_kept_for_ever(site, public):
    (public / "app.3f2a1b9c.js").write_text("x")
    assert site("/static/app.3f2a1b9c.js").fields["cache-control"].endswith("immutable")


def test_the_longest_prefix_wins_and_hosts_have_their_own(public, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.txt").write_text("other")
    app = serving({"/": public, "/x": other, "b.example.com/": other})
    assert ask(app, "/a.txt", host="a.example.com").body == b"hello"
    assert ask(app, "/x/a.txt", host="a.example.com").body == b"other"
    assert ask(app, "/a.txt", host="B.example.com:80").body == b"other"
    assert is_of_the_application(ask(app, "/x/large.bin", host="a.example.com"))


def test_names_that_are_not_ascii(site, public):
    (public / "größe é.txt").write_text("names")
    path = "/static/größe é.txt".encode().decode("latin-1")
    assert site(path).body == b"names"
    with open(os.fsencode(public) + b"/\xff.bin", "wb") as file:
        file.write(b"bytes")
    assert site("/static/\xff.bin").body == b"bytes"
    assert is_of_the_application(site("/static/\xfe.bin"))
