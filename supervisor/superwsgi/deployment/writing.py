"""Putting files in their places: nothing of anybody else is overwritten, and what changes is shown."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from superwsgi.deployment import units
from superwsgi.deployment.units import UnitFile


class InTheWay(Exception):
    """A file is there already, and not ours to replace; the text names it."""


def difference(file: UnitFile) -> list[str]:
    """What would change, as a unified diff; empty where nothing would. Raises OSError."""
    before = _text(file.path)
    lines = difflib.unified_diff(
        (before or "").splitlines(),
        file.text.splitlines(),
        file.path if before else "/dev/null",
        file.path,
        "",
        "",
        1,
        "",
    )
    return list(lines)


def verify_ours(files: Iterable[UnitFile]) -> None:
    """Raises InTheWay where a file is there that was not written for the same site."""
    for file in files:
        text = _text(file.path)
        ours = file.text.partition("\n")[0]
        if text is not None and text.partition("\n")[0] != ours:
            raise InTheWay(f"{file.path} is there, and was not written for this site file{_whose(text)}")


def _whose(text: str) -> str:
    _, ours, file = text.partition("\n")[0].partition(units.HEAD)
    return f", but for {file}" if ours else ""


def left_over(files: Sequence[UnitFile]) -> list[str]:
    """Files that were written for the same site as these, and not by this: of a name that it had before, for
    a socket or folder that it wants no more. Raises OSError."""
    now, ours = {file.path for file in files}, files[0].text.partition("\n")[0]
    there = [
        str(path) for folder in (units.SYSTEM, units.TMPFILES) for path in Path(folder).glob("superwsgi-*")
    ]
    return [
        path for path in sorted(there) if path not in now and (_text(path) or "").partition("\n")[0] == ours
    ]


def replace(path: str, text: str, mode: int = 0o644) -> None:
    """Whoever reads it meanwhile sees the old file or the new one. Raises OSError."""
    folder = Path(path).parent
    descriptor, made = tempfile.mkstemp(prefix=f".{Path(path).name}.", dir=folder)
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            os.fchmod(stream.fileno(), mode)
        Path(made).replace(path)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise


def create(path: str, text: str) -> None:
    """Raises FileExistsError where anything is there, a link that leads nowhere included, and OSError."""
    with open(path, "x", encoding="utf-8") as stream:
        stream.write(text)


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text("utf-8", "replace")
    except FileNotFoundError:
        return None
