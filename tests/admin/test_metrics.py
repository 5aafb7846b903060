"""What Prometheus scrapes is what the Snapshot says, in both formats, whatever the application counts."""

import json
import math
import subprocess
import time

import pytest
from msgspec.structs import replace

from superwsgi.metrics.files import Number, encode
from tests.admin.shown import snapshot, worker
from tests.tools import needed

pytest.importorskip("prometheus_client")

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from superwsgi.admin.metrics.application import AppMetrics
from superwsgi.admin.metrics.exposition import exposition

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


def scrape(site=None, accept="", own=None):
    return exposition(site or snapshot(), accept, own)


def read(body, parse=text_string_to_metric_families):
    """Values by name and labels."""
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


def values(site=None):
    return read(scrape(site)[1])


@pytest.fixture
def own(tmp_path):
    (tmp_path / "1000").mkdir()

    def put(name, *series):
        numbers = {json.dumps([*key, "Help."], sort_keys=True): Number(value, 5.0) for *key, value in series}
        (tmp_path / "1000" / name).write_bytes(encode(numbers))
        return AppMetrics(str(tmp_path))

    return put


def test_numbers_are_those_of_the_snapshot():
    seen = values()
    expected = {
        ("superwsgi_requests_total", "method=GET", "status=2xx"): 800,
        ("superwsgi_requests_total", "method=POST", "status=2xx"): 100,
        ("superwsgi_request_duration_seconds_count",): 19,
        ("superwsgi_request_duration_seconds_sum",): 50.5,
        ("superwsgi_request_duration_seconds_bucket", "le=0.001"): 4,
        ("superwsgi_app_duration_seconds_sum",): 40.25,
        ("superwsgi_refused_requests_total", "reason=no free thread", "status=503"): 7,
        ("superwsgi_refused_requests_total", "reason=body too large", "status=413"): 0,
        ("superwsgi_requests_in_flight",): 2,
        ("superwsgi_responses_sending",): 4,
        ("superwsgi_queue_requests",): 1,
        ("superwsgi_queue_oldest_seconds",): 0.5,
        ("superwsgi_threads_busy",): 2,
        ("superwsgi_threads_max",): 8,
        ("superwsgi_connections",): 10,
        ("superwsgi_connections_accepted_total",): 300,
        ("superwsgi_response_body_bytes_total",): 123456,
        ("superwsgi_worker_restarts_total", "cause=SIGKILL"): 2,
        ("superwsgi_reloads_total", "result=rolled back"): 1,
        ("superwsgi_incidents_total", "event=slow request"): 9,
        ("superwsgi_cpu_seconds_total",): 12.5,
        ("superwsgi_worker_resident_memory_bytes", "worker=1"): 50 << 20,
        ("superwsgi_worker_proportional_memory_bytes", "worker=2"): 30 << 20,
        ("superwsgi_worker_memory_limit_in_seconds", "worker=2"): 90.0,
        ("superwsgi_worker_leak_bytes_per_request", "worker=1"): 1.5e6,
        ("superwsgi_worker_cpu_cores", "worker=2"): 0.25,
        ("superwsgi_companion_up", "companion=mail"): 1,
        ("superwsgi_companion_up", "companion=beat"): 0,
        ("superwsgi_companion_restarts_total", "companion=mail"): 2,
        ("superwsgi_companion_resident_memory_bytes", "companion=mail"): 1 << 20,
        ("superwsgi_generation",): 3,
        ("superwsgi_workers_wanted",): 2,
        ("superwsgi_workers_min",): 1,
        ("superwsgi_workers_max",): 6,
        ("superwsgi_workers_serving",): 2,
        ("superwsgi_health", "superwsgi_health=degraded"): 1,
        ("superwsgi_health", "superwsgi_health=healthy"): 0,
        ("superwsgi_phase", "superwsgi_phase=running"): 1,
        ("superwsgi_certificate_expiry_timestamp_seconds",): 2e9,
        ("superwsgi_build_info", "compiled=yes", "python=3.13.0", "version=0.1.0"): 1,
        ("superwsgi_site_info", "site=shop"): 1,
        ("superwsgi_uptime_seconds",): 60.5,
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert not [name for name in seen if name[0].startswith("superwsgi_path")]


def test_path_groups_where_they_are_counted():
    seen = values(snapshot(paths=2))
    assert seen["superwsgi_path_requests_total", "method=GET", "path=/page1/*", "status=5xx"] == 1
    assert seen["superwsgi_path_request_duration_seconds_sum", "method=GET", "path=/page0/*"] == 1.5
    assert seen["superwsgi_path_app_seconds_total", "method=GET", "path=/page0/*"] == 1.0


def test_what_is_not_known_is_not_there():
    few = snapshot(0, totals=None, certificate=None, generation=None, serving=None, health="down")
    names = {name for name, *_ in values(few)}
    assert "superwsgi_health" in names
    assert not names & {"superwsgi_generation", "superwsgi_workers_serving", "superwsgi_requests_total"}
    assert not names & {"superwsgi_certificate_expiry_timestamp_seconds", "superwsgi_candidate_generation"}


def test_workers_of_one_number_are_one_series():
    site = snapshot(1)
    (old,) = site.workers
    missing = replace(worker(2, old.threads), pid=None, state="missing", rss=None)
    seen = values(replace(site, workers=[old, replace(old, pid=5, generation=4, rss=1 << 20), missing]))
    assert seen["superwsgi_worker_resident_memory_bytes", "worker=1"] == 51 << 20
    assert ("superwsgi_worker_resident_memory_bytes", "worker=2") not in seen


def test_both_formats_say_the_same():
    plain, openly = scrape(), scrape(accept=OPENMETRICS)
    assert plain[0].startswith("text/plain")
    assert openly[0].startswith("application/openmetrics-text")
    parsed = read(openly[1], openmetrics.text_string_to_metric_families)
    of_this_scrape = ("superwsgi_scrape_duration_seconds",)
    assert {k: v for k, v in parsed.items() if k != of_this_scrape} == {
        k: v for k, v in read(plain[1]).items() if k != of_this_scrape
    }


@pytest.mark.parametrize(
    "accept",
    [
        *("*/*", ";;;,,,", "text/plain;version=one", "text/plain;version=1.x;escaping=é"),
        *(f"application/openmetrics-text;version={version}" for version in ("", "x.y", "0")),
    ],
)
def test_whatever_a_client_accepts_it_gets_an_answer(accept):
    kind, body = scrape(accept=accept)
    assert kind.startswith(("text/plain", "application/openmetrics-text"))
    assert b"superwsgi_workers_wanted 2.0" in body


@pytest.mark.parametrize("paths", [0, 3])
def test_promtool_finds_nothing(paths):
    command = [needed("promtool"), "check", "metrics"]
    found = subprocess.run(command, input=scrape(snapshot(paths=paths))[1], capture_output=True, check=False)
    assert (found.returncode, found.stdout + found.stderr) == (0, b"")


def test_a_scrape_of_a_large_site_is_quick(own):
    """In CPU time: 2 ms, and 14 ms more for a hundred groups of paths."""
    series = [(f"m{i}", f"m{i}_total", {"page": f"/{j}"}, 1.0) for i in range(5) for j in range(4)]
    for pid in range(1001, 1017):
        metrics = own(f"counter_{pid}.db", *series)
    site = snapshot(16, 64, paths=100)

    def once():
        began = time.thread_time()
        scrape(site, own=metrics)
        return time.thread_time() - began

    assert min(once() for _ in range(10)) < 1.0


# The application's own.


def test_the_applications_metrics_follow_ours(own):
    metrics = own(
        "gauge_livesum_1001.db",
        ("a", "a", {"label": 'new\nline "q" \\'}, math.nan),
        ("b", "b", {}, -math.inf),
    )
    for accept, parse in (
        ("", text_string_to_metric_families),
        (OPENMETRICS, openmetrics.text_string_to_metric_families),
    ):
        seen = read(scrape(accept=accept, own=metrics)[1], parse)
        assert math.isnan(seen["a", 'label=new\nline "q" \\'])
        assert seen["b",] == -math.inf
        assert seen["superwsgi_app_left_out", "reason=name"] == 0


def test_our_names_are_ours(own):
    metrics = own(
        "counter_1.db",
        ("superwsgi_requests", "superwsgi_requests_total", {}, 5.0),
        ("shop", "shop_total", {}, 2.0),
    )
    seen = read(scrape(own=metrics)[1])
    assert ("superwsgi_requests_total",) not in seen
    assert seen["superwsgi_requests_total", "method=POST", "status=2xx"] == 100
    assert seen["shop_total",] == 2
    assert seen["superwsgi_app_left_out", "reason=name"] == 1


@pytest.mark.parametrize(
    "twice",
    [
        ("counter_2.db", ("superwsgi.requests", "superwsgi.requests_total", {})),
        ("counter_2.db", ("shop.", "shop._total", {}), ("shop-", "shop-_total", {})),
        ("gauge_sum_2.db", ("shop_total", "shop_total", {})),
        ("counter_2.db", ("served", "served_total", {"a.b": "1", "a_b": "2"})),
        ("counter_2.db", ("served", "served_total", {"__name__": "superwsgi_requests_total"})),
    ],
)
def test_nothing_has_one_name_twice_whoever_asks(own, twice):
    """Prometheus would throw all away."""
    file, *series = twice
    own("counter_1.db", ("shop", "shop_total", {}, 2.0))
    metrics = own(file, *((*each, 1.0) for each in series))
    body = scrape(own=metrics)[1]
    described = [line for line in body.decode().splitlines() if line.startswith("# HELP")]
    assert len({line.split()[2] for line in described}) == len(described)
    seen = read(body)
    assert seen["shop_total",] == 2
    assert seen["superwsgi_requests_total", "method=POST", "status=2xx"] == 100
    left_out = [seen["superwsgi_app_left_out", f"reason={each}"] for each in ("name", "malformed")]
    assert any(left_out)


@pytest.mark.parametrize("accept", ["", OPENMETRICS, "text/plain;version=1.0.0;escaping=underscores"])
@pytest.mark.parametrize(
    "bad",
    [
        ("bad", "bad_total", {"": "x"}),
        ("bad", "bad_total", {"a\nb": "x"}),
        ("bad", "superwsgi_health", {}),
        ("a\nb", "a\nb_total", {}),
    ],
)
def test_what_only_an_attacker_would_write_is_left_out_alone(own, bad, accept):
    own("counter_1.db", ("shop", "shop_total", {}, 2.0))
    metrics = own("counter_2.db", (*bad, 1.0))
    body = scrape(accept=accept, own=metrics)[1]
    assert b"shop_total 2.0" in body
    assert b"superwsgi_workers_wanted 2.0" in body
    assert b'superwsgi_app_left_out{reason="malformed"} 1.0' in body


def test_gauges_of_workers_that_are_gone_are_gone(own):
    own("gauge_livesum_1001.db", ("level", "level", {}, 1.0))
    metrics = own("gauge_livesum_77.db", ("level", "level", {}, 4.0))
    assert read(scrape(own=metrics)[1])["level",] == 1
