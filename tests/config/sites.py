"""Site files for tests: written to a real file, loaded, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from superwsgi.config.errors import ConfigError
from superwsgi.config.loading import load
from superwsgi.config.schema import Site

APP = "app: shop:app\n"

EVERYTHING = """\
name: shop
bind:
  - 127.0.0.1:8000
  - "[::1]:8000"
  - {unix: run/shop.sock, mode: 0660, owner: www-data, group: 33}
apps:
  /: shop.wsgi:application
  /admin/: backoffice:app
  API.example.com/v1: api:create_app()
workers: 4
threads: 16
preload: true
chdir: code
env: {DJANGO_SETTINGS_MODULE: shop.settings}
user: www-data
group: www-data
umask: "0027"
memory: {soft: 400M, hard: 90%, measure: pss}
requests: {max: 1000, jitter: 100}
timeouts: {boot: 2m, head: 5s, body: 20s, request: 90, queue: 1.5s, send: 250ms, keepalive: 0, graceful: 1h,
           linger: 0s, lame_duck: 3s}
limits: {line: 4K, head: 32K, fields: 50, body: 1G, body_memory: 1M, connections: 500, backlog: 128}
log: {level: debug, access: log/access.log, error: "off", format: "{method} {target}"}
monitor: {interval: 500ms}
pidfile: run/shop.pid
"""


def values(site: Site) -> Site:
    """Without where they were written."""
    return msgspec.structs.replace(site, sources={})


def loaded(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Site:
    file = folder / "site.yaml"
    file.write_text(text, encoding="utf-8")
    return values(load(file, environ or {}))


def problems(folder: Path, text: str | bytes, environ: Mapping[str, str] | None = None) -> list[str]:
    """Every problem as `line:column: message: hint`, without its excerpt."""
    file = folder / "site.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load(file, environ or {})
    return [str(problem).split("\n")[0].removeprefix(f"{file}:").strip() for problem in caught.value.problems]
