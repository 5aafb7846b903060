"""The WSGI application of the admin process: a table of pages, each with its methods."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct

from superwsgi.admin import shown
from superwsgi.admin.asking import Asking, Declined, Unanswered
from superwsgi.admin.charts.history import History
from superwsgi.admin.events import MOST, Stream
from superwsgi.admin.guard import JSON, MOST_CONTENT, Denial, Policy, refusal
from superwsgi.admin.metrics.application import AppMetrics
from superwsgi.admin.metrics.exposition import exposition
from superwsgi.admin.profiling import POLICY, Documents, OfProfile, ProfileDocument, document
from superwsgi.admin.watching import Watching
from superwsgi.control import (
    AllStacks,
    ConfigRequest,
    Configuration,
    Ended,
    KillRequest,
    Outcome,
    Profile,
    RecycleRequest,
    ReloadRequest,
    Request,
    StacksRequest,
    Why,
    WhyRequest,
    WorkersRequest,
)

Environ = dict[str, Any]
Wanted = TypeVar("Wanted")

_FIELDS: Final = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
_NOTHING_ELSE: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    503: "Service Unavailable",
}

_PROFILES: Final = "/api/profile/"

_WORK: Final = 600.0
"""Seconds that the master may take to act."""


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is closed at its end, if it can be."""

    body: Iterable[bytes]
    kind: str = JSON
    status: int = 200
    fields: Mapping[str, str] = field(default_factory=dict)
    policy: str = _NOTHING_ELSE


Page = Callable[[Environ], Response]


class Denied(Exception):
    """A request that cannot be answered otherwise: its status, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class OfReload(Struct, forbid_unknown_fields=True):
    """Nothing is to be said."""


class OfRecycle(Struct, forbid_unknown_fields=True):
    """As RecycleRequest."""

    worker: str | None = None


class OfKill(Struct, forbid_unknown_fields=True):
    """As KillRequest."""

    worker: str


class OfWorkers(Struct, forbid_unknown_fields=True):
    """As WorkersRequest: one of the three."""

    number: Annotated[int, Meta(ge=1)] | None = None
    difference: int | None = None
    auto: bool = False


class OfStacks(Struct, forbid_unknown_fields=True):
    """As StacksRequest."""

    of: str | None = None


class Application:
    """`pages` are what there is, by path and method; `own` are the application's metrics, if wanted."""

    def __init__(
        self,
        policy: Policy,
        asking: Asking,
        watching: Watching,
        history: History,
        own: AppMetrics | None = None,
    ) -> None:
        self._policy = policy
        self._asking = asking
        self._watching = watching
        self._history = history
        self._own = own
        self._documents = Documents()
        page = Path(__file__).with_name("page.html").read_bytes()
        self._index = Response([page], "text/html; charset=utf-8", policy=_only_inline(page.decode()))
        self.pages: dict[str, dict[str, Page]] = {
            "/": {"GET": lambda _: self._index},
            "/metrics": {"GET": self._metrics},
            "/api/status": {"GET": self._status},
            "/api/events": {"GET": self._stream},
            "/api/history": {"GET": self._hour},
            "/api/incidents": {"GET": self._incidents},
            "/api/config": {"GET": self._config},
            "/api/reload": {"POST": self._reload},
            "/api/recycle": {"POST": self._recycle},
            "/api/kill": {"POST": self._kill},
            "/api/workers": {"POST": self._workers},
            "/api/stacks": {"POST": self._stacks},
            "/api/profile": {"POST": self._profile},
        }

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = self._respond(environ)
        fields = [
            ("Content-Type", response.kind),
            ("Content-Security-Policy", response.policy),
            *_FIELDS,
            *response.fields.items(),
        ]
        if isinstance(response.body, list):
            fields.append(("Content-Length", str(sum(map(len, response.body)))))
        start_response(f"{response.status} {_REASONS[response.status]}", fields)
        return response.body

    def _respond(self, environ: Environ) -> Response:
        refused = refusal(environ, self._policy)
        if refused is not None:
            return _refused(refused)
        methods = self.pages.get(environ["PATH_INFO"]) or self._kept_at(environ["PATH_INFO"])
        if methods is None:
            return _refused(Denial(404, "there is no such page"))
        method = environ["REQUEST_METHOD"]
        page = methods.get("GET" if method == "HEAD" else method)
        if page is None:
            return _refused(Denial(405, f"{method} means nothing here", {"Allow": ", ".join(methods)}))
        try:
            return page(environ)
        except Denied as error:
            return _refused(Denial(error.status, str(error)))
        except Declined as error:
            return _refused(Denial(409, str(error)))
        except Unanswered as error:
            return _refused(Denial(503, str(error)))

    # What is shown.

    def _status(self, _environ: Environ) -> Response:
        return Response([self._watching.fresh().encoded()])

    def _metrics(self, environ: Environ) -> Response:
        accept = environ.get("HTTP_ACCEPT", "")
        kind, body = exposition(self._watching.fresh().snapshot, accept, self._own)
        return Response([body], kind, fields={"Vary": "Accept"})

    def _stream(self, environ: Environ) -> Response:
        if environ["REQUEST_METHOD"] == "HEAD":
            return Response([b""], "text/event-stream")
        if not self._watching.join(MOST):
            raise Denied(503, f"{MOST} streams are open already")
        return Response(Stream(self._watching), "text/event-stream", fields={"X-Accel-Buffering": "no"})

    def _hour(self, environ: Environ) -> Response:
        since = _asked(environ).get("since", "0")
        if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", since):
            raise Denied(400, "since is a time, in seconds since 1970")
        return Response([self._history.shown(float(since))])

    def _incidents(self, environ: Environ) -> Response:
        query = _asked(environ)
        most = query.get("most", "20")
        if not re.fullmatch(r"[0-9]{1,3}", most):
            raise Denied(400, "most is a number of incidents")
        answer = self._asking.ask(WhyRequest(concerning=query.get("of"), most=int(most)))
        assert isinstance(answer, Why)
        return _json(shown.why(answer))

    def _config(self, _environ: Environ) -> Response:
        answer = self._asking.ask(ConfigRequest())
        assert isinstance(answer, Configuration)
        return _json(answer)

    # What is done.

    def _reload(self, environ: Environ) -> Response:
        _content(environ, OfReload)
        return self._done(ReloadRequest(follow=True))

    def _recycle(self, environ: Environ) -> Response:
        return self._done(RecycleRequest(worker=_content(environ, OfRecycle).worker, follow=True))

    def _kill(self, environ: Environ) -> Response:
        return self._done(KillRequest(worker=_content(environ, OfKill).worker, follow=True))

    def _workers(self, environ: Environ) -> Response:
        wanted = _content(environ, OfWorkers)
        number, difference, auto = wanted.number, wanted.difference, wanted.auto
        if (number is not None) + (difference is not None) + auto != 1:
            raise Denied(400, "either number, difference or auto says how many workers there are to be")
        return self._done(WorkersRequest(number=number, difference=difference, follow=True, auto=auto))

    def _stacks(self, environ: Environ) -> Response:
        answer = self._asking.ask(StacksRequest(of=_content(environ, OfStacks).of))
        assert isinstance(answer, AllStacks)
        return _json(shown.stacks(answer))

    def _profile(self, environ: Environ) -> Response:
        wanted = _content(environ, OfProfile)
        try:
            request = wanted.request()
        except ValueError as error:
            raise Denied(400, str(error)) from None
        answer = self._asking.ask(request, wanted.seconds + _WORK)
        assert isinstance(answer, Profile)
        made = document(answer, wanted.format)
        return _json(self._documents.keep(answer, made)) if wanted.keep else _shown_alone(made)

    def _kept_at(self, path: str) -> dict[str, Page] | None:
        """The page of a profile that is kept."""
        made = self._documents.find(path.removeprefix(_PROFILES)) if path.startswith(_PROFILES) else None
        return None if made is None else {"GET": lambda _: _shown_alone(made)}

    def _done(self, request: Request) -> Response:
        """What became of something that takes a while."""
        answer = self._asking.ask(request, _WORK)
        assert isinstance(answer, Ended)
        return _json(answer, 200 if answer.outcome is Outcome.COMPLETE else 409)


def _shown_alone(made: ProfileDocument) -> Response:
    fields = {"Content-Disposition": f'attachment; filename="{made.name}"'} if made.name else {}
    return Response([made.content], made.kind, fields=fields, policy=POLICY)


def _json(answer: Struct, status: int = 200) -> Response:
    return Response([msgspec.json.encode(answer)], status=status)


def _refused(refused: Denial) -> Response:
    content = msgspec.json.encode({"error": refused.reason}) + b"\n"
    return Response([content], status=refused.status, fields=refused.fields)


def _asked(environ: Environ) -> dict[str, str]:
    """The query; of what is in it twice, the last. Raises Denied."""
    try:
        return dict(parse_qsl(environ["QUERY_STRING"], max_num_fields=8))
    except ValueError as error:
        raise Denied(400, f"the query string: {error}") from None


def _content(environ: Environ, kind: type[Wanted]) -> Wanted:
    """What was posted. Raises Denied."""
    content = environ["wsgi.input"].read(MOST_CONTENT + 1)
    if len(content) > MOST_CONTENT:
        raise Denied(413, "the content is too large")
    try:
        return msgspec.json.decode(content or b"{}", type=kind)
    except (ValueError, RecursionError) as error:
        raise Denied(400, f"the content does not say what to do: {error}") from None


# The page: one file, whose own scripts and styles may run, and nothing else.


def _only_inline(page: str) -> str:
    """The policy (CSP level 3) for a page that asks this origin alone: each inline script and style by its
    hash."""
    scripts, styles = (" ".join(_hashes(page, tag)) or "'none'" for tag in ("script", "style"))
    return (
        f"{_NOTHING_ELSE}; script-src {scripts}; style-src {styles}; connect-src 'self'; img-src 'self' data:"
    )


def _hashes(page: str, tag: str) -> Iterable[str]:
    for content in re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", page, re.DOTALL | re.IGNORECASE):
        digest = hashlib.sha256(content.encode()).digest()
        yield f"'sha256-{base64.b64encode(digest).decode()}'"
