"""What `superwsgi dev` and the processes of the site that it runs call things: the private folder with the
files by which they tell each other (shared.py), and what is in it. It imports next to nothing.
"""

from __future__ import annotations

from typing import Final

VARIABLE: Final = "SUPERWSGI_DEVELOPMENT"
"""The environment variable that names the folder."""

APPLICATION: Final = "superwsgi.development.inside.wrapping:application()"
"""What such a site has for its application; SETTINGS names that of the project."""

SITE: Final = "site.json"
"""The site as the master is to run it, read again for each reload."""

SETTINGS: Final = "settings.json"
ATTEMPT: Final = "attempt.json"
"""Why the generation that is being loaded cannot be: written by its mold."""

FAILURE: Final = "failure.json"
"""Why the newest code does not run; it stays until newer code does."""

NEWEST: Final = "newest.json"
"""Which worker is the newest that serves."""

LOG: Final = "log"
"""A pipe with the lines of both logs, as JSON."""

STATE: Final = "/.superwsgi-dev/state"
"""A path that no site has: it tells which failure there is, for the script of a page that shows one."""
