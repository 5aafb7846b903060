"""`superwsgi reference`: every key of a site file, with its default."""

from __future__ import annotations

import click

from superwsgi.config.errors import nearest
from superwsgi.config.shown.reference import parts
from superwsgi.config.shown.reference import reference as text


@click.command(short_help="Print a site file with every key and its default.")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
def reference(keys: tuple[str, ...]) -> None:
    """Print a site file with every key, its default and what it means. It is one that can be used: only `app`
    has to be changed. With KEYs, print what it has of those.

    \b
    superwsgi reference                    all of it
    superwsgi reference threads            one key
    superwsgi reference log timeouts       sections
    superwsgi reference log.sample         one key of a section
    """
    click.echo("\n".join(_of(key) for key in keys) if keys else text(), nl=False)


def _of(key: str) -> str:
    """What is below a key is said beside it: `threads.min`, `paths./reports.slow`."""
    known, path = parts(), key
    while path not in known:
        path, _, _ = path.rpartition(".")
        if not path:
            hint = nearest(key, known)
            raise click.UsageError(f"There is no key {key!r}{f'; {hint}' if hint else ''}")
    return known[path]
