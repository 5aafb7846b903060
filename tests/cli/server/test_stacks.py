"""How `superwsgi stacks` spells what threads do. Real ones: tests/e2e/test_stacks.py."""

import click
import pytest
from click.testing import CliRunner

from superwsgi.cli.server.stacks import spell, stacks
from superwsgi.cli.server.which import Which, which_site_and
from superwsgi.control import AllStacks, ProcessStacks, ThreadStack
from superwsgi.incidents import RequestInHand

VIEW = '  File "/srv/shop/views.py", line 71, in report\n    rows = cursor.fetchall()\n'


def request(number: int, seconds: float, stack: str = VIEW) -> ThreadStack:
    what = RequestInHand("GET", f"/report/{number}", f"c0ffee-{number}", seconds)
    return ThreadStack(number, f"thread-{number}", "request", stack, what, seconds)


def idle(number: int) -> ThreadStack:
    return ThreadStack(number, f"thread-{number}", "idle", "  File …\n")


def a_worker(*threads: ThreadStack, **more) -> AllStacks:
    return AllStacks(processes=[ProcessStacks(2, 3, 4711, "serving", threads=[*threads], **more)])


def test_threads_at_one_place_stand_above_their_stack_the_oldest_first():
    server = ThreadStack(9, "superwsgi-log", "server", "  File …\n")
    assert (
        spell(a_worker(idle(4), request(1, 0.25), server, request(2, 4.2), idle(5)))
        == """\
worker 2, generation 3, pid 4711, serving

  thread-2  GET /report/2  c0ffee-2  4.2s
  thread-1  GET /report/1  c0ffee-1  250ms
    File "/srv/shop/views.py", line 71, in report
      rows = cursor.fetchall()

  2 threads wait for requests, 1 of the server
"""
    )


def test_a_place_with_many_threads_names_some():
    lines = spell(a_worker(*(request(number, 1.0) for number in range(1003)))).splitlines()
    assert "  and 983 more:" in lines
    assert len(lines) < 30


def test_who_has_waited_longest_comes_first():
    text = spell(a_worker(request(1, 1.0), request(2, 9.0, "  File there\n"), request(3, 2.0)))
    assert [line.split()[0] for line in text.splitlines() if "thread-" in line] == [
        "thread-2",
        "thread-3",
        "thread-1",
    ]


def test_all_of_them():
    text = spell(a_worker(request(1, 1.0), idle(2)), everything=True)
    assert "thread-2  waits for requests" in text
    assert "threads wait for" not in text


def test_threads_without_requests():
    abandoned = ThreadStack(1, "thread-1", "abandoned", VIEW, None, 65.0)
    own = ThreadStack(2, "mailer", "application", "  File mailer\n")
    text = spell(a_worker(abandoned, own))
    assert "  thread-1  abandoned; its request began 1m05s ago\n" in text
    assert "  mailer  started by the application\n" in text


def test_of_faulthandler():
    own = ThreadStack(0x7F00, "", "application", "  File mailer\n")
    server = ThreadStack(0x7F01, "", "server", "  File loop\n")
    hand = [RequestInHand("GET", "/a", "", 4.2), RequestInHand("POST", "/b", "", 1.0)]
    text = spell(a_worker(own, server, by_faulthandler=True, in_hand=hand, note="the interpreter is held"))
    assert text.startswith(
        "worker 2, generation 3, pid 4711, serving: the interpreter is held\n  in hand: GET /a"
    )
    assert "GET /a  4.2s, POST /b  1s\n" in text
    assert "  thread 0x7f00  in the application\n" in text
    assert "1 thread in code of the server: they wait for requests, or are its own\n" in text


def test_what_is_left_out_is_counted():
    assert "  7 threads left out\n" in spell(a_worker(left_out=7))


def test_nothing_of_an_application_moves_the_cursor():
    evil = ThreadStack(1, "\x1b[2J", "application", "  File \x1b]0;x\x07\n")
    assert "\x1b" not in spell(a_worker(evil))


@click.command()
@which_site_and("worker", lambda word: word == "mold" or word.isdigit())
def asked(which: Which, worker: str | None) -> None:
    click.echo(f"{which.name} {worker}")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ([], "None None"),
        (["shop"], "shop None"),
        (["2"], "None 2"),
        (["mold"], "None mold"),
        (["shop", "2"], "shop 2"),
        (["7", "2"], "7 2"),
        (["-c", "site.yaml", "2"], "None 2"),
    ],
)
def test_which_worker_of_which_site(words, meant):
    done = CliRunner().invoke(asked, words)
    assert done.output == f"{meant}\n"


def test_what_is_no_worker():
    done = CliRunner().invoke(stacks, ["shop", "two"])
    assert done.exit_code == 2
    assert "WORKER is a number, a process id or mold, not 'two'" in done.output
