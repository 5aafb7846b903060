"""Status, page and /metrics say the same at rest, and what clients have counted; and nothing that is counted
ever goes back, whatever becomes of workers, the master's program and the admin process."""

import itertools
import json
import textwrap
import threading
from collections import Counter

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_metrics

from tests.e2e.admin import admin_process, ask, port
from tests.e2e.daemon import wait_for
from tests.e2e.load import Counting
from tests.e2e.test_totals import APP, REQUESTS, in_hand, kill_one, reload, settled, upgrade

pytestmark = pytest.mark.drill

OWN = """
    from prometheus_client import Counter, Histogram

    answers = Counter("shop_answers", "Answers.", ["status"])
    took = Histogram("shop_seconds", "Time.", buckets=(0.001, 1.0))

    def counted(environ, start_response):
        def start(status, fields):
            answers.labels(status[:3]).inc()
            took.observe(0.01)
            return start_response(status, fields)

        return app(environ, start)
"""
KEYS = {
    "app": "app:counted",
    "workers": 2,
    "rollout": {"confirm": "100ms"},
    "timeouts": {"linger": "200ms"},
    "admin": {"bind": "127.0.0.1:0"},
    "metrics": {"paths": "on", "app": "on"},
}
GROW = ("_total", "_count", "_bucket", "_sum")


def scraped(site, at, kind="text/plain"):
    """The samples of /metrics by name and values of labels."""
    answer = ask(site, "/metrics", at=at, headers={"Accept": kind})
    assert answer.headers["content-type"].startswith(kind), answer.text
    parse = plain_metrics if kind == "text/plain" else open_metrics
    samples = (sample for family in parse(answer.text) for sample in family.samples)
    return {(each.name, *(value for _, value in sorted(each.labels.items()))): each.value for each in samples}


def that_grow(samples):
    return {series: value for series, value in samples.items() if series[0].endswith(GROW)}


def flat(totals, *name):
    """Each number of a status, by where it is."""
    if isinstance(totals, dict | list):
        places = totals.items() if isinstance(totals, dict) else enumerate(totals)
        return {k: v for place, each in places for k, v in flat(each, *name, place).items()}
    return {name: totals}


def counts(totals):
    paths = {f"{each['method']} {each['group']}": each for each in totals["paths"]}
    return {
        place: value
        for place, value in flat({**totals, "paths": paths}).items()
        if not isinstance(value, str)
    }


class Looks:
    """Looks at the site in every way there is, in turn, while its context lasts; `gone_back` is what was
    more, or was there, at an earlier look."""

    def __init__(self, site):
        self._site = site
        self._at = port(site)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._known = {}
        self.made = Counter()
        self.gone_back = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(60)

    def _run(self):
        ways = (self._metrics, self._open_metrics, self._api, self._command)
        for way in itertools.cycle(ways):
            if self._stop.is_set():
                return
            try:
                kind, found = way()
            except (OSError, ValueError, KeyError, AssertionError):  # not now: another one takes over
                continue
            self.made[way.__name__] += 1
            before = self._known.get(kind, {})
            self.gone_back += [
                (each, was, found.get(each)) for each, was in before.items() if found.get(each, -1) < was
            ]
            self._known[kind] = found

    def _metrics(self):
        return "metrics", that_grow(scraped(self._site, self._at))

    def _open_metrics(self):
        return "metrics", that_grow(scraped(self._site, self._at, "application/openmetrics-text"))

    def _api(self):
        return "status", counts(ask(self._site, "/api/status", at=self._at).json()["totals"])

    def _command(self):
        return "status", counts(json.loads(self._site.command("status", "--json").stdout)["totals"])


def kill_admin(site):
    killed = admin_process(site)
    killed.kill()
    wait_for(lambda: admin_process(site).pid != killed.pid, "another admin process")


def expected(totals):
    """What /metrics has to say of them, without what is 0."""
    by = {
        "superwsgi_worker_restarts_total": totals["restarts"],
        "superwsgi_reloads_total": totals["reloads"],
        "superwsgi_incidents_total": totals["incidents"],
    }
    series = {(name, label): count for name, labelled in by.items() for label, count in labelled.items()}
    for method, answers in totals["methods"].items():
        series |= {("superwsgi_requests_total", method, each): count for each, count in answers.items()}
    for each in totals["paths"]:
        at = each["method"], each["group"]
        series |= {("superwsgi_path_requests_total", *at, kind): n for kind, n in each["answers"].items()}
        series[("superwsgi_path_request_duration_seconds_count", *at)] = sum(each["latency"])
    series["superwsgi_request_duration_seconds_count",] = totals["requests"]
    series["superwsgi_app_duration_seconds_count",] = sum(totals["app_latency"])
    series["superwsgi_response_body_bytes_total",] = totals["sent"]
    series["superwsgi_connections_accepted_total",] = totals["accepted"]
    return {each: count for each, count in series.items() if count}


def in_incidents(totals):
    return totals["incidents"]["request refused"] == sum(totals["refused"].values())


def charted(site, at):
    """The area below the rates of the history, once nothing is asked any more; times in it are those at which
    the answers of a busy machine came."""

    def at_rest():
        rows = ask(site, "/api/history", at=at).json()["samples"]
        return rows if rows[-1][1] == 0 else None

    rows = wait_for(at_rest, "a second without requests")
    return sum(row[1] * (row[0] - before[0]) for before, row in itertools.pairwise(rows))


def test_they_agree_and_nothing_goes_back(daemon):
    daemon.write("app.py", textwrap.dedent(APP) + textwrap.dedent(OWN))
    daemon.site(**KEYS)
    daemon.start()
    daemon.wait_log("admin ready")
    with Looks(daemon) as looks, Counting(daemon.address, REQUESTS) as clients:
        for event in (kill_one, reload, kill_admin, upgrade, kill_one):
            event(daemon)
    assert not looks.gone_back
    assert min(looks.made.values()) > 1
    assert len(looks.made) == 4

    wait_for(lambda: in_incidents(settled(daemon)), "each refusal among the incidents")
    totals, at = settled(daemon), port(daemon)
    samples, named = scraped(daemon, at), in_hand(daemon.log)
    want = expected(totals)
    assert {each: samples.get(each) for each in want} == want
    shown = ask(daemon, "/api/status", at=at).json()["totals"]
    assert {**shown, "cpu": 0} == {**totals, "cpu": 0}
    by_app = sum(value for series, value in samples.items() if series[0] == "shop_answers_total")
    assert 0 <= sum(clients.statuses.values()) - totals["requests"] <= named
    assert abs(by_app + totals["refused"]["413"] - totals["requests"]) <= named + clients.lost
    assert charted(daemon, at) == pytest.approx(totals["requests"], rel=0.25)
