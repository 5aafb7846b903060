"""Which requests are not run for a while."""

import pytest

from superwsgi.board.layout import PATH_BYTES
from superwsgi.http.request.head import Request
from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.queue.quarantine import RefusedKinds


@pytest.fixture
def quarantine():
    quarantine = RefusedKinds(lambda: None)
    quarantine.put({"GET /thumb/*": 10.0})
    return quarantine


def request(target, method="GET"):
    return Request(method, target.encode("latin-1"), "HTTP/1.1", {})


@pytest.mark.parametrize(
    "target",
    [
        "/thumb/12",
        "/thumb/98765?size=9",
        "/%74humb/12",
        "/thumb%2F12",
        "/thumb/%31%32",
        "//thumb/12",
        "/./thumb//12",
        "/a/../thumb/12",
        "/a/%2e%2e/thumb/12",
        "/thumb;v=1/12",
        "/thumb%5C12",
        "/%2574humb/12",
    ],
)
def test_its_kind_however_it_is_spelled(quarantine, target):
    refusal = quarantine.refusal(request(target), 5 * SECOND)
    assert (refusal.status, refusal.retry_after) == (503, 6)


def test_nor_do_many_escapes_help(quarantine):
    path = "/reports/monthly/summary/of/all/our/shops"
    quarantine.put({f"GET {path}": 10.0})
    escaped = "/" + "".join(f"%{ord(letter):02x}" for letter in path[1:])
    assert len(escaped) > PATH_BYTES
    assert quarantine.refusal(request(escaped), 0).status == 503


@pytest.mark.parametrize(
    ("target", "method"), [("/thumb/12", "POST"), ("/thumb", "GET"), ("/thumb/cat", "GET"), ("/", "GET")]
)
def test_others_run(quarantine, target, method):
    assert quarantine.refusal(request(target, method), 5 * SECOND) is None


def test_it_ends_by_itself(quarantine):
    assert quarantine.refusal(request("/thumb/12"), 10 * SECOND - 1).retry_after == 1
    assert quarantine.refusal(request("/thumb/12"), 10 * SECOND) is None


def test_the_next_ones_replace_it(quarantine):
    quarantine.put({})
    assert quarantine.refusal(request("/thumb/12"), 0) is None
