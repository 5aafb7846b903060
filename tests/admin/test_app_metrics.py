"""The application's metrics add up as prometheus_client adds them up, and nothing in its files does harm."""

import fcntl
import json
import math
import os

import pytest

from superwsgi.metrics.files import Number, encode
from superwsgi.metrics.folding import opened

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, multiprocess, values

from superwsgi.admin.metrics.application import AppMetrics


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "1000").mkdir()
    return tmp_path / "1000"


def put(folder, name, *series):
    """A file of (family, name, labels, value)."""
    numbers = {json.dumps([*key, "Help."], sort_keys=True): Number(value, 5.0) for *key, value in series}
    (folder / name).write_bytes(encode(numbers))


def collect(folder, living=()):
    return AppMetrics(str(folder.parent)).collect(frozenset(living))


def samples(collected):
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in collected.families
        for sample in family.samples
    }


def fill(folder, pid, monkeypatch):
    """The files of a process with this id, written by prometheus_client."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    made, kind = [], values.MultiProcessValue(lambda: pid)

    def value(*arguments, **more):
        made.append(kind(*arguments, **more))
        return made[-1]

    value("counter", "served", "served_total", ["page"], ["/"], "Pages.").inc(pid)
    for bound in ("1.0", "2.5", "+Inf"):
        value("histogram", "took", "took_bucket", ["page", "le"], ["/", bound], "Time.").inc(1)
    value("histogram", "took", "took_sum", ["page"], ["/"], "Time.").inc(4.5)
    value("summary", "size", "size_count", [], [], "Bytes.").inc(2)
    value("summary", "size", "size_sum", [], [], "Bytes.").inc(2048)
    for mode in ("all", "liveall", "min", "max", "sum", "livesum", "livemin", "livemax"):
        name = f"level_{mode}"
        value("gauge", name, name, [], [], "Level.", multiprocess_mode=mode).set(pid)
    name = "level_mostrecent"
    value("gauge", name, name, [], [], "Level.", multiprocess_mode="mostrecent").set(pid, 1000.0 - pid)
    for each in made:  # versions before 0.21 have no way to close them
        each._file.close()


def test_while_all_live_it_adds_up_what_prometheus_client_does(folder, monkeypatch):
    for pid in (11, 12, 13):
        fill(folder, pid, monkeypatch)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=str(folder))
    expected = {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in registry.collect()
        for sample in family.samples
    }
    collected = collect(folder, (11, 12, 13))
    assert samples(collected) == expected
    assert not any(collected.left_out.values())


def test_of_the_dead_what_they_have_counted_stays_and_what_they_were_is_gone(folder, monkeypatch):
    for pid in (11, 12, 13):
        fill(folder, pid, monkeypatch)
    seen = samples(collect(folder, (13,)))
    assert seen["served_total", "page=/"] == 36
    assert seen["took_bucket", "le=+Inf", "page=/"] == seen["took_count", "page=/"] == 9
    assert (seen["level_sum",], seen["level_min",], seen["level_max",]) == (36, 11, 13)
    assert (seen["level_livesum",], seen["level_livemin",], seen["level_mostrecent",]) == (13, 13, 11)
    assert [at for at in seen if at[0] in ("level_all", "level_liveall")] == [
        ("level_all", "pid=13"),
        ("level_liveall", "pid=13"),
    ]


def test_a_new_help_text_continues_the_counter(folder):
    put(folder, "counter_11.db", ("served", "served_total", {"page": "/"}, 3.0))
    key = json.dumps(["served", "served_total", {"page": "/"}, "All pages."], sort_keys=True)
    (folder / "counter_12.db").write_bytes(encode({key: Number(4.0, 0.0)}))
    assert samples(collect(folder)) == {("served_total", "page=/"): 7}


def test_a_name_that_has_become_another_kind_is_what_living_workers_say(folder):
    put(folder, "counter_11.db", ("level", "level_total", {}, 3.0))
    put(folder, "gauge_livesum_12.db", ("level", "level", {}, 4.0))
    collected = collect(folder, (12,))
    assert samples(collected) == {("level",): 4}
    assert collected.left_out["kind"] == 1


def test_any_value_and_label(folder):
    put(
        folder,
        "gauge_livesum_11.db",
        ("a", "a", {"label": 'new\nline "quoted" \\ é'}, math.nan),
        ("b", "b", {}, math.inf),
        ("c", "c", {}, -math.inf),
    )
    seen = samples(collect(folder, (11,)))
    assert math.isnan(seen["a", 'label=new\nline "quoted" \\ é'])
    assert (seen["b",], seen["c",]) == (math.inf, -math.inf)


@pytest.mark.parametrize(
    "key",
    ["", "{}", "[1, 2]", '["a", "a", {"b": 1}, ""]', '["a", "a", {"b": "\\ud800"}, ""]', '["", "", {}, ""]'],
)
def test_a_malformed_series_is_left_out_and_counted(folder, key):
    put(folder, "counter_11.db", ("served", "served_total", {}, 3.0))
    (folder / "gauge_livesum_12.db").write_bytes(encode({key: Number(1.0, 0.0)}))
    collected = collect(folder, (12,))
    assert samples(collected) == {("served_total",): 3}
    assert collected.left_out["malformed"] == 1


def test_a_bound_that_is_no_number_is_left_out(folder):
    put(folder, "histogram_11.db", ("took", "took_bucket", {"le": "soon"}, 3.0))
    collected = collect(folder)
    assert samples(collected) == {}
    assert collected.left_out["malformed"] == 1


def test_what_is_no_bucket_may_have_any_label(folder):
    put(
        folder,
        "histogram_11.db",
        ("took", "took_sum", {"le": "soon"}, 3.0),
        ("took", "took", {"le": "1"}, 2.0),
    )
    assert samples(collect(folder)) == {("took_sum", "le=soon"): 3, ("took", "le=1"): 2}


@pytest.mark.parametrize("owner", ["²", "٣", "0", "9" * 40, "4294967296", "-1", "a b"])
def test_files_may_have_any_name(folder, owner):
    put(folder, f"counter_{owner}.db", ("served", "served_total", {}, 3.0))
    put(folder, f"gauge_livesum_{owner}.db", ("level", "level", {}, 3.0))
    assert samples(collect(folder))["served_total",] == 3


def test_a_file_that_cannot_be_read_is_counted(folder):
    put(folder, "counter_11.db", ("served", "served_total", {}, 3.0))
    (folder / "counter_12.db").write_bytes(b"\xff" * 100)
    os.mkfifo(folder / "counter_13.db")
    collected = collect(folder)
    assert samples(collected) == {("served_total",): 3}
    assert collected.left_out["unreadable"] == 2


def test_without_its_folder_there_is_nothing(tmp_path):
    assert AppMetrics(str(tmp_path / "gone")).collect(frozenset()).families == []


def test_while_somebody_folds_for_long_the_last_numbers_stay(folder):
    put(folder, "counter_11.db", ("served", "served_total", {}, 3.0))
    metrics = AppMetrics(str(folder.parent))
    metrics.collect(frozenset())
    with opened(str(folder)) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        collected = metrics.collect(frozenset())
    assert samples(collected) == {("served_total",): 3}
    assert collected.left_out["unreadable"] == 1
