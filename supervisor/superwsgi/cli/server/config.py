"""`superwsgi config`: the configuration that runs, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from superwsgi.cli.server.reach import only_answer
from superwsgi.cli.server.which import Which, find_one, which_site
from superwsgi.control import ConfigKey, ConfigRequest, Configuration, encode
from superwsgi.log.spelling import printable

_COLUMN = 36


@click.command(short_help="Show the configuration that runs, and where each value comes from.")
@which_site
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def config(which: Which, as_json: bool) -> None:
    """Show the configuration that runs: every key with its value and where that comes from, a line of the
    site file, an option or the default. If the file says something else by now, what a reload would change
    follows. NAME is the name of the site, and is not needed where only one runs.

    `***` stands for what may be a secret: variables of the application, tokens, what is from other files, and
    text that a variable is in.

    \b
    Exit codes:
      0  it is shown
      1  the master did not answer
      2  usage or configuration, or no master answers
    """
    answer = only_answer(find_one(which), ConfigRequest(compare=True), Configuration)
    click.echo(encode(answer) if as_json else spell(answer), nl=False)


def spell(answer: Configuration) -> str:
    """Lines of YAML, with where they come from as comments."""
    of = f"generation {answer.generation}" if answer.generation is not None else "no generation"
    head = f"# {of}, from {printable(answer.file or 'the command line')}"
    return "\n".join([head, *_lines(answer.keys), *_on_disk(answer)]) + "\n"


def _lines(keys: Iterable[ConfigKey]) -> Iterator[str]:
    for key in keys:
        line = printable(f"{key.key}: {key.value}" if key.value else key.key)
        yield f"{line:{_COLUMN}}  # {printable(key.source)}"


def _on_disk(answer: Configuration) -> Iterator[str]:
    if answer.trouble:
        check = f"superwsgi check -c {answer.file}"
        yield f"# The file has changed and would be refused by now, at {printable(answer.trouble)}: `{check}`"
    if answer.changed:
        yield "# The file says something else by now. A reload would change:"
        yield from (f"#   {line}" for line in _lines(answer.changed))
