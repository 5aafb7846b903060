"""The page that a browser shows instead of the site while its newest code does not run. It needs nothing from
anywhere else, asks where the code stands, and loads itself again once that is another.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable
from string import Template
from typing import Final

from superwsgi.apps.types import Environ, StartResponse
from superwsgi.development.names import STATE
from superwsgi.development.shared import Breakage
from superwsgi.development.shown.tracebacks import parts

_PAGE: Final = Template("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --back: #fff; --text: #1c1e21; --dim: #6b7280; --own: #0b63b5;
  --error: #c21d1d; --box: #f5f6f8; --line: #d8dbe0 }
@media (prefers-color-scheme: dark) {
  :root { --back: #16181c; --text: #e6e8eb; --dim: #8b929c; --own: #7cc0ff; --error: #ff7b72; --box: #1e2126;
    --line: #343941 }
}
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem }
h1 { margin: 0 0 .75rem; font-size: 1.1rem; color: var(--error) }
p { margin: 0 0 1.25rem }
.reason { font-size: 1.15rem; overflow-wrap: anywhere }
.next { color: var(--dim) }
pre { margin: 0 0 1.25rem; padding: 1rem; overflow-x: auto; background: var(--box);
  border: 1px solid var(--line); border-radius: 6px; font: .85rem/1.55 ui-monospace, monospace }
.own { color: var(--own); font-weight: 600 }
.code { font-weight: 600 }
.library { color: var(--dim) }
.error { color: var(--error); font-weight: 600 }
</style>
<main>
<h1>$heading</h1>
<p class="reason">$reason</p>
$detail<p class="next">$next</p>
</main>
$script</html>
""")

_SCRIPT: Final = Template("""\
<script>
setInterval(async () => {
  try {
    const answer = await fetch("$state", {cache: "no-store"});
    if (answer.ok && await answer.text() !== "$at") location.reload();
  } catch (error) {}  // it is not there for a moment: ask again
}, 400);
</script>
""")


def broken(failure: Breakage, prefix: str, *, serves: bool) -> bytes:
    """Instead of the site, mounted at `prefix`; `serves`: there is an older version that runs."""
    meanwhile = "Meanwhile the last version that ran answers everything but pages. " if serves else ""
    return _page(
        failure,
        heading="The newest code does not run",
        next=f"{meanwhile}This page goes once the code is mended.",
        script=_SCRIPT.substitute(state=html.escape(prefix + STATE), at=failure.at),
    )


def failed(failure: Breakage) -> bytes:
    """Instead of an answer that the application failed to give."""
    hint = "With werkzeug installed there is its debugger here."
    return _page(failure, heading="The application failed", next=hint, script="")


def _page(failure: Breakage, *, heading: str, next: str, script: str) -> bytes:
    text = _PAGE.substitute(
        title=html.escape(f"{heading}: {failure.reason}"),
        heading=html.escape(heading),
        reason=html.escape(failure.reason),
        detail=_set(failure.detail),
        next=html.escape(next),
        script=script,
    )
    return text.encode("utf-8", "backslashreplace")


def _set(traceback: str) -> str:
    if not traceback:
        return ""
    lines = (f'<span class="{each.part.value}">{html.escape(each.text)}</span>' for each in parts(traceback))
    return "<pre>" + "\n".join(lines) + "</pre>\n"


def is_navigation(environ: Environ) -> bool:
    """Whether somebody is to look at the answer: a browser that goes to a page (Fetch Metadata Request
    Headers section 2.2), and no program of that page. Older browsers say no more than what they accept."""
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD", "POST"):
        return False
    accepts = "text/html" in environ.get("HTTP_ACCEPT", "")
    return accepts and environ.get("HTTP_SEC_FETCH_MODE", "navigate") == "navigate"


def again(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Have a browser ask the same again: the answer closes its connection, and newer code has the next."""
    where = str(environ.get("RAW_URI") or environ.get("PATH_INFO", "/"))
    return answer(start_response, "307 Temporary Redirect", b"", ("Location", where))


def answer(
    start_response: StartResponse,
    status: str,
    body: bytes,
    *fields: tuple[str, str],
    kind: str = "text/html",
) -> Iterable[bytes]:
    """Instead of one of the application's. Raises the exception that is being handled, if it has begun to
    send its own (PEP 3333)."""
    about = ("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body)))
    headers = [*about, ("Cache-Control", "no-store"), *fields]
    start_response(status, headers, sys.exc_info())
    return [body]
