"""Which files of a project matter, and waiting for one of them to change: watchfiles, in a thread of its own.

Editors save in several steps, and git changes hundreds of files: what belongs together is told at once.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

_IGNORED: Final = frozenset(
    {
        *(".git", ".hg", ".svn", ".bzr", ".idea", ".vscode", ".venv", "venv", "site-packages"),
        *("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox"),
        *("node_modules", ".direnv", ".eggs"),
    }
)
"""Folders of others: versions, environments, caches, editors."""

_SCRATCH: Final = re.compile(r"^(\.#|#|flycheck_|\.goutputstream-)|(~|\.sw[a-z]|___jb_(tmp|old)___)$")
"""Files that editors make beside the one that is edited."""

_STEP: Final = 20
"""Milliseconds without a change after which one is told; also how often the library looks."""

_MOST: Final = 100
"""Milliseconds after which changes that never pause are told: a log may be written below the project."""

_MANY: Final = 3
"""Files in one change from which on more of them are to be expected."""

_QUIET: Final = 0.15
"""Seconds without a change in which nobody changes many files any more."""

_PATIENCE: Final = 5.0
"""Seconds for git to finish what it does to the files."""


@dataclass(frozen=True)
class Watch:
    """What matters: Python files below the `folders`, single `files`, and `more` that an operator names:
    files, folders with all that is in them, and globs."""

    folders: tuple[Path, ...]
    files: frozenset[Path] = frozenset()
    more: tuple[str, ...] = ()

    def matters(self, path: Path) -> bool:
        """Whether a change there is a reason to reload."""
        if path in self.files or any(matches(path) for matches in self._named):
            return True
        if _SCRATCH.search(path.name) or not (path.suffix == ".py" or _has_come_with_code(path)):
            return False
        return any(path.is_relative_to(each) and not _is_foreign(path, each) for each in self.folders)

    @cached_property
    def _named(self) -> list[Callable[[Path], bool]]:
        return [_matching(Path(each)) for each in self.more]

    def roots(self) -> list[Path]:
        """The folders to watch with all that is below, none of them in another."""
        named = [_root(Path(each)) for each in self.more]
        found = {*self.folders, *named, *(file.parent for file in self.files)}
        there = sorted(each for each in found if each.is_dir())
        return [each for each in there if not any(each != top and each.is_relative_to(top) for top in there)]


def _has_come_with_code(path: Path) -> bool:
    """Whether it is a folder with Python files: of one that is moved here the kernel tells nothing more."""
    return path.is_dir() and next(path.rglob("*.py"), None) is not None


def _is_foreign(path: Path, folder: Path) -> bool:
    """Whether it lies in an ignored folder, or an environment of any name, below `folder`."""
    parts = path.relative_to(folder).parts
    between = parts if path.is_dir() else parts[:-1]
    if not _IGNORED.isdisjoint(between):
        return True
    above = (folder.joinpath(*between[:count]) for count in range(1, len(between) + 1))
    return any((each / "pyvenv.cfg").exists() for each in above)


def _is_glob(text: str) -> bool:
    return any(mark in text for mark in "*?[")


def _root(named: Path) -> Path:
    """The folder in which all that it names is."""
    while _is_glob(str(named)):
        named = named.parent
    return named if named.is_dir() else named.parent


def _matching(named: Path) -> Callable[[Path], bool]:
    """A test for what an operator has named by an absolute path or glob."""
    if _is_glob(str(named)):
        return lambda path: _translated(str(named)).match(str(path)) is not None
    return lambda path: (
        path == named
        or (path.is_relative_to(named) and not _is_foreign(path, named) and not _SCRATCH.search(path.name))
    )


def _translated(glob: str) -> re.Pattern[str]:
    """As a shell has it: `*` within a name, `**/` through any folders."""
    steps = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", glob)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(_step(each, wild) for each in steps) + r"\Z", re.DOTALL)


def _step(step: str, wild: dict[str, str]) -> str:
    if step.startswith("[") and step.endswith("]"):
        return f"[^{step[2:-1]}]" if step[1] in "!^" else step
    return wild.get(step) or re.escape(step)


class FileWatcher:
    """Calls `changed` with the paths that have changed, `failed` with the reason if it cannot watch; both in
    its own thread."""

    def __init__(
        self, watch: Watch, changed: Callable[[Sequence[Path]], None], failed: Callable[[str], None]
    ) -> None:
        self._watch = watch
        self._changed = changed
        self._failed = failed
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="superwsgi-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()

    def _run(self) -> None:
        try:
            self._wait()
        except Exception as error:  # among others the kernel's limit of watches
            self._failed(str(error))

    def _wait(self) -> None:
        batches = self._batches()
        for batch in batches:
            if len(batch) >= _MANY or self._git_works():
                batch = {*batch, *self._rest(batches)}
            if batch:
                self._changed(sorted(batch))

    def _batches(self) -> Iterator[set[Path]]:
        """What matters of each change; an empty one now and then."""
        from watchfiles import watch

        changes = watch(
            *self._watch.roots(),
            watch_filter=None,  # which would tell of nothing while there is only what does not matter
            step=_STEP,
            debounce=_MOST,
            stop_event=self._end,
            rust_timeout=50,
            yield_on_timeout=True,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        for each in changes:
            yield {path for _, name in each if self._watch.matters(path := Path(name))}

    def _rest(self, batches: Iterator[set[Path]]) -> Iterable[Path]:
        """All that follows until it is quiet, and git is done."""
        began = quiet_since = time.monotonic()
        found: set[Path] = set()
        for batch in batches:
            now = time.monotonic()
            if batch:
                quiet_since = now
            found |= batch
            is_quiet = now - quiet_since >= _QUIET and not self._git_works()
            if is_quiet or now - began > _PATIENCE:
                break
        return found

    def _git_works(self) -> bool:
        """Whether git changes files at this moment."""
        with contextlib.suppress(OSError):
            return any((folder / ".git/index.lock").exists() for folder in self._repositories)
        return False

    @cached_property
    def _repositories(self) -> list[Path]:
        """Folders of work trees that have what is watched."""
        above = {each for folder in self._watch.folders for each in (folder, *folder.parents)}
        return [each for each in above if (each / ".git").is_dir()]


def can_watch() -> bool:
    """Whether watchfiles is installed."""
    try:
        import watchfiles  # noqa: F401
    except ImportError:
        return False
    return True
