"""Clients and the server count the same, whatever becomes of workers and master."""

import bisect
import json
import re
import signal
from collections import Counter

import pytest

from superwsgi import build
from superwsgi.board.counts import BOUNDS, METHODS
from superwsgi.http.request.path_groups import path_group
from tests.e2e.daemon import wait_for
from tests.e2e.load import Counting

pytestmark = pytest.mark.drill

APP = """
    import time

    STATUS = {"/moved": "302 Found", "/missing": "404 Not Found", "/fail": "500 Internal Server Error"}

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path.startswith("/sleep/"):
            time.sleep(float(path[7:]))
        if path.startswith("/burn/"):
            until = time.thread_time() + float(path[6:])
            while time.thread_time() < until:
                pass
        start_response(STATUS.get(path, "200 OK"), [("Content-Type", "text/plain")])
        return [b"done"]
"""
REQUESTS = [
    ("GET", "/", {}),
    ("GET", "/missing", {}),
    ("GET", "/sleep/0.003", {}),
    ("GET", "/moved", {}),
    ("GET", "/fail", {}),
    ("POST", "/", {"Content-Length": "1000000000"}),  # 413, by the server itself
    ("POST", "/", {}),
    ("HEAD", "/missing", {}),
    ("DELETE", "/orders/7", {}),
    ("PROPFIND", "/", {}),
]


def start(daemon, **keys):
    daemon.write("app.py", APP)
    daemon.site(**{"workers": 2, "rollout": {"confirm": "100ms"}, "timeouts": {"linger": "200ms"}, **keys})
    return daemon.start()


def look(site):
    return json.loads(site.command("status", "--json").stdout)


def settled(site):
    """What has been counted, once nothing is in hand and all is shown."""
    said = []

    def same_again():
        said.append(look(site))
        idle = not any(w["in_flight"] or w["taken"] or w["sending"] for w in said[-1]["workers"])
        return idle and len(said) > 1 and said[-1]["totals"]["answers"] == said[-2]["totals"]["answers"]

    wait_for(same_again, "rest", context=lambda: str(said[-1]))
    return said[-1]["totals"]


def kill_one(site):
    mark, pid = site.mark(), site.workers()[0]
    site.send(signal.SIGKILL, pid)
    site.wait_log(rf"pid={pid} died .*", mark)
    site.wait_log("serving", mark)


def reload(site):
    site.reload()


def upgrade(site):
    mark = site.mark()
    site.send(signal.SIGUSR2)
    site.wait_log("reload complete", mark)


def in_hand(log):
    """How many requests the lines about deaths name."""
    counted = re.compile(r" (?:in_application|queued|taken|sending)=(\d+)")
    died = (line for line in log.splitlines() if " died " in line)
    return sum(int(count) for line in died for count in counted.findall(line))


def classes(statuses):
    counted = Counter()
    for status, count in statuses.items():
        counted[f"{status // 100}xx"] += count
    return counted


def methods(clients):
    """What was answered, by method and class, as the server says it."""
    counted = {}
    for (method, _, status), count in clients.asked.items():
        known = method if method in METHODS else "other"
        counted.setdefault(known, Counter())[f"{status // 100}xx"] += count
    return counted


def test_five_reloads_four_kills_and_two_upgrades_under_load(daemon):
    site = start(daemon)
    with Counting(site.address, REQUESTS) as clients:
        for event in (kill_one, reload, upgrade, reload, kill_one) * 2:
            event(site)
        reload(site)
    totals = settled(site)
    counted, said = classes(clients.statuses), totals["answers"]
    named = in_hand(site.log)
    more = {each: counted[each] - said[each] for each in said}
    told = f"clients {counted}, {clients.lost} lost; server {said}; {named} in hand"
    assert min(more.values()) >= 0, told
    assert sum(more.values()) <= named, told
    assert clients.lost <= named + 16, told
    assert 0 <= clients.statuses[413] - totals["refused"]["413"] <= named
    assert min(counted.values()) > 100, told
    more = {
        (method, each): methods(clients)[method][each] - count
        for method, answers in totals["methods"].items()
        for each, count in answers.items()
    }
    assert min(more.values()) >= 0, more
    assert sum(more.values()) <= named, more
    assert sum(totals["latency"]) == totals["requests"]
    assert Counter(totals["restarts"]) == Counter(killed=4)
    assert Counter(totals["reloads"]) == Counter(complete=7), "an upgrade ends with one"
    assert totals["incidents"]["died"] == 4


def test_cpu_of_workers_that_come_and_go_is_that_of_their_processes(daemon):
    """Each second of a request is one of CPU, whatever becomes of the worker and the master."""
    site = start(daemon, workers=1)
    told = []
    for event in (kill_one, reload, upgrade, reload):
        assert site.get("/burn/0.3").status == 200
        told.append(look(site)["totals"]["cpu"])
        event(site)
        told.append(look(site)["totals"]["cpu"])
    assert told == sorted(told)
    assert told[-1] >= 4 * 0.3
    worker = look(site)["workers"][0]
    assert told[-1] > worker["cpu_seconds"] >= 0
    assert look(site)["python"] == build.python()


def test_without_deaths_they_count_exactly_the_same(daemon):
    site = start(daemon)
    with Counting(site.address, REQUESTS) as clients:
        site.reload()
        upgrade(site)
    totals = settled(site)
    assert {each: classes(clients.statuses)[each] for each in totals["answers"]} == totals["answers"]
    assert {method: Counter(answers) for method, answers in totals["methods"].items()} == methods(clients)
    assert totals["refused"] == {"413": clients.statuses[413]}
    assert totals["requests"] == sum(clients.statuses.values())


def paths(clients):
    """What was answered, by method, group of paths and class, as the server says it."""
    counted = Counter()
    for (method, path, status), count in clients.asked.items():
        known = method if method in METHODS else "other"
        counted[known, path_group(path), f"{status // 100}xx"] += count
    return counted


def told_by_path(totals):
    return {
        (each["method"], each["group"], kind): count
        for each in totals["paths"]
        for kind, count in each["answers"].items()
        if count
    }


def test_series_by_path_over_reloads_kills_and_upgrades(daemon):
    site = start(daemon, metrics={"paths": "on"})
    with Counting(site.address, REQUESTS) as clients:
        for event in (kill_one, reload, upgrade, kill_one):
            event(site)
    totals = settled(site)
    said, counted, named = told_by_path(totals), paths(clients), in_hand(site.log)
    more = {series: count - said.get(series, 0) for series, count in counted.items()}
    assert min(more.values()) >= 0, (more, named)
    assert sum(more.values()) <= named, (more, named)
    assert said.keys() <= counted.keys()
    assert ("DELETE", "/orders/*", "2xx") in said
    assert all(sum(each["latency"]) == sum(each["answers"].values()) for each in totals["paths"])


def test_without_deaths_series_by_path_are_exact_and_sum_up_to_the_totals(daemon):
    site = start(daemon, metrics={"paths": "on"})
    with Counting(site.address, REQUESTS) as clients:
        site.reload()
        upgrade(site)
    totals = settled(site)
    assert told_by_path(totals) == paths(clients)
    by_method = Counter()
    for (method, _, kind), count in told_by_path(totals).items():
        by_method[method, kind] += count
    assert by_method == Counter(
        {(method, kind): count for method, own in totals["methods"].items() for kind, count in own.items()}
    )
    daemon.site(workers=2, rollout={"confirm": "100ms"})
    site.reload()
    assert look(site)["totals"]["paths"] is None


def bucket(seconds):
    return bisect.bisect_left(BOUNDS, seconds)


def test_latencies_are_those_of_the_clients(daemon):
    """One thread for four clients: what they wait for it is in the latency, and not in the application's."""
    site = start(daemon, workers=1, threads=1)
    with Counting(site.address, [("GET", "/sleep/0.07", {})]) as clients:
        wait_for(lambda: len(clients.seconds) > 30, "answers")
    minute = (settled(site), look(site))[1]["minute"]
    for share, name in (0.5, "p50"), (0.99, "p99"):
        theirs, ours = clients.quantile(share), minute[name]
        assert abs(bucket(theirs) - bucket(ours)) <= 1, (name, theirs, ours)
    assert bucket(0.07) <= bucket(minute["app_p50"]) < bucket(minute["p50"])
