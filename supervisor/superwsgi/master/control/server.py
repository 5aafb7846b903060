"""The control socket: who may connect, and the clients, each of which makes one request and is answered.

Served by the master's loop, which never waits for a client: what cannot be sent is kept, up to a limit, and a
client that does not read, does not ask, or asks for too much is disconnected.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from superwsgi.config.schema import Site
from superwsgi.control import (
    Answer,
    ConfigRequest,
    KillRequest,
    NotUnderstood,
    ProfileRequest,
    Progress,
    RecycleRequest,
    Refused,
    ReloadRequest,
    Request,
    StacksRequest,
    StatusRequest,
    WhyRequest,
    WorkersRequest,
    decode_request,
    encode,
)
from superwsgi.log.error import ErrorLog
from superwsgi.log.rate_limit import Complaint
from superwsgi.master.control import by_name, paths
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.sockets.listener import BindError, Listener, bind_private, check_private
from superwsgi.system import credentials

MOST_CLIENTS: Final = 32
"""At a time. A new one then replaces the client that has been connected longest without a request."""

PATIENCE: Final = 10.0
"""Seconds that a client may take to ask, and to read its answer."""

MOST_GUESTS: Final = 16
"""Connections of the admin process at a time; they take no place from other clients."""

GUESTS_MAY: Final = (
    *(StatusRequest, WhyRequest, ConfigRequest, StacksRequest, ProfileRequest),
    *(ReloadRequest, RecycleRequest, KillRequest, WorkersRequest),
)
"""What the admin process may ask for. It hears from whoever reaches it, so it is not believed like others."""

LONGEST_REQUEST: Final = 4 << 10
"""Bytes."""

_BACKLOG: Final = 1024
_AT_ONCE: Final = 16
_PAUSE: Final = 1.0
"""Seconds before the next try if a connection could not be accepted for want of descriptors."""

_WITHOUT: Final = "superwsgi status cannot reach this site; fix that and send HUP, or set `control` to a path"
_TELL_APART: Final = "reach it by -c FILE or --control SOCKET, or by its name if no other site has the same"

Follow = Callable[[float], Answer | None]
"""Returns the current answer, or None while there is none; any other than a Progress is the last one."""


class Answers(Protocol):
    """Does as asked."""

    def answer(self, request: Request, who: str, now: float) -> tuple[Answer | None, Follow | None]:
        """Do as `who` asked; returns the first answer, if there is one yet, and how to go on if more is
        wanted."""


@dataclass(slots=True)
class _Client:
    """`who` it is, as text; a `guest` is the admin process. `follow` is how its answer goes on, `last` is the
    last answer it was sent."""

    sock: socket.socket
    who: str
    deadline: float | None
    asked: bytearray = field(default_factory=bytearray)
    unsent: bytearray = field(default_factory=bytearray)
    guest: bool = False
    served: bool = False  # its request was read
    follow: Follow | None = None
    last: Answer | None = None


def _may_guest(request: Request) -> bool:
    """To compare means to read the site file, which holds up the loop."""
    return isinstance(request, GUESTS_MAY) and not (isinstance(request, ConfigRequest) and request.compare)


class Control:
    """`environ` is that of the master's start."""

    def __init__(self, loop: EventLoop, environ: Mapping[str, str], errors: ErrorLog) -> None:
        self.listener: Listener | None = None
        self._loop = loop
        self._environ = environ
        self._errors = errors
        self._answers: Answers | None = None
        self._warned: object = None
        self._site: Site | None = None  # where to listen, if it has said so
        self._crowded = Complaint(errors.warning, "control socket crowded")
        self._lost = Complaint(errors.error, "control socket lost")
        self._clients: dict[int, _Client] = {}  # by descriptor, in order of arrival

    def answer_by(self, answers: Answers) -> None:
        """Set who answers, before the first client comes."""
        self._answers = answers

    # The socket.

    def check(self, site: Site) -> None:
        """A reload begins: find out whether `open` would succeed. Raises BindError."""
        self._warned = None
        if site.control is not None and site.control not in (paths.OFF, self._path()):
            check_private(site.control)

    def open(self, site: Site) -> None:
        """Listen where the site says, and nowhere else. Raises BindError for a socket that the site names;
        failing to bind one in the usual folders is not an error."""
        self._site = site
        if site.control == paths.OFF:
            self._stop_listening()
        elif site.control is None:
            self._open_by_name(site.name)
        elif self._path() != site.control or not self._can_be_reached():
            self._replace(bind_private(site.control, _BACKLOG))

    def look(self, now: float) -> None:
        """Listen again where somebody has removed the file, or the folder that it was in."""
        if self.listener is None or self._site is None or self._can_be_reached():
            return
        reason = "its file was removed"
        try:
            self.open(self._site)
        except BindError as error:
            reason = f"{reason}; {error}"
        then = "bound again" if self._can_be_reached() else "tried again"
        self._lost.make(int(now * 1e9), socket=self._path(), reason=reason, next=then)

    def _open_by_name(self, name: str) -> None:
        """A site keeps its socket, even if a better one has become free."""
        path = Path(self._path() or "/")
        if self._can_be_reached() and any(each.has(path) for each in paths.folders(name, self._environ)):
            return
        try:
            listener, other = by_name.bind(name, self._environ, _BACKLOG)
        except BindError as error:
            self._warn("no control socket", reason=str(error), next=_WITHOUT)
            return
        self._replace(listener)
        if other is not None:
            self._warn(
                "control socket has a number",
                socket=str(self._path()),
                reason=f"another site listens at {other}",
                next=_TELL_APART,
            )

    def _warn(self, event: str, **fields: str) -> None:
        """Warn once per start or reload, during which `open` is called more than once."""
        if self._warned != (event, fields):
            self._errors.notice(event, **fields)
        self._warned = event, fields

    def _replace(self, listener: Listener) -> None:
        self._stop_listening()
        self.adopt(listener)

    def _can_be_reached(self) -> bool:
        return self.listener is not None and self.listener.can_be_reached()

    def adopt(self, listener: Listener) -> None:
        """Serve a socket that is open already."""
        self.listener = listener
        self._loop.on_readable(listener.sock.fileno(), self._accept)

    def _stop_listening(self) -> None:
        """Connected clients stay."""
        if self.listener is not None:
            self._loop.forget(self.listener.sock.fileno())
            self.listener.close()
            self.listener = None

    def finish(self, now: float) -> None:
        """The master ends: send the last answers, as far as possible without waiting."""
        self._stop_listening()
        self.update(now)
        for client in list(self._clients.values()):
            self._let_go(client)

    def _path(self) -> str | None:
        return None if self.listener is None else str(self.listener.address).removeprefix("unix:")

    # Clients.

    def update(self, now: float) -> None:
        """After every turn of the loop: send changes to the clients that follow. A slow reader misses steps
        on the way, but not the end."""
        for client in [client for client in self._clients.values() if client.follow is not None]:
            assert client.follow is not None
            answer = client.follow(now)
            if answer is None:
                continue
            if not isinstance(answer, Progress):
                client.follow = None
            if answer != client.last and (client.follow is None or not client.unsent):
                self._say(client, answer, now)

    def _accept(self, now: float) -> None:
        assert self.listener is not None
        for _ in range(_AT_ONCE):
            try:
                sock, _ = self.listener.sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error, now)
                return
            self._meet(sock, now)

    def _pause(self, error: OSError, now: float) -> None:
        listener = self.listener
        assert listener is not None
        reason = os.strerror(error.errno or 0)
        self._errors.warning("control connection not accepted", reason=reason, next="tried again in 1s")
        self._loop.forget(listener.sock.fileno())
        self._loop.call_at(now + _PAUSE, lambda _: self._resume(listener))

    def _resume(self, listener: Listener) -> None:
        if self.listener is listener:
            self.adopt(listener)

    def _meet(self, sock: socket.socket, now: float) -> None:
        sock.setblocking(False)
        pid, uid, _ = credentials.of_peer(sock)
        client = _Client(sock, f"uid {uid} pid {pid}", None)
        room = self._make_room(client.who, now)
        self._clients[sock.fileno()] = client
        if uid not in (0, os.geteuid()):
            reason = f"only root and user {os.geteuid()} may control this site"
            self._errors.warning(
                "control connection refused", by=client.who, reason=reason, next="its command is told so"
            )
            self._say(client, Refused(reason=reason), now)
        elif not room:
            self._say(client, Refused(reason=f"{MOST_CLIENTS} clients are connected already"), now)
        else:
            self._wait(client, now)
            self._hear(client, now)

    def invite(self, now: float) -> socket.socket | None:
        """The other end of a connection that is served already, for the admin process; None if it has
        MOST_GUESTS. Raises OSError."""
        if sum(client.guest for client in self._clients.values()) >= MOST_GUESTS:
            return None
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        client = _Client(ours, "the admin process", None, guest=True)
        self._clients[ours.fileno()] = client
        self._wait(client, now)
        return theirs

    def _make_room(self, who: str, now: float) -> bool:
        others = [client for client in self._clients.values() if not client.guest]
        if len(others) >= MOST_CLIENTS:
            reason = f"more than {MOST_CLIENTS} clients at a time, the last of {who}"
            then = "who has asked nothing for longest is disconnected"
            self._crowded.make(int(now * 1e9), reason=reason, next=then)
            longest = next((client for client in others if not client.served), None)
            if longest is None:
                return False
            self._let_go(longest)
        return True

    def _hear(self, client: _Client, now: float) -> None:
        try:
            data = client.sock.recv(LONGEST_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._let_go(client)
        elif not client.served:
            client.asked += data
            line, newline, _ = client.asked.partition(b"\n")
            if newline or len(client.asked) > LONGEST_REQUEST:
                self._serve(client, bytes(line), now)

    def _serve(self, client: _Client, line: bytes, now: float) -> None:
        client.served = True
        assert self._answers is not None
        try:
            request = decode_request(line)
            if client.guest and not _may_guest(request):
                raise NotUnderstood(f"{client.who} may not ask for that")
            answer, client.follow = self._answers.answer(request, client.who, now)
        except NotUnderstood as error:
            answer = Refused(reason=str(error))
        except Exception:
            self._say(client, Refused(reason="the master failed to do that; its error log says why"), now)
            raise
        if answer is not None:
            self._say(client, answer, now)
        else:
            client.deadline = None

    def _say(self, client: _Client, answer: Answer, now: float) -> None:
        client.last = answer
        client.unsent += encode(answer)
        self._send(client, now)

    def _send(self, client: _Client, now: float) -> None:
        try:
            while client.unsent:
                del client.unsent[: client.sock.send(client.unsent, socket.MSG_NOSIGNAL)]
        except BlockingIOError:
            self._wait(client, now)
            self._loop.on_writable(client.sock.fileno(), lambda now: self._send(client, now))
            return
        except OSError:
            client.follow = None
        if client.follow is None:
            self._let_go(client)
        else:
            client.deadline = None
            self._loop.on_readable(client.sock.fileno(), lambda now: self._hear(client, now))

    def _wait(self, client: _Client, now: float) -> None:
        """Wait for something from the client, within PATIENCE."""
        client.deadline = now + PATIENCE
        self._loop.call_at(client.deadline, lambda now: self._expire(client, now))
        self._loop.on_readable(client.sock.fileno(), lambda now: self._hear(client, now))

    def _expire(self, client: _Client, now: float) -> None:
        if client.deadline is not None and now >= client.deadline:
            self._let_go(client)

    def _let_go(self, client: _Client) -> None:
        if self._clients.get(client.sock.fileno()) is client:
            del self._clients[client.sock.fileno()]
            self._loop.forget(client.sock.fileno())
            client.sock.close()
