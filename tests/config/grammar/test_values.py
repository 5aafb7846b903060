"""The grammars of single values: what each takes, what it refuses, and what it says then."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from superwsgi.config.grammar import values
from superwsgi.config.grammar.values import Invalid

FOLDER = Path("/srv/shop")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("45", 45.0),
        ("1.5s", 1.5),
        ("0.5h", 1800.0),
        ("0", 0.0),
        ("0s", 0.0),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    assert values.duration(text) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5.0), ("500ms", 0.5), ("off", 0.0), ("OFF", 0.0)])
def test_threshold(text: str, seconds: float) -> None:
    assert values.threshold(text) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("on", 300.0), ("ON", 300.0), ("off", 0.0), ("90s", 90.0)])
def test_cooling(text: str, seconds: float) -> None:
    assert values.cooling(text) == seconds


@pytest.mark.parametrize("text", ["yes", "0", "0s", "5 minutes", ""])
def test_no_cooling(text: str) -> None:
    with pytest.raises(Invalid, match="on, off, or a duration"):
        values.cooling(text)


@pytest.mark.parametrize("text", ["0", "0s", "never", "no", "-1"])
def test_no_threshold(text: str) -> None:
    with pytest.raises(Invalid, match=", or off"):
        values.threshold(text)


@pytest.mark.parametrize(
    ("text", "share"),
    [("10%", 0.1), ("0.1", 0.1), ("0.7%", 0.007), ("100%", 1.0), ("0.0001%", 1e-6), ("33.333%", 0.33333)],
)
def test_sample(text: str, share: float) -> None:
    assert values.sample(text) == share


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("150%", "100% is all of them"),
        ("10", "did you mean '10%'?"),
        ("1", "write 1%, or 100% for all"),
        ("1.0", "write 1%, or 100% for all"),
        ("0%", "to log none of them, name their path in log.skip"),
        ("0.0", "to log none of them, name their path in log.skip"),
        ("0.00009%", "the least is 0.0001%"),
        ("1000", "100% is all of them"),
        ("10 %", ""),
        ("1/10", ""),
        ("-5%", ""),
        ("10%%", ""),
        ("%", ""),
        ("", ""),
    ],
)
def test_no_sample(text: str, hint: str) -> None:
    with pytest.raises(Invalid, match="a share such as 10%") as caught:
        values.sample(text)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8K", 8192),
        ("8k", 8192),
        ("100M", 100 << 20),
        ("1G", 1 << 30),
        ("1.5G", 3 << 29),
        ("0.5K", 512),
        ("4096", 4096),
        ("0", 0),
        ("8388608G", 1 << 53),
    ],
)
def test_size(text: str, size: int) -> None:
    assert values.size(text) == size


@pytest.mark.parametrize(("text", "share"), [("40%", 0.4), ("100%", 1.0), ("0.5%", 0.005), ("33.3%", 0.333)])
def test_percent(text: str, share: float) -> None:
    assert values.percent(text) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "share"), [("1%", 0.01), ("0%", 0.0), ("0.5%", 0.005), ("off", 1.0), ("OFF", 1.0)]
)
def test_tolerance(text: str, share: float) -> None:
    assert values.tolerance(text) == share


@pytest.mark.parametrize(
    ("text", "bits"), [("0027", 0o27), ("027", 0o27), ("27", 0o27), ("0o27", 0o27), ("0", 0)]
)
def test_octal(text: str, bits: int) -> None:
    assert values.octal(text) == bits


@pytest.mark.parametrize(
    ("text", "truth"),
    [("true", True), ("True", True), ("on", True), ("yes", True), ("FALSE", False), ("off", False)],
)
def test_truth(text: str, truth: bool) -> None:
    assert values.truth(text) is truth


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/run/shop.pid", "/run/shop.pid"),
        ("shop.pid", "/srv/shop/shop.pid"),
        (".", "/srv/shop"),
        ("./log/x", "/srv/shop/log/x"),
        ("../x", "/srv/shop/../x"),
    ],
)
def test_path(text: str, path: str) -> None:
    """`..` stays: what it means behind a symbolic link is known to the kernel alone."""
    assert values.path(text, FOLDER) == path


@pytest.mark.parametrize(
    ("texts", "target"),
    [
        (("-", " - ", "on", "true", "True", "YES", "y"), "-"),
        (("off", "Off", "false", "no", "n", "none", "None"), "off"),
        (("stdout", "/dev/stdout"), "/dev/stdout"),
        (("stderr", "STDERR"), "/dev/stderr"),
        (("x.log",), "/srv/shop/x.log"),
        (("./none",), "/srv/shop/none"),
        (("./-",), "/srv/shop/-"),
    ],
)
def test_log_file(texts: tuple[str, ...], target: str) -> None:
    assert {values.log_file(text, FOLDER) for text in texts} == {target}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "write off for no log"),
        ("syslog", "under systemd that is the journal"),
        ("/dev/log", "under systemd that is the journal"),
        ("syslog:server=unix:/dev/log", "under systemd that is the journal"),
        ("udp://127.0.0.1:514", "under systemd that is the journal"),
        ("file:///var/log/x.log", "write its path alone"),
        ("|/usr/bin/rotatelogs x", "cannot be piped to a program"),
        ("1", "write on"),
        ("2", "write stderr"),
        ("&1", "write stdout"),
        ("  ", "write off for no log"),
        ("Null", "write off"),
        ("json", "log.format"),
        ("WARNING", "log.level"),
        ("file", "the file's path"),
        ("~/x.log", "${HOME}/x.log"),
    ],
)
def test_no_log_file(text: str, answer: str) -> None:
    with pytest.raises(values.Invalid) as caught:
        values.log_file(text, FOLDER)
    assert answer in caught.value.hint


COMBINED = '{remote} - - {time} "{method} {target} {protocol}" {status} {sent} "{referer}" "{agent}"'
JSON = "for lines of JSON write json; a brace that is no name's is written twice"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"', "it is 'combined' here"),
        ('%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"', "it is 'combined' here"),
        (
            '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
            '"$http_referer" "$http_user_agent"',
            "it is 'combined' here",
        ),
        ("%(m)s %(U)s %(D)s", "names go in braces here, as in '{method} {target} {duration}'"),
        ("%(s)s %({x-request-id}o)s", "names go in braces here, as in '{status} {request_id}'"),
        (
            "%(h)s %(q)s",
            "names go in braces here, as in '{remote}'; there is nothing for %(q)s",
        ),
        ('{"remote": "%(h)s", "status": %(s)s}', JSON),
        ('{"remote": "{remote}"}', JSON),
        (
            "%(message)s",
            f"names go in braces here, as in '{COMBINED}'; there is nothing for %(message)s",
        ),
        ("{remote} %(h)s", "names go in braces here, as in '{remote} {remote}'"),
        ("{remote} $status", "names go in braces here, as in '{remote} {status}'"),
    ],
)
def test_formats_of_other_servers(text: str, answer: str) -> None:
    with pytest.raises(values.Invalid) as caught:
        values.log_format(text)
    assert caught.value.hint == answer


@pytest.mark.parametrize(
    "text", ["combined", "json", "{method} {target}", "{{{pid}}}", "{status} 100% of $5 {duration}%"]
)
def test_log_format(text: str) -> None:
    assert values.log_format(text) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [("shop", "shop"), ("my shop", "my-shop"), (".hidden", "hidden"), ("ü", "site"), ("x" * 70, "x" * 64)],
)
def test_name_from_what_is_no_name(text: str, name: str) -> None:
    assert values.name_from(text) == name
    assert values.name(name) == name


DURATION = "a duration such as 250ms, 30s, 5m or 1h"
SIZE = "a size such as 8K, 100M or 1G"
TOLERANCE = "a percentage such as 1%, or off"
PERCENT = "a percentage such as 40%"
NAME = "letters, digits, '.', '_' and '-', at most 64, with a letter or digit first"
VARIABLE = "a variable's name of letters, digits and '_'"
FORMAT = "combined, json or a template such as '{method} {target}'"
path = partial(values.path, folder=FOLDER)


@pytest.mark.parametrize(
    ("parse", "text", "expected", "hint"),
    [
        (values.whole, "eight", "a whole number of 0 or more", ""),
        (values.whole, "-1", "a whole number of 0 or more", ""),
        (values.whole, "8.0", "a whole number of 0 or more", ""),
        (values.whole, "010", "a whole number of 0 or more", ""),
        (values.whole, "1_000", "a whole number of 0 or more", ""),
        (values.whole, "٣", "a whole number of 0 or more", ""),
        (values.whole, "9" * 5000, "a whole number of 0 or more", ""),
        (partial(values.whole, least=1), "0", "a whole number of 1 or more", ""),
        (partial(values.whole, least=1, most=9), "10", "a whole number from 1 to 9", ""),
        (partial(values.whole, least=1, most=9), "0", "a whole number from 1 to 9", ""),
        (values.duration, "10sec", DURATION, "did you mean '10s'?"),
        (values.duration, "10 s", DURATION, "did you mean '10s'?"),
        (values.duration, "5 Minutes", DURATION, "did you mean '5m'?"),
        (values.duration, "5MS", DURATION, "did you mean '5ms'?"),
        (values.duration, "2 apples", DURATION, ""),
        (values.duration, "1:30", DURATION, ""),
        (values.duration, "-1s", DURATION, ""),
        (values.duration, ".5s", DURATION, ""),
        (values.duration, "inf", DURATION, ""),
        (values.duration, "1e9", DURATION, ""),
        (values.duration, "", DURATION, ""),
        (
            partial(values.duration, above_zero=True),
            "0ms",
            "a duration above 0",
            "0 does not mean no limit; for practically none write 24h",
        ),
        (values.size, "8KB", SIZE, "did you mean '8K'?"),
        (values.size, "8 MiB", SIZE, "did you mean '8M'?"),
        (values.size, "8X", SIZE, ""),
        (values.size, "-8K", SIZE, ""),
        (values.size, "40%", SIZE, ""),
        (values.size, "1.5", "a size in whole bytes, at most 8388608G", ""),
        (values.size, "9999999999G", "a size in whole bytes, at most 8388608G", ""),
        (values.percent, "0%", PERCENT, ""),
        (values.tolerance, "1", TOLERANCE, "did you mean '1%'?"),
        (values.tolerance, "0.01", TOLERANCE, "did you mean '1%'?"),
        (values.tolerance, "2.5 %", TOLERANCE, "did you mean '2.5%'?"),
        (values.tolerance, "100%", TOLERANCE, "to tolerate any, write off"),
        (values.tolerance, "no", TOLERANCE, "to tolerate any, write off"),
        (values.tolerance, "-1%", TOLERANCE, ""),
        (values.tolerance, "few", TOLERANCE, ""),
        (values.percent, "101%", PERCENT, ""),
        (values.percent, "40", PERCENT, ""),
        (values.percent, "4K%", PERCENT, ""),
        (values.octal, "0888", "octal digits such as 0027", ""),
        (values.octal, "7777", "octal digits such as 0027", ""),
        (values.octal, "rw-", "octal digits such as 0027", ""),
        (values.truth, "auto", "true or false", ""),
        (partial(values.choice, words=("rss", "pss")), "rsss", "rss or pss", "did you mean 'rss'?"),
        (values.name, "my shop", NAME, ""),
        (values.name, "a/b", NAME, ""),
        (values.name, "", NAME, ""),
        (values.name, "x" * 65, NAME, ""),
        (values.account, "www data", "the name of a user or group", ""),
        (values.account, "www:web", "the name of a user or group", "user and group are two keys"),
        (values.variable, "1X", VARIABLE, ""),
        (
            values.variable,
            "A:b",
            VARIABLE,
            "put a space after ':'",
        ),
        (values.variable, "A=B", VARIABLE, ""),
        (path, "", "a path", ""),
        (path, "~/x", "a path", "~ is not expanded, write ${HOME}/x"),
        (values.log_format, "combine", FORMAT, "did you mean 'combined'?"),
        (values.log_format, "common", FORMAT, ""),
        (values.log_format, "{metod}", FORMAT, "unknown name {metod}, did you mean {method}?"),
        (values.log_format, "{pid:d}", FORMAT, "{pid} takes no conversion and no format"),
    ],
)
def test_refused(parse: Callable[[str], Any], text: str, expected: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert (caught.value.expected, caught.value.hint) == (expected, hint)


@pytest.mark.parametrize("text", ["{method", "method}", "{}", "{method!r}"])
def test_templates_with_unbalanced_or_odd_braces_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        values.log_format(text)
