"""What would run, in words: on made-up facts, so that each line is certain."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import click
import msgspec
import pytest

from superwsgi.checking.explain.explaining import explain
from superwsgi.checking.explain.facts import MachineFacts, PersonFacts, SiteFacts
from superwsgi.cli.site.checks.explained import WIDTH, lines
from superwsgi.config.loading import read
from superwsgi.config.sections import NamedCertificate
from superwsgi.messages import Footprint, LoadTrouble, Tried
from superwsgi.tls.interface import SeenCertificate

M = 1 << 20
NOW = 1_800_000_000.0
FORKABLE = Tried(
    0.42, [], [], Footprint(30 * M, 29 * M, 28 * M), Footprint(90 * M, 80 * M, 70 * M), 2 * M,
    {"chdir": ("/srv/shop", "r-x"), "temporary files": ("/tmp", "rwx")},
)  # fmt: skip
FACTS = SiteFacts(
    machine=MachineFacts(
        cpus=8, quota=1.5, memory=512 * M, memory_of="memory.max", somaxconn=1024, files=1024,
        python="3.13.0", compiled=True,
    ),
    least=2,
    most=2,
    connections=768,
    master=PersonFacts("root", 0, (0,), "/root"),
    workers=PersonFacts("www-data", 33, (33, 44), "/var/www"),
    admin="nobody",
    control="/run/superwsgi/shop.sock",
    tried=FORKABLE,
    now=NOW,
)  # fmt: skip


def but(**fields: object) -> Tried:
    return msgspec.structs.replace(FORKABLE, **fields)


def test_arguments_of_a_factory_are_not_shown(tmp_path: Path) -> None:
    """There may be a password among them, as it is or from a variable."""
    for arguments in ("'s3cret'", "'${KEY}'"):
        (tmp_path / "site.yaml").write_text(f'app: "shop:make({arguments})"')
        found = read(tmp_path / "site.yaml", {"KEY": "s3cret"})
        sections = explain(found.site, FACTS)
        assert "s3cret" not in msgspec.json.encode(sections).decode()
        assert "shop:make(…)" in "\n".join(lines(sections))


def explained(folder: Path, text: str, facts: SiteFacts = FACTS) -> str:
    (folder / "site.yaml").write_text(f"app: shop:app\nname: shop\nchdir: /srv/shop\n{text}")
    found = read(folder / "site.yaml", {"PORT": "443", "KEY": "s3cret"})
    return click.unstyle("\n".join(lines(explain(found.site, facts))))


def test_a_site(tmp_path: Path) -> None:
    site = """\
bind: ["https://:${PORT}", {unix: /run/shop.sock, mode: 0660, group: www-data}]
user: www-data
env: {SECRET: "${KEY}", DEBUG: "0"}
memory: {soft: 40%}
proxy: {trusted: [10.0.0.0/8, unix]}
health: {ready: /readyz}
companions: {mail: "celery -A shop worker"}
rollout: {before: "migrate ${KEY}"}
tls: {certificate: /etc/shop.pem}
"""
    entry = NamedCertificate(certificate="/etc/shop.pem")
    seen = SeenCertificate("tls", entry, ("shop.example", "www.shop.example"), NOW + 40 * 86400)
    facts = replace(FACTS, certificates=(seen,), missing={"mail": "not found"})
    text = explained(tmp_path, site, facts)
    assert text == GOLDEN
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "s3cret" not in text


@pytest.mark.parametrize(
    ("text", "facts", "says"),
    [
        ("", replace(FACTS, tried=but(hazards=["a pipe made at shop.py:2"])), "a fork would not keep a pipe"),
        ("preload: true", replace(FACTS, tried=but(hazards=["a pipe"])), "yes, but the workers will be"),
        ("preload: false", FACTS, "no: each worker imports the application itself"),
        ("preload: false", FACTS, "70M of its own; nothing of the application is shared"),
        ("", replace(FACTS, tried=None), "not known, as it was not loaded"),
        ("", replace(FACTS, tried=but(troubles=[LoadTrouble("apps", "x")])), "not known, as it was not"),
        ("", replace(FACTS, workers=None), "not to be had"),
        ("workers: {min: 1, max: 4}", replace(FACTS, least=1, most=4), "1 to 4, as the load calls for"),
        ("threads: 3", FACTS, "3 in each worker, so at most 6 requests at once"),
        ("proxy: {trusted: []}", FACTS, "nobody: X-Forwarded-For, -Proto"),
        ("proxy: {trusted: [0.0.0.0/0]}", FACTS, "everybody by IPv4 may say who the client is"),
        ("bind: systemd", FACTS, "systemd, handed over by whoever starts it"),
        ("control: off", replace(FACTS, control=None), "off: no command can ask this site anything"),
        ("admin: {bind: 127.0.0.1:9000}", FACTS, "page and metrics, from this machine only"),
        ("log: {skip: /static, sample: 10%}", FACTS, "/ 10%, /static 0%"),
        ("", replace(FACTS, running=812), "runs already, its master is process 812"),
    ],
)
def test_in_words(tmp_path: Path, text: str, facts: SiteFacts, says: str) -> None:
    assert says in re.sub(r"\s+(default|site.yaml:\d+)?\s*", " ", explained(tmp_path, f"{text}\n", facts))


def test_programs_get_numbers(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("app: shop:app\nmemory: {hard: 50%}\n")
    sections = explain(read(tmp_path / "site.yaml", {}).site, FACTS)
    found = {
        f"{each.title} {fact.name}": (fact.value, fact.source) for each in sections for fact in each.facts
    }
    assert found["memory memory.hard"] == (256 * M, "site.yaml:2")
    assert found["processes workers"] == ({"min": 2, "max": 2}, "default")
    assert found["memory room"][0] == {"sharing": 212, "apart": 5}


GOLDEN = """\
application
  app                shop:app                                        site.yaml:1
  python             3.13.0, superwsgi compiled
  chdir              /srv/shop                                       site.yaml:3
  env                DEBUG, SECRET                                   site.yaml:6
  loads              in 420ms
  preload            yes: imported once, and the workers are forked      default
                     from that
  rollout.before     *** has to succeed first
                     (site.yaml:11, ${KEY})

processes
  cpus               8 that may be used, with time for 1.5 (quota of the control
                     group)
  workers            2, one for each CPU that the quota keeps busy       default
  threads            4 to 32 in each worker, so at most 64 requests at   default
                     once
  companion mail     1 process: "celery -A shop worker", which is   site.yaml:10
                     not there

memory
  application        60M by its import, beside 30M of Python and superwsgi
  each worker        2M of its own as it is forked, up to 90M as requests change
                     what is shared
  altogether         92M for 2 workers before the first request; the master
                     comes on top
  room               for 5 workers that share nothing any more, 212 that share
                     all
  there is           512M (memory.max)
  memory.soft        a worker above 205M (rss) is replaced           site.yaml:7
  memory.hard        no limit                                            default

sockets
  bind               https://0.0.0.0:443, on every network, a port for root or
                     CAP_NET_BIND_SERVICE
                     (site.yaml:4, ${PORT})
  bind               unix:/run/shop.sock, mode 0660, of www-data:www-data
                     (site.yaml:4, ${PORT})
  backlog            1024 connections wait until they are accepted:      default
                     2048 are cut by net.core.somaxconn
  control            unix:/run/superwsgi/shop.sock, for commands         default

certificates
  tls                shop.example, www.shop.example; until          site.yaml:12
                     2027-02-24, in 40 days; /etc/shop.pem
  tls.minimum        TLS 1.2 or later                                    default

clients
  trusted            10.0.0.0/8 and whoever connects to a unix       site.yaml:8
                     socket may say who the client is
                     (X-Forwarded-For, -Proto, -Host and -Port,
                     Forwarded, X-Request-ID); of all others that
                     is ignored
  health.ready       /readyz, answered without the application       site.yaml:9
  limits.body        a request's body, at most 100M                      default
  limits.head        a request's head, at most 64K                       default
  limits.connections 768 open at once in each worker: 1000 are cut by    default
                     1024 files (ulimit -Hn)
  timeouts.request   60s for the application to begin or go on with its  default
                     answer
  timeouts.queue     30s to wait for a free thread                       default
  timeouts.graceful  30s to be answered in when a worker ends            default

users
  master             root (uid 0, group 0)
  workers            www-data (uid 33, groups 33, 44); HOME          site.yaml:5
                     /var/www
  companions         as the workers
  chdir              /srv/shop: workers may not write it
  temporary files    /tmp: workers may read and write it

logs
  log.error          stderr, from info on, as text                       default
  log.access         stdout, as combined                                 default
"""
