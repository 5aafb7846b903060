"""Reaching the master of a site: which control socket, and what is said there. What `status`, `reload` and
`stop` share.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click

from superwsgi.config import grammar
from superwsgi.config.errors import ConfigError
from superwsgi.config.loading import load
from superwsgi.config.schema import Site
from superwsgi.control import (
    Answer,
    NotUnderstood,
    Refused,
    Request,
    Snapshot,
    Status,
    decode_answer,
    encode,
)
from superwsgi.master import runtime
from superwsgi.master.serve import CONFIGURATION, FAILED

NOT_RUNNING: Final = 3
"""Exit code where no master answers."""

_PATIENCE: Final = 10.0
"""Seconds that a master may take for its first word."""

_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred

Command = TypeVar("Command", bound=Callable[..., Any])


class NotReached(Exception):
    """Nobody answers; the text says where."""


def which_site(command: Command) -> Command:
    """The options that say which site is meant."""
    for option in (
        click.option("--control", "socket_path", metavar="SOCKET", help="Its control socket."),
        click.option("-c", "--config", "site_file", metavar="FILE", help="Its site file."),
    ):
        command = option(command)
    return command


def find(site_file: str | None, socket_path: str | None) -> list[Path]:
    """The control sockets of the sites that are meant: of all that there are, where none is named.

    On wrong usage or a site file that says that there is none: a message, and the exit code for that.
    """
    if socket_path is not None:
        return [Path(socket_path)]
    if site_file is None:
        return runtime.sockets("*", os.environ)
    try:
        site = load(site_file, os.environ)
    except ConfigError as error:
        return _despite(error, site_file)
    if site.control == runtime.OFF:
        fail(f"{site_file}: control is off", CONFIGURATION)
    if site.control is not None:
        return [Path(site.control)]
    instead = {path: _served_instead(path, site_file) for path in runtime.sockets(site.name, os.environ)}
    found = [path for path, other in instead.items() if other is None]
    if instead and not found:
        others = ", ".join(f"{path} is that of {other}" for path, other in instead.items())
        then = "give the site file a control of its own, or --control SOCKET here"
        fail(f"no master of {site_file} answers: {others}; {then}", NOT_RUNNING)
    return found or [_expected(site)]


def only_one(paths: list[Path]) -> Path:
    """For commands that change something. Exits where it is not clear which site is meant."""
    paths = [path for path in paths if _answers(path)] if len(paths) > 1 else paths
    if len(paths) > 1:
        fail(f"which site? give -c FILE or --control SOCKET: {', '.join(map(str, paths))}", CONFIGURATION)
    if not paths:
        fail("no site runs here that this user can see; give -c FILE or --control SOCKET", NOT_RUNNING)
    return paths[0]


def _answers(path: Path) -> bool:
    try:
        with Conversation(path):
            return True
    except NotReached:
        return False


def fail(message: str, code: int) -> NoReturn:
    click.echo(f"superwsgi: {message}", err=True)
    sys.exit(code)


def _despite(error: ConfigError, site_file: str) -> list[Path]:
    """A site file may be broken while its site runs: then the site's usual name may help."""
    named = runtime.sockets(grammar.name_from(Path(site_file).stem), os.environ)
    found = [path for path in named if _served_instead(path, site_file) is None]
    if not found:
        click.echo(str(error), err=True)
        sys.exit(CONFIGURATION)
    return found


def _served_instead(path: Path, site_file: str) -> str | None:
    """What the master at a control socket serves instead of this file; None where it may be this file. Two
    files may have the same name, and a stop or reload must not reach the wrong site."""
    try:
        with Conversation(path) as master:
            answers = (each for each in master.ask(Status()) if isinstance(each, Snapshot))
            served = next((each.file or "no site file" for each in answers), None)
    except NotReached:
        return None  # the command itself will say so
    return None if served is None or _same_file(served, site_file) else served


def _same_file(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except OSError:
        return one == str(Path(other).absolute())


def _expected(site: Site) -> Path:
    """Where its socket would be. Exits where a master of this user has none."""
    path = runtime.control_path(site, os.environ)
    if path is None:
        fail(
            "a master of this user has no control socket, since XDG_RUNTIME_DIR is not set: "
            "let `control` in the site file name one",
            NOT_RUNNING,
        )
    return path


class Conversation:
    """One request and its answers. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Raises NotReached."""
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # As a timeout of connect(2): with O_NONBLOCK a full backlog would be an error, and be left at once.
        patience = struct.pack("ll", int(_PATIENCE), 0)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        self._where = path
        try:
            self._sock.connect(str(path))
            self._sock.settimeout(_PATIENCE)
        except PermissionError:
            self._sock.close()
            raise NotReached(
                f"no access to {path}: only root and the user that its master runs as have it"
            ) from None
        except OSError as error:
            self._sock.close()
            reason = error.strerror or str(error)
            raise NotReached(f"no master answers at {path}: {reason}") from None

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    @property
    def master(self) -> int:
        """The process id of the master; 0 where it is none of this pid namespace's (pid_namespaces(7))."""
        raw = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(raw)[0])

    def ask(self, request: Request) -> Iterator[Answer]:
        """The answers, until the master closes. Raises NotReached; a refusal ends the command."""
        try:
            self._sock.sendall(encode(request))
            with self._sock.makefile("rb") as lines:
                for line in lines:
                    self._sock.settimeout(None)
                    answer = decode_answer(line)
                    if isinstance(answer, Refused):
                        fail(f"{self._where}: {answer.reason}", FAILED)
                    yield answer
        except TimeoutError:
            raise NotReached(f"the master at {self._where} does not answer") from None
        except OSError as error:
            raise NotReached(f"{self._where}: {error.strerror}") from None
        except NotUnderstood as error:
            fail(f"{self._where}: {error}", FAILED)
