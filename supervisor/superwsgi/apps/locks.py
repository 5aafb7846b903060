"""Errors by which an application says that another process has locked what it needs: a file, a database, an
address. In a reload that process is usually of the generation that serves.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Final

_ERRNOS: Final = frozenset({errno.EAGAIN, errno.EADDRINUSE})  # flock(2), fcntl(2); bind(2)

_NAMES: Final = re.compile(
    r"\w*Lock(Error|Exception|Timeout|Failed|ed)|AlreadyRunning\w*|filelock\.\w+\.Timeout"
)
"""Of zc.lockfile, portalocker, lmdb, lockfile, filelock and others, which share no base class."""

_WORDS: Final = re.compile(
    r"(database|file|table|index|store|environment) is (already )?(locked|in use|open)"  # sqlite3
    r"|resource temporarily unavailable|address already in use"  # gdbm, rocksdb; what has lost its errno
    r"|already (locked|running|opened)|lock (is )?held|lock file|could not (set|get|acquire|obtain) .*lock",
    re.IGNORECASE,
)


def is_locked_out(error: BaseException) -> bool:
    """Whether the error, or one that it was raised from, says so."""
    return any(map(_says_so, _chain(error)))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _says_so(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return True
    kind = type(error)
    if _NAMES.fullmatch(kind.__name__) or _NAMES.fullmatch(f"{kind.__module__}.{kind.__name__}"):
        return True
    try:
        return not isinstance(error, ImportError | SyntaxError) and bool(_WORDS.search(str(error)))
    except Exception:  # the application's own
        return False
