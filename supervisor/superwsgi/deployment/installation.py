"""A site and the superwsgi that is to serve it on this machine, as data: units.py and folders.py decide from
it and ask nothing else; here.py fills it in for the program that runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from superwsgi.config.links import Links
from superwsgi.config.schema import Site

DYNAMIC: Final = "dynamic"
"""In the place of a user: systemd makes one when the site starts (DynamicUser= of systemd.exec(5))."""

ROOT: Final = "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Paths are absolute, as the operator spells them: `file` of the site, `folders` of Python (the virtual
    environment, and what that was made from). `command` are the words that run superwsgi. `workers` are the
    most there may be. `owner`: the project is the user's own. `variables` are those of the environment that
    the site file refers to, `links` those on the way to any of these paths. `others` are folders that the
    site would write to and that are somebody else's."""

    site: Site
    file: str
    command: tuple[str, ...]
    folders: tuple[str, ...]
    user: str
    owner: bool
    workers: int
    variables: tuple[str, ...] = ()
    links: Links = ()
    others: frozenset[str] = frozenset()

    @property
    def unit(self) -> str:
        """The name of its service, without a suffix."""
        return f"superwsgi-{self.site.name}"
