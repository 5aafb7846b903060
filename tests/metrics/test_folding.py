"""Folding loses nothing and counts nothing twice, whenever who folds is killed, whoever reads meanwhile."""

import json
import os
import subprocess
import sys
import threading

import pytest

from superwsgi.metrics import folding
from superwsgi.metrics.files import Corrupt, Number, decode, encode, find
from superwsgi.metrics.folding import fold, opened, view
from superwsgi.system import procfs

KEY = json.dumps(["served", "served_total", {"page": "a\nb"}, "Pages."])
OTHER = json.dumps(["served", "served_total", {"page": "b"}, "Pages."])


@pytest.fixture
def folder(tmp_path):
    for pid in (11, 12, 13):
        put(tmp_path, f"counter_{pid}.db", {KEY: Number(pid, 0.0), OTHER: Number(1.0, 0.0)})
        put(tmp_path, f"gauge_max_{pid}.db", {KEY: Number(pid, 0.0)})
        put(tmp_path, f"gauge_livesum_{pid}.db", {KEY: Number(1.0, 0.0)})
    return tmp_path


def put(folder, name, numbers):
    (folder / name).write_bytes(encode(numbers))


def names(folder):
    return {path.name for path in folder.iterdir()}


def has_ended(pid):
    return pid in (11, 12)


def total(folder, kind="counter", key=KEY):
    with opened(str(folder)) as fd:
        return sum(numbers[key].value for file, numbers in view(fd, 1.0) if file.kind == kind)


def test_what_we_write_is_what_prometheus_client_reads_and_the_other_way_round(tmp_path):
    mmap_dict = pytest.importorskip("prometheus_client.mmap_dict")
    numbers = {"k" * length: Number(length + 0.5, 7.0) for length in range(1, 20)} | {
        "ä\n": Number(1e300, 0.0)
    }
    put(tmp_path, "counter_1.db", numbers)
    read = mmap_dict.MmapedDict.read_all_values_from_file(str(tmp_path / "counter_1.db"))
    assert {key: (value, timestamp) for key, value, timestamp, _ in read} == numbers
    theirs = mmap_dict.MmapedDict(str(tmp_path / "counter_2.db"))
    for key, number in numbers.items():
        theirs.write_value(key, *number)
    theirs.close()
    assert decode((tmp_path / "counter_2.db").read_bytes()) == numbers


def test_the_ended_become_one_file_a_kind(folder):
    assert fold(str(folder), has_ended) == []
    assert names(folder) == {
        *("counter_folded.db", "counter_13.db"),
        *("gauge_max_folded.db", "gauge_max_13.db", "gauge_livesum_13.db"),
    }
    assert (total(folder), total(folder, key=OTHER)) == (36, 3)
    assert decode((folder / "gauge_max_folded.db").read_bytes()) == {KEY: Number(12.0, 0.0)}
    put(folder, "counter_12.db", {KEY: Number(5.0, 0.0)})
    fold(str(folder), has_ended)
    assert total(folder) == 41


def test_a_gauge_that_was_set_last_stays_so(tmp_path):
    put(tmp_path, "gauge_mostrecent_11.db", {KEY: Number(1.0, 200.0)})
    put(tmp_path, "gauge_mostrecent_12.db", {KEY: Number(2.0, 100.0)})
    fold(str(tmp_path), has_ended)
    assert decode((tmp_path / "gauge_mostrecent_folded.db").read_bytes()) == {KEY: Number(1.0, 200.0)}


@pytest.mark.parametrize("step", range(1, 16))
def test_whoever_is_killed_at_any_step_leaves_the_same_sum(folder, step):
    """After so many changes of the folder the process ends, as by SIGKILL."""
    code = f"""
import os, sys
from superwsgi.metrics.folding import fold
left = [{step}]
def stop(event, arguments):
    if event in ("os.rename", "os.remove") or (event == "open" and (arguments[2] or 0) & os.O_CREAT):
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)
sys.addaudithook(stop)
fold({str(folder)!r}, lambda pid: pid in (11, 12))
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=30)
    assert (total(folder), total(folder, key=OTHER)) == (36, 3)
    fold(str(folder), has_ended)
    assert (total(folder), total(folder, key=OTHER)) == (36, 3)
    assert {file.owner for file in find(names(folder))} == {"folded", "13"}
    assert not {"journal", "journal.new"} & names(folder)


def test_a_file_that_came_after_the_journal_is_not_taken_for_the_one_before(folder):
    fold(str(folder), has_ended)
    put(folder, "counter_11.db", {KEY: Number(100.0, 0.0), OTHER: Number(0.0, 0.0)})
    journal = folding._Journal([], {"counter_11.db": (folder / "counter_11.db").stat().st_ino + 1})
    (folder / "journal").write_bytes(folding.msgspec.json.encode(journal))
    assert total(folder) == 136
    fold(str(folder), lambda _: False)
    assert total(folder) == 136


def test_what_a_mold_has_counted_does_not_count(folder):
    (folder / "importing_13").touch()
    (folder / "importing_12").touch()
    assert total(folder) == 11
    fold(str(folder), has_ended)
    assert total(folder) == 11
    assert "importing_12" not in names(folder)
    (folder / "importing_13").unlink()
    assert total(folder) == 24


def test_readers_see_the_same_sum_while_others_fold(folder):
    for pid in range(100, 150):
        put(folder, f"counter_{pid}.db", {KEY: Number(1.0, 0.0)})
    seen, done = set(), threading.Event()

    def look():
        while not done.is_set():
            seen.add(total(folder))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for each in range(100, 150):
            fold(str(folder), each.__eq__, patience=5.0)
    finally:
        done.set()
        reader.join()
    assert seen == {86.0}
    assert not list(folder.glob("counter_1??.db"))


def test_who_reads_is_waited_for_no_longer_than_said(folder):
    with opened(str(folder)) as fd:
        reading = view(fd, 0.0)
        next(reading)
        assert fold(str(folder), has_ended, patience=0.02) == []
        assert (folder / "counter_11.db").exists()
        reading.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\x01",
        b"\xff\xff\xff\x7f" + bytes(60),
        encode({KEY: Number(1.0, 0.0)})[:-9],
        b"\x40\0\0\0" + b"\xff" * 60,
    ],
)
def test_what_is_no_such_file_is_given_up(folder, data):
    with pytest.raises(Corrupt):
        decode(data)
    (folder / "counter_11.db").write_bytes(data)
    assert [complaint.partition(":")[0] for complaint in fold(str(folder), has_ended)] == ["counter_11.db"]
    assert total(folder) == 25


def test_nothing_but_plain_files_is_read(folder):
    (folder / "secret").write_bytes(encode({KEY: Number(1e6, 0.0)}))
    (folder / "counter_1.db").symlink_to(folder / "secret")
    os.mkfifo(folder / "counter_2.db")
    (folder / "counter_3.db").mkdir()
    (folder / "counter_4.db").touch()
    with opened(str(folder)) as fd:
        unreadable = {file.name for file, numbers in view(fd, 1.0) if numbers is None}
    assert unreadable == {"counter_1.db", "counter_2.db", "counter_3.db"}


def make_folder(path):
    path.mkdir()


def make_pipe(path):
    os.mkfifo(path)


def make_link(path):
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("make", [make_folder, make_pipe, make_link])
@pytest.mark.parametrize("name", ["counter_14.db", "journal"])
def test_whatever_has_the_name_of_a_file_nothing_stays_open(folder, make, name):
    make(folder / name)
    before = len(procfs.descriptors())
    for _ in range(5):
        assert total(folder) == 11 + 12 + 13 if name == "journal" else seen(folder, name) is None
    assert len(procfs.descriptors()) == before


def seen(folder, name):
    with opened(str(folder)) as fd:
        return next(numbers for file, numbers in view(fd, 1.0) if file.name == name)


@pytest.mark.parametrize(
    "journal",
    [
        {"drafts": [], "gone": {"a\0b": 1}},
        {"drafts": ["../x.new"], "gone": {}},
        {"drafts": ["/x"], "gone": {}},
    ],
)
def test_a_forged_journal_is_none(folder, journal):
    (folder / "journal").write_text(json.dumps(journal))
    assert total(folder) == 11 + 12 + 13
    fold(str(folder), has_ended)
    assert total(folder) == 11 + 12 + 13
    assert "journal" not in names(folder)


@pytest.mark.parametrize("owner", ["²", "4294967296", "9" * 40])
def test_what_can_be_no_process_has_not_ended(folder, owner):
    """Applications name files as they like."""
    (folder / f"counter_{owner}.db").touch()
    (folder / f"importing_{owner}").touch()
    assert fold(str(folder), lambda pid: pid > 1000) == []
    assert f"counter_{owner}.db" in names(folder)
