"""The configuration that runs, and what a reload would make of it: what `superwsgi config` shows.

The master itself reads the site file for that, as for a reload: its environment and its rights count, not
those of whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from superwsgi.config.errors import ConfigError
from superwsgi.config.shown.effective import ShownKey, changes, keys
from superwsgi.control import ConfigKey, Configuration
from superwsgi.master.context import Startup
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations


def configuration(generations: Generations, startup: Startup, *, compare: bool) -> Configuration:
    """That of the current generation or, at the first start, of the candidate."""
    generation = generations.current or generations.candidate
    if generation is None:  # the site has ended
        return Configuration(file=startup.site_file, keys=[])
    changed, trouble = _compared(generation, startup) if compare else ([], "")
    return Configuration(
        file=startup.site_file,
        keys=_told(_with_workers(generation)),
        generation=generation.number,
        changed=changed,
        trouble=trouble,
    )


def _told(found: Iterable[ShownKey]) -> list[ConfigKey]:
    return [ConfigKey(key.name, key.text, key.source) for key in found]


def _with_workers(generation: Generation) -> Iterator[ShownKey]:
    """With the number of workers that somebody has asked for since, or that the load calls for."""
    numbers = generation.numbers
    said = f", {numbers.wanted} {'now' if numbers.elastic else 'until the next reload'}"
    changed = numbers.least < numbers.most or numbers.wanted != numbers.least
    for key in keys(generation.site):
        now = said if changed and key.name == "workers" else ""
        yield key._replace(source=key.source + now)


def _compared(generation: Generation, startup: Startup) -> tuple[list[ConfigKey], str]:
    """What is different on the disk, and where the file is wrong; no text of it is shown."""
    try:
        read = generation.release.pinned(startup.read_site())
    except ConfigError as error:
        place = error.problems[0].place if error.problems else None
        return [], str(place or startup.site_file)
    return _told(changes(generation.site, read)), ""
