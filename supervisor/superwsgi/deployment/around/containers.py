"""A site in an image and in Kubernetes. Pure functions of the site, and of its file as it is written: that
goes into the image with its variables, where it is shown without values.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from superwsgi import extras
from superwsgi.config.listening import TcpAddress, speaks_tls
from superwsgi.config.schema import Site
from superwsgi.config.sections import Memory
from superwsgi.config.shown.reference import spell
from superwsgi.deployment import folders, units
from superwsgi.deployment.installation import Installation
from superwsgi.deployment.text import escaping
from superwsgi.deployment.text.filling import Value, filled

_PORT: Final = 8000
_LAME_DUCK: Final = 10.0
"""Seconds that a pod serves on at least, until everybody knows that it ends: readiness takes six to be
noticed."""

_ENDING: Final = 10.0
_ROOM: Final = 512 << 20
"""Bytes of a pod's memory, where the site says nothing of it."""

_CPUS: Final = 2
"""The limit in the template, and so the workers of `auto`."""

IGNORED: Final = """\
# What does not go into an image: secrets, and what belongs to this machine.
.env
.env.*
.git
.venv
venv
**/__pycache__
**/*.pyc
**/*.sock
**/*.sqlite3
**/*.log
"""

_LOG: Final = {"style": "json", "format": "json", "capture": "on"}
"""On stdout and stderr, for whoever collects it."""

_DECIDED: Final = frozenset(
    {
        *("name", "app", "apps", "chdir", "bind", "control", "workers", "threads", "memory", "proxy", "log"),
        *("health", "timeouts", "env_file", "user", "group", "umask", "pidfile", "tls"),
    }
)
"""Keys that the template writes itself, or that make no sense in a pod."""


def written(text: str) -> dict[str, Any]:
    """A site file as it is written: mappings, lists and text, with no variable put in."""
    return yaml.load(text, yaml.BaseLoader) or {}


def docker(site: Site, file: str, raw: Mapping[str, Any], files: frozenset[str], python: str) -> str:
    """A Dockerfile for the folder of the site file `file`, in which there are `files`; `python` is a version
    such as `3.13`."""
    port = _port(site)
    env_file = PurePosixPath(site.env_file).name if site.env_file is not None else None
    options = f"-p {port}:{port} " if port is not None else ""
    if env_file is not None:
        options += f'-v "$PWD/{env_file}:/srv/{site.name}/{env_file}:ro" '
    values: dict[str, Value] = {
        "name": site.name,
        "label": label(site.name),
        "stop": math.ceil(units.stop_time(site)),
        "options": options,
        "python": python,
        "install": _install(files, _requirement(site)),
        "bind": f"0.0.0.0:{port}" if port is not None and takes_bind(raw) else None,
        "port": port,
        "boot": math.ceil(site.timeouts.boot),
        "probe": _probe(site, port),
        "command": json.dumps(["superwsgi", "-c", PurePosixPath(file).name], ensure_ascii=False),
    }
    return filled("docker", values)


def takes_bind(raw: Mapping[str, Any]) -> bool:
    """Whether an image can say where the site listens."""
    return "${BIND" in str(raw.get("bind"))


def unwritable(site: Site, raw: Mapping[str, Any]) -> list[str]:
    """What the site file has made where the user of the image may not write: the site would not start."""
    binds = "bind" if takes_bind(raw) else ""
    return [
        f"{key}: {file}"
        for key, file in folders.made(site)
        if key != binds and not folders.below(file, folders.SHARED)
    ]


def reachable(site: Site, raw: Mapping[str, Any]) -> bool:
    """Whether anybody outside of a container would reach it."""
    hosts = [each.host for each in site.bind if isinstance(each, TcpAddress)]
    return takes_bind(raw) or any(not re.match(r"127\.|::1$|localhost$", host) for host in hosts)


def _port(site: Site) -> int | None:
    return next((each.port for each in site.bind if isinstance(each, TcpAddress) and each.port), None)


def _requirement(site: Site) -> str:
    names = ",".join(extras.needed(site))
    return f"'superwsgi[{names}]'" if names else "superwsgi"


def _install(files: frozenset[str], superwsgi: str) -> str:
    """Requirements first, so that they are installed anew only where they have changed."""
    wheel = next((name for name in sorted(files) if re.fullmatch(r"superwsgi-\S+\.whl", name)), None)
    superwsgi = superwsgi.replace("superwsgi", f"./{wheel}") if wheel else superwsgi
    pip = f"RUN pip install --no-cache-dir {superwsgi}"
    first = [name for name in (wheel, "requirements.txt") if name in files]
    copy = f"COPY {' '.join(first)} ./\n" if first else ""
    if "requirements.txt" in files:
        return f"{copy}{pip} -r requirements.txt\nCOPY . ."
    if files & {"pyproject.toml", "setup.py"}:
        return f"COPY . .\n{pip} ."
    return f"{copy}# Name what the application needs here as well.\n{pip}\nCOPY . ."


def _probe(site: Site, port: int | None) -> str | None:
    if site.health.ready is None or port is None or all(map(speaks_tls, site.bind)):
        return None
    url = f"http://127.0.0.1:{port}{site.health.ready}"
    return json.dumps(["python", "-c", f"import urllib.request as r; r.urlopen({url!r}, timeout=9)"])


def kubernetes(place: Installation, raw: Mapping[str, Any]) -> str:
    """Site file, deployment and service. The site file is the same but for where things are in a pod."""
    site, timeouts = place.site, place.site.timeouts
    lame_duck = max(timeouts.lame_duck, _LAME_DUCK)
    ending = units.stop_time(site) - units.MARGIN - timeouts.lame_duck + lame_duck + _ENDING
    more = {key: value for key, value in raw.items() if key not in _DECIDED}
    for key, named in (("static", site.static), ("sendfile", site.sendfile)):
        if named:
            more[key] = {prefix: _in_image(place, folder) for prefix, folder in named.items()}
    values: dict[str, Value] = {
        "name": site.name,
        "label": label(site.name),
        "application": _application(place, raw),
        "chdir": escaping.yaml(_in_image(place, site.chdir)),
        "port": _port(site) or _PORT,
        "workers": _flow(raw.get("workers", "auto")),
        "threads": _flow(raw.get("threads", spell(site.threads, ""))),
        "memory": _memory(site.memory),
        "share": "" if _in_bytes(site.memory) else "    # of the memory limit below, each worker",
        "more_proxy": _lines(_rest(raw, "proxy", {"trusted", "protocol"})),
        "log": _flow({**_LOG, **_rest(raw, "log", {"access", "error"} | set(_LOG))}),
        "live": site.health.live or "/livez",
        "ready": site.health.ready or "/readyz",
        "boot": spell(timeouts.boot, "duration"),
        "lame_duck": spell(lame_duck, "duration"),
        "graceful": spell(timeouts.graceful, "duration"),
        "more_timeouts": _lines(_rest(raw, "timeouts", {"boot", "lame_duck", "graceful"})),
        "more": _lines(more),
        "ending": math.ceil(ending),
        "secrets": "" if site.env_file or place.variables else "# ",
        "room": f"{math.ceil(_room(place) / (1 << 20))}Mi",
        "patience": math.ceil(timeouts.boot * 1.5 / 2),
    }
    return filled("kubernetes", values)


def label(name: str) -> str:
    """A site's name as a name of Kubernetes (RFC 1123) and of an image: lower case, digits and `-`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:57].strip("-") or "site"


def _application(place: Installation, raw: Mapping[str, Any]) -> str:
    """With a variable in it, as it is written: a factory may have a password among its arguments."""
    for key in ("app", "apps"):
        if "${" in str(raw.get(key)):
            return f"{key}: {_flow(raw[key])}"
    apps = {mount: _in_image(place, app) for mount, app in place.site.apps.items()}
    return f"app: {escaping.yaml(apps['/'])}" if list(apps) == ["/"] else f"apps: {_flow(apps)}"


def _in_image(place: Installation, text: str) -> str:
    """A path, or what has one in it, below the folder of the site file."""
    folder = os.path.dirname(place.file)  # noqa: PTH120
    inside = f"/srv/{place.site.name}"
    return inside if text == folder else text.replace(f"{folder}/", f"{inside}/")


def _in_bytes(memory: Memory) -> bool:
    return isinstance(memory.hard, int) and memory.hard > 0


def _memory(memory: Memory) -> str:
    if not _in_bytes(memory):
        return "{soft: 30%, hard: 45%}"
    unit = "size" if isinstance(memory.soft, int) else "percent"
    soft = f"soft: {spell(memory.soft, unit)}, " if memory.soft else ""
    measure = f", measure: {memory.measure}" if memory.measure != "rss" else ""
    return f"{{{soft}hard: {spell(memory.hard, 'size')}{measure}}}"


def _room(place: Installation) -> int:
    """Bytes for one pod."""
    workers = place.workers if isinstance(place.site.workers, int) else _CPUS
    return units.memory_max(place.site, workers) or _ROOM


def _rest(raw: Mapping[str, Any], key: str, without: set[str]) -> dict[str, Any]:
    section = raw.get(key)
    return (
        {name: value for name, value in section.items() if name not in without}
        if isinstance(section, dict)
        else {}
    )


def _lines(keys: Mapping[str, Any]) -> str:
    """Each with its value on one line; a value stays text."""
    return "\n".join(f"{key}: {_flow(value)}" for key, value in keys.items())


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_flow(key)}: {_flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    text = str(value)
    return (
        text
        if re.fullmatch(r"[\w./%][\w./%-]*", text) or text.startswith("{min:")
        else json.dumps(text, ensure_ascii=False)
    )
