"""`env_file`: what is read as python-dotenv reads it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from superwsgi.config.errors import Problem
from superwsgi.config.text.dotenv import read
from superwsgi.config.text.variables import UnusableFile

ENVIRON = {"HOME": "/root", "A": "outside"}


def parsed(folder: Path, text: str | bytes) -> tuple[dict[str, str], list[str]]:
    """The variables, and the problems as `line: message`, which never hold a value."""
    file = folder / ".env"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    problems: list[Problem] = []
    found = read(file, ENVIRON, problems)
    spelled = [str(problem).removeprefix(f"{file}:") for problem in problems]
    assert not [each for each in spelled if "s3cret" in each]
    return found, [each.replace(":1: ", ": ", 1) for each in spelled]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=1", "1"),
        ("A=", ""),
        ("A = 1 ", "1"),
        ("\n# comment\n\n  export A=1\n", "1"),
        ("export\tA=1\r\n", "1"),
        ("A=a b  # comment", "a b"),
        ("A=a#b", "a#b"),
        ("A=it's", "it's"),
        ("A=pa$word=", "pa$word="),
        ("A=`date`", "`date`"),
        ("A='a #b' # comment", "a #b"),
        ("A=''", ""),
        (r"A='a\nb\'c\\'", r"a\nb'c" + "\\"),
        (r'A="a\nb\"c\\\d"', 'a\nb"c\\\\d'),
        ("A='-----BEGIN\nMII\n-----END'\n", "-----BEGIN\nMII\n-----END"),
        ('A="x\ny"', "x\ny"),
        ("A=${HOME}/x", "/root/x"),
        ('A="${B:-x}"', "x"),
        ("B=1\nA=${B}", "1"),
        ("A=${A}2", "outside2"),
        ("A=é", "é"),
        (b"\xef\xbb\xbfA=1", "1"),
    ],
)
def test_read(tmp_path: Path, text: str | bytes, value: str) -> None:
    found, problems = parsed(tmp_path, text)
    assert (found["A"], problems) == (value, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("s3cret", "1: not NAME=value"),
        ("A=1\nB: s3cret", "2: not NAME=value"),
        ("1A=s3cret", "1: not NAME=value"),
        ("A-B=s3cret", "1: not NAME=value"),
        ("A=s3cret\nA=s3cret", "2: A is set twice: first on line 1"),
        ("\nA='s3cret", "2: A: a quote is never closed"),
        ('A="s3cret"more', "1: A: text after the closing quote"),
        ("A=#s3cret", "1: A: a value that begins with #"),
        ("A= #s3cret", "1: A: a value that begins with #"),
        ("A='${s3cret}'", "1: A: ${ in single quotes"),
        ("A=${s3cret}", "1: A: a ${...} in it is not a variable set above"),
        ("A=${s3cret!}", "1: A: a ${...} in it is not a variable set above"),
        ("A=${file:s3cret}", "1: A: a ${...} in it is not a variable set above"),
        ("A=$${s3cret}", "1: A: $${ cannot be used in this file"),
    ],
)
def test_refused(tmp_path: Path, text: str, problem: str) -> None:
    _, problems = parsed(tmp_path, text)
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_every_problem_at_once(tmp_path: Path) -> None:
    found, problems = parsed(tmp_path, "one\nA=1\n'x'=2\nB='a'b\nC='\n' x\nD=4\n")
    assert [each.partition(":")[0] for each in problems] == ["1", "3", "4", "5"]
    assert found == {"A": "1", "D": "4"}


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none", {}, [])
    with pytest.raises(UnusableFile, match="is a folder"):
        read(tmp_path, {}, [])
    for content, what in ((b"\xff", "not UTF-8"), (b"A=\0", "NUL"), (b"#" * (2 << 20), "larger than 1024K")):
        (tmp_path / "odd").write_bytes(content)
        with pytest.raises(UnusableFile, match=what):
            read(tmp_path / "odd", {}, [])
