"""YAML as operators write it, rightly and wrongly."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from superwsgi.config.errors import ConfigError
from superwsgi.config.loading import load
from tests.config.sites import APP, EVERYTHING, loaded, problems


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("app: shop: app", "1:10: a second ': ' in this value, or a wrong indentation: "),
        (APP + "threads: 8\n  workers: 2\n", "3:10: a second ': ' in this value, or a wrong indentation: "),
        (APP + "env:\n\tA: b\n", "3:1: a tab: YAML is indented with spaces"),
        ("app: 'shop:app\nthreads: 2\n", "1:6: a quote opened here and never closed"),
        ('app: "shop:app\nthreads: 2\n', "1:6: a quote opened here and never closed"),
        (APP + "bind: [a, b\n", "2:7: a bracket opened here and never closed"),
        (APP + "bind: [", "2:8: the file ends here, inside a bracket that was opened before"),
        (APP + "env: {A: b\n", "2:6: a bracket opened here and never closed"),
        (APP + "bind: [a}\n", "2:9: expected ',' or ']', got '}'"),
        (
            APP + "limits: {head: ${H}}\n",
            "2:17: '{' is not allowed here: inside { } and [ ] write \"${NAME}\" in quotes",
        ),
        (
            APP + "log:\n  access: -\n",
            "3:11: '-' begins a list item, which is not allowed here: for a lone dash write \"-\"",
        ),
        (APP + "bind: *:8000\n", "2:8: a value cannot begin with '*': put quotes around it"),
        (
            APP + "bind: *gone\n",
            "2:7: no anchor &gone above: put quotes around a value that begins with *",
        ),
        (APP + "user: &\n", "2:8: a value cannot begin with '&': put quotes around it"),
        (APP + "user: @x\n", "2:7: a value cannot begin with '@': put quotes around it"),
        (APP + "user: `x`\n", "2:7: a value cannot begin with '`': put quotes around it"),
        (APP + "user: %x\n", "2:7: a value cannot begin with '%': put quotes around it"),
        (APP + "bind: [::1]:8000\n", "2:8: ':' is not allowed here: put quotes around a value with special"),
        (
            APP + "log:\n  format: {method} {target}\n",
            "3:20: '{' is not allowed here: put quotes around a value",
        ),
        (APP + "threads\n", "2:1: a key without ':': write 'key: value'"),
        (APP + "threads 8\nworkers: 2\n", "2:1: a key without ':': write 'key: value'"),
        (APP + "env:\n    A: b\n  B: c\n", "4:3: this line is not indented like those around it"),
        (APP + "- x\n", "2:1: a list item among keys: indent it below its key"),
        ("- x\napp: shop:app\n", "2:1: a key among list items: indent the list below its key"),
        (APP + "user: 'x'y\n", "2:10: text after the closing quote or bracket"),
        (APP + 'user: "\\q"\n', "2:9: '\\q' means nothing in double quotes: use single quotes"),
        (APP + "---\napp: x\n", "2:1: a second document: a site file is one document; leave out '---'"),
        (APP + "user: &x a\ngroup: &x b\n", "3:8: anchor &x is defined twice"),
        (APP + "user: \x07\n", "2:7: YAML does not allow the character U+0007"),
        ("%YAML 3.0\n---\n" + APP, "1:1: found incompatible YAML document"),
    ],
)
def test_not_yaml_is_one_problem_in_plain_words(tmp_path: Path, text: str, said: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: it needs at least app: module:attribute"),
        (b"# nothing yet\n", "is empty: it needs at least app: module:attribute"),
        (b"---\n", "2:1: a site file is a mapping of keys, got nothing: "),
        (b"- a\n", "1:1: a site file is a mapping of keys, got a list: "),
        (b"shop:app\n", "1:1: a site file is a mapping of keys, got 'shop:app': "),
        (b"app: shop:app\nname: caf\xe9\n", "2:10: not UTF-8 text: save the file in UTF-8"),
        (b"\xff\xfea\x00p\x00p\x00", "1:1: not UTF-8 text: save the file in UTF-8"),
        (b"[" * 5000, "lists or mappings are nested too deeply"),
        (b"#" * (1 << 20) + b"#", "is larger than 1M: is this a site file?"),
    ],
)
def test_not_a_site_file(tmp_path: Path, content: bytes, said: str) -> None:
    (problem,) = problems(tmp_path, content)
    assert problem.startswith(said)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    cases = [
        (tmp_path / "gone.yaml", "cannot be read: No such file or directory"),
        (tmp_path, "is a folder: name the site file inside it"),
        (Path("/proc/self/mem"), "cannot be read: Input/output error"),
    ]
    for file, said in cases:
        with pytest.raises(ConfigError) as caught:
            load(file, {})
        assert str(caught.value) == f"{file}: {said}"


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    site = loaded(tmp_path, "\ufeffapp: shop:app\r\nthreads: 3\r\n")
    assert (site.apps, site.threads) == ({"/": "shop:app"}, 3)


def test_what_was_written_counts_not_what_yaml_makes_of_it(tmp_path: Path) -> None:
    env = """
  VERSION: 1.10
  ON: on
  NO: no
  OCTAL: 0123
  BASE60: 1:30
  DATE: 2024-01-01
  HEX: 0x1F
  FLOAT: 1e3
  LONG: 1_000
  QUOTED: "null"
  EMPTY: ""
"""
    site = loaded(tmp_path, f"{APP}name: 8000\nuser: no\nenv:{env}")
    assert site.env == {
        "VERSION": "1.10",
        "ON": "on",
        "NO": "no",
        "OCTAL": "0123",
        "BASE60": "1:30",
        "DATE": "2024-01-01",
        "HEX": "0x1F",
        "FLOAT": "1e3",
        "LONG": "1_000",
        "QUOTED": "null",
        "EMPTY": "",
    }
    assert (site.name, site.user) == ("8000", "no")


@pytest.mark.parametrize("written", ["0027", '"0027"', "027", "'27'", "0o27", "27"])
def test_umask_is_octal_however_it_is_written(tmp_path: Path, written: str) -> None:
    assert loaded(tmp_path, f"{APP}umask: {written}\n").umask == 0o27


@pytest.mark.parametrize("written", ["8", '"8"', "${T}", '"${T}"', "${GONE:-8}", "${EMPTY:-8}"])
def test_a_number_may_come_from_a_variable(tmp_path: Path, written: str) -> None:
    assert loaded(tmp_path, f"{APP}threads: {written}\n", {"T": "8", "EMPTY": ""}).threads == 8


def test_variables_in_every_kind_of_value(tmp_path: Path) -> None:
    text = """
app: ${MODULE}:app
bind: ["${HOST}:${PORT}", "unix:${RUN:-/run}/x.sock"]
preload: ${PRELOAD}
memory: {soft: "${SOFT}"}
user: ${NOBODY:-}
env: {A: "${A}", B: '$${A}', C: "cost: $5"}
"""
    environ = {"MODULE": "shop", "HOST": "::1", "PORT": "1", "PRELOAD": "yes", "SOFT": "40%", "A": "x: [y"}
    site = loaded(tmp_path, text.replace('"${HOST}', '"[${HOST}]'), environ)
    assert [str(address) for address in site.bind] == ["[::1]:1", "unix:/run/x.sock"]
    assert (site.apps, site.preload, site.memory.soft) == ({"/": "shop:app"}, True, 0.4)
    assert site.env == {"A": "x: [y", "B": "${A}", "C": "cost: $5"}
    assert site.user is None


def test_unset_and_odd_variables_are_reported_each_in_its_place(tmp_path: Path) -> None:
    assert problems(tmp_path, f"{APP}threads: ${{GONE}}\nenv:\n  A: ${{B C}}\n  D: ${{GONE}}\n") == [
        "2:10: environment variable GONE is not set: set it, or write ${GONE:-default}",
        "4:6: '${B C}' is not a variable: write ${NAME}, ${NAME:-default} or ${file:/path}, "
        "and $${ for a literal ${",
        "5:6: environment variable GONE is not set: set it, or write ${GONE:-default}",
    ]


def test_anchors_and_merges(tmp_path: Path) -> None:
    text = """
app: shop:app
requests: &limits {max: 10, jitter: 5}
env: &env
  A: one
  B: one
limits:
  line: &size 4K
  head: *size
apps: *unused
"""
    text = text.replace("apps: *unused\n", "")
    site = loaded(tmp_path, text)
    assert (site.limits.line, site.limits.head) == (4096, 4096)
    merged = loaded(
        tmp_path, "app: &a shop:app\nenv:\n  <<: [{A: '1', B: '1'}, {B: '2', C: '2'}]\n  C: own\n"
    )
    assert merged.env == {"A": "1", "B": "1", "C": "own"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("threads: 2\nname: x\nthreads: 3\n", "4:1: duplicate key 'threads': first at {file}:2:1"),
        ("env: {A: x, A: y}\n", "2:13: duplicate key 'A': first at {file}:2:7"),
        ("env:\n  ? [a]\n  : b\n", "3:5: a key must be plain text, not a list or mapping"),
        ('env: {"a\\0": b}\n', "2:7: a key must be plain text, not a list or mapping"),
        ('env: {A: "\\0"}\n', "2:10: this value contains a NUL or bytes that are not UTF-8"),
        ('env: {A: "\\ud800"}\n', "2:10: this value contains a NUL or bytes that are not UTF-8"),
        ("env: {A: '${RAW}'}\n", "2:10: this value contains a NUL or bytes that are not UTF-8"),
        ("env: &e {A: *e}\n", "2:6: this anchor contains an alias of itself"),
        ("env: {<<: 1}\n", "2:11: << takes a mapping or a list of mappings, got '1'"),
        ("env: {<<: [{A: b}, c]}\n", "2:11: << takes a mapping or a list of mappings, got 'c'"),
        ("threads: !Eight x\n", "2:10: tags such as !Eight have no meaning here: leave it out"),
        ("env: !!python/object:os.system {}\n", "2:6: tags such as !!python/object:os.system have no"),
    ],
)
def test_what_yaml_allows_and_a_site_file_does_not(tmp_path: Path, text: str, said: str) -> None:
    (problem,) = problems(tmp_path, APP + text, {"RAW": "\udcff"})
    assert problem.startswith(said.format(file=tmp_path / "site.yaml"))


def test_no_damage_to_a_file_gets_past_the_loader(tmp_path: Path) -> None:
    """A site or a ConfigError, whatever is written over a good file."""
    scraps = ["{", "]", ": ", "&a ", "*a", "!!x ", "<<: ", "\n  ", "- ", "'", '"', "${", "%", "\t", "\0"]
    file = tmp_path / "site.yaml"
    for seed in range(150):
        chance = random.Random(seed)
        begin = chance.randrange(len(EVERYTHING))
        end = begin + chance.choice([0, 1, 10])
        file.write_text(EVERYTHING[:begin] + chance.choice(scraps) + EVERYTHING[end:], encoding="utf-8")
        with contextlib.suppress(ConfigError):
            load(file, {})


def test_aliases_of_aliases_do_not_multiply(tmp_path: Path) -> None:
    levels = "".join(f"  L{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 40))
    found = problems(tmp_path, f"{APP}env:\n  L0: &l0 [x]\n{levels}")
    assert len(found) == 40
