"""All that is wrong with a site, at once: what its file says, what this machine lacks, what does not load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from superwsgi.checking import addresses, limits, surroundings
from superwsgi.checking.addresses import RunningSite
from superwsgi.checking.apart import load_apart
from superwsgi.checking.flaws import Flaw, distinct
from superwsgi.config.errors import Problem
from superwsgi.config.loading import SiteReading
from superwsgi.config.schema import Site
from superwsgi.messages import LoadFailed, LoadTrouble, Tried, WentWrong
from superwsgi.tls import interface
from superwsgi.tls.interface import SeenCertificate

_OF_THE_IMPORT: Final = frozenset(
    {"app", "apps", "chdir", "env", "env_file", "user", "group", "umask", "hooks", "warmup"}
)
"""Keys on which it depends whether an application loads."""


@dataclass(frozen=True, slots=True)
class Told:
    """A problem, and the traceback below it if there is one. `loading`: the application does not load;
    `harmless`: the site would start all the same."""

    problem: Problem
    detail: str = ""
    loading: bool = False
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found. `tried` is how loading went; None where that could not be tried, for the reason in
    `untried`."""

    reading: SiteReading
    told: tuple[Told, ...]
    certificates: tuple[SeenCertificate, ...]
    tried: Tried | None
    untried: str = ""
    running: RunningSite | None = None

    @property
    def wrong(self) -> list[Told]:
        """What keeps it from starting."""
        return [each for each in self.told if not each.harmless]


def check(
    reading: SiteReading,
    running: Sequence[RunningSite],
    tell: Callable[[WentWrong], object],
) -> Checked:
    """Look at everything, and load the application apart; `tell` hears what goes wrong there on the way.
    `running` are the sites of which this user can know."""
    site, failed = reading.site, reading.failed
    certificates = tuple(interface.look(site.tls))
    untried = _untried(reading)
    loaded = None if untried else load_apart(site, tell)
    tried = loaded if isinstance(loaded, Tried) else None
    own = next((each for each in running if each.this), None)
    found = [
        *surroundings.flaws(site, failed),
        *surroundings.certificate_flaws(certificates, failed),
        *addresses.flaws(site, running),
        *limits.flaws(site, tried),
    ]
    said = [
        *(Told(problem) for problem in reading.problems),
        *(
            Told(_placed(flaw, reading), harmless=flaw.harmless)
            for flaw in distinct(found)
            if not _is_held(flaw, site, own)
        ),
        *([] if loaded is None else _of_loading(loaded, reading)),
    ]
    said.sort(key=lambda each: (each.harmless, _is_of(reading.places.file, each), each.problem.position))
    return Checked(reading, tuple(said), certificates, tried, untried, own)


def _is_held(flaw: Flaw, site: Site, own: RunningSite | None) -> bool:
    """Whether it is about the pid file of this very site, which runs: as another user, it may be."""
    if flaw.key != "pidfile" or own is None or site.pidfile is None:
        return False
    try:
        return Path(site.pidfile).read_text().strip() == str(own.pid)
    except (OSError, ValueError):
        return False


def _is_of(file: str | None, told: Told) -> bool:
    """Whether it is in the site file, and not in one that this names."""
    return told.problem.place is not None and told.problem.place.file == file


def _untried(reading: SiteReading) -> str:
    site, failed = reading.site, reading.failed
    if "app" in failed or "apps" in failed or not site.apps:
        return "what `app` says is wrong"
    if not Path(site.chdir).is_dir():
        return f"{site.chdir} is not there"
    return ""


def _of_loading(loaded: Tried | LoadFailed, reading: SiteReading) -> Iterator[Told]:
    if isinstance(loaded, LoadFailed):
        key = "chdir" if loaded.reason.startswith("chdir ") else "apps"
        yield _not_loaded(LoadTrouble(key, loaded.reason, loaded.detail), reading)
        return
    for trouble in loaded.troubles:
        if trouble.key.partition(" ")[0] == "apps":
            yield _not_loaded(trouble, reading)
        else:
            page = trouble.reason.split(" ")[1] if trouble.key == "warmup" else None
            problem = _placed(Flaw(trouble.key, trouble.reason, value=page), reading)
            yield Told(problem, trouble.detail, loading=True, harmless=trouble.harmless)


def _not_loaded(trouble: LoadTrouble, reading: SiteReading) -> Told:
    alone = trouble.key == "apps" and "app" in reading.places.keys
    unsure = sorted(each for each in reading.failed if _may_matter(each))
    hint = f"this may follow from what is wrong with {', '.join(unsure)}" if unsure else ""
    flaw = Flaw("app" if alone else trouble.key, f"the application does not load: {trouble.reason}", hint)
    return Told(_placed(flaw, reading), trouble.detail, loading=True)


def _may_matter(key: str) -> bool:
    """Whether the import may have failed for want of this key, or of one that nobody knows."""
    first = key.partition(" ")[0].partition(".")[0]
    return first in _OF_THE_IMPORT or first not in Site.__struct_fields__


def _placed(flaw: Flaw, reading: SiteReading) -> Problem:
    """At its place in the file; by the name of the option where there is none."""
    problem = flaw.at(reading.places)
    source = reading.site.sources.get(flaw.key)
    if problem.place is not None or source is None or not source.text:
        return problem
    return Problem(None, f"{source.text}: {flaw.message.removeprefix(f'{flaw.key}: ')}", flaw.hint)
