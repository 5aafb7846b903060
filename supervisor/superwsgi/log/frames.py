"""Tracebacks as the author of an application wants them: without the frames of the server."""

from __future__ import annotations

import importlib
import sysconfig
import threading
import traceback
from pathlib import Path
from types import FrameType
from typing import Final

_HERE: Final = str(Path(__file__).parent.parent) + "/"
_OWN: Final = (_HERE, "superwsgi/")  # the latter where compiled
_DEMO: Final = _HERE + "demo/"
_IMPORTLIB: Final = (str(Path(importlib.__file__).parent) + "/", "<frozen importlib")
_RECORDER: Final = _HERE + "worker/hazards/"  # passes on what an application calls while it is imported
_STANDARD: Final = ("<", sysconfig.get_path("stdlib") + "/")
_PACKAGES: Final = tuple({sysconfig.get_path(name) + "/" for name in ("purelib", "platlib")})

DEEPEST: Final = 64
"""Frames of a stack that are shown, of a recursion without end for example."""

At = FrameType | traceback.StackSummary
"""Where a thread is: its innermost frame, or what was read of its stack."""


def application_traceback(exc: BaseException) -> str:
    """The text of `exc` and its causes, without importlib's frames, and without those of superwsgi that come
    before the application's or record what it does.

    Without any frame of the application the server itself is at fault, and its frames stay; except for a
    module with a syntax error, which has no frame.
    """
    report = traceback.TracebackException.from_exception(exc)
    _trim(report, blameless=isinstance(exc, SyntaxError))
    return "".join(report.format())


def raised_at(exc: BaseException) -> str:
    """`/srv/shop/wsgi.py, line 3`: the application's last line before `exc`; empty where there is none."""
    frames = _from_application(traceback.extract_tb(exc.__traceback__))
    own = [frame for frame in frames if not is_library(frame.filename)] or frames
    return f"{own[-1].filename}, line {own[-1].lineno}" if own else ""


def stack_since_ours(frame: FrameType | None) -> str:
    """The text of the stack down to `frame`, from the last call that the server has made."""
    stack = traceback.extract_stack(frame)
    ours = [at for at, each in enumerate(stack) if _is_own(each.filename)]
    return "".join(traceback.format_list(stack[ours[-1] + 1 if ours else 0 :]))


def application_stack(at: At) -> str:
    """The text of the stack of a thread that is there, at most its innermost DEEPEST frames, without those of
    the server and of threading above the application's; empty without any of the application."""
    stack = summary(at)
    first = next((number for number, each in enumerate(stack) if not is_above(each.filename)), len(stack))
    return "".join(traceback.format_list(stack[first:]))


def summary(at: At) -> traceback.StackSummary:
    """The innermost DEEPEST frames, outermost first."""
    return traceback.extract_stack(at, DEEPEST) if isinstance(at, FrameType) else at


def is_above(filename: str) -> bool:
    """Whether code in that file leads to the application: the server's, and threading's."""
    return filename == threading.__file__ or _is_own(filename)


def is_library(filename: str) -> bool:
    """Whether code in that file is installed, or the server's, and not the application's own."""
    return is_standard(filename) or is_installed(filename) or _is_own(filename)


def is_standard(filename: str) -> bool:
    """Whether that file is Python's own, below which packages may be installed."""
    return filename.startswith(_STANDARD) and not filename.startswith(_PACKAGES)


def is_installed(filename: str) -> bool:
    """Whether that file is of a package, other than the server."""
    return filename.startswith(_PACKAGES) and not _is_own(filename)


def _trim(report: traceback.TracebackException, blameless: bool) -> None:
    frames = _from_application(report.stack)
    if frames or blameless:
        report.stack[:] = frames
    for other in (report.__cause__, report.__context__):
        if other is not None:
            _trim(other, blameless)


def _from_application(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    frames = [frame for frame in stack if not frame.filename.startswith((*_IMPORTLIB, _RECORDER))]
    first = next((at for at, frame in enumerate(frames) if not _is_own(frame.filename)), len(frames))
    return frames[first:]


def _is_own(filename: str) -> bool:
    return filename.startswith(_OWN) and not filename.startswith(_DEMO)
