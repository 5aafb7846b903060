"""Applications that an ini file describes, as Pyramid, TurboGears and others have them. PasteDeploy, which is
of the application's packages, makes them. The file's logging is set up first, as `pserve` does.
"""

from __future__ import annotations

import importlib
import logging.config
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from superwsgi.apps.spec import Spec, at, near
from superwsgi.config.text.paste import applications, sections
from superwsgi.config.text.variables import UnusableFile
from superwsgi.log.spelling import spell_exception


def load_paste(spec: Spec) -> object:
    """The application of a section, by default `main`. Raises AppError."""
    path, section = spec.said.source, spec.said.name
    _set_up_logging(spec, path)
    loadapp = _loadapp(spec)
    try:
        return loadapp(f"config:{quote(path)}", name=section)
    except SystemExit as exc:
        spec.fail(f"its application ends the process: SystemExit({exc.code!r}){at(exc)}", exc)
    except LookupError as exc:
        _require_section(spec, path, section or "main")
        _fail(spec, exc)
    except BaseException as exc:
        _fail(spec, exc)


def _require_section(spec: Spec, path: str, section: str) -> None:
    """Raises AppError where the file has no such application."""
    known = applications([*_said(spec, path)])
    if section not in known and ":" not in section:
        there = f"; it has {', '.join(known)}" if known else ""
        spec.fail(f"the file has no section [app:{section}]{near(section, known)}{there}")


def _fail(spec: Spec, exc: BaseException) -> NoReturn:
    missing = isinstance(exc, ModuleNotFoundError)
    more = f"; packages are looked for in {sys.prefix}" if missing else ""
    spec.fail(f"making its application failed: {spell_exception(exc)}{at(exc)}{more}", exc)


def _loadapp(spec: Spec) -> Any:
    try:
        return importlib.import_module("paste.deploy").loadapp
    except ImportError as exc:
        needs = "a Paste file needs PasteDeploy, which is not there"
        spec.fail(f"{needs} ({exc}): install it with `{sys.executable} -m pip install PasteDeploy`")


def _set_up_logging(spec: Spec, path: str) -> None:
    """What `[loggers]` says, if the file has it. Raises AppError."""
    if "loggers" not in _said(spec, path):
        return
    defaults = {"__file__": _escaped(path), "here": _escaped(str(Path(path).parent))}
    try:
        logging.config.fileConfig(path, defaults, disable_existing_loggers=False, encoding="utf-8")
    except Exception as exc:
        spec.fail(f"its logging cannot be set up: {spell_exception(exc)}{at(exc)}", exc)


def _said(spec: Spec, path: str) -> Mapping[str, Mapping[str, str]]:
    """What the file's sections say. Raises AppError."""
    try:
        return sections(Path(path))
    except FileNotFoundError:
        spec.fail("there is no such file")
    except UnusableFile as error:
        spec.fail(f"the file {error}{f': {error.hint}' if error.hint else ''}")


def _escaped(path: str) -> str:
    """As configparser interpolates values, % is written twice."""
    return path.replace("%", "%%")
