"""What is said at the control socket: there and back, and what is no message."""

import msgspec
import pytest

from superwsgi import control
from superwsgi.control import (
    AllStacks,
    ConfigKey,
    ConfigRequest,
    Configuration,
    Ended,
    KillRequest,
    LogsRequest,
    NotUnderstood,
    Outcome,
    ProcessStacks,
    Progress,
    RecycleRequest,
    Refused,
    ReloadRequest,
    Snapshot,
    StacksRequest,
    Stage,
    StatusRequest,
    StopRequest,
    ThreadStack,
    UpgradeRequest,
    WatchRequest,
    WorkersRequest,
    decode_answer,
    decode_request,
    encode,
)
from superwsgi.incidents import RequestInHand
from superwsgi.snapshot import (
    CertificateStatus,
    DeathStatus,
    MinuteStatus,
    PathTotals,
    RunningStatus,
    SuspectStatus,
    ThreadsStatus,
    TotalsStatus,
    WorkerStatus,
)

COUNTED = {
    "requests": 3,
    "answers": {"2xx": 2, "3xx": 0, "4xx": 0, "5xx": 1},
    "refused": {"503": 1},
    "accepted": 2,
    "turned_away": 0,
    "sent": 100,
    "unlogged": 1,
    "quarantined": 1,
    "not_upgraded": 1,
    "shed": 1,
    "upgrades": 1,
}
SNAPSHOT = Snapshot(
    site="shop",
    program="0.1.0",
    pid=812,
    uptime=1.5,
    phase="running",
    generation=3,
    candidate=None,
    wanted=2,
    addresses=["http://127.0.0.1:8000"],
    trouble="",
    workers=[
        WorkerStatus(
            1, 3, "serving", pid=813, pss=1 << 20, cpu_seconds=2.5, last_death=DeathStatus("exit code 3", 2.5)
        )
    ],
    threads=ThreadsStatus(3, 4, 32, 2, 1.5, 1),
    health="degraded",
    reasons=["1 worker is missing"],
    serving=1,
    suspects=[SuspectStatus("GET /report/*", 3, 4, 0.02, 290.5)],
    totals=TotalsStatus(
        **COUNTED,
        time=1.5,
        app_time=1.0,
        bounds=[0.1],
        latency=[3, 0],
        app_latency=[2, 1],
        methods={"GET": COUNTED["answers"]},
        restarts={"crash": 1},
        reloads={"rolled back": 2},
        incidents={"died": 3},
        cpu=2.5,
        paths=[PathTotals("GET", "/orders/*", COUNTED["answers"], [3, 0], 1.5, 1.0)],
    ),
    minute=MinuteStatus(**COUNTED, seconds=60.0, rate=0.05, p50=0.05, p99=60.0),
    certificate=CertificateStatus("/etc/shop.pem", 1.8e9, 9.5),
    running=[RunningStatus(1, 3, 813, 2, "GET", "/", "c0ffee", 1.5)],
    python="3.13.0",
    compiled=True,
)

STACKS = AllStacks(
    processes=[
        ProcessStacks(
            1,
            3,
            813,
            "serving",
            threads=[ThreadStack(7, "thread-1", "request", "  File …", RequestInHand("GET", "/", "id", 4.2))],
        )
    ]
)


@pytest.mark.parametrize(
    "request_", [StatusRequest(requests=True, pss=True), ReloadRequest(follow=True), StopRequest(fast=True)]
)
def test_requests_come_back_as_they_were(request_):
    line = encode(request_)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_request(line) == request_


@pytest.mark.parametrize(
    ("request_", "type_"),
    [
        (StatusRequest(), "status"),
        (StacksRequest(of="2"), "stacks"),
        (ReloadRequest(), "reload"),
        (UpgradeRequest(), "upgrade"),
        (WatchRequest(), "watch"),
        (StopRequest(), "stop"),
        (RecycleRequest(worker="2", follow=True), "recycle"),
        (KillRequest(worker="812"), "kill"),
        (WorkersRequest(difference=-1), "workers"),
        (LogsRequest(), "logs"),
        (ConfigRequest(compare=True), "config"),
    ],
)
def test_requests_are_called_as_every_version_calls_them(request_, type_):
    """A command may be of another version than the master."""
    assert decode_request(encode(request_)) == request_
    assert msgspec.json.decode(encode(request_))["type"] == type_


@pytest.mark.parametrize(
    "answer",
    [
        SNAPSHOT,
        STACKS,
        Configuration(
            file="/srv/site.yaml", keys=[ConfigKey("app", "shop:app", "site.yaml:1")], generation=3
        ),
        Progress(stage=Stage.ROLLING_OUT, generation=4, done=1, total=2),
        Ended(outcome=Outcome.FAILED, seconds=0.5, generation=4, reason="no\nmodule", detail="Traceback"),
        Refused(reason="not allowed"),
    ],
)
def test_answers_come_back_as_they_were(answer):
    assert decode_answer(encode(answer)) == answer
    assert msgspec.json.decode(encode(answer))["version"] == control.VERSION


def test_totals_of_an_earlier_version_have_no_methods_and_no_causes():
    said = msgspec.to_builtins(SNAPSHOT.totals)
    later = ("methods", "restarts", "reloads", "incidents", "cpu", "paths")
    early = msgspec.convert({name: said[name] for name in said if name not in later}, TotalsStatus)
    assert (early.requests, early.methods, early.restarts, early.paths) == (3, {}, {}, None)


def test_a_master_of_an_earlier_version_leaves_out_what_it_does_not_know():
    early = (
        b'{"type":"snapshot","site":"shop","program":"0.1.0","pid":812,"uptime":1.5,"phase":"ready",'
        b'"generation":3,"candidate":null,"wanted":1,"addresses":[],"trouble":"",'
        b'"workers":[{"number":1,"generation":3,"state":"serving","pid":813}]}\n'
    )
    said = decode_answer(early)
    assert (said.health, said.minute, said.totals, said.running) == ("", None, None, None)


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"nonsense", b'{"type":"snapshot"}', b"\xff"])
def test_what_is_no_request(line):
    with pytest.raises(NotUnderstood):
        decode_request(line)


def test_another_version_is_not_guessed_at():
    with pytest.raises(NotUnderstood, match="version 9"):
        decode_request(b'{"type":"from the future","version":9}')
