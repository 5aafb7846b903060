"""`root` as Gunicorn is told it: by SCRIPT_NAME, in `env` or `env_file`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from superwsgi.config.errors import Problem, SourcePlace
from superwsgi.config.grammar.proxies import SCRIPT_NAME
from superwsgi.config.text.tree import Entry, Keys, Text


def with_root(
    top: Keys,
    problems: list[Problem],
    variables: Mapping[str, str] = MappingProxyType({}),
    lines: Mapping[str, int] = MappingProxyType({}),
) -> Keys:
    """`top` with `root` also where the environment says it, by SCRIPT_NAME in `env` or among the `variables`
    of the env_file, which sets them in these `lines`."""
    said = _script_name(top, variables, lines)
    given = top.entries.get("root")
    if said is None or said.null:
        return top
    if given is None:
        return Keys({**top.entries, "root": Entry(Text("root", said.place), said)}, top.place)
    if isinstance(given.value, Text) and given.value.text.rstrip("/") != said.text.rstrip("/"):
        message = f"root: is {given.value}, and {SCRIPT_NAME} in the environment is {said}"
        problems.append(Problem(given.key.place, message, "both say where the site is: keep one of them"))
    return top


def _script_name(top: Keys, variables: Mapping[str, str], lines: Mapping[str, int]) -> Text | None:
    """What the environment says; `env` goes before `env_file`."""
    env, file = top.entries.get("env"), top.entries.get("env_file")
    entry = env.value.entries.get(SCRIPT_NAME) if env and isinstance(env.value, Keys) else None
    if entry is not None:
        return entry.value if isinstance(entry.value, Text) else None
    if SCRIPT_NAME not in variables or file is None or not isinstance(file.value, Text):
        return None
    place = SourcePlace(file.value.text, lines.get(SCRIPT_NAME, 0), 1)
    return Text(variables[SCRIPT_NAME], place, private=SCRIPT_NAME)
