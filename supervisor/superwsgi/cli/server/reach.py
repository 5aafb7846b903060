"""Talking to the master of a site: one question and its answers over a control socket, and what may go wrong.
which.py finds out which socket.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import click

from superwsgi.control import FAILED, Answer, NotUnderstood, Refused, Request, decode_answer, encode
from superwsgi.log.spelling import printable
from superwsgi.system import credentials

NOT_RUNNING: Final = 2
"""Exit code where no master answers; that of wrong usage, too."""

_PATIENCE: Final = 10.0
"""Seconds that a master may take for its first word."""


_Wanted = TypeVar("_Wanted")


class NotReached(Exception):
    """Nobody is there; the text says where. `code` is the exit code for it."""

    code = NOT_RUNNING


class NoAccess(NotReached):
    """A master may be there, and is not this user's."""


class NotAnswered(NotReached):
    """A master is there, and does not answer in time."""


class NotAllowed(NotAnswered):
    """A master is there, and refuses to answer, or speaks differently."""

    code = FAILED


def fail(message: str, code: int) -> NoReturn:
    click.echo(f"superwsgi: {message}", err=True)
    sys.exit(code)


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
        except OSError as error:
            self._sock.close()
            raise self._explained(error) from None

    def _explained(self, error: OSError) -> NotReached:
        if isinstance(error, PermissionError):
            return NoAccess(
                f"no access to {self._where}: only root and the user that its master runs as may use it"
            )
        if isinstance(error, BlockingIOError):  # SO_SNDTIMEO, socket(7)
            return NotAnswered(f"the master at {self._where} does not answer")
        return NotReached(f"no master answers at {self._where}: {error.strerror or error}")

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    @property
    def master(self) -> int:
        """The process id of the master; 0 where it is none of this pid namespace's."""
        return credentials.of_peer(self._sock).pid

    def ask(self, request: Request) -> Iterator[Answer]:
        """The answers, until the master closes. Raises NotReached, UsageError."""
        try:
            self._sock.sendall(_encoded(request))
            with self._sock.makefile("rb") as lines:
                for line in lines:
                    self._sock.settimeout(None)
                    answer = decode_answer(line)
                    if isinstance(answer, Refused):
                        raise NotAllowed(f"{self._where}: {answer.reason}")
                    yield answer
        except TimeoutError:
            raise NotAnswered(f"the master at {self._where} does not answer") from None
        except OSError as error:
            raise NotReached(f"{self._where}: {error.strerror}") from None
        except NotUnderstood as error:
            raise NotAllowed(f"{self._where}: {error}") from None


def _encoded(request: Request) -> bytes:
    """Raises UsageError: what was typed may be any bytes (PEP 383)."""
    try:
        return encode(request)
    except UnicodeEncodeError as error:
        raise click.UsageError(f"{printable(error.object)} is not text in UTF-8") from None


def only_answer(path: Path, request: Request, kind: type[_Wanted]) -> _Wanted:
    """The answer to a request that has one, of that `kind`. Exits where there is none."""
    try:
        with Conversation(path) as master:
            answer = next(master.ask(request), None)
    except NotReached as error:
        fail(str(error), error.code)
    return answer if isinstance(answer, kind) else fail("the master ended before it answered", FAILED)
