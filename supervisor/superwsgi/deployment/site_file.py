"""The site file that `superwsgi init` writes for a project: what was found, what is sensible, and the rest as
comments. A list of entries is decided here from what is known, and then spelled; nothing is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from superwsgi.deployment.text import escaping

_FROM_PROJECT: Final = "as [tool.superwsgi] in pyproject.toml has it"
_COLUMN: Final = 40
_WIDTH: Final = 112

BIND: Final = "${BIND:-127.0.0.1:8000}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownProject:
    """What is known of it. `chdir` and `env_file` are as seen from the site file's folder, or None; `static`
    is a folder with files for browsers. `settings` are keys of a site file that the project itself has."""

    name: str
    app: str
    why: str
    chdir: str | None = None
    env_file: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    framework: str | None = None
    static: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SiteEntry:
    """A key with its value as it is spelled, and what it is for; one that is not `said` is a comment."""

    key: str
    value: str
    about: str
    said: bool = True


def entries(project: KnownProject) -> list[list[SiteEntry]]:
    """Those of a site file, in paragraphs. What the project says itself goes before."""
    paragraphs = [list(_first(project)), _SIZE, list(_environment(project)), list(_service(project))]
    given = _given(project)
    known = {entry.key for paragraph in paragraphs for entry in paragraph}
    others = [entry for key, entry in given.items() if key not in known]
    return [
        [given.get(entry.key, entry) for entry in paragraph]
        for paragraph in [*paragraphs, others]
        if paragraph
    ]


def _given(project: KnownProject) -> dict[str, SiteEntry]:
    """What the project says itself, by key; variables that its application needs are there beside its own."""
    settings = dict(project.settings)
    if isinstance(own := settings.get("env"), Mapping):
        settings["env"] = {**project.env, **own}
    return {key: SiteEntry(key, _spelled(value), _FROM_PROJECT) for key, value in settings.items()}


def _first(project: KnownProject) -> Iterator[SiteEntry]:
    yield SiteEntry("name", escaping.yaml(project.name), "as `superwsgi status` and logs call it")
    yield SiteEntry("app", escaping.yaml(project.app), project.why)
    if project.chdir is not None:
        yield SiteEntry("chdir", escaping.yaml(project.chdir), "where the code is; also on sys.path")
    yield SiteEntry("bind", BIND, "for a proxy on this machine; :8000 is the whole network")


_SIZE: Final = [
    SiteEntry("workers", "auto", "processes: one a CPU"),
    SiteEntry("threads", "{min: 4, max: 32}", "requests at once in each"),
    SiteEntry("memory", "{soft: 400M, hard: 600M}", "a larger worker is replaced, at once above hard", False),
]


def _environment(project: KnownProject) -> Iterator[SiteEntry]:
    if project.env_file is not None:
        yield SiteEntry("env_file", escaping.yaml(project.env_file), "read again at each reload")
    else:
        yield SiteEntry("env_file", ".env", "NAME=value lines, for what is secret", False)
    if project.env:
        pairs = ", ".join(f"{name}: {escaping.yaml(value)}" for name, value in project.env.items())
        yield SiteEntry("env", f"{{{pairs}}}", "goes before env_file")


def _service(project: KnownProject) -> Iterator[SiteEntry]:
    yield SiteEntry("health", "{live: /livez, ready: /readyz}", "answered without the application")
    yield SiteEntry("timeouts", "{request: 60s, graceful: 30s}", "graceful: of a reload or stop", False)
    if project.framework == "django":
        static = "{/static: ./staticfiles}"
        yield SiteEntry("static", static, "your STATIC_ROOT, once `manage.py collectstatic` has run", False)
        migrate = "{before: python manage.py migrate --check}"
        yield SiteEntry("rollout", migrate, "new code serves only if this succeeds", False)
    elif project.static is not None:
        static = f"{{/static: {escaping.yaml(project.static)}}}"
        yield SiteEntry("static", static, "served without the application; needs superwsgi[static]", False)
    logs = "{access: log/access.log, error: log/error.log}"
    yield SiteEntry("log", logs, "without it stdout and stderr, the journal under systemd", False)
    admin = "{bind: 127.0.0.1:9000}"
    yield SiteEntry("admin", admin, "a page and metrics; needs superwsgi[admin]", False)


_HEAD: Final = """\
# A site of superwsgi, made by `superwsgi init` for what it has found; change what you like.
#
#   superwsgi check -c {file}     is it right?
#   superwsgi -c {file}           serve it
#   superwsgi reference               every key there is; `superwsgi reference threads`: one

"""


def text(project: KnownProject, file: str) -> str:
    """The site file that is to have the name `file`."""
    paragraphs = ["".join(_lines(entry)) for each in entries(project) for entry in [*each, None]]
    return _HEAD.format(file=file) + "".join(paragraphs).rstrip("\n") + "\n"


def _lines(entry: SiteEntry | None) -> str:
    if entry is None:
        return "\n"
    line = f"{'' if entry.said else '# '}{entry.key}: {entry.value}"
    if not entry.about:
        return f"{line}\n"
    beside = f"{line:{_COLUMN}}  # {entry.about}\n"
    return beside if len(beside) <= _WIDTH else f"# {entry.about}\n{line}\n"


def _spelled(value: object) -> str:
    """JSON is YAML; what is one word needs no quotes."""
    if isinstance(value, str):
        return escaping.yaml_with_variables(value)
    return json.dumps(value, ensure_ascii=False)
