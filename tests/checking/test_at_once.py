"""Site files with many things wrong: each is told, once, at its place, and none hides another."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from superwsgi.checking import addresses, surroundings
from superwsgi.checking.addresses import RunningSite
from superwsgi.checking.flaws import distinct
from superwsgi.config.loading import read
from superwsgi.tls import interface
from tests.certificates import Pair

APP = "app: shop:app\n"


def told(folder: Path, text: str, running: Sequence[RunningSite] = ()) -> list[str]:
    """`line:column: message: hint` of each, in the order of the file, without loading anything."""
    file = folder / "site.yaml"
    file.write_text(APP + text)
    found = read(file, {})
    flaws = [
        *surroundings.flaws(found.site, found.failed),
        *surroundings.certificate_flaws(interface.look(found.site.tls), found.failed),
        *addresses.flaws(found.site, running),
    ]
    problems = [*found.problems, *(flaw.at(found.places) for flaw in distinct(flaws))]
    lines = (str(each).split("\n")[0] for each in sorted(problems, key=lambda each: each.position))
    return [line.replace(f"{file}:", "").replace(f"{folder}/", "").strip() for line in lines]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "user: no-u\ngroup: no-g\n",
            ["2:7: user 'no-u' does not exist", "3:8: group 'no-g' does not exist"],
        ),
        (
            "threads: many\nuser: no-u\n",
            ["2:10: threads: expected", "3:7: user 'no-u' does not exist on this machine: make it"],
        ),
        ("user: ${NOPE}\ngroup: no-g\n", ["2:7: environment variable NOPE", "3:8: group 'no-g'"]),
        ("usr: no-u\nchdir: none\n", ["2:1: unknown key 'usr'", "3:8: chdir: none is not a folder"]),
        (
            "tls:\n  certificate: a.pem\n  sni: [{certificate: b.pem}, {certificate: c.pem}]\nbind: https://127.0.0.1:0\n",
            [
                "3:16: tls.certificate: a.pem cannot be read",
                "4:23: tls.sni 1.certificate: b.pem cannot be read",
                "4:45: tls.sni 2.certificate: c.pem cannot be read",
            ],
        ),
        (
            "tls: {sni: [{certificate: b.pem}]}\n",
            ["2:12: tls has no effect without tls.certificate", "2:27: tls.sni 1.certificate: b.pem cannot"],
        ),
        (
            "bind: [unix:no/a, {unix: a.sock, owner: no-u, group: no-g}]\nadmin: {bind: unix:no/b}\n",
            [
                "2:8: bind: no/a: the folder no does not exist",
                "2:41: bind.owner: user 'no-u'",
                "2:54: bind.group: group 'no-g'",
                "3:15: admin.bind: no/b: the folder no does not exist",
            ],
        ),
        (
            "log: {access: no/a, error: no/b}\npidfile: no/p\ncontrol: no/c\n",
            ["2:15: log.access: ", "2:28: log.error: ", "3:10: pidfile: ", "4:10: control: "],
        ),
        ("pidfile: site.yaml\n", ["2:10: pidfile: pid file site.yaml contains something other"]),
        ("control: site.yaml\n", ["2:10: control: site.yaml is a file that is not a socket: move it away"]),
        (
            'bind: ["127.0.0.1:1", "localhost:1", "192.0.2.1:0", "no-such-host.invalid:1"]\n',
            [
                "2:23: bind: localhost:1 is the same as 127.0.0.1:1: leave one out",
                "2:38: bind: cannot bind 192.0.2.1:0: ",
                "2:53: bind: cannot bind no-such-host.invalid:1: host name not known",
            ],
        ),
        (
            "companions: {mail: no-such-program}\nrollout: {before: no-such-program --now}\n",
            [
                "2:14: companion mail: 'no-such-program' is not found in PATH",
                "3:19: rollout.before: 'no-such-program' is not found in PATH",
            ],
        ),
        ("rollout: {before: 'if true'}\n", ["2:19: rollout.before: a shell does not understand it: "]),
        ("rollout: {before: 'cd / && FOO=bar true'}\n", []),
        ("rollout: {before: '[ -e site.yaml ] && exit 0'}\n", []),
    ],
)
def test_none_hides_another(tmp_path: Path, text: str, words: list[str]) -> None:
    found = [line for line in told(tmp_path, text) if "ports below" not in line and "in use" not in line]
    assert len(found) == len(words), found
    for line, begins in zip(found, words, strict=True):
        assert line.startswith(begins), found


def test_a_key_that_cannot_be_read_says_nothing_of_the_private_key(tmp_path: Path, pair: Pair) -> None:
    text = f"bind: https://127.0.0.1:0\ntls: {{certificate: {pair.certificate}, key: '${{NOPE}}'}}\n"
    (only,) = told(tmp_path, text)
    assert "environment variable NOPE is not set" in only


class TestAddresses:
    def test_in_use_by_another_program(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            texts = (f"127.0.0.1:{port}", f"0.0.0.0:{port}")
            for text in texts:
                (only,) = told(tmp_path, f'bind: "{text}"\n')
                assert only.startswith(f"2:7: bind: {text} is in use by "), only
                assert f"(pid {os.getpid()}): end that, or name another address" in only

    def test_a_wildcard_of_both_families_has_the_port_of_ipv4(self, tmp_path: Path) -> None:
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as taken:
            (only,) = told(tmp_path, f'bind: "127.0.0.1:{taken.getsockname()[1]}"\n')
        assert "is in use by" in only

    def test_in_use_by_this_site(self, tmp_path: Path) -> None:
        this = RunningSite("site", str(tmp_path / "site.yaml"), os.getpid(), this=True)
        with socket.create_server(("127.0.0.1", 0)) as own:
            assert told(tmp_path, f'bind: "127.0.0.1:{own.getsockname()[1]}"\n', [this]) == []

    def test_a_unix_socket(self, tmp_path: Path) -> None:
        path = tmp_path / "a.sock"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            server.listen()
            (only,) = told(tmp_path, "bind: unix:a.sock\n")
            assert only.startswith("2:7: bind: a.sock is in use by ")
        assert told(tmp_path, "bind: unix:a.sock\n") == []
        assert stat.S_ISSOCK(path.lstat().st_mode), "nothing is removed"

    def test_another_site_of_that_name(self, tmp_path: Path) -> None:
        other = RunningSite("shop", "/srv/other.yaml", 1)
        (only,) = told(tmp_path, "name: shop\nbind: 127.0.0.1:0\n", [other])
        assert only.startswith("2:7: name: another site called shop runs, of /srv/other.yaml (pid 1)")

    def test_a_control_socket_of_too_long_a_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RUNTIME_DIRECTORY", f"/run/{'x' * 110}")
        (only,) = told(tmp_path, "bind: 127.0.0.1:0\n")
        assert "there would be no control socket: " in only
        assert "the path of a socket has at most 107" in only
