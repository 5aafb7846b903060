"""What is known of a project beyond its application, by looking at the files beside the site file to be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from superwsgi.config import naming
from superwsgi.config.errors import Problem
from superwsgi.config.text import dotenv
from superwsgi.config.text.variables import UnusableFile
from superwsgi.deployment.site_file import KnownProject
from superwsgi.log.spelling import printable
from superwsgi.project.found import Found

_DOTENV: Final = ".env"
_STATIC: Final = ("static", "staticfiles", "public")


def project(found: Found, file: Path, environ: Mapping[str, str]) -> tuple[KnownProject, list[str]]:
    """The project whose site file is to be `file`, an absolute path, and what could not be used, a line
    each."""
    folder = file.parent
    within = os.path.relpath(found.folder, folder)
    notes = list(_problems(folder / _DOTENV, environ))
    usable = (folder / _DOTENV).is_file() and not notes
    known = KnownProject(
        name=naming.of_file(str(file)),
        app=found.app if within == "." else _from(found.app, found.folder),
        why=printable(found.why),
        chdir=None if within == "." else within,
        env_file=_DOTENV if usable else None,
        env=found.env,
        framework=found.framework,
        static=_static(folder, found),
        settings=found.settings,
    )
    return known, notes


def _from(app: str, folder: str) -> str:
    """A file by a path that means the same from elsewhere; a module is as it is."""
    file = app.partition(":")[0]
    return app if Path(file).is_absolute() or not (Path(folder) / file).is_file() else f"{folder}/{app}"


def _static(folder: Path, found: Found) -> str | None:
    module = found.app.partition(":")[0].partition(".")[0]
    places = [each for name in _STATIC for each in (name, f"{module}/{name}")]
    return next((f"./{each}" for each in places if (folder / each).is_dir()), None)


def _problems(path: Path, environ: Mapping[str, str]) -> list[str]:
    """Why it cannot be the site's `env_file`."""
    problems: list[Problem] = []
    try:
        dotenv.read(path, environ, problems)
    except FileNotFoundError:
        return []
    except UnusableFile as error:
        return [f"{path.name} {error}; {error.hint}"]
    except OSError as error:
        return [f"{path.name}: {error.strerror}"]
    return [str(problem) for problem in problems]
