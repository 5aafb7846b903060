"""Whole site files: what comes out, and every problem at once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from superwsgi.config.errors import ConfigError
from superwsgi.config.listening import TcpAddress, UnixAddress
from superwsgi.config.loading import load
from superwsgi.config.schema import Site
from superwsgi.config.sections import (
    Limits,
    Log,
    Memory,
    MonitorSettings,
    NamedCertificate,
    Requests,
    Timeouts,
    TlsSettings,
)
from tests.config.sites import APP, EVERYTHING, loaded, problems


def everything(folder: Path) -> Site:
    return Site(
        name="shop",
        bind=(
            TcpAddress("127.0.0.1", 8000),
            TcpAddress("::1", 8000),
            UnixAddress(f"{folder}/run/shop.sock", 0o660, "www-data", "33"),
        ),
        apps={
            "/": "shop.wsgi:application",
            "/admin": "backoffice:app",
            "api.example.com/v1": "api:create_app()",
        },
        workers=4,
        threads=16,
        preload=True,
        chdir=f"{folder}/code",
        env={"DJANGO_SETTINGS_MODULE": "shop.settings"},
        user="www-data",
        group="www-data",
        umask=0o027,
        memory=Memory(soft=400 << 20, hard=0.9, measure="pss"),
        requests=Requests(max=1000, jitter=100),
        timeouts=Timeouts(
            boot=120.0,
            head=5.0,
            body=20.0,
            request=90.0,
            queue=1.5,
            send=0.25,
            keepalive=0.0,
            graceful=3600.0,
            linger=0.0,
            lame_duck=3.0,
        ),
        limits=Limits(
            line=4 << 10,
            head=32 << 10,
            fields=50,
            body=1 << 30,
            body_memory=1 << 20,
            connections=500,
            backlog=128,
        ),
        log=Log(level="debug", access=f"{folder}/log/access.log", error="off", format="{method} {target}"),
        monitor=MonitorSettings(interval=0.5),
        pidfile=f"{folder}/run/shop.pid",
    )


def test_every_key(tmp_path: Path) -> None:
    assert loaded(tmp_path, EVERYTHING) == everything(tmp_path)


@pytest.mark.parametrize("text", [EVERYTHING, APP, f"{APP}memory: {{soft: 50%, hard: 100%}}\n"])
def test_a_site_survives_json(tmp_path: Path, text: str) -> None:
    site = loaded(tmp_path, text)
    again = msgspec.json.decode(msgspec.json.encode(site), type=Site)
    assert again == site
    assert type(again.memory.hard) is type(site.memory.hard)


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    assert loaded(tmp_path, APP) == Site(name=tmp_path.name, apps={"/": "shop:app"}, chdir=str(tmp_path))


def test_a_section_with_nothing_below_it_has_its_defaults(tmp_path: Path) -> None:
    site = loaded(tmp_path, f"{APP}timeouts:\nenv:\nmemory:\n  # soft: 400M\n")
    assert site == Site(name=tmp_path.name, apps={"/": "shop:app"}, chdir=str(tmp_path))


def test_the_file_gives_name_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my shop.yaml").write_text(APP)
    monkeypatch.chdir(tmp_path)
    site = load("my shop.yaml", {})
    assert (site.name, site.chdir) == ("my-shop", str(tmp_path))


def test_a_symbolic_link_to_the_folder_stays_one(tmp_path: Path) -> None:
    """A deploy moves `current` to the next release: a reload must find that one."""
    (tmp_path / "release-1").mkdir()
    (tmp_path / "release-1" / "site.yaml").write_text(APP)
    (tmp_path / "current").symlink_to("release-1")
    assert load(tmp_path / "current" / "site.yaml", {}).chdir == f"{tmp_path}/current"


def test_certificates(tmp_path: Path) -> None:
    site = loaded(
        tmp_path,
        f"{APP}bind: https://:443\n"
        "tls: {certificate: a.pem, sni: [{certificate: /b.pem, key: b.key, names: [B.a.com, '*.c.org']}]}",
    )
    assert site.bind == (TcpAddress("0.0.0.0", 443, tls=True),)
    more = NamedCertificate(certificate="/b.pem", key=f"{tmp_path}/b.key", names=("b.a.com", "*.c.org"))
    assert site.tls == TlsSettings(certificate=f"{tmp_path}/a.pem", sni=(more,))


def test_one_address_needs_no_list(tmp_path: Path) -> None:
    assert loaded(tmp_path, f"{APP}bind: :80\n").bind == (TcpAddress("0.0.0.0", 80),)
    assert loaded(tmp_path, f"{APP}bind: {{unix: x}}\n").bind == (UnixAddress(f"{tmp_path}/x"),)


WHOLE = "expected a whole number from 1 to"
THREADS = f"{WHOLE} 10000, or a mapping of min and max"
WORKERS = f"{WHOLE} 1024, or auto, or a mapping of min and max"
COUNT = "expected a whole number of 1 or more"
ADDRESS = "expected host:port, [IPv6]:port, unix:path or systemd"
IMPORT = "expected module:attribute, module:factory() or the path of a file"
MOUNT = "expected /prefix, host or host/prefix"
DURATION = "expected a duration such as 250ms, 30s, 5m or 1h"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("thread: 8", "2:1: unknown key 'thread': did you mean 'threads'?"),
        ("Threads: 8", "2:1: unknown key 'Threads': did you mean 'threads'?"),
        ("ap: x", "2:1: unknown key 'ap': did you mean 'app'?"),
        ("body: 8", "2:1: unknown key 'body': did you mean 'timeouts.body' or 'limits.body'?"),
        ("graceful: 8", "2:1: unknown key 'graceful': did you mean 'timeouts.graceful'?"),
        (
            "worker_class: gthread",
            "2:1: unknown key 'worker_class': leave it out: every worker runs 'threads'",
        ),
        ("timeout: 30", "2:1: unknown key 'timeout': it is 'timeouts.request' here"),
        ("reload: true", "2:1: unknown key 'reload': to develop, type `superwsgi dev`; to deploy"),
        ("timeouts: {timeout: 8}", "2:12: unknown key 'timeouts.timeout': known: boot, head"),
        ("timeouts: {threads: 8}", "2:12: unknown key 'timeouts.threads': did you mean 'threads'?"),
        ("timeouts: {lame-duck: 8}", "2:12: unknown key 'timeouts.lame-duck': did you mean 'lame_duck'?"),
        ("memory: {xyz: 8}", "2:10: unknown key 'memory.xyz': known: soft, hard, measure"),
        ("admin: {bind: '127.0.0.1:9000', host: x}", "2:33: unknown key 'admin.host': did you mean 'hosts'?"),
        ("log: {slow: 0}", "2:13: log.slow: expected a duration such as 250ms, 30s or 5m, or off, got '0'"),
        ("tls: {certificates: x}", "2:7: unknown key 'tls.certificates': did you mean 'certificate'?"),
        ("tls: {sni: [{key: x}]}", "2:13: tls.sni: key 'certificate' is missing"),
        ("tls: {minimum: 1.1}", "2:16: tls.minimum: expected 1.2 or 1.3, got '1.1'"),
        ("threads: eight", f"2:10: threads: {THREADS}, got 'eight'"),
        ("threads: 0", f"2:10: threads: {THREADS}, got '0'"),
        ("threads:", f"2:9: threads: {THREADS}, got nothing"),
        ("threads: [8]", f"2:10: threads: {THREADS}, got a list"),
        ("threads: {min: 1}", "2:10: threads: key 'max' is missing"),
        ("threads: {min: 0, max: 8}", f"2:16: threads.min: {WHOLE} 10000, got '0'"),
        ("threads: {min: 8, max: 4}", "2:24: threads.min must not be above threads.max: for a fixed number"),
        ("threads: {min: 1, max: 2, spare: 3}", "2:27: unknown key 'threads.spare': known: min, max, idle"),
        ("threads: {min: 1, max: 2, idle: 0}", "2:33: threads.idle: expected a duration above 0, got '0'"),
        ("queue: lifo", "2:8: queue: expected fair or fifo, got 'lifo'"),
        ("workers: many", f"2:10: workers: {WORKERS}, got 'many'"),
        ("workers: [2, 8]", f"2:10: workers: {WORKERS}, got a list"),
        ("workers: 2-8", f"2:10: workers: {WORKERS}, got '2-8'"),
        ("workers: {min: 2}", "2:10: workers: key 'max' is missing"),
        ("workers: {min: 0, max: 8}", f"2:16: workers.min: {WHOLE} 1024, or auto, got '0'"),
        ("workers: {min: 1, max: all}", f"2:24: workers.max: {WHOLE} 1024, or auto, got 'all'"),
        ("workers: {min: 8, max: 2}", "2:24: workers.min must not be above workers.max: for a fixed number"),
        ("workers: {min: 2, max: 8, minimum: 3}", "2:27: unknown key 'workers.minimum': did you mean 'min'?"),
        ("workers: {min: 2, max: 8, mx: 3}", "2:27: unknown key 'workers.mx': did you mean 'max'?"),
        ("cheaper: 2", "2:1: unknown key 'cheaper': it is a range here: workers: {min: 2, max: 8}"),
        ("preload: perhaps", "2:10: preload: expected true or false, or auto, got 'perhaps'"),
        ("chdir: ''", "2:8: chdir: expected a path, got ''"),
        ("chdir: ~/shop", "2:8: chdir: expected a path, got '~/shop': ~ is not expanded, write ${HOME}/shop"),
        ("pidfile: [x]", "2:10: pidfile: expected a path, got a list"),
        ("user: ''", "2:7: user: expected the name of a user or group, got ''"),
        ("umask: 0888", "2:8: umask: expected octal digits such as 0027, got '0888'"),
        (
            "name: my shop",
            "2:7: name: expected letters, digits, '.', '_' and '-', at most 64, with a letter or",
        ),
        ("bind: ::1", f"2:7: bind: {ADDRESS}, got '::1': an IPv6 address needs brackets and a port"),
        ("bind: 8000", f"2:7: bind: {ADDRESS}, got '8000': write ':8000' for every"),
        (
            "bind: 8000:8000",
            "2:7: bind: expected an IPv4 address such as 127.0.0.1 before the port, got '8000:",
        ),
        ("bind:", f"2:6: bind: {ADDRESS}, got nothing"),
        ("bind: []", "2:7: bind: expected at least one, got an empty list"),
        ("bind: [[':80']]", f"2:8: bind: {ADDRESS}, got a list"),
        ("bind: {unix: x, mod: 1}", "2:17: unknown key 'bind.mod': did you mean 'mode'?"),
        ("bind: {mode: 0660}", "2:7: bind: key 'unix' is missing"),
        (
            "bind: {unix: '@x'}",
            "2:14: bind.unix: expected the path of a socket, got '@x': sockets without a file",
        ),
        ("bind: {unix: x, mode: rw}", "2:23: bind.mode: expected octal digits such as 0027, got 'rw'"),
        ("bind: [':80', ':80']", "2:15: bind: 0.0.0.0:80 is listed twice"),
        ("bind: [unix:x, {unix: ./x, mode: 0600}]", "2:16: bind: unix:{folder}/x is listed twice"),
        (
            "proxy: {trusted: [10.0.0.0/8, 10.0.0.1/8]}",
            "2:31: proxy.trusted: expected a network without host bits, got '10.0.0.1/8': "
            "did you mean '10.0.0.0/8', or '10.0.0.1' alone?",
        ),
        ("proxy: {trusted: ['::1', '::1/128']}", "2:26: proxy.trusted: ::1/128 is listed twice"),
        ("proxy: {trusted: }", "2:17: proxy.trusted: expected a network such as 10.0.0.0/8 or fd00::/8, an"),
        ("proxy: {protocol: v2}", "2:19: proxy.protocol: expected on or off, got 'v2'"),
        ("proxy: {trust: unix}", "2:9: unknown key 'proxy.trust': did you mean 'trusted'?"),
        ("env: [A]", "2:6: env: expected a mapping of keys, got a list"),
        ("env: {1A: x}", "2:7: env 1A: expected a variable's name of letters, digits and '_', got '1A'"),
        ("env: {A: }", '2:9: env A: expected text, got nothing: for an empty value write ""'),
        ("env: {A: [x]}", "2:10: env A: expected text, got a list: put quotes around it"),
        ("timeouts: 30s", "2:11: timeouts: expected a mapping of keys, got '30s'"),
        ("timeouts: {head: 10 s}", f"2:18: timeouts.head: {DURATION}, got '10 s': did you mean '10s'?"),
        (
            "timeouts: {boot: 0}",
            "2:18: timeouts.boot: expected a duration above 0, got '0': 0 does not mean no limit",
        ),
        ("timeouts: {send: 1:30}", f"2:18: timeouts.send: {DURATION}, got '1:30'"),
        ("monitor: {interval: 0}", "2:21: monitor.interval: expected a duration above 0, got '0'"),
        (
            "limits: {head: 64KB}",
            "2:16: limits.head: expected a size such as 8K, 100M or 1G, got '64KB': did",
        ),
        ("limits: {fields: 0}", f"2:18: limits.fields: {COUNT}, got '0'"),
        ("requests: {max: -1}", "2:17: requests.max: expected a whole number of 0 or more, got '-1'"),
        (
            "memory: {soft: lots}",
            "2:16: memory.soft: expected a size such as 8K, 100M or 1G, or a percentage such as 40%, "
            "got 'lots'",
        ),
        (
            "memory: {soft: 150%}",
            "2:16: memory.soft: expected a size such as 8K, 100M or 1G, or a percentage",
        ),
        ("memory: {measure: vms}", "2:19: memory.measure: expected pss, rss or uss, got 'vms'"),
        (
            "log: {level: warn}",
            "2:14: log.level: expected debug, error, info or warning, got 'warn': did you",
        ),
        ("log: {format: '{metod}'}", "2:15: log.format: expected combined, json or a template such as"),
        (
            "log: {format: {method}}",
            "2:15: log.format: expected combined, json or a template such as '{method} ",
        ),
        ("user: " + "x y" * 100, "2:7: user: expected the name of a user or group, got 'x yx y"),
    ],
)
def test_one_mistake_is_one_problem_in_the_words_of_a_site_file(tmp_path: Path, line: str, said: str) -> None:
    (problem,) = problems(tmp_path, f"{APP}{line}\n")
    assert problem.startswith(said.replace("{folder}", str(tmp_path)))
    assert len(problem) < 250


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\n", ["app: is missing: name the application, such as app: shop.wsgi:application"]),
        ("app: shop:app\napps: {/: a:b}\n", ["1:1: app: cannot be used with apps: keep one of them"]),
        ("apps: {}\n", ["1:7: apps: expected at least one, got an empty mapping"]),
        ("apps:\n", ["1:6: apps: expected at least one, got nothing"]),
        ("apps: shop:app\n", ["1:7: apps: expected a mapping of keys, got 'shop:app'"]),
        (
            "app: 'shop:'\n",
            [f"1:6: app: {IMPORT}, got 'shop:': name the application in it, such as shop:app"],
        ),
        ("app: {a: b}\n", [f"1:6: app: {IMPORT}, got a mapping"]),
        ("app:\n", [f"1:5: app: {IMPORT}, got nothing"]),
        ("app: ${GONE}\n", ["1:6: environment variable GONE is not set: set it, or write ${GONE:-default}"]),
        (
            "apps: {/a: x:y, /a/: x:z, admin: 'q:'}\n",
            [
                "1:17: apps /a/: is the same as '/a' above",
                f"1:27: apps admin: {MOUNT}, got 'admin': did you mean '/admin'? A host alone is 'admin/'",
                f"1:34: apps admin: {IMPORT}, got 'q:': name the application in it, such as q:app",
            ],
        ),
        (
            "apps: {a.example/: x:y, A.Example: x:z}\n",
            ["1:25: apps A.Example: is the same as 'a.example/' above"],
        ),
    ],
)
def test_which_application(tmp_path: Path, text: str, said: list[str]) -> None:
    assert problems(tmp_path, text) == said


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
requests: {jitter: 5}
thread: 8
bind: [8000, ":99999", ":80"]
timeouts:
  boot: soon
  grace: 5s
  head: ${GONE}
app: 'shop:'
threads: 2
threads: 3
"""
    assert [problem.split(": ")[:2] for problem in problems(tmp_path, text)] == [
        ["1:20", "requests.jitter has no effect while requests.max is 0"],
        ["2:1", "unknown key 'thread'"],
        ["3:8", "bind"],
        ["3:14", "bind"],
        ["5:9", "timeouts.boot"],
        ["6:3", "unknown key 'timeouts.grace'"],
        ["7:9", "environment variable GONE is not set"],
        ["8:6", "app"],
        ["10:1", "duplicate key 'threads'"],
    ]


def test_an_error_shows_its_line_with_a_caret_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("site.yaml").write_text("app: shop:app\nthread: 8\ntimeouts: {head: soon}\n")
    with pytest.raises(ConfigError) as caught:
        load("site.yaml", {})
    assert str(caught.value) == (
        "site.yaml:2:1: unknown key 'thread': did you mean 'threads'?\n"
        "    2 | thread: 8\n"
        "      | ^\n"
        "site.yaml:3:18: timeouts.head: expected a duration such as 250ms, 30s, 5m or 1h, got 'soon'\n"
        "    3 | timeouts: {head: soon}\n"
        "      |                  ^"
    )


def test_a_problem_has_its_parts(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(f"{APP}thread: 8\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "site.yaml", {})
    (problem,) = caught.value.problems
    assert problem.place is not None
    assert (problem.place.file, problem.place.line, problem.place.column) == (
        str(tmp_path / "site.yaml"),
        2,
        1,
    )
    assert (problem.message, problem.hint) == ("unknown key 'thread'", "did you mean 'threads'?")


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(f"{APP}user: \x1b[31mred\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "site.yaml", {})
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "extra_requests", "extra_age"),
    [("{max: 1000, jitter: 100}", 100, 0.1), ("{max: 1000, jitter: 20%, age: 12h}", 200, 0.2)],
)
def test_jitter_is_a_number_of_requests_or_a_share(tmp_path, line, extra_requests, extra_age):
    (tmp_path / "site.yaml").write_text(f"app: shop:app\nrequests: {line}\n")
    requests = load(tmp_path / "site.yaml", {}).requests
    assert (requests.most_extra, requests.extra_age) == (extra_requests, extra_age)
