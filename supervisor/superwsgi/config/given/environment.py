"""What hosting platforms say in the environment: `WEB_CONCURRENCY` workers, at `PORT`, below `SCRIPT_NAME`.

An empty variable says nothing. Read for sites without a file: a file says `${PORT}` where it wants it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from superwsgi.config.errors import Problem
from superwsgi.config.given.merging import at_keys
from superwsgi.config.grammar import values
from superwsgi.config.grammar.proxies import SCRIPT_NAME, root
from superwsgi.config.grammar.values import Invalid
from superwsgi.config.text.tree import Items, Keys, Node, Text, Unusable

EVERYWHERE: Final = "0.0.0.0"
"""Where a platform's router looks for `PORT`. Not `::`, as containers without IPv6 have no such address."""

_MOST_WORKERS: Final = 1024
_MOST_PORTS: Final = 65535

SOURCES: Final = {"workers": "${WEB_CONCURRENCY}", "bind": "${PORT}", "root": f"${{{SCRIPT_NAME}}}"}
"""What `superwsgi config` calls them, by key."""


def of_environment(
    environ: Mapping[str, str], said: Keys, host: str, problems: list[Problem], *, mounted: bool
) -> Keys:
    """A tree of those keys of which nothing is `said`, nor of `root` where the site is `mounted` by its
    env_file; the port is one of `host`, and `problems` gets what is no number."""
    found: dict[str, Node] = {}
    workers, port = (environ.get(name, "").strip() for name in ("WEB_CONCURRENCY", "PORT"))
    if workers and "workers" not in said.entries:
        found["workers"] = _workers(workers, problems)
    if port and "bind" not in said.entries:
        found["bind"] = _bind(port, host, problems)
    if environ.get(SCRIPT_NAME) and not mounted and not _is_mounted(said):
        found["root"] = _root(environ[SCRIPT_NAME], problems)
    return at_keys(found)


def _workers(text: str, problems: list[Problem]) -> Node:
    what = f"a number of workers from 1 to {_MOST_WORKERS}"
    return _number("WEB_CONCURRENCY", text, 1, _MOST_WORKERS, what, "--workers 4", problems)


def _bind(text: str, host: str, problems: list[Problem]) -> Node:
    node = _number("PORT", text, 0, _MOST_PORTS, "the number of a port", f"--bind {host}:8000", problems)
    return Items((Text(f"{host}:{node.text}"),)) if isinstance(node, Text) else node


def _is_mounted(said: Keys) -> bool:
    env = said.entries["env"].value if "env" in said.entries else None
    return "root" in said.entries or (isinstance(env, Keys) and SCRIPT_NAME in env.entries)


def _root(text: str, problems: list[Problem]) -> Node:
    try:
        return Text(root(text))
    except Invalid as error:
        problems.append(_refused(SCRIPT_NAME, error.expected, text, error.hint or "unset it, or set root"))
        return Unusable()


def _number(
    name: str, text: str, least: int, most: int, what: str, option: str, problems: list[Problem]
) -> Node:
    try:
        return Text(str(values.whole(text, least, most)))
    except Invalid:
        problems.append(_refused(name, what, text, f"unset it, or say so by an option, such as {option}"))
        return Unusable()


def _refused(name: str, what: str, text: str, hint: str) -> Problem:
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return Problem(None, f"environment variable {name}: expected {what}, got {shown!r}", hint)
