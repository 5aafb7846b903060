"""Which site a command means: what may be written, and masters that say odd things. Real ones are in
tests/e2e/test_sites.py.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from superwsgi.cli.main import main
from superwsgi.control import Refused, Snapshot, encode

COMMANDS = ("status", "reload", "upgrade", "stop")


def snapshot(site: str, file: str | None = None) -> Snapshot:
    return Snapshot(
        site=site,
        program="0",
        pid=1,
        uptime=0.0,
        phase="running",
        generation=1,
        candidate=None,
        wanted=0,
        addresses=[],
        trouble="",
        workers=[],
        file=file,
    )


@contextlib.contextmanager
def answering(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """Somebody who answers every line with this; yields what was asked."""
    asked: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client:
                    asked.append(client.recv(4096))
                    client.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return tmp_path


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(map(str, arguments)), prog_name="superwsgi")
    return done.exit_code, done.output


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "which",
    [
        ("shop", "-c", "site.yaml"),
        ("shop", "--control", "x.sock"),
        ("-c", "site.yaml", "--control", "x.sock"),
    ],
)
def test_only_one_of_name_file_and_socket(folder: Path, command: str, which: tuple[str, ...]) -> None:
    code, said = run(command, *which)
    assert code == 2
    assert "give only one of NAME, -c FILE and --control SOCKET" in said


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["shop", "*", "", "[a-z]", "..", "control"])
def test_nothing_runs(folder: Path, command: str, name: str) -> None:
    assert run(command)[0] == 2
    code, said = run(command, name)
    assert code == 2
    assert f"no site called {name} runs here; this user can see no other" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_says_how_to_name_a_site(command: str) -> None:
    code, said = run(command, "--help")
    assert (code, f"superwsgi {command} [OPTIONS] [NAME]" in said) == (0, True)
    assert "NAME is the name of the site" in " ".join(said.split())


@pytest.mark.parametrize("name", ["*", "shop", "control-2"])
def test_a_name_is_what_the_master_says(folder: Path, name: str) -> None:
    with answering(folder / "control.sock", encode(snapshot("blog"))) as asked:
        code, said = run("stop", name)
    assert (code, "running: blog" in said) == (2, True)
    assert len(asked) == 1, "the status, and nothing else"


def test_a_file_that_is_served_under_another_name(folder: Path) -> None:
    """Its name has been changed, and the master has not read that yet."""
    file = folder / "site.yaml"
    file.write_text("app: app:app\nname: new\n")
    with answering(folder / "control.sock", encode(snapshot("old", str(file)))):
        assert "old: running" in run("status", "-c", file)[1]


def test_a_socket_that_the_file_names_and_its_master_has_not_read_yet(folder: Path) -> None:
    file = folder / "site.yaml"
    file.write_text(f"app: app:app\ncontrol: {folder}/new.sock\n")
    with answering(folder / "control.sock", encode(snapshot("site", str(file)))):
        assert "site: running" in run("status", "-c", file)[1]
    code, said = run("status", "-c", file)
    assert (code, f"no master answers at {folder}/new.sock" in said) == (2, True)


def test_a_socket_that_the_file_names_and_another_site_has(folder: Path) -> None:
    file, path = folder / "site.yaml", folder / "shared.sock"
    file.write_text(f"app: app:app\ncontrol: {path}\n")
    with answering(path, encode(snapshot("other", "/srv/other.yaml"))) as asked:
        code, said = run("stop", "-c", file)
    assert (code, f"{path} belongs to /srv/other.yaml" in said) == (2, True)
    assert len(asked) == 1


def test_two_of_one_name_where_one_refuses(folder: Path) -> None:
    with (
        answering(folder / "control.sock", encode(snapshot("shop", "/srv/shop/site.yaml"))),
        answering(folder / "control-2.sock", encode(Refused(reason="not you"))) as refusing,
    ):
        code, said = run("stop")
        assert code == 2
        assert "superwsgi stop shop " in said
        assert (
            f"superwsgi stop --control {folder / 'control-2.sock'}  (it does not say what it serves)" in said
        )
        assert run("stop", "--control", folder / "control-2.sock") == (
            1,
            f"superwsgi: {folder / 'control-2.sock'}: not you\n",
        )
    assert len(refusing) == 2


def test_paths_are_quoted_for_the_shell(folder: Path) -> None:
    with (
        answering(folder / "control.sock", encode(snapshot("shop", "/srv/my shop/site.yaml"))),
        answering(folder / "control-2.sock", encode(snapshot("shop"))),
    ):
        code, said = run("reload", "shop")
    assert (code, "2 sites are called shop" in said) == (2, True)
    assert "superwsgi reload -c '/srv/my shop/site.yaml'" in said
    assert f"superwsgi reload --control {folder / 'control-2.sock'}" in said
