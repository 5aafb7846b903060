"""How many connections a limit of descriptors leaves room for."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from superwsgi.system.descriptors import SPARE, reachable

PROVIDE = """
import resource
from superwsgi.system.descriptors import provide
print(provide(1000), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("limit", "used", "connections"),
    [
        (20_000, 30, 1000),
        (1024, 24, 1000 - SPARE),
        (100, 20, 60),
        (20, 19, 1),
        (20, 30, 1),
    ],
)
def test_some_are_left_for_the_application(limit, used, connections):
    assert reachable(1000, limit, used) == connections


@pytest.mark.parametrize(
    ("soft", "hard", "enough"),
    [(64, 64, False), (64, 512, False), (64, 4096, True), (1024, 4096, True), (4000, 4096, True)],
)
def test_the_soft_limit_is_raised_as_far_as_needed(soft, hard, enough):
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    said = subprocess.run(
        [sys.executable, "-c", PROVIDE], preexec_fn=lower, capture_output=True, check=True, text=True
    )
    connections, limit = map(int, said.stdout.split())
    assert (connections == 1000) is enough
    assert soft <= limit <= hard
    if enough:
        assert limit == soft or 2000 < limit < 2300
    else:
        assert limit == hard


@pytest.mark.parametrize(("upgraded", "more"), [(100, 200), (5000, 2000)])
def test_upgraded_connections_take_more(upgraded, more):
    def limit(provide):
        def lower():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 8192))

        code = PROVIDE.replace("provide(1000)", provide)
        said = subprocess.run([sys.executable, "-c", code], preexec_fn=lower, capture_output=True, check=True)
        return int(said.stdout.split()[1])

    assert limit(f"provide(1000, {upgraded})") - limit("provide(1000)") == more
