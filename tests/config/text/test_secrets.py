"""Values from `env_file` and from `${file:...}`: what goes before what, and that they are never shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from superwsgi.config.text.variables import Unset, expand
from tests.config.sites import APP, loaded, problems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text("s3cret\n")
    (tmp_path / ".env").write_text("WHO=s3cret\nPORT=8001\n")
    return tmp_path


def env(folder: Path, value: str, **environ: str) -> str:
    return loaded(folder, f"{APP}env: {{KEY: '{value}'}}\n", environ).env["KEY"]


def test_a_file(folder: Path) -> None:
    assert env(folder, "${file:key}") == "s3cret"
    assert env(folder, f"<${{file:{folder}/key}}>") == "<s3cret>"
    assert env(folder, "${file:${DIR}/key}", DIR=str(folder)) == "s3cret"
    assert env(folder, "${file:${DIR:-.}/key}") == "s3cret"


def test_newlines_at_its_end_are_none_of_it(folder: Path) -> None:
    (folder / "key").write_bytes(b"a\nb\r\n\n")
    assert env(folder, "${file:key}") == "a\nb"


def test_a_default(folder: Path) -> None:
    (folder / "empty").write_text("\n")
    assert env(folder, "${file:none:-x}") == env(folder, "${file:empty:-x}") == "x"
    assert env(folder, "${file:empty}") == env(folder, "${file:none:-}") == ""


def test_what_it_holds_is_not_looked_through(folder: Path) -> None:
    (folder / "key").write_text("${HOME}: {a: b}")
    assert env(folder, "${file:key}", HOME="/root") == "${HOME}: {a: b}"


def test_it_is_plain_with_two_dollars(folder: Path) -> None:
    assert env(folder, "$${file:key}") == "${file:key}"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("${file:none}", "cannot be read: No such file or directory: create it, or write ${file:"),
        ("${file:.}", "is a folder"),
        ("${file:fifo}", "is not a regular file"),
        ("${file:large}", "is larger than 128K"),
        ("${file:binary}", "is not UTF-8 text"),
        ("${file:}", "'${file:}' is not a variable"),
        ("${file:key", "'${file:key' is not a variable"),
        ("${file:${GONE}/key}", "environment variable GONE is not set"),
    ],
)
def test_a_file_that_cannot_be_used(folder: Path, value: str, problem: str) -> None:
    os.mkfifo(folder / "fifo")
    (folder / "large").write_bytes(b"x" * (1 << 18))
    (folder / "binary").write_bytes(b"\xff")
    (found,) = problems(folder, f"{APP}env:\n  KEY: '{value}'\n")
    assert found.startswith("3:8: ")
    assert problem in found


@pytest.fixture
def uid() -> Iterator[int]:
    """Somebody who may not read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield os.geteuid()
    os.seteuid(before)


def test_a_file_that_is_not_ours(folder: Path, uid: int) -> None:
    if uid != 65534:
        (folder / "key").chmod(0)
    with pytest.raises(Unset, match=f"cannot be read by user {uid}: Permission denied"):
        expand("${file:key}", {}, folder)


SECRETS = ["${file:key}", "${WHO}", "x${WHO}", "${WHO:-x}"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "key",
    [
        "threads",
        "timeouts: {boot",
        "memory: {soft",
        "bind",
        "log: {format",
        "umask",
        "proxy: {trusted",
        "app",
    ],
)
def test_no_problem_shows_a_value(folder: Path, key: str, secret: str) -> None:
    value = f"{secret}:" if key == "app" else secret  # any word is the name of a module
    text = f"env_file: .env\n{'' if key == 'app' else APP}{key}: '{value}'{'}' * key.count('{')}\n"
    found = problems(folder, text)
    assert f"what {value} stands for" in found[0]
    assert "s3cret" not in "".join(found)


def test_nor_that_it_stands_twice(folder: Path) -> None:
    (folder / "key").write_text("/s3cret")
    found = problems(folder, f"{APP}warmup: ['${{file:key}}', '${{file:key}}']\n")
    assert found == ["2:25: warmup: what ${file:key} stands for is listed twice"]


class TestTheEnvFile:
    def test_its_variables_are_the_applications_and_the_site_files(self, folder: Path) -> None:
        site = loaded(folder, f"{APP}env_file: .env\nbind: 127.0.0.1:${{PORT}}\n")
        assert site.env == {"WHO": "s3cret", "PORT": "8001"}
        assert str(site.bind[0]) == "127.0.0.1:8001"
        assert site.env_file == f"{folder}/.env"

    def test_env_goes_before_it_and_it_before_the_process(self, folder: Path) -> None:
        text = f"{APP}env_file: .env\nenv: {{WHO: me, TOO: '${{PORT}}'}}\n"
        site = loaded(folder, text, {"PORT": "1", "WHO": "process"})
        assert site.env == {"WHO": "me", "PORT": "8001", "TOO": "8001"}

    def test_its_own_name_may_come_from_the_process(self, folder: Path) -> None:
        text = f"{APP}env_file: ${{NAME}}\n"
        assert loaded(folder, text, {"NAME": ".env"}).env["PORT"] == "8001"
        assert "NAME is not set" in problems(folder, text)[0]

    def test_without_a_name_there_is_none(self, folder: Path) -> None:
        assert loaded(folder, f"{APP}env_file:\n").env == {}

    def test_its_problems_stand_beside_those_of_the_site_file(self, folder: Path) -> None:
        (folder / ".env").write_text("WHO=1\ns3cret\n")
        found = problems(folder, f"{APP}env_file: .env\nthreads: many\n")
        assert f"{folder}/.env:2:1: not NAME=value" in found[0]
        assert found[1].startswith("3:10: threads")
        assert "s3cret" not in "".join(found)

    def test_one_that_is_not_there(self, folder: Path) -> None:
        (found,) = problems(folder, f"{APP}env_file: none\n")
        assert found == f"2:11: env_file: {folder}/none cannot be read: No such file or directory"


def test_a_value_that_no_program_could_be_executed_with(folder: Path) -> None:
    """MAX_ARG_STRLEN of execve(2) counts the name and a NUL, too."""
    (folder / ".env").write_text(f"LONG={'x' * (128 << 10)}\n")
    (folder / "key").write_text("x" * ((128 << 10) - len("KEY=") - 1))
    assert len(env(folder, "${file:key}")) == (128 << 10) - 5
    found = problems(folder, f"{APP}env: {{KEY: '${{file:key}}x'}}\nenv_file: .env\n")
    assert [problem.split(" no environment")[0] for problem in found] == [
        "2:7: env: KEY is longer than 128K:",
        "3:11: env: LONG is longer than 128K:",
    ]
