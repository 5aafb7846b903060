import json
import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superwsgi.config.grammar.formats import ACCESS_NAMES, NAMED_FORMATS, parse_template
from superwsgi.log.formats import AccessEntry, Writer, compile_format
from superwsgi.log.writer import PIPE_BUF

WRITER = Writer(pid=812, worker=2, generation=3)
ENTRY = AccessEntry(
    when=1795368001.123,
    remote="192.0.2.7",
    method="GET",
    target="/shop?page=3",
    protocol="HTTP/1.1",
    status=200,
    sent=5123,
    duration=0.00123,
    queued=0.0004,
    app=0.0011,
    host="example.com",
    referer="https://example.com/",
    agent="curl/8",
    request_id="c0ffee-7",
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)
SILENT = AccessEntry(1795368001.0, "", "", "", "", 400, 0, 0.0, 0.0, 0.0, "", "", "", "c0ffee-8", "")
QUOTED = '"(?:[^"\\\\]|\\\\.)*"'
COMBINED = re.compile(
    r"\S+ - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    rf" {QUOTED} \d{{3}} (\d+|-) {QUOTED} {QUOTED}\n"
)
TEMPLATES = ("{method} {target} {status} {duration}", 'say "{agent}" \\ {time}\t{pid} {{x}} größe')

anything = st.text(st.characters(exclude_categories=()), max_size=40)
entries = st.builds(
    AccessEntry,
    when=st.floats(0, 4e9),
    remote=st.ip_addresses().map(str),
    method=anything,
    target=anything,
    protocol=anything,
    status=st.integers(100, 599),
    sent=st.integers(0, 1 << 60),
    duration=st.floats(0, 1e6),
    queued=st.floats(0, 1e6),
    app=st.floats(0, 1e6),
    host=anything,
    referer=anything,
    agent=anything,
    request_id=anything,
    traceparent=anything,
)


def spelled(format: str, entry: AccessEntry = ENTRY) -> str:
    return compile_format(format, WRITER)(entry).decode()


@pytest.fixture(params=["UTC", "Asia/Kolkata", "<-0330>3:30"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", {"Asia/Kolkata": "IST-5:30"}.get(request.param, request.param))
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_combined_is_that_of_apache(zone: str) -> None:
    at = {
        "UTC": "22/Nov/2026:17:20:01 +0000",
        "Asia/Kolkata": "22/Nov/2026:22:50:01 +0530",
        "<-0330>3:30": "22/Nov/2026:13:50:01 -0330",
    }[zone]
    assert spelled("combined") == (
        f'192.0.2.7 - - [{at}] "GET /shop?page=3 HTTP/1.1" 200 5123 "https://example.com/" "curl/8"\n'
    )


def test_combined_without_anything_said() -> None:
    assert spelled("combined", SILENT).endswith('] "-" 400 - "-" "-"\n')
    assert spelled("combined", SILENT).startswith("- - - [")


def test_combined_escapes_as_apache_does() -> None:
    entry = ENTRY._replace(target='/"\\\x1b[2J\n', agent="caf\xe9\x7f\u20ac\t")
    line = spelled("combined", entry)
    assert '"GET /\\"\\\\\\x1b[2J\\n HTTP/1.1"' in line
    assert line.endswith('"caf\\xe9\\x7f\\xe2\\x82\\xac\\t"\n')


def test_json_has_every_name_in_order() -> None:
    said = json.loads(spelled("json"))
    assert (*said, "sample") == ACCESS_NAMES
    assert said == {
        "time": "2026-11-22T17:20:01.123Z",
        "remote": "192.0.2.7",
        "method": "GET",
        "target": "/shop?page=3",
        "protocol": "HTTP/1.1",
        "status": 200,
        "sent": 5123,
        "duration": 0.00123,
        "queued": 0.0004,
        "app": 0.0011,
        "host": "example.com",
        "referer": "https://example.com/",
        "agent": "curl/8",
        "request_id": "c0ffee-7",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "pid": 812,
        "worker": 2,
        "generation": 3,
    }


def test_json_has_a_share_where_some_requests_have_no_line() -> None:
    spell = compile_format("json", WRITER, sampled=True)
    assert tuple(json.loads(spell(ENTRY))) == ACCESS_NAMES
    assert [json.loads(spell(ENTRY._replace(sample=share)))["sample"] for share in (1.0, 0.1, 1e-6)] == [
        1,
        0.1,
        1e-6,
    ]


def test_a_template_may_use_every_name() -> None:
    template = " ".join(f"{{{name}}}" for name in ACCESS_NAMES)
    assert spelled(template) == (
        "2026-11-22T17:20:01.123Z 192.0.2.7 GET /shop?page=3 HTTP/1.1 200 5123 0.001230 0.000400 0.001100 "
        "example.com https://example.com/ curl/8 c0ffee-7 "
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 "
        "4bf92f3577b34da6a3ce929d0e0e4736 812 2 3 1.0\n"
    )
    assert spelled("{traceparent} {trace_id}", SILENT) == "- -\n"


def test_a_template_keeps_its_own_text() -> None:
    assert spelled('{{a}} größe\t"{agent}" \\ {status} {status}') == '{a} größe\t"curl/8" \\ 200 200\n'


def test_a_template_escapes_values_only() -> None:
    entry = ENTRY._replace(target='/"', agent="")
    assert spelled('größe "{target}" {agent} {method}', entry) == 'größe "/\\"" - GET\n'


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{methud}", r"unknown name \{methud\}, did you mean \{method\}\?"),
        ("{zzz}", "known: time, remote"),
        ("{}", r"unknown name \{\}"),
        ("{status!r}", "no conversion"),
        ("{duration:.3f}", "no format"),
        ("{method", "expected '}'"),
        ("method}", "Single '}'"),
        ("comined", "neither one of combined, json"),
    ],
)
def test_a_template_that_cannot_be_is_refused(template: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_template(template)
    with pytest.raises(ValueError, match=reason):
        compile_format(template, WRITER)


@pytest.mark.parametrize("format", [*NAMED_FORMATS, *TEMPLATES])
@given(entry=entries)
def test_an_entry_is_one_line_of_printable_characters(format: str, entry: AccessEntry) -> None:
    line = spelled(format, entry)
    assert line.endswith("\n")
    assert line[:-1].replace("\t", "").isprintable()
    assert len(line.encode()) <= PIPE_BUF


@given(entry=entries)
def test_nothing_leaves_its_quotes(entry: AccessEntry) -> None:
    assert COMBINED.fullmatch(spelled("combined", entry))


@given(entry=entries)
def test_json_gives_back_what_the_client_said(entry: AccessEntry) -> None:
    said = json.loads(spelled("json", entry))
    assert [said[name] for name in ("method", "target", "host", "agent")] == [
        json.loads(json.dumps(text)) for text in (entry.method, entry.target, entry.host, entry.agent)
    ]


@pytest.mark.parametrize("format", [*NAMED_FORMATS, "{time} {target} {agent}"])
@pytest.mark.parametrize("filler", ["x", "\xff", '"', "\U0001f600"])
def test_a_line_fits_what_one_write_puts_down_whole(format: str, filler: str) -> None:
    entry = ENTRY._replace(target="/" + filler * 8000, referer=filler * 30_000, agent=filler * 20_000)
    line = compile_format(format, WRITER)(entry)
    assert len(line) <= PIPE_BUF
    assert b"..." in line
